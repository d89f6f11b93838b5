//! What makes a Parquet file of records, on the thread that writes it.

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use arrow_array::RecordBatch;
use slotflow_runtime::Error;

use super::super::file_system::Stored;
use super::super::rolling::Shape;

/// What makes batches of records.
pub(super) type ToBatches<T> = Arc<dyn Fn(Vec<T>) -> io::Result<Vec<RecordBatch>> + Send + Sync>;

/// Rows and columns, by batches.
pub(super) struct Columns<T> {
    pub to_batches: ToBatches<T>,
    pub properties: WriterProperties,
}

impl<T> Columns<T> {
    /// The batches of some records. The closure is the user's, and the thread is not.
    fn batches(&self, records: Vec<T>) -> io::Result<Vec<RecordBatch>> {
        let batches = catch_unwind(AssertUnwindSafe(|| (self.to_batches)(records)));
        batches.unwrap_or_else(|panic| Err(malformed(Error::panicked(panic))))
    }
}

/// What the records are to blame for.
pub(super) fn malformed(error: impl ToString) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error.to_string())
}

/// What a file system says is passed on; anything else is due to the batches.
fn unwritten(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => malformed(error),
        },
        error => malformed(error),
    }
}

impl<T: Send + 'static> Shape for Columns<T> {
    type Block = Vec<T>;
    type Making = ArrowWriter<Box<dyn Stored>>;

    fn begin(&self, file: Box<dyn Stored>, first: Vec<T>) -> io::Result<Self::Making> {
        let batches = self.batches(first)?;
        let schema = batches.first().ok_or_else(|| malformed("records became no batch"))?.schema();
        let writer = ArrowWriter::try_new(file, schema, Some(self.properties.clone()));
        let mut writer = writer.map_err(unwritten)?;
        batches.iter().try_for_each(|batch| writer.write(batch)).map_err(unwritten)?;
        Ok(writer)
    }

    fn write(&self, writer: &mut Self::Making, block: Vec<T>) -> io::Result<()> {
        self.batches(block)?.iter().try_for_each(|batch| writer.write(batch)).map_err(unwritten)
    }

    /// With what is kept of the row group that is not full, as far as that can be told.
    fn bytes(&self, writer: &Self::Making) -> u64 {
        (writer.bytes_written() + writer.in_progress_size()) as u64
    }

    /// Writes the last row group and the footer.
    fn finish(&self, writer: Self::Making) -> io::Result<Box<dyn Stored>> {
        writer.into_inner().map_err(unwritten)
    }
}
