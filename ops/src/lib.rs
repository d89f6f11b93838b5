//! The typed API of slotflow: streams and their operators.
//!
//! One operator, one file, its [`Stream`] method beside it. A [`Stream`] is a description: nothing
//! runs before [`Environment::run`].

#![forbid(unsafe_code)]

mod environment;
mod filter;
mod flat_map;
mod flat_map_with;
mod fold_at_end;
mod keyed;
mod map;
mod partition;
mod sink;
mod stream;

pub use environment::Environment;
pub use filter::Filter;
pub use flat_map::FlatMap;
pub use flat_map_with::{Collector, FlatMapWith};
pub use fold_at_end::FoldAtEnd;
pub use keyed::{KeyedStream, MapWithState, Stateful};
pub use map::{Map, MapIn};
pub use sink::Sunk;
pub use stream::{CutBefore, Stream};
