//! What contestants and referee of the race share: the command line, the records, and how a stretch of them is timed.

pub mod line;
pub mod meter;
pub mod stop;
pub mod words;
