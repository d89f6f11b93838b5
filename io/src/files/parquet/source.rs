//! What a source of Parquet files is told.

use std::path::{Path, PathBuf};

use slotflow_runtime::{Committer, Error, Result, Source, SplitId, Splits, SubtaskContext};

use super::super::alike::read_alike;
use super::super::identity::Identity;
use super::super::pattern;
use super::super::positions::{FileCommitter, Positions, Reserved, Store};
use super::super::splits::{FileSplit, FileSplits};
use super::super::turns::Turns;
use super::reader::ParquetReader;
use super::reading::{Opened, Reading};
use crate::frames::{Incoming, Range, Silence, feed};

/// How many rows a batch has unless it is said otherwise (DataFusion's own default, too).
const BATCH_ROWS: usize = 8192;

/// How many batches are read ahead for each subtask unless it is said otherwise (a guess: one that waits while the next
/// is decoded, and one to spare).
const READ_AHEAD_BATCHES: usize = 2;

/// What positions have in place of the size of ranges, so that bytes are not taken for rows.
const ROW_GROUPS: u64 = u64::MAX;

/// Reads Parquet files, as Arrow's [`RecordBatch`](arrow_array::RecordBatch)es: none is longer than
/// [`batch_rows`](ParquetSource::batch_rows), and none is of two row groups.
///
/// Each row group is a split, so that subtasks share a file. A thread for each subtask reads and decodes on the I/O
/// cores, one row group after the other, a bounded way ahead. What is there at the start is read, and then the source
/// ends. A file must not change while it is read; one that is replaced meanwhile fails the job.
///
/// Where a [positions](ParquetSource::positions) file is named, how many rows of each row group have been read goes
/// there by the commit rule, and the next start reads on from it: at least once.
///
/// ```
/// # use slotflow::prelude::*;
/// use slotflow::io::files::parquet::arrow_array::cast::AsArray;
/// use slotflow::io::files::parquet::arrow_array::types::Int64Type;
/// use slotflow::io::files::parquet::arrow_array::{Int64Array, RecordBatch};
/// use slotflow::io::files::parquet::{ParquetSink, ParquetSource};
/// use std::sync::Arc;
///
/// # let folder = std::env::temp_dir().join(format!("slotflow-parquet-doc-{}", std::process::id()));
/// // Rows become batches in the sink:
/// let env = Environment::with(Config::default());
/// let to_batch = |rows: &[(i64, i64)]| {
///     let column = |of: fn(&(i64, i64)) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(of)));
///     RecordBatch::try_from_iter([("id", column(|row| row.0) as _), ("cents", column(|row| row.1) as _)])
/// };
/// env.source(from_iterator([(1, 250), (2, 990)])).sink(ParquetSink::rows(&folder, "sales", to_batch));
/// env.run("write")?;
///
/// // And batches become rows behind the source, or stay what they are:
/// let (env, cents) = (Environment::with(Config::default()), Collected::new());
/// env.source(ParquetSource::files(folder.join("*.parquet").display().to_string()).columns(["cents"]))
///     .flat_map(|batch: RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
///     .sink(cents.sink());
/// env.run("read")?;
/// assert_eq!(cents.take(), [250, 990]);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ParquetSource {
    patterns: Vec<String>,
    columns: Option<Vec<String>>,
    batch_rows: usize,
    read_ahead_batches: usize,
    positions: Option<PathBuf>,
    /// Filled when it is asked for its splits.
    splits: FileSplits,
    store: Option<Store>,
}

impl ParquetSource {
    /// The files that `pattern` means: a path, in which `*` and `?` stand for any characters of a name, but for a dot
    /// at its beginning. In order of their names.
    pub fn files(pattern: impl Into<String>) -> ParquetSource {
        ParquetSource {
            patterns: vec![pattern.into()],
            columns: None,
            batch_rows: BATCH_ROWS,
            read_ahead_batches: READ_AHEAD_BATCHES,
            positions: None,
            splits: FileSplits::default(),
            store: None,
        }
    }

    read_alike!();

    /// Reads only these columns, by the names of the outermost ones, in the order in which the file has them. What is
    /// not wanted is not even decompressed. By default all are read.
    #[must_use]
    pub fn columns<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.columns = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// How many rows a batch has at most (default 8,192, at least 1).
    #[must_use]
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    /// How many batches are read ahead for each subtask (default 2, at least 1).
    #[must_use]
    pub fn read_ahead_batches(mut self, batches: usize) -> Self {
        self.read_ahead_batches = batches;
        self
    }

    /// The splits of one file.
    fn divide(&self, path: &Path, positions: &mut Positions) -> Result<Vec<FileSplit>> {
        let (file, metadata) = positions.open(path)?;
        if positions.other_range(path, ROW_GROUPS).is_some() {
            let what = format!("the positions of {} are in bytes, and not in rows", path.display());
            return Err(Error::world(what, "give `positions` a file of this source's own"));
        }
        let opened = Opened::new(path, file)?;
        opened.projection(self.columns.as_deref())?;
        let split = |(begin, end): (u64, u64)| {
            let read = positions.offset(path, begin).unwrap_or(0);
            let range = Range { begin: read, skip_lines: 0, end };
            let (path, origin) = (path.to_owned(), path.to_string_lossy().into());
            FileSplit { path, origin, begin, range, identity: Some(Identity::of(&metadata)) }
        };
        Ok((0..).zip(opened.row_groups()).map(split).collect())
    }

    fn committer(&self) -> Option<Box<dyn Committer>> {
        let (store, splits) = (self.store.clone()?, self.splits.clone());
        Some(Box::new(FileCommitter { store, splits, range_bytes: ROW_GROUPS }))
    }
}

impl Source for ParquetSource {
    type Reader = ParquetReader;

    fn describe(&self) -> String {
        format!("parquet({})", self.patterns.join(", "))
    }

    fn commits(&self) -> bool {
        self.positions.is_some()
    }

    fn settings(&self) -> Vec<String> {
        let mut lines = vec![format!("batches of {} rows at most", self.batch_rows)];
        lines.extend(self.columns.as_ref().map(|columns| format!("columns {}", columns.join(", "))));
        lines.extend(self.positions.as_ref().map(|path| format!("positions in {}", path.display())));
        lines
    }

    fn splits(&mut self) -> Result<Splits> {
        let files = pattern::all(&self.patterns, |pattern| pattern::required(pattern, "mend the path"))?;
        // Whoever is asked again lets go of them first.
        self.store = None;
        let reserved = Reserved::take(self.positions.as_deref())?;
        // New ones: a clone of this source has its own.
        (self.splits, self.store) = reserved.divide(files, |path, positions| self.divide(path, positions))?;
        Ok(Splits::Count(self.splits.count()))
    }

    fn open(&mut self, subtask: &SubtaskContext, splits: &[SplitId]) -> Result<ParquetReader> {
        if splits.is_empty() {
            return Ok(ParquetReader { incoming: Incoming::without_splits(), committer: None });
        }
        let (to, fed) = feed(self.read_ahead_batches, subtask.waker.clone());
        let reading = Reading {
            splits: self.splits.clone(),
            subtask: (subtask.index, subtask.parallelism),
            columns: self.columns.clone(),
            batch_rows: self.batch_rows,
            turns: Turns::new(to),
            opened: None,
        };
        subtask.io.spawn("slotflow-parquet", move || reading.run())?;
        let incoming = Incoming::new(fed, Silence::IsBehind);
        Ok(ParquetReader { incoming, committer: self.committer() })
    }
}
