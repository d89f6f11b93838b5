//! A process function that does what its records say and tells what it sees.

use std::time::Duration;

use slotflow::prelude::*;
use slotflow::{ListState, StateDescriptor, TimeDomain, Timer, Ttl, ValueState};

/// How long the probe's value lives.
pub const TTL_MS: i64 = 10;

/// What a record says.
#[derive(Clone, Debug)]
pub enum Op {
    Set(u64),
    Read,
    Clear,
    Add(u64),
    Timer(i64),
    Delete(i64),
    /// A timer in processing time.
    Clocked(i64),
    Unclock(i64),
}

/// What the probe tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Given {
    /// Key, value and list.
    Read(u64, Option<u64>, Vec<u64>),
    /// When, in processing time or not, whose, and the value then.
    Fired(i64, bool, u64, Option<u64>),
}

impl Given {
    pub fn time(&self) -> Option<(i64, bool)> {
        match self {
            Given::Read(..) => None,
            Given::Fired(time, clocked, ..) => Some((*time, *clocked)),
        }
    }
}

/// See [`Op`] and [`Given`].
pub struct Probe {
    value: ValueState<u64>,
    list: ListState<u64>,
}

impl Probe {
    pub fn open(states: &mut StateDescriptors<'_>) -> Probe {
        let ttl = Ttl::event_time(Duration::from_millis(TTL_MS as u64));
        Probe { value: states.value(StateDescriptor::new("value").ttl(ttl)), list: states.list("list") }
    }
}

impl KeyedProcessFunction<u64, (u64, Op)> for Probe {
    type Out = Given;

    fn process(&mut self, (_, op): (u64, Op), ctx: &mut ProcessContext<'_, u64, Given>) {
        match op {
            Op::Set(value) => drop(self.value.set(ctx, value)),
            Op::Clear => {
                self.value.clear(ctx);
                self.list.take(ctx);
            }
            Op::Add(value) => self.list.add(ctx, value),
            Op::Timer(time) => drop(ctx.register_event_time_timer(time)),
            Op::Delete(time) => drop(ctx.delete_event_time_timer(time)),
            Op::Clocked(time) => drop(ctx.register_processing_time_timer(time)),
            Op::Unclock(time) => drop(ctx.delete_processing_time_timer(time)),
            Op::Read => {
                let (value, list) = (self.value.value(ctx).copied(), self.list.values(ctx).to_vec());
                ctx.push(Given::Read(*ctx.key(), value, list));
            }
        }
    }

    /// Some timers register another one, later or earlier than themselves.
    fn on_timer(&mut self, timer: Timer, ctx: &mut ProcessContext<'_, u64, Given>) {
        let value = self.value.value(ctx).copied();
        let clocked = timer.domain == TimeDomain::ProcessingTime;
        ctx.push(Given::Fired(timer.time, clocked, *ctx.key(), value));
        if !clocked && timer.time % 3 == 0 {
            ctx.register_event_time_timer(timer.time + 2);
        }
        if !clocked && timer.time % 5 == 0 {
            ctx.register_event_time_timer(timer.time - 1);
        }
    }
}
