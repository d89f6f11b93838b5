//! Cuts what was read behind its last whole frame.

use std::io::{self, Read};
use std::sync::Arc;

use slotflow_runtime::error::Cause;
use slotflow_runtime::{Error, Result, SplitId};

use super::{Block, Framing};

/// How much is read at once (a guess: a system call for each some thousand records; it stays in a core's second
/// cache).
pub(crate) const BLOCK_BYTES: usize = 64 * 1024;

/// Where a split begins and ends in its medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// Where reading begins.
    pub begin: u64,
    /// How many lines are left out there: a header, or the rest of a line that is another split's.
    pub skip_lines: u64,
    /// What begins here or behind it is another split's.
    pub end: u64,
}

impl Range {
    pub const ALL: Range = Range { begin: 0, skip_lines: 0, end: u64::MAX };
}

/// Reads one split on a thread that may wait.
#[derive(Debug)]
pub(crate) struct Cutter {
    framing: Framing,
    split: SplitId,
    origin: Arc<str>,
    /// What one call reads into: of a socket that is often little, and the rest need not be cleared again.
    chunk: Vec<u8>,
    /// What was read and not given yet.
    bytes: Vec<u8>,
    /// Where that begins.
    offset: u64,
    line: Option<u64>,
    skip_lines: u64,
    end: u64,
}

impl Cutter {
    pub fn new(framing: Framing, split: SplitId, origin: Arc<str>, range: Range) -> Cutter {
        let Range { begin: offset, skip_lines, end } = range;
        let line = (framing.are_lines() && offset == 0).then_some(1);
        Cutter { framing, split, origin, chunk: Vec::new(), bytes: Vec::new(), offset, line, skip_lines, end }
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Where the next frame begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where reading goes on.
    pub fn read_to(&self) -> u64 {
        self.offset + self.half() as u64
    }

    /// How many bytes wait for the rest of their frame.
    pub fn half(&self) -> usize {
        self.bytes.len()
    }

    /// Whether what comes next is another split's.
    pub fn ended(&self) -> bool {
        self.offset >= self.end
    }

    /// Reads what there is, at most a block, and gives how much that was: 0 at the end.
    pub fn read(&mut self, from: &mut impl Read) -> io::Result<usize> {
        self.chunk.resize(BLOCK_BYTES, 0);
        loop {
            match from.read(&mut self.chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(read) => {
                    self.bytes.extend_from_slice(&self.chunk[..read]);
                    return Ok(read);
                }
            }
        }
    }

    /// What somebody else has read, from [`read_to`](Cutter::read_to) on.
    pub fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The whole frames of what was read.
    ///
    /// # Errors
    /// What begins next is malformed; the error names where.
    pub fn take(&mut self) -> Result<Option<Block>> {
        self.skip();
        let whole = self.framing.whole(&self.bytes).map_err(|cause| self.malformed(cause))?;
        let whole = self.before_end(whole);
        Ok((whole > 0).then(|| self.take_first(whole)))
    }

    /// The half line at the end as if it were whole.
    pub fn take_half(&mut self) -> Option<Block> {
        let half = self.half();
        let mut block = (half > 0 && !self.ended()).then(|| self.take_first(half))?;
        block.bytes.push(b'\n');
        Some(block)
    }

    /// Gives memory back, until there is more to read.
    pub fn shrink(&mut self) {
        self.chunk = Vec::new();
        self.bytes.shrink_to_fit();
    }

    /// What a half frame at the end is, where that must not be.
    pub fn torn(&self) -> Error {
        self.malformed(format!("the last frame is not whole: {} bytes of it are there", self.half()).into())
    }

    /// Leaves out lines, as far as they were read.
    fn skip(&mut self) {
        while self.skip_lines > 0 && !self.bytes.is_empty() {
            let end = memchr::memchr(b'\n', &self.bytes);
            let length = end.map_or(self.bytes.len(), |end| end + 1);
            self.bytes.drain(..length);
            self.offset += length as u64;
            if end.is_some() {
                self.skip_lines -= 1;
                self.line = self.line.map(|line| line + 1);
            }
        }
    }

    /// As much of `whole` bytes of lines as begins before the end of the split.
    fn before_end(&self, whole: usize) -> usize {
        if self.offset.saturating_add(whole as u64) <= self.end {
            return whole;
        }
        let from = self.end.saturating_sub(1).saturating_sub(self.offset) as usize;
        let last = memchr::memchr(b'\n', &self.bytes[from..whole]);
        if self.ended() { 0 } else { last.map_or(whole, |last| from + last + 1) }
    }

    fn take_first(&mut self, length: usize) -> Block {
        let rest = self.bytes.split_off(length);
        let bytes = std::mem::replace(&mut self.bytes, rest);
        let (split, origin, offset, line) = (self.split, self.origin.clone(), self.offset, self.line);
        self.offset += length as u64;
        self.line = line.map(|first| first + memchr::memchr_iter(b'\n', &bytes).count() as u64);
        Block { split, origin, offset, end: self.offset, line, bytes }
    }

    fn malformed(&self, cause: Cause) -> Error {
        let place = match self.line {
            Some(line) => format!("{}, line {line}", self.origin),
            None => self.origin.to_string(),
        };
        Error::data(place, self.offset, cause)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives at most so many bytes at a time.
    struct Drops<'b>(&'b [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let most = self.1.min(into.len());
            self.0.read(&mut into[..most])
        }
    }

    /// The bytes of a range as they come out.
    fn read(text: &[u8], range: Range, step: usize) -> Vec<u8> {
        let mut cutter = Cutter::new(Framing::lines(), 0, "text".into(), range);
        let mut input = Drops(&text[range.begin as usize..], step);
        let mut out = Vec::new();
        while !cutter.ended() {
            let read = cutter.read(&mut input).unwrap();
            while let Some(block) = cutter.take().unwrap() {
                assert!(text[block.offset as usize..].starts_with(&block.bytes), "an offset is wrong");
                out.extend(block.bytes);
            }
            if read == 0 {
                break;
            }
        }
        out.extend(cutter.take_half().into_iter().flat_map(|block| block.bytes));
        out
    }

    #[test]
    fn a_header_is_left_out_and_lines_are_counted_with_it() {
        let mut cutter = Cutter::new(Framing::lines(), 0, "a".into(), Range { skip_lines: 2, ..Range::ALL });
        let mut input = &b"h\nh\nx\ny\n"[..];
        cutter.read(&mut input).unwrap();
        let block = cutter.take().unwrap().unwrap();
        assert_eq!((block.line, block.offset, &block.bytes[..]), (Some(3), 4, &b"x\ny\n"[..]));
    }

    proptest! {
        #[test]
        fn ranges_of_any_size_share_the_lines_between_them(
            lines in prop::collection::vec("[a-c]{0,5}", 0..20),
            half in "[a-c]{0,3}",
            size in 1..40u64,
            step in 1..9usize,
        ) {
            let mut text: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
            text.extend(half.bytes());
            let mut all = Vec::new();
            for begin in (0..text.len() as u64).step_by(size as usize) {
                let end = begin + size;
                let skip_lines = u64::from(begin > 0);
                let range = Range { begin: begin - skip_lines, skip_lines, end };
                all.extend(read(&text, range, step));
            }
            if !half.is_empty() {
                text.push(b'\n');
            }
            prop_assert_eq!(all, text);
        }
    }
}
