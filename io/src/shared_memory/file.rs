//! The file of a ring: made by whichever end comes first, and the locks that say who is there.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use slotflow_runtime::{Error, Result};

use super::map::Map;
use crate::files::{LEAVE_TIMEOUT, lock};

/// The first word of a ring, which ends in the version of its layout.
const MAGIC: u64 = u64::from_ne_bytes(*b"slotrng2");

/// Words that are written by different ends lie two cache lines apart: processors fetch neighbours along.
const TURNS: usize = 2;
const HEAD: usize = 16;
const TAIL: usize = 32;
const SEEN: usize = 33;
const RECORDS: usize = 48;

/// The sizes that a ring may have.
const LEAST_BYTES: usize = 1 << 7;
const MOST_BYTES: usize = 1 << 40;

/// One of the two ends.
#[derive(Clone, Copy)]
pub(super) enum End {
    Writer,
    Reader,
}

impl End {
    fn word(self) -> &'static str {
        match self {
            End::Writer => "writer",
            End::Reader => "reader",
        }
    }

    fn other(self) -> End {
        match self {
            End::Writer => End::Reader,
            End::Reader => End::Writer,
        }
    }
}

/// A ring that one end has opened.
pub(super) struct RingFile {
    path: PathBuf,
    map: Map,
    /// The capacity in words, less one.
    mask: u64,
    /// The other end's lock, and whether it was ever held.
    other: File,
    other_was_here: bool,
    /// Says to the other end that this one is here; the system lets go of it when the process ends.
    _lock: File,
}

impl RingFile {
    /// Opens a ring as its writer or its reader, and waits so long for one that is still leaving. A ring that is not
    /// there yet is made with so many bytes.
    pub fn open(path: &Path, bytes: usize, end: End, timeout: Duration) -> Result<RingFile> {
        let unopened = |error: io::Error| unopened(path, &error);
        // Made first: only a file that is there says where links lead, and each ring has one lock for each end.
        check(path, bytes)?;
        let place = path.canonicalize().map_err(unopened)?;
        let own = beside(&place, end);
        let locked = lock(&own, timeout).map_err(unopened)?;
        let _lock = locked.ok_or_else(|| in_use(path, &own, end))?;
        let (map, capacity) = made(&place, bytes).map_err(unopened)?;
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).to_owned();
        let other = options.open(beside(&place, end.other())).map_err(unopened)?;
        let (path, mask) = (path.to_owned(), capacity - 1);
        let mut ring = RingFile { path, map, mask, other, other_was_here: false, _lock };
        ring.other_is_gone()?;
        Ok(ring)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many words records have.
    pub fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// Odd behind an end.
    pub fn turns(&self) -> &AtomicU64 {
        &self.map.words()[TURNS]
    }

    /// The turn of the last end that was seen.
    pub fn seen(&self) -> &AtomicU64 {
        &self.map.words()[SEEN]
    }

    pub fn head(&self) -> &AtomicU64 {
        &self.map.words()[HEAD]
    }

    pub fn tail(&self) -> &AtomicU64 {
        &self.map.words()[TAIL]
    }

    /// The words from a position up to where the ring begins anew.
    #[inline]
    pub fn from(&self, position: u64) -> &[AtomicU64] {
        &self.map.words()[RECORDS..][(position & self.mask) as usize..]
    }

    /// Whether the other end was here and is not any more. Takes its lock for a moment, which who comes then waits for.
    pub fn other_is_gone(&mut self) -> Result<bool> {
        match self.other.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                self.other_was_here = true;
                Ok(false)
            }
            Err(TryLockError::Error(error)) => Err(unopened(&self.path, &error)),
            Ok(()) => {
                self.other.unlock().map_err(|error| unopened(&self.path, &error))?;
                Ok(self.other_was_here)
            }
        }
    }

    /// The other end has moved on, so it was here.
    #[inline]
    pub fn note_other(&mut self, moved: bool) {
        self.other_was_here |= moved;
    }

    /// The other end has left in order: it is waited for anew.
    pub fn forget_other(&mut self) {
        self.other_was_here = false;
    }

    /// What lies in the ring is not what its ends write.
    #[cold]
    pub fn broken(&self, what: &str) -> Error {
        let remedy = "stop both of its ends, remove the file, and look who else writes it";
        Error::world(format!("the ring {} is broken: {what}", self.path.display()), remedy)
    }
}

/// Makes sure that a ring can be opened, but for who else may have it open: an end that came only to look would be one
/// that is gone.
pub(super) fn check(path: &Path, bytes: usize) -> Result<()> {
    made(path, bytes).map(drop).map_err(|error| unopened(path, &error))
}

