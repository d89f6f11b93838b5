//! Once it is warm, the engine allocates nothing for a record. An allocator that counts is `unsafe`.

#![allow(unsafe_code)]

mod numbers;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use numbers::Watch;

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

/// Allocations while a source subtask is watched, of all source subtasks of all runs.
static ALLOCATED: AtomicU64 = AtomicU64::new(0);

/// Counts the allocations of the thread while it is watched.
#[derive(Clone)]
struct Counted {
    before: u64,
}

impl Watch for Counted {
    fn begin(&mut self) {
        self.before = ALLOCATIONS.with(Cell::get);
    }

    fn end(&mut self) {
        ALLOCATED.fetch_add(ALLOCATIONS.with(Cell::get) - self.before, Relaxed);
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
