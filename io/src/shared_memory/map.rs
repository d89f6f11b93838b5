//! A file that is memory of this process and of others, as words that all of them may change at any time.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

/// A file in memory.
pub(super) struct Map {
    words: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the mapping belongs to this value alone, wherever it is, and what lies in it is atomics.
unsafe impl Send for Map {}

impl Map {
    /// The first `count` words of a file that is open for reading and writing and has at least as many. The file is
    /// given room for them, where it has holes: a file system that is full is an error here, and not a signal later.
    pub fn of(file: &File, count: usize) -> io::Result<Map> {
        let bytes = count * size_of::<u64>();
        reserve(file, bytes)?;
        // SAFETY: a new mapping at an address of the system's choice touches nothing that is there; the descriptor is
        // open while the file is borrowed, and need not be afterwards.
        let at = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(ptr::null_mut(), bytes, access, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        let words = NonNull::new(at.cast()).filter(|_| at != libc::MAP_FAILED);
        let words = words.ok_or_else(io::Error::last_os_error)?;
        Ok(Map { words, count })
    }

    /// The words, which others may change while they are borrowed.
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: so many words are mapped, for reading and writing, at the beginning of a page, as long as this value
        // is; all bits are a value of them, and that others change them is what atomics are for.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.count) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: this is what was mapped, and nobody borrows it any more.
        unsafe { libc::munmap(self.words.as_ptr().cast(), self.count * size_of::<u64>()) };
    }
}

/// Gives a file at least so many bytes, for which the file system has room.
fn reserve(file: &File, bytes: usize) -> io::Result<()> {
    let bytes = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
    // SAFETY: the descriptor is open while the file is borrowed.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