/// The file that says that an end is here.
fn beside(path: &Path, end: End) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", end.word()));
    path.with_file_name(name)
}

/// The ring of a file and its capacity in words, made if nobody has made it. Both ends may come at once, so the file is
/// locked meanwhile.
fn made(path: &Path, bytes: usize) -> io::Result<(Map, u64)> {
    let file = lock(path, LEAVE_TIMEOUT)?.ok_or(io::ErrorKind::TimedOut)?;
    let wanted = bytes.clamp(LEAST_BYTES, MOST_BYTES).next_power_of_two() / size_of::<u64>();
    let capacity = match header(&file)? {
        [0, 0] => wanted,
        [MAGIC, capacity] if is_capacity(capacity) => whole(&file, capacity as usize)?,
        _ => return Err(malformed("it is no ring of this version")),
    };
    let map = Map::of(&file, RECORDS + capacity)?;
    // Last, in one piece: a ring that has its header is whole.
    let words = [MAGIC.to_ne_bytes(), (capacity as u64).to_ne_bytes()];
    file.write_all_at(words.as_flattened(), 0)?;
    file.unlock()?;
    Ok((map, capacity as u64))
}

/// The first two words; zeros where the file is empty.
fn header(file: &File) -> io::Result<[u64; 2]> {
    let mut words = [[0; 8]; 2];
    if file.metadata()?.len() > 0 {
        file.read_exact_at(words.as_flattened_mut(), 0)?;
    }
    Ok(words.map(u64::from_ne_bytes))
}

/// The capacity of a ring whose file is as long as that says. Zeros in place of what was cut off would be records.
fn whole(file: &File, capacity: usize) -> io::Result<usize> {
    let bytes = (RECORDS + capacity) * size_of::<u64>();
    let is_whole = file.metadata()?.len() >= bytes as u64;
    is_whole.then_some(capacity).ok_or_else(|| malformed("its end was cut off; remove it"))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn is_capacity(words: u64) -> bool {
    let least = (LEAST_BYTES / size_of::<u64>()) as u64;
    words.is_power_of_two() && (least..=(MOST_BYTES / size_of::<u64>()) as u64).contains(&words)
}

fn unopened(path: &Path, error: &io::Error) -> Error {
    let remedy = "name a file that this process may write, on a file system in memory that has room for it";
    Error::world(format!("the ring {} cannot be opened: {error}", path.display()), remedy)
}

fn in_use(path: &Path, lock: &Path, end: End) -> Error {
    let what =
        format!("the ring {} has a {} already: it holds {}", path.display(), end.word(), lock.display());
    Error::world(what, "stop it, or name another ring")
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::Source;

    use super::super::{RingWriter, SharedMemorySource};
    use super::*;

    #[test]
    fn every_failure_has_its_golden_text() {
        let folder = std::env::temp_dir().join(format!("slotflow-words-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, other) = (folder.join("ring"), folder.join("other"));
        let mut writer = RingWriter::open(&path, 0).unwrap();
        std::fs::write(&other, [7; 64]).unwrap();
        let source = SharedMemorySource::at("/dev/null/ring").splits();
        let texts = [
            RingFile::open(&path, 0, End::Writer, Duration::ZERO).err().unwrap(),
            RingWriter::open(&other, 0).err().unwrap(),
            source.err().unwrap(),
            writer.try_push(&[0; 1 << 20]).unwrap_err(),
            RingFile::open(&path, 0, End::Reader, Duration::ZERO).unwrap().broken("its tail is none"),
        ];
        let texts: String = texts.iter().map(|error| format!("{error}\n")).collect();
        std::fs::remove_dir_all(&folder).unwrap();
        let texts = texts.replace(&folder.display().to_string(), "/dev/shm");
        assert_eq!(texts, include_str!("golden/failures.txt"));
    }

    #[test]
    fn a_ring_has_one_end_of_each_kind_as_long_as_that_lives() {
        let folder = std::env::temp_dir().join(format!("slotflow-ends-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("ring");
        let open = |end| RingFile::open(&path, 0, end, Duration::ZERO);
        let (writer, mut reader) = (open(End::Writer).unwrap(), open(End::Reader).unwrap());
        let (error, path_of) = (open(End::Writer).err().unwrap().to_string(), path.display());
        assert!(error.starts_with(&format!("the ring {path_of} has a writer already: it holds ")), "{error}");
        assert!(!reader.other_is_gone().unwrap());
        let link = folder.join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let second = RingFile::open(&link, 0, End::Writer, Duration::ZERO);
        assert!(second.is_err(), "a ring under two names has one writer");
        drop(writer);
        assert!(reader.other_is_gone().unwrap());
        open(End::Writer).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}
