//! Event time: the times of records, and watermarks that say how far it has come.

mod alignment;
mod assign;
mod generators;
mod late;
mod producers;
mod source;
mod splits;
mod timestamps;
mod watermarks;

pub use alignment::WatermarkAlignment;
pub use assign::Assigner;
pub use generators::{BoundedOutOfOrderness, IngestionTime, Punctuated, WatermarkGenerator};
pub use late::SplitLate;
pub use producers::PerProducer;
pub use source::{TimedReader, TimedSource};
pub use timestamps::{By, Ingested, TimestampAssigner};
pub use watermarks::Watermarks;

use alignment::{Aligned, LOOK_AGAIN_NS};
use splits::SplitTimes;
