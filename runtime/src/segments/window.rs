//! Sixteen tags of a table, looked at at once.
#![allow(unsafe_code)]

#[cfg(not(target_arch = "x86_64"))]
pub use portable::Window;
#[cfg(target_arch = "x86_64")]
pub use sse2::Window;

/// How many tags are looked at at once: as many as a register of SSE2 has bytes, which every x86-64 core has.
pub const WIDTH: usize = 16;

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};

    /// Tags that lie side by side. What is asked of them is answered with a bit for each, the first one's lowest.
    #[derive(Clone, Copy)]
    pub struct Window(__m128i);

    impl Window {
        /// # Safety
        /// [`WIDTH`](super::WIDTH) bytes are there to be read.
        #[inline(always)]
        pub unsafe fn at(tags: *const u8) -> Window {
            // SAFETY: the caller's word; the load needs no alignment.
            Window(unsafe { _mm_loadu_si128(tags.cast()) })
        }

        /// Which tags are this one.
        #[inline(always)]
        pub fn are(self, tag: u8) -> u32 {
            // SAFETY: every x86-64 core has SSE2.
            unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(self.0, _mm_set1_epi8(tag as i8))) as u32 }
        }

        /// Which tags have their highest bit.
        #[inline(always)]
        pub fn are_high(self) -> u32 {
            // SAFETY: every x86-64 core has SSE2.
            unsafe { _mm_movemask_epi8(self.0) as u32 }
        }
    }
}

/// For other cores. Tests have it everywhere, so that it is known to say the same.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::WIDTH;

    /// Tags that lie side by side. What is asked of them is answered with a bit for each, the first one's lowest.
    #[derive(Clone, Copy)]
    pub struct Window([u8; WIDTH]);

    impl Window {
        /// # Safety
        /// [`WIDTH`] bytes are there to be read.
        #[inline(always)]
        pub unsafe fn at(tags: *const u8) -> Window {
            // SAFETY: the caller's word; bytes need no alignment.
            Window(unsafe { tags.cast::<[u8; WIDTH]>().read() })
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tag_has_its_bit_on_every_core() {
        let mut tags = [0; WIDTH];
        (tags[0], tags[3], tags[7], tags[15]) = (0x85, 0x85, 0x7f, 0xff);
        // SAFETY: there are sixteen of them.
        let window = unsafe { Window::at(tags.as_ptr()) };
        // SAFETY: the same.
        let portable = unsafe { portable::Window::at(tags.as_ptr()) };
        let said = [0x85, 0xff, 1, 0].map(|tag| (window.are(tag), portable.are(tag)));
        assert_eq!(said, [0b1001, 1 << 15, 0, 0x7f76].map(|bits| (bits, bits)));
        assert_eq!((window.are_high(), portable.are_high()), (0x8009, 0x8009));
    }
}
