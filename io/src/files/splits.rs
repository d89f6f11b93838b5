//! The splits of a source of files, shared by its subtasks.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slotflow_runtime::SplitId;

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
    /// The file is gone.
    pub forgotten: bool,
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
        FileSplit { path: path.to_owned(), origin, begin, range, forgotten: false }
    }
}

/// All splits by number: while a directory is watched, whoever sees a new file first gives it the next one.
#[derive(Clone, Debug, Default)]
pub(super) struct FileSplits(Arc<Mutex<Vec<FileSplit>>>);

impl FileSplits {
    pub fn new(splits: Vec<FileSplit>) -> FileSplits {
        FileSplits(Arc::new(splits.into()))
    }

    fn all(&self) -> MutexGuard<'_, Vec<FileSplit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn split(&self, split: SplitId) -> FileSplit {
        self.all()[split as usize].clone()
    }

    pub fn forget(&self, split: SplitId) {
        self.all()[split as usize].forgotten = true;
    }

    /// Adds those of these files that are new.
    pub fn add_new(&self, files: Vec<PathBuf>, header: u64) {
        let mut all = self.all();
        let known = all.iter().filter(|split| !split.forgotten).map(|split| split.path.clone());
        let known: HashSet<PathBuf> = known.collect();
        let new = files.iter().filter(|path| !known.contains(*path));
        all.extend(new.map(|path| FileSplit::new(path, (0, u64::MAX), header, None)));
    }

    /// The numbers of those that one subtask of so many reads.
    pub fn of(&self, index: usize, parallelism: usize) -> Vec<SplitId> {
        let all = self.all();
        let mine = (index..all.len()).step_by(parallelism);
        mine.filter(|split| !all[*split].forgotten).map(|split| split as SplitId).collect()
    }
}
