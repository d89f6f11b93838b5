//! How far files have been read, in a file of its own.
//!
//! A line for each split: where it begins, of how many bytes each range is (0 for a whole file), where it is read on,
//! and the file. It is written beside, made durable, and
//! takes the old one's name, so it is whole at any moment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use slotflow_runtime::{Committer, Error, Offsets, Result};

use super::splits::FileSplits;

/// The path of a file, and where in it a split begins.
type Name = (PathBuf, u64);

/// Where splits are read on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Positions(BTreeMap<Name, Position>);

/// Where one is, and of how many bytes the ranges of its file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    range_bytes: u64,
    offset: u64,
}

impl Positions {
    /// Those that are stored in a file; none where there is none yet.
    pub fn load(path: &Path) -> Result<Positions> {
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

    /// Leaves out files that are gone.
    pub fn without_gone(mut self) -> Positions {
        self.0.retain(|(path, _), _| path.exists());
        self
    }

    fn save(&self, path: &Path) -> io::Result<()> {
        let mut text = Vec::new();
        for ((file, begin), Position { range_bytes, offset }) in &self.0 {
            write!(text, "{begin}\t{range_bytes}\t{offset}\t")?;
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
    let mut fields = line.splitn(4, |byte| *byte == b'\t');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse::<u64>().ok();
    let (begin, range_bytes, offset) = (number()?, number()?, number()?);
    Some(((unescaped(fields.next()?)?, begin), Position { range_bytes, offset }))
}

fn broken(path: &Path, line: usize) -> Error {
    let what = format!("line {line} of the positions {} is none", path.display());
    Error::world(what, "mend it, or remove the file to read everything again")
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::world(
        format!("the positions {} cannot be {what}: {error}", path.display()),
        "give `positions` a file that this process may write",
    )
}

/// Where the subtasks of a source store their positions together.
#[derive(Clone, Debug)]
pub(super) struct Store {
    path: Arc<Path>,
    positions: Arc<Mutex<Positions>>,
}

impl Store {
    /// Makes sure that it can be written.
    pub fn open(path: &Path, positions: Positions) -> Result<Store> {
        positions.save(path).map_err(|error| cannot("written", path, &error))?;
        Ok(Store { path: path.into(), positions: Arc::new(positions.into()) })
    }
}

/// Stores the positions of one subtask.
pub(super) struct FileCommitter {
    pub store: Store,
    pub splits: FileSplits,
    /// Of how many bytes each range is.
    pub range_bytes: u64,
    /// Why the last ones could not be stored.
    pub unsaved: Option<io::Error>,
}

impl FileCommitter {
    fn save(&mut self, changed: bool) -> Result<(), io::Error> {
        let positions = self.store.positions.lock().unwrap_or_else(PoisonError::into_inner);
        if changed || self.unsaved.is_some() {
            positions.save(&self.store.path)?;
        }
        self.unsaved = None;
        Ok(())
    }

    fn note(&self, offsets: &Offsets) -> bool {
        let mut positions = self.store.positions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = false;
        for (split, offset) in offsets {
            let split = self.splits.split(*split);
            let name = (split.path, split.begin);
            let position = Position { range_bytes: self.range_bytes, offset: *offset as u64 };
            let is_old = if split.forgotten {
                positions.0.remove(&name).is_none()
            } else {
                positions.0.insert(name, position) == Some(position)
            };
            changed |= !is_old;
        }
        changed
    }
}

impl Committer for FileCommitter {
    fn commit(&mut self, offsets: &Offsets) -> Result<()> {
        let changed = self.note(offsets);
        if let Err(error) = self.save(changed) {
            tracing::warn!("positions are not stored in {} yet: {error}", self.store.path.display());
            self.unsaved = Some(error);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.save(false).map_err(|error| cannot("written", &self.store.path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_is_stored_on_one_line() {
        let path = PathBuf::from(OsString::from_vec(b"a%\n\t\xff/b".to_vec()));
        let mut line = b"7\t0\t9\t".to_vec();
        line.extend(escaped(&path));
        assert!(!line.contains(&b'\n'));
        assert_eq!(entry(&line), Some(((path, 7), Position { range_bytes: 0, offset: 9 })));
        assert_eq!((entry(b"7\t0\tx\ta"), entry(b"7"), entry(b"7\t0\t9\t%zz")), (None, None, None));
    }
}
