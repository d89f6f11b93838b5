//! What a source of files is told.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use slotflow_runtime::error::Problem;
use slotflow_runtime::{Committer, Error, Result, Source, SplitId, Splits, SubtaskContext};

use super::alike::read_alike;
use super::failure::shortened;
use super::identity::Identity;
use super::pattern;
use super::positions::{FileCommitter, Positions, Reserved, Store};
use super::reading::{Reading, Watch};
use super::splits::{FileSplit, FileSplits};
use super::turns::Turns;
use crate::frames::{BLOCK_BYTES, Ends, FrameReader, Framing, Silence, feed};

/// How much is read ahead for each subtask unless it is said otherwise (a guess: some milliseconds of a disk's work).
const READ_AHEAD_BYTES: usize = 8 * BLOCK_BYTES;

/// Into how many ranges a file may be divided (a guess: all of them are listed whenever positions are stored).
const SPLITS: u64 = 10_000;

/// What becomes of half a line, or half a frame, at the end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// It is a record like any other: the default for lines, which often lack the last line break.
    Record,
    /// It fails the job, and is named: the default for length-delimited frames, which cannot be half.
    Fail,
    /// It is left out, and so is its position: a later run reads it once it is whole. A source that watches does this,
    /// and reads it when the rest has come.
    Leave,
}

/// Reads files: lines, or frames behind their length, as [`Frame`](crate::frames::Frame) lent from the block that was
/// read; a format makes records of them (see [`formats`](crate::formats)).
///
/// Each file is a split, or each range of one. A thread for each subtask reads its splits one after the other, on the
/// I/O cores, a bounded way ahead. With event time, a file counts while it is being read.
///
/// Where a [positions](FileSource::positions) file is named, how far each split is goes there by the commit rule, and
/// the next start reads on from it: at least once. A file that is shorter by then is refused.
///
/// ```
/// # use slotflow::prelude::*;
/// use slotflow::io::files::FileSource;
/// use slotflow::io::frames::Frame;
///
/// # let folder = std::env::temp_dir().join(format!("slotflow-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// std::fs::write(folder.join("a.txt"), "to be\nor not")?;
/// let env = Environment::with(Config::default());
/// let words = Collected::new();
/// env.source(FileSource::lines(folder.join("*.txt").display().to_string()))
///     .try_flat_map(|line: Frame<'_>| {
///         line.text().map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
///     })
///     .sink(words.sink());
/// env.run("words")?;
/// assert_eq!(words.take(), ["to", "be", "or", "not"]);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FileSource {
    patterns: Vec<String>,
    framing: Framing,
    unfinished: Option<Unfinished>,
    header: u64,
    range_bytes: Option<u64>,
    watch_every: Option<Duration>,
    positions: Option<PathBuf>,
    read_ahead_bytes: usize,
    io_uring: bool,
    /// Filled when it is asked for its splits.
    splits: FileSplits,
    store: Option<Store>,
}

impl FileSource {
    /// The lines of the files that `pattern` means: a path, in which `*` and `?` stand for any characters of a name,
    /// but for a dot at its beginning. In order of their names.
    pub fn lines(pattern: impl Into<String>) -> FileSource {
        FileSource::framed(pattern, Framing::lines())
    }

    /// The frames behind their length of the files that `pattern` means.
    pub fn length_delimited(pattern: impl Into<String>) -> FileSource {
        FileSource::framed(pattern, Framing::length_delimited())
    }

    /// The frames of the files that `pattern` means, with a [`Framing`] of its own.
    pub fn framed(pattern: impl Into<String>, framing: Framing) -> FileSource {
        FileSource {
            patterns: vec![pattern.into()],
            framing,
            unfinished: None,
            header: 0,
            range_bytes: None,
            watch_every: None,
            positions: None,
            read_ahead_bytes: READ_AHEAD_BYTES,
            io_uring: true,
            splits: FileSplits::default(),
            store: None,
        }
    }

    read_alike!();

    /// Leaves out the first lines of each file, such as the header of CSV (default 0).
    #[must_use]
    pub fn skip_lines(mut self, lines: u64) -> Self {
        self.header = lines;
        self
    }

    /// Divides each file into ranges of this many bytes, each a split, so that several subtasks read one large file. A
    /// line is its range's in which it begins. By default a file is one split. Only for lines, and not while watching.
    #[must_use]
    pub fn ranges_of(mut self, bytes: u64) -> Self {
        self.range_bytes = Some(bytes);
        self
    }

