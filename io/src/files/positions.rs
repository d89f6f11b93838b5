//! How far files have been read, in a file of its own.
//!
//! A line for each split: where it begins, of how many bytes each range is (0 for a whole file), where it is read on,
//! which file it is (its number, and when it was born), and its path. It is written beside, made durable, and takes the
//! old one's name, so it is whole at any moment. A lock beside it keeps a second job away.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slotflow_runtime::{Committer, Error, Offsets, Result};

use super::failure::unreadable;
use super::identity::Identity;
use super::lock::{LEAVE_TIMEOUT, lock};

use super::splits::{FileSplit, FileSplits};

/// The path of a file, and where in it a split begins.
type Name = (PathBuf, u64);

/// Where splits are read on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Positions(BTreeMap<Name, Position>);

/// Where one is, of how many bytes the ranges of its file are, and which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    range_bytes: u64,
    offset: u64,
    identity: Identity,
}

impl Positions {
    /// Those that are stored in a file; none where there is none yet.
    fn load(path: &Path) -> Result<Positions> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Positions::default()),
            text => text.map_err(|error| cannot("read", path, &error))?,
        };
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let entries = lines.zip(1..).map(|(line, number)| entry(line).ok_or_else(|| broken(path, number)));
        Ok(Positions(entries.collect::<Result<_>>()?))
    }

    pub fn offset(&self, path: &Path, begin: u64) -> Option<u64> {
        Some(self.0.get(&(path.to_owned(), begin))?.offset)
    }

    /// Of how many bytes the ranges of a file were, where that is not so many.
    pub fn other_range(&self, path: &Path, range_bytes: u64) -> Option<u64> {
        let of = self.0.iter().filter(|((of, _), _)| of == path);
        of.map(|(_, position)| position.range_bytes).find(|other| *other != range_bytes)
    }

    /// Whether they are of another file that had this path.
    fn are_of_another(&self, path: &Path, identity: Identity) -> bool {
        let mut of = self.0.iter().filter(|((of, _), _)| of == path);
        of.any(|(_, position)| position.identity != identity)
    }

    /// Opens a file. Positions of another one that had its name are left out: it is a new one.
    pub fn open(&mut self, path: &Path) -> Result<(File, Metadata)> {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.map_err(|error| unreadable(path, &error))?;
        if self.are_of_another(path, Identity::of(&metadata)) {
            tracing::warn!("{} is another file than the one that was read: it is a new one", path.display());
            self.forget(path);
        }
        Ok((file, metadata))
    }

    /// Leaves out one file.
    pub fn forget(&mut self, path: &Path) {
        self.0.retain(|(of, _), _| of != path);
    }

    /// Leaves out files that are gone.
    fn without_gone(mut self) -> Positions {
        self.0.retain(|(path, _), _| path.exists());
        self
    }

    fn save(&self, path: &Path) -> io::Result<()> {
        let mut text = Vec::new();
        for ((file, begin), Position { range_bytes, offset, identity }) in &self.0 {
            let Identity { number, born_ns } = identity;
            write!(text, "{begin}\t{range_bytes}\t{offset}\t{number}\t{born_ns}\t")?;
            text.extend(escaped(file));
            text.push(b'\n');
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let mut file = File::create(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        sync_folder(path)
    }
}

/// Makes the names in the folder of `path` durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// A path on one line, without tabs.
fn escaped(path: &Path) -> impl Iterator<Item = u8> {
    path.as_os_str().as_bytes().iter().flat_map(|byte| match byte {
        b'%' | b'\n' | b'\t' => format!("%{byte:02x}").into_bytes(),
        byte => vec![*byte],
    })
}

fn unescaped(mut text: &[u8]) -> Option<PathBuf> {
    let mut path = Vec::new();
    while let Some((&byte, rest)) = text.split_first() {
        text = rest;
        if byte == b'%' {
            let (digits, rest) = text.split_at_checked(2)?;
            path.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            text = rest;
        } else {
            path.push(byte);
        }
    }
    Some(OsString::from_vec(path).into())
}

fn entry(line: &[u8]) -> Option<(Name, Position)> {
    let mut fields = line.splitn(6, |byte| *byte == b'\t');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse::<u64>().ok();
    let (begin, range_bytes, offset) = (number()?, number()?, number()?);
    let identity = Identity { number: number()?, born_ns: number()? };
    Some(((unescaped(fields.next()?)?, begin), Position { range_bytes, offset, identity }))
}

pub(super) fn broken(path: &Path, line: usize) -> Error {
    let what = format!("line {line} of the positions {} is none", path.display());
    Error::world(what, "mend it, or remove the file to read everything again")
}

pub(super) fn cannot(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::world(
        format!("the positions {} cannot be {what}: {error}", path.display()),
        "give `positions` a file that this process may write",
    )
}

/// Makes sure that no other job uses these positions, as long as what it gives is kept: waits so long for whoever is
/// still leaving. The lock has a file of its own, hidden from patterns, as that of the positions is replaced.
fn reserve(path: &Path, timeout: Duration) -> Result<File> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".lock");
    let beside = path.with_file_name(name);
    let locked = lock(&beside, timeout).map_err(|error| cannot("written", path, &error))?;
    locked.ok_or_else(|| {
        let what =
            format!("another source uses the positions {}: it holds {}", path.display(), beside.display());
        Error::world(what, "stop its job, or give `positions` another file")
    })
}

