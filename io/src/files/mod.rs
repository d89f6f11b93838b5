//! Files: lines or length-delimited frames, read ahead and written behind by threads of the I/O cores.
//!
//! Reading order: [`source`](FileSource), `pattern`, `splits`, `identity`, `turns`, `reading`, `input`,
//! `uring`, `positions`; [`sink`](FileSink), `destination`, `rolling`, `store`; `lock` and `alike` are of both.
//! `parquet` is another format of files, behind the feature of that name.

mod alike;
mod destination;
mod failure;
mod file_system;
mod identity;
mod input;
mod lock;
#[cfg(feature = "parquet")]
pub mod parquet;
mod pattern;
mod positions;
mod reading;
mod rolling;
mod sink;
mod source;
mod splits;
#[cfg(test)]
mod tests;
mod turns;
#[cfg_attr(not(all(feature = "io-uring", target_os = "linux")), path = "no_uring.rs")]
mod uring;

#[cfg(feature = "shared-memory")]
pub(crate) use lock::{LEAVE_TIMEOUT, lock};
pub use sink::FileSink;
pub use source::{FileSource, Unfinished};
