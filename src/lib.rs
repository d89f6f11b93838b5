//! The facade: everything a job needs, and this page is its README.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod testing;

pub use slotflow_io as io;
pub use slotflow_ops::{
    Aggregate, BoxedStream, Either, Environment, KeyedStream, Merge, Session, Sliding, Stream, Sunk,
    Tumbling, WatermarkAlignment, WatermarkGenerator, Watermarks, WindowResult,
};
pub use slotflow_runtime as runtime;
pub use slotflow_runtime::{
    Config, Context, Error, Job, JobReport, Key, Operator, Output, Owned, Result, Routed, Slots,
};

/// What a job needs, in one line.
pub mod prelude {
    pub use slotflow_io::{Collected, callback, callback_with, from_iterator, generate};
    pub use slotflow_ops::{
        Aggregate, BoxedStream, Either, Environment, KeyedStream, Merge, Session, Sliding, Stream, Tumbling,
        WatermarkAlignment, WatermarkGenerator, Watermarks, WindowResult,
    };
    pub use slotflow_runtime::{
        Arena, Borrowed, Config, Context, Error, Family, Job, JobReport, Key, Operator, Output, Owned,
        Result, Routed, Slots,
    };
}

/// The code of ARCHITECTURE.md, compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../ARCHITECTURE.md")]
struct Architecture;
