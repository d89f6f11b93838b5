//! The process functions of the steps.

use slotflow_ops::{
    BroadcastContext, BroadcastProcessFunction, CoProcessFunction, KeyedProcessFunction, ProcessContext,
    ProcessFunction, StateDescriptors, ValueState,
};
use slotflow_runtime::Routed;

use super::step::{Record, numbered};

/// Keeps what it gets.
pub struct Keep;

impl ProcessFunction<Record> for Keep {
    type Out = Record;
    fn process(&mut self, record: Record, ctx: &mut ProcessContext<'_, (), Record>) {
        ctx.push(record);
    }
}

impl CoProcessFunction<(), Record, Record> for Keep {
    type Out = Record;
    fn process_first(&mut self, record: Record, ctx: &mut ProcessContext<'_, (), Record>) {
        ctx.push(record);
    }
    fn process_second(&mut self, record: Record, ctx: &mut ProcessContext<'_, (), Record>) {
        ctx.push(record);
    }
}

/// Sends odd keys aside.
pub struct Sides;

impl ProcessFunction<Record> for Sides {
    type Out = Routed<Record, Record>;
    fn process(&mut self, record: Record, ctx: &mut ProcessContext<'_, (), Self::Out>) {
        if record.0.is_multiple_of(2) { ctx.main(record) } else { ctx.side(record) }
    }
}

/// Numbers equal records.
pub struct Count(ValueState<u64>);

impl Count {
    pub fn open(states: &mut StateDescriptors<'_>) -> Count {
        Count(states.value("count"))
    }
}

impl KeyedProcessFunction<Record, Record> for Count {
    type Out = Record;
    fn process(&mut self, record: Record, ctx: &mut ProcessContext<'_, Record, Record>) {
        let count = self.0.value_or_default(ctx);
        *count += 1;
        let count = *count;
        ctx.push(numbered(record, count));
    }
}

/// Keeps the records of the first stream.
pub struct Ruled;

impl BroadcastProcessFunction<Record, Record, Record> for Ruled {
    type Out = Record;
    type Broadcast = u64;
    fn process(&mut self, record: Record, _: &u64, ctx: &mut ProcessContext<'_, Record, Record>) {
        ctx.push(record);
    }
    fn process_broadcast(&mut self, _: Record, seen: &mut u64, _: &mut BroadcastContext<'_, Record>) {
        *seen += 1;
    }
}
