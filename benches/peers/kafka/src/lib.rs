//! What contestants and referee of the race share: the command line, the records, and how a stretch of them is timed.

pub mod line;
pub mod meter;
/// One file for both packages.
#[path = "../../src/quantiles.rs"]
pub mod quantiles;
pub mod stop;
pub mod words;
