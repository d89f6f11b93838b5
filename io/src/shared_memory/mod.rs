//! Rings in memory that another process maps, too: records that are bytes, from one writer to one reader.
//!
//! For a process beside this one, where a socket is too slow: there is no system call for a record, and none is copied
//! by the system. Each ring is a file, best one that lies in memory, such as in `/dev/shm`.
//! [`SharedMemorySink`] and [`SharedMemorySource`] are a job's ends; a process without a job has [`RingWriter`] and
//! [`RingReader`], and one in another language the layout below.
//!
//! # Layout
//!
//! The file is words of 64 bits, in the machine's byte order. Positions count words from the first that was ever
//! written, and never go back; a position's word is `48 + position % capacity`. Behind the last of 64 bits comes 0.
//!
//! | word | |
//! |---|---|
//! | 0 | what it is: the bytes `slotrng2` |
//! | 1 | the capacity in words, a power of two |
//! | 2 | the turn: even while a writer writes, odd when it will write nothing more; set by the writer |
//! | 16 | the head: everything in front of this position is written; set by the writer |
//! | 32 | the tail: everything in front of this position has been read; set by the reader |
//! | 33 | the turn of the last end that was seen; set by the reader |
//! | 48 and on | the records: a word with the length in bytes, then the bytes, filled up to a whole word |
//!
//! # The protocol
//!
//! 1. The writer reads the tail (acquire), writes a record's words where nothing unread lies, and stores the head
//!    behind them (release).
//! 2. The reader reads the head (acquire), copies the records in front of it, and stores the tail behind them
//!    (release), which gives their words back.
//! 3. A writer that comes stores the next even turn, and one that has nothing more the next odd one, behind its last
//!    head (release). A reader that finds an odd turn (acquire) which is not the one in word 33 reads the head once
//!    more, and has come to an end if there is nothing in front of it: it notes the turn in word 33, so that it and the
//!    next reader wait for the next writer. No word has two that set it: an end that is said while the one before it is
//!    being noted has another turn, and is seen as well. An end behind which the next writer has come is none.
//! 4. Each end holds a lock on a file beside the ring, `.NAME.writer` or `.NAME.reader`, for as long as its process
//!    has the ring open: so there is one of each, and the other end finds out when it is gone, however it went. Of a
//!    ring that was opened by a symbolic link, that is beside the file that the link leads to.
//!
//! All words are read and written as atomics, and lengths and positions are looked at before they are trusted: another
//! process can make this one fail with an error, but not misbehave. The one exception is the file's size: nobody may
//! shorten it while it is mapped, or the system kills whoever touches what is gone.
//!
//! Reading order: `map`, `file`, `ring`, [`sink`](SharedMemorySink), [`source`](SharedMemorySource).

mod file;
mod map;
mod ring;
mod sink;
mod source;

pub use ring::{RingReader, RingWriter};
pub use sink::{SharedMemorySink, SharedMemoryWriter};
pub use source::{SharedMemoryReader, SharedMemorySource};

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// How large a ring is unless it is said otherwise (a guess: a millisecond of a gigabyte a second).
const BYTES: usize = 1 << 20;

/// How often one end looks whether the other is there, in nanoseconds (a guess: two system calls each time).
const LOOK_EVERY_NS: u64 = 10_000_000;

/// The ring of one of a job's subtasks.
fn numbered(path: &Path, index: usize) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(format!("-{index}"));
    name.into()
}