    /// Never ends: looks for new files, and for more in those that are known, whenever so much time has passed. New
    /// files become splits while the job runs. Files may grow, be removed, and be replaced by others of their names,
    /// which are new files; they may not be rewritten. Half a line waits for its rest, and what was not read of a file
    /// before it went is lost. By default what is there at the start is read, and then the source ends.
    #[must_use]
    pub fn watch_every(mut self, period: Duration) -> Self {
        self.watch_every = Some(period);
        self
    }

    /// What becomes of half a line or half a frame at the end of a file.
    #[must_use]
    pub fn unfinished(mut self, unfinished: Unfinished) -> Self {
        self.unfinished = Some(unfinished);
        self
    }

    /// How much is read ahead for each subtask (default 512 KiB, in blocks of 64 KiB).
    #[must_use]
    pub fn read_ahead_bytes(mut self, bytes: usize) -> Self {
        self.read_ahead_bytes = bytes;
        self
    }

    /// Reads by plain system calls. By default a thread reads ahead through io_uring, with a ring of its own, where
    /// this build has the feature `io-uring` and the kernel allows it, and by plain calls elsewhere: records are the
    /// same.
    #[must_use]
    pub fn without_io_uring(mut self) -> Self {
        self.io_uring = false;
        self
    }

    fn half(&self) -> Unfinished {
        let default = if self.framing.are_lines() { Unfinished::Record } else { Unfinished::Fail };
        self.unfinished.unwrap_or(default)
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem =
            |what: &str, remedy: &str| problems.push(Problem::new(self.describe(), what, remedy));
        if self.range_bytes == Some(0) {
            problem("ranges_of is 0 bytes", "give at least 1, or leave it out");
        }
        if self.range_bytes.is_some() && !self.framing.are_lines() {
            problem(
                "ranges_of is for lines",
                "leave it out: nobody can tell where a frame begins in the middle",
            );
        }
        if self.range_bytes.is_some() && self.watch_every.is_some() {
            problem("ranges_of is for files that do not grow", "leave out ranges_of or watch_every");
        }
        if self.header > 0 && !self.framing.are_lines() {
            problem("skip_lines is for lines", "leave it out");
        }
        if self.watch_every.is_some() && self.unfinished.is_some_and(|half| half != Unfinished::Leave) {
            problem("unfinished is for files that end", "leave it out: half a line waits for its rest");
        }
        problems
    }

    /// The files there are, each once.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let remedy = "mend the path, or say watch_every to wait for files";
        match self.watch_every {
            Some(_) => pattern::all(&self.patterns, pattern::listed),
            None => pattern::all(&self.patterns, |pattern| pattern::required(pattern, remedy)),
        }
    }

    /// The splits of one file. Positions of another that had its name are left out.
    fn divide(&self, path: &Path, positions: &mut Positions) -> Result<Vec<FileSplit>> {
        let (_, metadata) = positions.open(path)?;
        let (length, identity) = (metadata.len(), Identity::of(&metadata));
        let size = self.range_bytes.unwrap_or(u64::MAX);
        if length / size > SPLITS {
            let what = format!("{} would be more than {SPLITS} ranges of {size} bytes", path.display());
            return Err(Error::world(what, "give ranges_of more bytes"));
        }
        let begins = (0..length.max(1)).step_by(usize::try_from(size).unwrap_or(usize::MAX));
        let begins: Vec<u64> = begins.collect();
        if let Some(other) = positions.other_range(path, self.stored_range()) {
            return Err(Error::world(
                format!(
                    "the positions of {} are those of ranges of {other} bytes (0 is all)",
                    path.display()
                ),
                "give ranges_of what it had, or remove the positions file to read everything again",
            ));
        }
        let last = begins.iter().filter_map(|begin| positions.offset(path, *begin)).max();
        if let Some(last) = last.filter(|last| *last > length) {
            return Err(shortened(path, last, length));
        }
        let end = |begin: u64| begin.checked_add(size).filter(|end| *end < length).unwrap_or(u64::MAX);
        let split = |begin| {
            let stored = positions.offset(path, begin);
            let split = FileSplit::new(path, (begin, end(begin)), self.header, stored);
            FileSplit { identity: Some(identity), ..split }
        };
        Ok(begins.into_iter().map(split).collect())
    }

    fn committer(&self) -> Option<Box<dyn Committer>> {
        let (store, splits) = (self.store.clone()?, self.splits.clone());
        Some(Box::new(FileCommitter { store, splits, range_bytes: self.stored_range() }))
    }

    /// Of how many bytes a range is, as positions have it.
    fn stored_range(&self) -> u64 {
        self.range_bytes.unwrap_or(0)
    }

    fn watch(&self) -> Option<Watch> {
        let every = self.watch_every?;
        Some(Watch { patterns: self.patterns.clone(), every, header: self.header })
    }
}

