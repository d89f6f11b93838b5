//! What a sink of Parquet files is told.

use std::path::PathBuf;
use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::file::properties::WriterProperties;
use arrow_array::RecordBatch;
use slotflow_runtime::{
    Acknowledged, Barrier, Context, Guarantee, Measures, Owned, Result, Sink, SinkWriter, SubtaskContext,
};

use super::super::alike::rolled_alike;
use super::super::destination::Destination;
use super::super::rolling::Rolling;
use super::held::{BytesOf, Counted, by_buffers, by_row};
use super::shape::{Columns, ToBatches, malformed};
use crate::frames::Outbox;
use crate::overflow::Overflow;

/// How many rows are let in at once while there is room (a guess: they become one batch).
const ROWS: usize = 1024;

/// How many batches are let in at once while there is room (a guess: each is thousands of rows).
const BATCHES: usize = 4;

/// Writes Parquet files into a folder, from Arrow's [`RecordBatch`]es or from rows.
///
/// Files are named, rolled by size and age, and made durable as those of [`FileSink`](super::super::FileSink): one has
/// its name, `PREFIX-SUBTASK-NUMBER.parquet`, when it is whole, and what is in it has arrived only then. A thread for
/// each subtask makes batches, encodes, compresses and writes on the I/O cores; one that does not keep up holds the job
/// up. All batches of a file must have one schema. What an operator in front of it expands beyond its room waits in
/// memory, up to `edges.overflow_bytes`; more fails the job.
///
/// A row group ends with its file, or when it is full (a million rows): so a file that is finished early, by
/// [`roll_after`](ParquetSink::roll_after), has small row groups. Raise it for files that are read often; offsets are
/// committed no sooner.
///
/// See [`ParquetSource`](super::ParquetSource) for an example.
pub struct ParquetSink<T> {
    to: Destination,
    properties: WriterProperties,
    to_batches: ToBatches<T>,
    /// How many records are let in at once.
    at_once: usize,
    bytes_of: BytesOf<T>,
}

impl ParquetSink<RecordBatch> {
    /// Batches, in files of `folder`, which is made if it is not there, whose names begin with `prefix`.
    pub fn batches(folder: impl Into<PathBuf>, prefix: impl Into<String>) -> ParquetSink<RecordBatch> {
        ParquetSink::new(Destination::new(folder, prefix), Arc::new(Ok), (BATCHES, by_buffers))
    }
}

impl<T: Send + 'static> ParquetSink<T> {
    /// Rows, of which `to_batch` makes a batch whenever some have come, at most those of a step: for columns by hand
    /// `RecordBatch::try_from_iter`. It runs on the thread that writes. An error of it fails the job.
    pub fn rows<E: ToString>(
        folder: impl Into<PathBuf>,
        prefix: impl Into<String>,
        to_batch: impl Fn(&[T]) -> std::result::Result<RecordBatch, E> + Send + Sync + 'static,
    ) -> ParquetSink<T> {
        let to_batches = move |rows: Vec<T>| Ok(vec![to_batch(&rows).map_err(malformed)?]);
        ParquetSink::new(Destination::new(folder, prefix), Arc::new(to_batches), (ROWS, by_row))
    }

    fn new(
        to: Destination,
        to_batches: ToBatches<T>,
        (at_once, bytes_of): (usize, BytesOf<T>),
    ) -> ParquetSink<T> {
        let to = Destination { suffix: Some("parquet".into()), ..to };
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        ParquetSink { to, properties, to_batches, at_once, bytes_of }
    }

    /// How files are written: compression, row groups, encodings, statistics (default: that of the crate `parquet`,
    /// with Snappy).
    #[must_use]
    pub fn properties(mut self, properties: WriterProperties) -> Self {
        self.properties = properties;
        self
    }

    rolled_alike!();
}

impl<T: Send + 'static> Sink<Owned<T>> for ParquetSink<T> {
    type Writer = ParquetWriter<T>;

    fn describe(&self) -> String {
        self.to.describe("parquet")
    }

    fn guarantee(&self) -> Guarantee {
        self.to.guarantee()
    }

    fn settings(&self) -> Vec<String> {
        vec![self.to.setting()]
    }

    fn check(&mut self) -> Result<()> {
        self.to.check()
    }

    fn open(&mut self, subtask: &SubtaskContext) -> Result<ParquetWriter<T>> {
        let (outbox, orders, progress) = Outbox::new(subtask);
        let columns = Columns { to_batches: self.to_batches.clone(), properties: self.properties.clone() };
        let rolling = Rolling::new(self.to.target(subtask.index), columns, orders, progress)?;
        subtask.io.spawn("slotflow-parquet", move || rolling.run())?;
        let (staged, overflow) = (Vec::new(), Overflow::new(subtask.overflow_bytes));
        let (at_once, bytes_of) = (self.at_once, self.bytes_of);
        Ok(ParquetWriter { staged, outbox, overflow, at_once, bytes_of, counted: Counted::new() })
    }
}

/// Writes one subtask's records through a thread of its own.
pub struct ParquetWriter<T> {
    /// Records that no order holds yet.
    staged: Vec<T>,
    outbox: Outbox<Vec<T>>,
    overflow: Overflow,
    at_once: usize,
    bytes_of: BytesOf<T>,
    /// The buffers that have come since there last was room.
    counted: Counted,
}

impl<T: Send + 'static> SinkWriter<Owned<T>> for ParquetWriter<T> {
    fn write<'s>(&mut self, record: T, ctx: &mut Context<'s>) {
        self.overflow.count();
        // Also of what is let in: slices that come behind it may hold nothing else.
        let bytes = (self.bytes_of)(&record, &mut self.counted);
        self.staged.push(record);
        if self.staged.len() > self.at_once
            && let Err(error) = self.overflow.wait(bytes)
        {
            ctx.fail(error);
        }
    }

    fn room(&mut self) -> usize {
        let has_room = self.outbox.is_settled() && self.staged.is_empty();
        if has_room {
            self.counted.clear();
        }
        self.overflow.promise(if has_room { self.at_once } else { 0 })
    }

    fn flush(&mut self) -> Result<()> {
        self.outbox.flush(|| taken(&mut self.staged))
    }

    fn barrier(&mut self, barrier: Barrier) {
        self.outbox.barrier(barrier, taken(&mut self.staged));
    }

    fn close(&mut self) {
        self.outbox.close(taken(&mut self.staged));
    }

    fn acknowledged(&mut self) -> Acknowledged {
        self.outbox.acknowledged(self.staged.len())
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.outbox.measure(self.staged.len(), measures);
    }
}

/// The records that are staged, if any are, and how many.
fn taken<T>(staged: &mut Vec<T>) -> Option<(Vec<T>, usize)> {
    let records = staged.len();
    (records > 0).then(|| (std::mem::take(staged), records))
}
