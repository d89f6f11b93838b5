//! Parquet files, as Arrow's record batches.
//!
//! Columns stay columns: a source gives a [`RecordBatch`](arrow_array::RecordBatch) of some thousand rows as one
//! record, which is what vectorised code wants, and costs the engine next to nothing a row. Behind `flat_map` each row
//! is a record. A sink takes batches, or rows together with a closure that makes a batch of them.
//!
//! Files that are not compressed are read and written, and such as are compressed with Snappy. For others, a feature of
//! the crate `parquet` does: `zstd`, `lz4`, `brotli` or `flate2-zlib-rs`, said in your own `Cargo.toml`.
//!
//! Reading order: [`source`](ParquetSource), `reading`, `reader`; [`sink`](ParquetSink), `shape`, `held`.

mod held;
mod reader;
mod reading;
mod shape;
mod sink;
mod source;

pub use ::{arrow_array, arrow_schema, parquet};
pub use reader::ParquetReader;
pub use sink::{ParquetSink, ParquetWriter};
pub use source::ParquetSource;
