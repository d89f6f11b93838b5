//! Keyed state of known keys, and timers, allocate nothing. An allocator that counts is `unsafe`.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use slotflow::prelude::*;
use slotflow::testing::{Harness, keyed_process};
use slotflow::{ReducingState, StateDescriptor, Timer, Ttl, ValueState};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count_one() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is passed on to the system's allocator; counting touches a constant-initialised
// thread local without a destructor, which allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the system's.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_one();
        // SAFETY: the caller's promise is the system's.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Counts and adds up, and puts its timer off at each record.
struct Busy {
    seen: ValueState<u64>,
    sum: ReducingState<u64>,
    due: ValueState<i64>,
}

impl Busy {
    fn open(states: &mut StateDescriptors<'_>) -> Busy {
        let ttl = Ttl::event_time(std::time::Duration::from_millis(500));
        let seen = StateDescriptor::new("seen").ttl(ttl.renewed_by_reads());
        Busy {
            seen: states.value(seen),
            sum: states.reducing("sum", |sum, n| sum + n),
            due: states.value("due"),
        }
    }
}

impl KeyedProcessFunction<u64, u64> for Busy {
    type Out = u64;

    fn process(&mut self, n: u64, ctx: &mut ProcessContext<'_, u64, u64>) {
        *self.seen.value_or_default(ctx) += 1;
        self.sum.add(ctx, n);
        let due = ctx.timestamp() + 100;
        if let Some(before) = self.due.set(ctx, due) {
            ctx.delete_event_time_timer(before);
        }
        ctx.register_event_time_timer(due);
    }

    fn on_timer(&mut self, _: Timer, ctx: &mut ProcessContext<'_, u64, u64>) {
        self.sum.take(ctx);
    }
}

/// Allocations of a round over `keys` keys that are known, with a watermark behind it.
fn allocated(
    harness: &mut Harness<u64, u64, impl Operator<Owned<u64>, Out = Owned<u64>>>,
    round: u64,
) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    for n in 0..5_000 {
        harness.push_at(n, (round * 5_000 + n) as i64).expect("it does not fail");
    }
    harness.watermark((round * 5_000 + 4_000) as i64).expect("it does not fail");
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn states_of_known_keys_and_timers_allocate_nothing() {
    let mut harness = Harness::new(keyed_process(|n: &u64| n % 1_000, Busy::open)).expect("it can be built");
    let rounds: Vec<u64> = (0..8).map(|round| allocated(&mut harness, round)).collect();
    assert!(rounds[0] > 0, "the first round makes its keys");
    assert_eq!(rounds[3..], [0; 5], "{rounds:?}");
}
