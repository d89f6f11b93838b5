//! Stands for `uring.rs` where this build has no io_uring.

use std::convert::Infallible;
use std::fs::File;
use std::io;

/// There is none.
pub(super) struct Uring(Infallible);

impl Uring {
    pub fn new() -> io::Result<Uring> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(test)]
    pub fn eager(self) -> Uring {
        self
    }

    pub fn settle(&mut self) -> io::Result<()> {
        match self.0 {}
    }

    pub fn read(&mut self, _: &File, _: u64, _: u64) -> io::Result<&[u8]> {
        match self.0 {}
    }
}
