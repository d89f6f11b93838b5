//! Once it is warm, the engine allocates nothing for a record.

mod numbers;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use numbers::Watch;
use slotflow_runtime::testing::{CountingAllocator, allocations, assert_no_alloc};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Allocations while a source subtask is watched, of all source subtasks of all runs.
static ALLOCATED: AtomicU64 = AtomicU64::new(0);

/// Counts the allocations of the thread while it is watched.
#[derive(Clone)]
struct Counted {
    before: u64,
}

impl Watch for Counted {
    fn begin(&mut self) {
        self.before = allocations();
    }

    fn end(&mut self) {
        ALLOCATED.fetch_add(allocations() - self.before, Relaxed);
    }
}

fn allocated(parallelism: usize, seed: u64) -> u64 {
    let before = ALLOCATED.load(Relaxed);
    numbers::run(parallelism, seed, Counted { before: 0 });
    ALLOCATED.load(Relaxed) - before
}

#[test]
fn a_warm_engine_allocates_nothing_for_a_record() {
    let chain = allocated(1, 1);
    let exchanges: Vec<u64> = (0..3).map(|seed| allocated(2, seed)).collect();
    assert_eq!((chain, exchanges), (0, vec![0; 3]));
}

#[test]
#[should_panic(expected = "it has allocated 1 times")]
fn what_allocates_is_found() {
    assert_no_alloc(|| drop(std::hint::black_box(Box::new(7))));
}
