//! The two ends of a ring, for a process that has no job; see the [module](super) for the protocol.

use std::iter::once;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use slotflow_runtime::{Error, Result};

use super::file::{End, RingFile};
use crate::files::LEAVE_TIMEOUT;

const WORD: usize = size_of::<u64>();

/// How many words a record takes, with the one in front that has its length.
fn words_of(bytes: usize) -> u64 {
    1 + bytes.div_ceil(WORD) as u64
}

/// The writing end of a ring. It belongs to one thread, and never waits.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("slotflow-ring-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("ring");
/// use slotflow::io::shared_memory::{RingReader, RingWriter};
///
/// // In two processes, in any order:
/// let mut writer = RingWriter::open(&path, 1 << 20)?;
/// let mut reader = RingReader::open(&path, 1 << 20)?;
///
/// assert!(writer.try_push(b"tick")?, "there is room");
/// writer.end();
/// let mut record = Vec::new();
/// assert_eq!(reader.try_pop(&mut record)?, Some(4));
/// assert_eq!(record, b"tick");
/// assert!(reader.has_ended()?);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RingWriter {
    ring: RingFile,
    head: u64,
    turn: u64,
    /// As far as the reader had come when it was last looked for.
    tail: u64,
}

impl RingWriter {
    /// Opens a ring, and goes on behind what lies in it. One that is not there yet is made with room for so many bytes,
    /// rounded up to a power of two, at least 128 and at most a TiB.
    ///
    /// # Errors
    /// It has a writer already, or the file cannot be made, locked or mapped, or is something else.
    pub fn open(path: impl AsRef<Path>, bytes: usize) -> Result<RingWriter> {
        let ring = RingFile::open(path.as_ref(), bytes, End::Writer, LEAVE_TIMEOUT)?;
        let [head, tail] = [ring.head(), ring.tail()].map(|position| position.load(Ordering::Acquire));
        let turn = (ring.turns().load(Ordering::Acquire) | 1).wrapping_add(1);
        ring.turns().store(turn, Ordering::Release);
        Ok(RingWriter { ring, head, turn, tail })
    }

    /// Writes a record, and says whether there was room for it.
    ///
    /// # Errors
    /// It is longer than the ring, or the ring is broken.
    #[inline]
    pub fn try_push(&mut self, record: &[u8]) -> Result<bool> {
        let words = words_of(record.len());
        if self.room()? < words && !self.makes_room_for(record.len())? {
            return Ok(false);
        }
        let mut all = once(record.len() as u64).chain(record.chunks(WORD).map(word_of));
        let first = self.ring.from(self.head);
        fill(first, &mut all);
        // Behind the last word of the ring comes its first.
        if words > first.len() as u64 {
            fill(self.ring.from(0), &mut all);
        }
        self.head = self.head.wrapping_add(words);
        self.ring.head().store(self.head, Ordering::Release);
        Ok(true)
    }

    /// How many words are certainly free.
    #[inline]
    fn room(&self) -> Result<u64> {
        let used = self.head.wrapping_sub(self.tail);
        self.ring.capacity().checked_sub(used).ok_or_else(|| self.ring.broken("its tail is none"))
    }

    /// Looks whether the reader has come far enough.
    #[cold]
    fn makes_room_for(&mut self, bytes: usize) -> Result<bool> {
        let most = (self.ring.capacity() as usize - 1) * WORD;
        if bytes > most {
            let path = self.ring.path().display();
            let what = format!("a record of {bytes} bytes does not fit the ring {path}, which takes {most}");
            return Err(Error::user(format!("{what}: make a larger one under another name")));
        }
        self.look_at_tail();
        Ok(self.room()? >= words_of(bytes))
    }

    /// Looks how far the reader has come: one that has moved was here, however short.
    fn look_at_tail(&mut self) {
        let tail = self.ring.tail().load(Ordering::Acquire);
        self.ring.note_other(tail != self.tail);
        self.tail = tail;
    }