/// The positions that a source has taken for itself; none where it stores none.
pub(super) struct Reserved {
    at: Option<(PathBuf, File)>,
    positions: Positions,
}

impl Reserved {
    pub fn take(path: Option<&Path>) -> Result<Reserved> {
        let Some(path) = path else { return Ok(Reserved { at: None, positions: Positions::default() }) };
        let lock = reserve(path, LEAVE_TIMEOUT)?;
        Ok(Reserved { at: Some((path.to_owned(), lock)), positions: Positions::load(path)? })
    }

    /// The splits of these files, each divided by what is known of it, and where positions are stored from now on.
    pub fn divide(
        mut self,
        files: Vec<PathBuf>,
        divide: impl Fn(&Path, &mut Positions) -> Result<Vec<FileSplit>>,
    ) -> Result<(FileSplits, Option<Store>)> {
        let mut splits = Vec::new();
        for file in files {
            splits.extend(divide(&file, &mut self.positions)?);
        }
        Ok((FileSplits::new(splits), self.store()?))
    }

    /// Where they are stored from now on.
    fn store(self) -> Result<Option<Store>> {
        let store = |(path, lock): (PathBuf, File)| Store::open(&path, lock, self.positions.without_gone());
        self.at.map(store).transpose()
    }
}

/// Where the subtasks of a source store their positions together.
#[derive(Clone, Debug)]
pub(super) struct Store {
    path: Arc<Path>,
    stored: Arc<Mutex<Stored>>,
    /// Lets go when the last of them is gone.
    _reserved: Arc<File>,
}

#[derive(Debug)]
struct Stored {
    positions: Positions,
    /// The file has others.
    changed: bool,
}

impl Store {
    /// Makes sure that it can be written.
    fn open(path: &Path, reserved: File, positions: Positions) -> Result<Store> {
        positions.save(path).map_err(|error| cannot("written", path, &error))?;
        let stored = Stored { positions, changed: false };
        Ok(Store { path: path.into(), stored: Arc::new(stored.into()), _reserved: Arc::new(reserved) })
    }

    /// Leaves out a file that is gone, at once: another of its name has to be read from its beginning, also by the next
    /// start. Its splits have been forgotten before, so no commit brings it back.
    pub fn forget(&self, path: &Path) {
        let mut stored = self.stored();
        let before = stored.positions.0.len();
        stored.positions.forget(path);
        stored.changed |= stored.positions.0.len() != before;
        drop(stored);
        self.save_or_warn();
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self) -> io::Result<()> {
        let mut stored = self.stored();
        if stored.changed {
            stored.positions.save(&self.path)?;
            stored.changed = false;
        }
        Ok(())
    }

    /// What is not stored now is stored by the next commit.
    fn save_or_warn(&self) {
        if let Err(error) = self.save() {
            tracing::warn!("positions are not stored in {} yet: {error}", self.path.display());
        }
    }
}

