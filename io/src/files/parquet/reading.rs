//! The thread that reads the row groups of one subtask, one after the other.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use ::parquet::errors::ParquetError;
use slotflow_runtime::error::Cause;
use slotflow_runtime::{Error, Offset, Result, SplitId};

use super::super::failure::{replaced, unreadable};
use super::super::identity::Identity;
use super::super::splits::{FileSplit, FileSplits};
use super::super::turns::{Stop, Turns};
use super::reader::Batch;
use crate::frames::Piece;

/// A file with what its footer says.
pub(super) struct Opened {
    path: PathBuf,
    file: File,
    footer: ArrowReaderMetadata,
}

impl Opened {
    pub fn new(path: &Path, file: File) -> Result<Opened> {
        let footer = ArrowReaderMetadata::load(&file, Default::default());
        let footer = footer.map_err(|error| {
            let what = format!("{} is no Parquet file that can be read: {error}", path.display());
            Error::world(what, "leave it out of the source's pattern, or write it again")
        })?;
        Ok(Opened { path: path.to_owned(), file, footer })
    }

    /// How many rows each row group has.
    pub fn row_groups(&self) -> impl Iterator<Item = u64> {
        self.footer.metadata().row_groups().iter().map(|group| group.num_rows().max(0) as u64)
    }

    /// What is read where only these columns are wanted.
    pub fn projection(&self, columns: Option<&[String]>) -> Result<ProjectionMask> {
        let Some(columns) = columns else { return Ok(ProjectionMask::all()) };
        let place = |column: &String| {
            self.footer.schema().index_of(column).map_err(|error| {
                let what = format!("{} has no column {column:?}: {error}", self.path.display());
                Error::world(what, "give `columns` names of the file's")
            })
        };
        let places = columns.iter().map(place).collect::<Result<Vec<usize>>>()?;
        Ok(ProjectionMask::roots(self.footer.parquet_schema(), places))
    }
}

/// What one thread reads, and how.
pub(super) struct Reading {
    pub splits: FileSplits,
    /// Which subtask it reads for, of how many.
    pub subtask: (usize, usize),
    pub columns: Option<Vec<String>>,
    pub batch_rows: usize,
    pub turns: Turns<Batch>,
    /// The file that was read last: its next row group is often the next split.
    pub opened: Option<Opened>,
}

impl Reading {
    /// Reads until there is nothing more, or nobody who wants it.
    pub fn run(mut self) {
        let outcome = self.read_all();
        self.turns.end(outcome);
    }

    fn read_all(&mut self) -> Result<(), Stop> {
        for (split, of) in self.splits.of(self.subtask.0, self.subtask.1) {
            self.turns.come(split)?;
            self.read(split, &of)?;
        }
        Ok(self.turns.leave()?)
    }

    /// Reads a row group. What is broken makes the decoder fail, and at times panic.
    fn read(&mut self, split: SplitId, of: &FileSplit) -> Result<(), Stop> {
        let mut next = of.range.begin;
        let read = catch_unwind(AssertUnwindSafe(|| self.read_rows(split, of, &mut next)));
        read.unwrap_or_else(|panic| Err(broken(of, next, Error::panicked(panic)).into()))
    }

    fn read_rows(&mut self, split: SplitId, of: &FileSplit, next: &mut u64) -> Result<(), Stop> {
        for rows in self.batches(of)?.map_err(|error| broken(of, *next, error))? {
            let rows = rows.map_err(|error| broken(of, *next, error))?;
            *next += rows.num_rows() as u64;
            self.turns.give(Piece::Block(Batch { split, next: *next as Offset, rows }))?;
        }
        Ok(())
    }

    /// What is left of a row group.
    fn batches(&mut self, of: &FileSplit) -> Result<Result<ParquetRecordBatchReader, ParquetError>> {
        let opened = self.open(of)?;
        let projection = opened.projection(self.columns.as_deref())?;
        let file = opened.file.try_clone().map_err(|error| unreadable(&of.path, &error))?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, opened.footer.clone());
        let reader = reader.with_row_groups(vec![of.begin as usize]).with_projection(projection);
        let batches = reader.with_offset(of.range.begin as usize).with_batch_size(self.batch_rows).build();
        self.opened = Some(opened);
        Ok(batches)
    }

    /// The file of a split, which must be the one that it was at the start.
    fn open(&mut self, of: &FileSplit) -> Result<Opened> {
        if let Some(opened) = self.opened.take().filter(|opened| opened.path == of.path) {
            return Ok(opened);
        }
        let opened = File::open(&of.path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.map_err(|error| unreadable(&of.path, &error))?;
        if of.identity != Some(Identity::of(&metadata)) {
            return Err(replaced(&of.path));
        }
        Opened::new(&of.path, file)
    }
}

/// What lies in a row group behind so many rows cannot be decoded.
fn broken(of: &FileSplit, row: u64, cause: impl Into<Cause>) -> Error {
    Error::data(format!("{}, row group {}", of.origin, of.begin), row, cause)
}