    /// Says that there will be nothing more: a reader that has read all has come to the end. A writer that is dropped
    /// without saying so is gone, and its reader fails.
    pub fn end(&mut self) {
        // Each end has a turn of its own, also that of a writer which has gone on behind one.
        self.turn = self.turn.wrapping_add(1) | 1;
        self.ring.turns().store(self.turn, Ordering::Release);
    }

    /// Whether the reader was seen and is gone. Makes two system calls; a reader that comes and goes while it is not
    /// asked and reads nothing is not seen.
    ///
    /// # Errors
    /// Its lock cannot be looked at.
    pub fn reader_is_gone(&mut self) -> Result<bool> {
        self.look_at_tail();
        self.ring.other_is_gone()
    }
}

/// At most a word's bytes, filled up.
#[inline]
fn word_of(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes.try_into().unwrap_or_else(|_| {
        let mut word = [0; WORD];
        word[..bytes.len()].copy_from_slice(bytes);
        word
    }))
}

/// Writes words one after the other, until there are no more or there is no more room.
#[inline]
fn fill(to: &[AtomicU64], words: &mut impl Iterator<Item = u64>) {
    for (to, word) in to.iter().zip(words) {
        to.store(word, Ordering::Relaxed);
    }
}

/// The reading end of a ring. It belongs to one thread, and never waits. See [`RingWriter`] for an example.
pub struct RingReader {
    ring: RingFile,
    tail: u64,
    /// As far as the writer had come when there last was nothing.
    head: u64,
}

impl RingReader {
    /// Opens a ring, and reads on where its last reader stopped. One that is not there yet is made, as by
    /// [`RingWriter::open`].
    ///
    /// # Errors
    /// It has a reader already, or the file cannot be made, locked or mapped, or is something else.
    pub fn open(path: impl AsRef<Path>, bytes: usize) -> Result<RingReader> {
        let ring = RingFile::open(path.as_ref(), bytes, End::Reader, LEAVE_TIMEOUT)?;
        let [head, tail] = [ring.head(), ring.tail()].map(|position| position.load(Ordering::Acquire));
        Ok(RingReader { ring, tail, head })
    }

    /// Appends the next record to `to`, gives its room back and says how many bytes it has; `None` if there is none.
    ///
    /// # Errors
    /// The ring is broken.
    #[inline]
    pub fn try_pop(&mut self, to: &mut Vec<u8>) -> Result<Option<usize>> {
        let Some(length) = self.next_length()? else { return Ok(None) };
        let (begin, words) = (to.len(), words_of(length));
        to.resize(begin + (words as usize - 1) * WORD, 0);
        let mut bytes = to[begin..].chunks_exact_mut(WORD);
        let first = self.ring.from(self.tail);
        take(&first[1..], &mut bytes);
        if words > first.len() as u64 {
            take(self.ring.from(0), &mut bytes);
        }
        to.truncate(begin + length);
        self.tail = self.tail.wrapping_add(words);
        self.ring.tail().store(self.tail, Ordering::Release);
        Ok(Some(length))
    }

    /// How long the next record is.
    #[inline]
    fn next_length(&mut self) -> Result<Option<usize>> {
        if self.head == self.tail {
            self.head = self.ring.head().load(Ordering::Acquire);
            self.ring.note_other(self.head != self.tail);
        }
        let there = self.head.wrapping_sub(self.tail);
        if there > self.ring.capacity() {
            return Err(self.ring.broken("its head is none"));
        }
        if there == 0 {
            return Ok(None);
        }
        let length = self.ring.from(self.tail)[0].load(Ordering::Relaxed) as usize;
        let is_there = length / WORD <= self.ring.capacity() as usize && words_of(length) <= there;
        if is_there {
            Ok(Some(length))
        } else {
            Err(self.ring.broken("a record is longer than what is there"))
        }
    }

    /// How many bytes of the ring have been read since it was made, with what stands around records.
    pub fn position(&self) -> u64 {
        self.tail.wrapping_mul(WORD as u64)
    }

    /// Whether its writer has said that there is nothing more, and all has been read. Told once: afterwards the reader
    /// waits for the next writer.
    ///
    /// # Errors
    /// The ring is broken.
    pub fn has_ended(&mut self) -> Result<bool> {
        let end = self.end()?;
        end.into_iter().for_each(|turn| self.note(turn));
        Ok(end.is_some())
    }