/// Stores the positions of one subtask.
pub(super) struct FileCommitter {
    pub store: Store,
    pub splits: FileSplits,
    /// Of how many bytes each range is.
    pub range_bytes: u64,
}

impl FileCommitter {
    fn note(&self, offsets: &Offsets) {
        let mut stored = self.store.stored();
        for (split, offset) in offsets {
            // A file that is gone has no position any more; one of its name begins anew.
            let Some(split) = self.splits.split(*split) else { continue };
            let Some(identity) = split.identity else { continue };
            let position = Position { range_bytes: self.range_bytes, offset: *offset as u64, identity };
            let before = stored.positions.0.insert((split.path, split.begin), position);
            stored.changed |= before != Some(position);
        }
    }
}

impl Committer for FileCommitter {
    fn commit(&mut self, offsets: &Offsets) -> Result<()> {
        self.note(offsets);
        self.store.save_or_warn();
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.store.save().map_err(|error| cannot("written", &self.store.path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::super::splits::FileSplit;
    use super::*;
    use crate::frames::Range;

    /// A folder of a test's own.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("slotflow-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Two files of one name, and of one number.
    const FIRST: Identity = Identity { number: 1, born_ns: 1 };
    const SECOND: Identity = Identity { born_ns: 2, ..FIRST };

    #[test]
    fn a_file_that_is_gone_has_no_position_for_one_that_takes_its_name() {
        let folder = Folder::new("positions");
        let path = folder.0.join("store");
        let reserved = reserve(&path, Duration::ZERO).unwrap();
        let store = Store::open(&path, reserved, Positions::default()).unwrap();
        let file = FileSplit::new(Path::new("a"), (0, u64::MAX), 0, None);
        assert_eq!(file.range, Range::ALL);
        let splits = FileSplits::new(vec![file]);
        assert!(splits.is_still(0, FIRST) && !splits.is_still(0, SECOND));
        let mut committer = FileCommitter { store: store.clone(), splits: splits.clone(), range_bytes: 0 };
        committer.commit(&vec![(0, 100)]).unwrap();
        assert_eq!(Positions::load(&path).unwrap().offset(Path::new("a"), 0), Some(100));
        splits.forget(0);
        store.forget(Path::new("a"));
        assert_eq!(Positions::load(&path).unwrap(), Positions::default(), "the next start reads a new one");
        splits.add_new(vec!["a".into()], 0);
        assert!(splits.is_still(1, SECOND));
        committer.commit(&vec![(0, 100)]).unwrap();
        assert_eq!(Positions::load(&path).unwrap(), Positions::default(), "a late commit is of the old one");
        committer.commit(&vec![(1, 7)]).unwrap();
        let stored = Positions::load(&path).unwrap();
        assert_eq!(stored.offset(Path::new("a"), 0), Some(7));
        let are_of_another = [FIRST, SECOND].map(|file| stored.are_of_another(Path::new("a"), file));
        assert_eq!(are_of_another, [true, false]);
    }

    #[test]
    fn positions_are_one_source_s_as_long_as_it_lives() {
        let folder = Folder::new("reserved");
        let path = folder.0.join("store");
        let reserve = || reserve(&path, Duration::ZERO);
        let store = Store::open(&path, reserve().unwrap(), Positions::default()).unwrap();
        let (error, path) = (reserve().unwrap_err().to_string(), path.display());
        let text = format!("another source uses the positions {path}: it holds ");
        assert!(error.starts_with(&text) && error.ends_with("give `positions` another file"), "{error}");
        drop(store);
        reserve().unwrap();
    }

    #[test]
    fn any_path_is_stored_on_one_line() {
        let path = PathBuf::from(OsString::from_vec(b"a%\n\t\xff/b".to_vec()));
        let mut line = b"7\t0\t9\t1\t1\t".to_vec();
        line.extend(escaped(&path));
        assert!(!line.contains(&b'\n'));
        assert_eq!(entry(&line), Some(((path, 7), Position { range_bytes: 0, offset: 9, identity: FIRST })));
        let broken: [&[u8]; 3] = [b"7\t0\tx\t1\t1\ta", b"7", b"7\t0\t9\t1\t1\t%zz"];
        assert!(broken.map(entry).iter().all(Option::is_none));
    }
}
