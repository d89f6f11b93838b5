//! Sixteen tags of a table, looked at at once.
#![allow(unsafe_code)]

/// How many tags are looked at at once: as many as a register of SSE2 has bytes, which every x86-64 core has.
pub const WIDTH: usize = 16;

/// Tags that lie side by side. What is asked of them is answered with a bit for each, the first one's lowest.
#[derive(Clone, Copy)]
pub struct Window(Tags);

#[cfg(target_arch = "x86_64")]
type Tags = std::arch::x86_64::__m128i;
#[cfg(not(target_arch = "x86_64"))]
type Tags = [u8; WIDTH];

#[cfg(target_arch = "x86_64")]
impl Window {
    /// # Safety
    /// [`WIDTH`] bytes are there to be read.
    #[inline(always)]
    pub unsafe fn at(tags: *const u8) -> Window {
        // SAFETY: the caller's word; the load needs no alignment.
        Window(unsafe { std::arch::x86_64::_mm_loadu_si128(tags.cast()) })
    }

    /// Which tags are this one.
    #[inline(always)]
    pub fn are(self, tag: u8) -> u32 {
        use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set1_epi8};
        // SAFETY: every x86-64 core has SSE2.
        unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(self.0, _mm_set1_epi8(tag as i8))) as u32 }
    }

    /// Which tags have their highest bit.
    #[inline(always)]
    pub fn are_high(self) -> u32 {
        // SAFETY: every x86-64 core has SSE2.
        unsafe { std::arch::x86_64::_mm_movemask_epi8(self.0) as u32 }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Window {
    /// # Safety
    /// [`WIDTH`] bytes are there to be read.
    #[inline(always)]
    pub unsafe fn at(tags: *const u8) -> Window {
        // SAFETY: the caller's word; bytes need no alignment.
        Window(unsafe { tags.cast::<Tags>().read() })
    }

    /// Which tags are this one.
    #[inline(always)]
    pub fn are(self, tag: u8) -> u32 {
        self.which(|known| known == tag)
    }

    /// Which tags have their highest bit.
    #[inline(always)]
    pub fn are_high(self) -> u32 {
        self.which(|known| known >= 0x80)
    }

    #[inline(always)]
    fn which(self, is: impl Fn(u8) -> bool) -> u32 {
        self.0.iter().rev().fold(0, |bits, tag| bits << 1 | u32::from(is(*tag)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tag_has_its_bit() {
        let mut tags = [0; WIDTH];
        (tags[0], tags[3], tags[15]) = (0x85, 0x85, 0xff);
        // SAFETY: there are sixteen of them.
        let window = unsafe { Window::at(tags.as_ptr()) };
        assert_eq!((window.are(0x85), window.are(0xff), window.are(1)), (0b1001, 1 << 15, 0));
        assert_eq!((window.are(0), window.are_high()), (0x7ff6, 0x8009));
    }
}