    /// The turn of an end that was not seen yet and behind which nothing is left.
    fn end(&mut self) -> Result<Option<u64>> {
        let turn = self.ring.turns().load(Ordering::Acquire);
        let is_new = is_end(turn) && turn != self.ring.seen().load(Ordering::Relaxed);
        Ok((is_new && self.next_length()?.is_none()).then_some(turn))
    }

    /// Notes that this end was seen, and no other that may have been said meanwhile.
    fn note(&mut self, turn: u64) {
        self.ring.seen().store(turn, Ordering::Release);
        self.ring.forget_other();
    }

    /// Whether the writer was seen, is gone without having said that there is nothing more, and all that it left has
    /// been read. Makes two system calls; a writer that comes and goes while it is not asked and writes nothing is not
    /// seen.
    ///
    /// # Errors
    /// Its lock cannot be looked at, or the ring is broken.
    pub fn writer_is_gone(&mut self) -> Result<bool> {
        // What it said and wrote before it went is looked at once it is known to be gone.
        let is_gone = self.ring.other_is_gone()?;
        let has_ended = is_end(self.ring.turns().load(Ordering::Acquire));
        Ok(is_gone && !has_ended && self.next_length()?.is_none())
    }
}

/// Whether the last writer has said that there is nothing more.
fn is_end(turn: u64) -> bool {
    !turn.is_multiple_of(2)
}

/// Reads words one after the other, until there are no more or no more are wanted.
#[inline]
fn take<'a>(from: &[AtomicU64], to: &mut impl Iterator<Item = &'a mut [u8]>) {
    for (word, to) in from.iter().zip(to) {
        to.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_is_said_while_the_one_before_is_noted_is_seen_as_well() {
        let folder = std::env::temp_dir().join(format!("slotflow-turns-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("ring");
        let mut reader = RingReader::open(&path, 0).unwrap();
        let write = |record: &[u8]| {
            let mut writer = RingWriter::open(&path, 0).unwrap();
            assert!(writer.try_push(record).unwrap());
            writer.end();
        };
        let mut bytes = Vec::new();
        write(b"a");
        assert_eq!(reader.try_pop(&mut bytes).unwrap(), Some(1));
        let first = reader.end().unwrap().unwrap();
        write(b"b");
        reader.note(first);
        assert!(!reader.has_ended().unwrap(), "its record is in front of it");
        drop(reader);
        let mut next = RingReader::open(&path, 0).unwrap();
        assert_eq!((next.try_pop(&mut bytes).unwrap(), &*bytes), (Some(1), &b"ab"[..]));
        assert!(next.has_ended().unwrap() && !next.has_ended().unwrap(), "each is told once");
        assert!(!next.writer_is_gone().unwrap(), "it has left in order");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_reader_that_has_read_was_here_however_short() {
        let folder = std::env::temp_dir().join(format!("slotflow-short-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("ring");
        let mut writer = RingWriter::open(&path, 0).unwrap();
        assert!(writer.try_push(b"a").unwrap());
        let mut reader = RingReader::open(&path, 0).unwrap();
        assert_eq!(reader.try_pop(&mut Vec::new()).unwrap(), Some(1));
        drop(reader);
        assert!(writer.reader_is_gone().unwrap(), "it came and went between two looks");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_end_counts_where_nobody_has_come_behind_it() {
        let folder = std::env::temp_dir().join(format!("slotflow-behind-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("ring");
        let mut reader = RingReader::open(&path, 0).unwrap();
        RingWriter::open(&path, 0).unwrap().end();
        let mut next = RingWriter::open(&path, 0).unwrap();
        assert!(!reader.has_ended().unwrap(), "one writes already");
        for _ in 0..2 {
            next.end();
            assert!(reader.has_ended().unwrap());
            assert!(next.try_push(b"one more").unwrap(), "a writer may go on");
            assert_eq!(reader.try_pop(&mut Vec::new()).unwrap(), Some(8));
            assert!(!reader.has_ended().unwrap());
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
