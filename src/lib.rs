//! The facade: everything a job needs, and this page is its README.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod testing;

pub use slotflow_io as io;
pub use slotflow_ops::{
    Aggregate, AggregatingState, AsyncIo, BoxedStream, BroadcastContext, BroadcastProcessFunction,
    CoProcessFunction, ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountEvictor,
    CountTrigger, DeltaEvictor, DeltaTrigger, EarlyTrigger, Either, Environment, EventTimeTrigger, Evictor,
    EvictorContext, Global, KeyedProcessFunction, KeyedStream, ListState, MapState, Merge, MergingTrigger,
    ProcessContext, ProcessFunction, ProcessingTimeTrigger, ProcessingTimeoutTrigger, PurgingTrigger,
    ReducingState, Request, Session, Sliding, State, StateBackend, StateDescriptor, StateDescriptors,
    StateSize, Stored, Stream, Sunk, TimeDomain, TimeEvictor, Timer, Timing, Trigger, TriggerContext,
    TriggerResult, Ttl, Tumbling, Unanswered, ValueState, WatermarkAlignment, WatermarkGenerator, Watermarks,
    WindowFiring, WindowRecord, WindowResult,
};
pub use slotflow_runtime as runtime;
pub use slotflow_runtime::{
    Config, Context, Error, Job, JobReport, Key, Operator, Output, Owned, Result, Routed, Slots,
};

/// What a job needs, in one line.
pub mod prelude {
    pub use slotflow_io::{Collected, callback, callback_with, from_iterator, generate};
    pub use slotflow_ops::{
        Aggregate, AsyncIo, BoxedStream, ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger,
        CountEvictor, CountTrigger, DeltaEvictor, EarlyTrigger, Either, Environment, EventTimeTrigger,
        Global, KeyedProcessFunction, KeyedStream, Merge, ProcessContext, ProcessFunction,
        ProcessingTimeTrigger, PurgingTrigger, Request, Session, Sliding, StateDescriptors, Stream,
        TimeEvictor, Timing, Tumbling, Unanswered, WatermarkAlignment, WatermarkGenerator, Watermarks,
        WindowFiring, WindowResult,
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