impl Source for FileSource {
    type Reader = FrameReader;

    fn describe(&self) -> String {
        format!("files({})", self.patterns.join(", "))
    }

    fn commits(&self) -> bool {
        self.positions.is_some()
    }

    fn settings(&self) -> Vec<String> {
        let mut lines = vec![self.framing.to_string()];
        lines.extend(self.range_bytes.map(|bytes| format!("in ranges of {bytes} bytes")));
        lines.extend(self.watch_every.map(|every| format!("watched every {every:?}")));
        lines.extend((!self.io_uring).then(|| "read without io_uring".to_owned()));
        lines.extend(self.positions.as_ref().map(|path| format!("positions in {}", path.display())));
        lines
    }

    fn splits(&mut self) -> Result<Splits> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(Error::plan(problems));
        }
        let files = self.files()?;
        // Whoever is asked again lets go of them first.
        self.store = None;
        let reserved = Reserved::take(self.positions.as_deref())?;
        // New ones: a clone of this source has its own.
        (self.splits, self.store) = reserved.divide(files, |path, positions| self.divide(path, positions))?;
        Ok(Splits::Count(self.splits.count()))
    }

    fn open(&mut self, subtask: &SubtaskContext, splits: &[SplitId]) -> Result<FrameReader> {
        if splits.is_empty() && self.watch_every.is_none() {
            return Ok(FrameReader::without_splits(self.framing));
        }
        let (to, fed) = feed(self.read_ahead_bytes / BLOCK_BYTES, subtask.waker.clone());
        let (wanted, pause) = mpsc::channel::<Infallible>();
        let reading = Reading {
            framing: self.framing,
            unfinished: self.half(),
            splits: self.splits.clone(),
            subtask: (subtask.index, subtask.parallelism),
            watch: self.watch(),
            turns: Turns::new(to),
            store: self.store.clone(),
            cutters: HashMap::new(),
            ahead: self.io_uring,
            pause,
        };
        subtask.io.spawn("slotflow-files", move || reading.run())?;
        let ends: Ends = Box::new(wanted);
        Ok(FrameReader::new(self.framing, fed, Silence::IsBehind, self.committer(), ends))
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::subtask;
    use slotflow_runtime::{Arena, Blame, Context, Output, Polled, SourceReader};

    use super::*;
    use crate::frames::{Frame, Frames};

    struct Nowhere;

    impl Output<Frames> for Nowhere {
        fn push<'s>(&mut self, _: Frame<'s>, _: &mut Context<'s>) {}
    }

    /// What a reader fails with.
    fn failure(reader: &mut FrameReader) -> String {
        loop {
            let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
            let mut ctx = Context::new(&arena, &place, &blame, 1);
            match reader.poll(9, &mut ctx, &mut Nowhere) {
                Err(error) => return error.to_string(),
                Ok(Polled::End) => return "none".into(),
                Ok(_) => std::thread::yield_now(),
            }
        }
    }

    #[test]
    fn the_rest_of_a_file_that_was_replaced_is_not_looked_for_in_another() {
        let path = |name| std::env::temp_dir().join(format!("slotflow-{name}-{}", std::process::id()));
        let [file, other] = ["swapped", "other"].map(path);
        std::fs::write(&file, "1\n2\n").unwrap();
        let mut source = FileSource::lines(file.display().to_string()).ranges_of(2);
        assert_eq!(source.splits().unwrap(), Splits::Count(2));
        std::fs::write(&other, "3\n4\n").unwrap();
        std::fs::rename(&other, &file).unwrap();
        let failed = failure(&mut source.open(&subtask(), &[0, 1]).unwrap());
        std::fs::remove_file(&file).unwrap();
        assert!(failed.contains("is another file than it was when the job started; start again"), "{failed}");
    }
}
