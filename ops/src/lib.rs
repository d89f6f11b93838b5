//! The typed API of slotflow: streams and their operators.
//!
//! One operator, one file, its [`Stream`] method beside it. A [`Stream`] is a description: nothing
//! runs before [`Environment::run`].

#![forbid(unsafe_code)]
// A pipeline's type is as long as the pipeline; an alias for each method would only hide it.
#![allow(clippy::type_complexity)]

mod alarm;
mod async_io;
mod boxed;
mod co_flat_map;
mod co_map;
mod connect;
mod environment;
mod fallible;
mod filter;
mod filter_map;
mod flat_map;
mod flat_map_with;
mod fold_at_end;
mod inspect;
mod join;
mod keyed;
mod made;
mod map;
mod partition;
mod patterns;
mod process;
mod sink;
mod split;
mod state;
mod stream;
mod tally;
mod tee_with;
mod time;
mod union;
mod window;

pub use async_io::{Answered, AsyncIo, AsyncLink, AsyncPlan, Outcome, Request, ThenAsync, Unanswered};
pub use boxed::BoxedStream;
pub use co_flat_map::CoFlatMap;
pub use co_map::CoMap;
pub use connect::{Connected, Either};
pub use environment::Environment;
pub use fallible::{Fail, OnError, Skip, TryFilter, TryFlatMap, TryMap};
pub use filter::Filter;
pub use filter_map::FilterMap;
pub use flat_map::FlatMap;
pub use flat_map_with::{Collector, FlatMapWith};
pub use fold_at_end::FoldAtEnd;
pub use inspect::Inspect;
pub use join::{AsOfJoin, AsOfJoined, Enrich, Enriched, IntervalJoin, IntervalJoined};
pub use keyed::{
    Aggregate, Aggregated, AsAssigned, Assigned, ByHash, ByKey, ByKeyOrAll, ByReference, ByValue, Fold, Hash,
    HashOrAll, InPlace, KeySelector, KeyedByReference, KeyedFold, KeyedFoldAtEnd, KeyedStream, MapWithState,
    Reduce, Rolled, Rolling, RollingPlan,
};
pub use made::Made;
pub use map::{Map, MapIn};
pub use patterns::{Distinct, Sample, Throttle, Top};
pub use process::{
    BroadcastContext, BroadcastProcess, BroadcastProcessFunction, BroadcastProcessPlan, BroadcastState,
    CoProcess, CoProcessFunction, CoProcessPlan, KeyedProcess, KeyedProcessFunction, Open, PerSubtask,
    PerSubtaskPlan, ProcessContext, ProcessFunction, ProcessPlan, Timer, Unkeyed, broadcast_process,
    co_process, keyed_process, process,
};
pub use sink::Sunk;
pub use split::Split;
pub use state::{
    AggregatingState, ListState, MapState, ReducingState, State, StateBackend, StateDescriptor,
    StateDescriptors, StateSize, Stored, TimeDomain, Ttl, ValueState,
};
pub use stream::{CutBefore, Stream};
pub use tee_with::{Branch, BranchStream, Root};
pub use time::{
    Assigner, BoundedOutOfOrderness, By, Ingested, IngestionTime, PerProducer, Punctuated, SplitLate,
    TimedReader, TimedSource, TimestampAssigner, WatermarkAlignment, WatermarkGenerator, Watermarks,
};
pub use union::{Input, Streams};
pub use window::{
    Aggregating, AlignedWindows, All, AllWindowed, Aside, ByClock, ByPartial, Contents,
    ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountEvictor, CountPlan, CountTrigger,
    CountWindowed, CountWindows, DefaultTrigger, DeltaEvictor, DeltaTrigger, Dropped, DynamicGap,
    DynamicSession, EarlyStream, EarlyTrigger, EventTimeTrigger, Evicted, Evictor, EvictorContext, FixedGap,
    Gap, Gather, Global, InProcessingTime, Joined, Joining, Keep, Late, Listing, Local, LocalPlan, Merge,
    MergingTrigger, OfPartials, OnMerge, Others, Pairs, Partial, PartialOf, Partials, PartialsDropped,
    Phased, Phases, Processed, ProcessingTimeTrigger, ProcessingTimeoutTrigger, PurgingTrigger, Reduced,
    Session, SessionWindows, Sides, Sliding, SlidingCountPlan, SlidingCountWindowed, SlidingCountWindows,
    Span, TimeEvictor, Timing, Trigger, TriggerContext, TriggerResult, TriggeredPlan, TriggeredStream,
    TriggeredWindows, Tumbling, Unevicted, Whole, WindowAssigner, WindowFiring, WindowPlan, WindowRecord,
    WindowResult, WindowedStream, Windows, aggregate_windows,
};
