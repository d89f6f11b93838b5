//! Reads a file ahead through io_uring: while one block is given, the kernel fills those behind it. What is in the page
//! cache is there as soon as it is asked for, and nothing is read ahead: it would only have to be kept in the core's
//! cache (measured, see PERF.md).
//!
//! 1. A block is the kernel's from the moment it is submitted until its completion has been taken, and ours otherwise.
//!    Nobody looks at the bytes of one that is the kernel's, and they stay where they are.
//! 2. Blocks are submitted one behind the other, round and round, and given in that order. Completions come in any.
//! 3. Whoever wants what does not come next (a read was short, or there is another file) has what is under way waited
//!    for first, so that nothing of it can be taken for what is wanted.
//! 4. A ring that goes waits for what is under way. If it cannot wait, the blocks are never freed.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, ErrorKind};
use std::mem;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, types};

use crate::frames::BLOCK_BYTES;

/// How many blocks go round (measured, see PERF.md: four that are four or sixteen times as large are no faster).
const BLOCKS: usize = 4;

/// A ring, and the blocks that it fills.
pub(super) struct Uring {
    ring: IoUring,
    blocks: Vec<Block>,
    /// The block that was submitted first of those under way.
    first: usize,
    under_way: usize,
    /// Where in the file the next block to submit begins.
    next: u64,
    /// Whether nothing is taken for cached.
    eager: bool,
}

struct Block {
    bytes: Vec<u8>,
    /// Where in the file it begins.
    at: u64,
    /// What the kernel says: how many bytes, or which error, below 0.
    outcome: Option<i32>,
    /// Whether it said so at once.
    was_cached: bool,
}

impl Uring {
    /// # Errors
    /// The kernel or a sandbox allows none.
    pub fn new() -> io::Result<Uring> {
        let block = || Block { bytes: vec![0; BLOCK_BYTES], at: 0, outcome: None, was_cached: false };
        let blocks = (0..BLOCKS).map(|_| block()).collect();
        Ok(Uring {
            ring: IoUring::new(BLOCKS as u32)?,
            blocks,
            first: 0,
            under_way: 0,
            next: 0,
            eager: false,
        })
    }

    /// The same, which reads ahead what is cached, too: what a test has written is.
    #[cfg(test)]
    pub fn eager(mut self) -> Uring {
        self.eager = true;
        self
    }

    /// Waits for what is under way, which nobody wants.
    pub fn settle(&mut self) -> io::Result<()> {
        while self.under_way > 0 {
            self.oldest()?;
        }
        Ok(())
    }

    /// What is at `at` of a file, at most a block, and asks for what is in front of `to` meanwhile. Nothing is what it
    /// finds where the file ended when it was asked. Whoever reads another file [settles](Uring::settle) first.
    ///
    /// # Errors
    /// The kernel cannot read it so: some file systems do not know how.
    pub fn read(&mut self, file: &File, at: u64, to: u64) -> io::Result<&[u8]> {
        if self.under_way == 0 || self.blocks[self.first].at != at {
            self.settle()?;
            // What is read block by block is read into the same one again, which the core's cache still has.
            (self.first, self.next) = (0, at);
            self.submit(file)?;
        }
        while self.under_way < BLOCKS && self.next < to && !self.blocks[self.last()].was_cached {
            self.submit(file)?;
        }
        let (block, outcome) = self.oldest()?;
        let read = usize::try_from(outcome).map_err(|_| io::Error::from_raw_os_error(-outcome))?;
        Ok(&self.blocks[block].bytes[..read])
    }

    /// The block that was submitted last.
    fn last(&self) -> usize {
        (self.first + self.under_way - 1) % BLOCKS
    }

    fn submit(&mut self, file: &File) -> io::Result<()> {
        let number = (self.first + self.under_way) % BLOCKS;
        let block = &mut self.blocks[number];
        (block.at, block.outcome) = (self.next, None);
        let (fd, bytes) = (types::Fd(file.as_raw_fd()), block.bytes.as_mut_ptr());
        let read = opcode::Read::new(fd, bytes, BLOCK_BYTES as u32).offset(block.at);
        let read = read.build().user_data(number as u64);
        // SAFETY: the block is ours until here and BLOCK_BYTES long. From now on it counts as under way, so it is
        // neither read nor freed before its completion is taken: by `oldest`, which `settle` and `drop` call.
        unsafe { self.ring.submission().push(&read) }.map_err(io::Error::other)?;
        self.under_way += 1;
        self.next += BLOCK_BYTES as u64;
        self.ring.submit()?;
        self.note();
        self.blocks[number].was_cached = !self.eager && self.blocks[number].outcome.is_some();
        Ok(())
    }

    /// Notes what has been completed.
    fn note(&mut self) {
        for done in self.ring.completion() {
            self.blocks[done.user_data() as usize].outcome = Some(done.result());
        }
    }

    /// Waits for the block that was submitted first, which is ours again, and gives it with what became of it.
    fn oldest(&mut self) -> io::Result<(usize, i32)> {
        let number = self.first;
        loop {
            self.note();
            if let Some(outcome) = self.blocks[number].outcome.take() {
                (self.first, self.under_way) = ((number + 1) % BLOCKS, self.under_way - 1);
                return Ok((number, outcome));
            }
            match self.ring.submit_and_wait(1) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if self.settle().is_err() {
            mem::forget(mem::take(&mut self.blocks));
        }
    }
}
