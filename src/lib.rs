//! The facade: everything a job needs, and this page is its README.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod testing;

pub use slotflow_io as io;
pub use slotflow_ops::{
    Aggregate, AggregatingState, AsyncIo, BoxedStream, BroadcastContext, BroadcastProcessFunction,
    CoProcessFunction, Either, Environment, KeyedProcessFunction, KeyedStream, ListState, MapState, Merge,
    ProcessContext, ProcessFunction, ReducingState, Request, Session, Sliding, State, StateDescriptor,
    StateDescriptors, Stream, Sunk, TimeDomain, Timer, Ttl, Tumbling, Unanswered, ValueState,
    WatermarkAlignment, WatermarkGenerator, Watermarks, WindowResult,
};
pub use slotflow_runtime as runtime;
pub use slotflow_runtime::{
    Config, Context, Error, Job, JobReport, Key, Operator, Output, Owned, Result, Routed, Slots,
};

/// What a job needs, in one line.
pub mod prelude {
    pub use slotflow_io::{Collected, callback, callback_with, from_iterator, generate};
    pub use slotflow_ops::{
        Aggregate, AsyncIo, BoxedStream, Either, Environment, KeyedProcessFunction, KeyedStream, Merge,
        ProcessContext, ProcessFunction, Request, Session, Sliding, StateDescriptors, Stream, Tumbling,
        Unanswered, WatermarkAlignment, WatermarkGenerator, Watermarks, WindowResult,
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
