//! The splits of a source of files, shared by its subtasks.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slotflow_runtime::SplitId;

use super::identity::Identity;
use crate::frames::Range;

/// A file, or a range of one.
#[derive(Clone, Debug)]
pub(super) struct FileSplit {
    pub path: PathBuf,
    /// The path as text.
    pub origin: Arc<str>,
    /// Where it begins in the file: with the path, its name.
    pub begin: u64,
    /// What is read of it.
    pub range: Range,
    /// Which file it is; not known before it is opened.
    pub identity: Option<Identity>,
}

impl FileSplit {
    /// From `begin` to `end` of a file of which the first `header` lines are no records; `stored` is where it is read
    /// on, if something of it has been read.
    pub fn new(path: &Path, (begin, end): (u64, u64), header: u64, stored: Option<u64>) -> FileSplit {
        // A line that has begun in front of a range is the range's before.
        let fresh = if begin == 0 { (0, header) } else { (begin - 1, 1) };
        let (from, skip_lines) = stored.map_or(fresh, |offset| (offset, 0));
        let origin = path.to_string_lossy().into();
        let range = Range { begin: from, skip_lines, end };
        FileSplit { path: path.to_owned(), origin, begin, range, identity: None }
    }
}

/// All splits by number: while a directory is watched, whoever sees a new file first gives it the next one. A file that
/// is gone leaves nothing behind, and its number is not used again.
#[derive(Clone, Debug, Default)]
pub(super) struct FileSplits(Arc<Mutex<All>>);

#[derive(Debug, Default)]
struct All {
    splits: BTreeMap<SplitId, FileSplit>,
    next: SplitId,
}

impl All {
    fn add(&mut self, split: FileSplit) {
        self.splits.insert(self.next, split);
        self.next += 1;
    }
}

impl FileSplits {
    pub fn new(splits: Vec<FileSplit>) -> FileSplits {
        let mut all = All::default();
        splits.into_iter().for_each(|split| all.add(split));
        FileSplits(Arc::new(all.into()))
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.all().splits.len() as u32
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of them; none if its file is gone.
    pub fn split(&self, split: SplitId) -> Option<FileSplit> {
        self.all().splits.get(&split).cloned()
    }

    /// Whether a split is still this file, which is noted where nobody knows yet.
    pub fn is_still(&self, split: SplitId, file: Identity) -> bool {
        let mut all = self.all();
        all.splits.get_mut(&split).is_some_and(|split| *split.identity.get_or_insert(file) == file)
    }

    pub fn forget(&self, split: SplitId) {
        self.all().splits.remove(&split);
    }

    /// Adds those of these files that are new.
    pub fn add_new(&self, files: Vec<PathBuf>, header: u64) {
        let mut all = self.all();
        let known: HashSet<PathBuf> = all.splits.values().map(|split| split.path.clone()).collect();
        for path in files.iter().filter(|path| !known.contains(*path)) {
            all.add(FileSplit::new(path, (0, u64::MAX), header, None));
        }
    }

    /// Those that one subtask of so many reads.
    pub fn of(&self, index: usize, parallelism: usize) -> Vec<(SplitId, FileSplit)> {
        let all = self.all();
        let mine = all.splits.iter().filter(|(split, _)| **split as usize % parallelism == index);
        mine.map(|(split, of)| (*split, of.clone())).collect()
    }
}
