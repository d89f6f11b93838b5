//! Where a search in a table begins, and how it goes on in the first window.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use super::slots::{EMPTY, GONE};
use super::window::{WIDTH, Window};

/// The tags of a table without memory, and of a search that finds nothing.
static NOTHING: [u8; WIDTH] = [EMPTY; WIDTH];

/// The bits from which the home is taken are the lowest and the segment's the highest, so these are neither.
#[inline(always)]
pub(super) fn tag(hash: u64) -> u8 {
    (hash >> 32) as u8 | 0x80
}

/// Where a search begins, and for which tag: a place in a table, or none.
pub struct Home<E> {
    pub(super) tags: NonNull<u8>,
    pub(super) entry: NonNull<E>,
    tag: u8,
}

impl<E> Clone for Home<E> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Home<E> {}

impl<E> Home<E> {
    /// Where nothing is found.
    pub const NOWHERE: Home<E> =
        Home { tags: NonNull::from_ref(&NOTHING).cast(), entry: NonNull::dangling(), tag: GONE };

    /// Where the entry most likely is: here, or in a slot behind it. For guesses.
    #[inline(always)]
    pub fn entry(&self) -> *const E {
        self.entry.as_ptr()
    }

    /// Where the tags of the first window are. For guesses.
    #[inline(always)]
    pub fn tags(&self) -> *const u8 {
        self.tags.as_ptr()
    }

    /// The entry that `is` the one in the first window. `None` says nothing of further ones.
    ///
    /// # Safety
    /// The table is still there, and nobody else has it meanwhile.
    #[inline(always)]
    pub unsafe fn find<'a>(&self, is: impl Fn(&E) -> bool) -> Option<&'a mut E> {
        // SAFETY: the table is there, and so are sixteen tags from each home on.
        let mut bits = unsafe { Window::at(self.tags.as_ptr()) }.are(self.tag);
        while bits != 0 {
            // SAFETY: this slot is in the table, and its tag says that it has an entry.
            let entry = unsafe { self.entry.add(bits.trailing_zeros() as usize).as_mut() };
            if is(entry) {
                return Some(entry);
            }
            bits &= bits - 1;
        }
        None
    }
}

/// What is to be known of a table to begin a search in it.
pub struct Start<E> {
    pub(super) tags: NonNull<u8>,
    pub(super) entries: NonNull<E>,
    /// One less than there are homes, or 0.
    pub(super) mask: u32,
    /// The table's number among others.
    pub number: u32,
}

impl<E> Clone for Start<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Start<E> {}

impl<E> Start<E> {
    /// Of no table: nothing is found.
    pub const NOWHERE: Start<E> =
        Start { tags: Home::<E>::NOWHERE.tags, entries: NonNull::dangling(), mask: 0, number: u32::MAX };

    /// Where the search for `hash` begins.
    #[inline(always)]
    pub fn home(&self, hash: u64) -> Home<E> {
        let home = hash as usize & self.mask as usize;
        // SAFETY: homes are slots; where there is no memory there is one of them, without entries.
        unsafe { Home { tags: self.tags.add(home), entry: self.entries.add(home), tag: tag(hash) } }
    }

    /// The first entry in the first window that has the tag of `hash`, if there is one, and where it is or would be.
    /// Most likely it is the one that is looked for.
    ///
    /// # Safety
    /// The table is still there.
    #[inline(always)]
    pub unsafe fn guess(&self, hash: u64) -> (Option<NonNull<E>>, *const E) {
        let home = hash as usize & self.mask as usize;
        // SAFETY: the table is there, and so are sixteen tags from each home on.
        let bits = unsafe { Window::at(self.tags.add(home).as_ptr()) }.are(tag(hash));
        // SAFETY: a slot of the window, and one of the sixteen also where there is no such tag.
        let seems = unsafe { self.entries.add(home + bits.trailing_zeros() as usize % WIDTH) };
        ((bits != 0).then_some(seems), seems.as_ptr())
    }
}
