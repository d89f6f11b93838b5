//! An allocator that counts, for tests of what must not allocate.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, with a count for each thread. A test binary that makes it its own can
/// [`assert_no_alloc`].
///
/// ```
/// use slotflow_runtime::testing::{CountingAllocator, allocations, assert_no_alloc};
///
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator;
///
/// let mut numbers = Vec::with_capacity(2);
/// assert_no_alloc(|| numbers.extend([1, 2]));
/// let before = allocations();
/// numbers.push(3);
/// assert_eq!(allocations() - before, 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CountingAllocator;

fn count_one() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is passed on to the system's allocator; counting touches a constant-initialised thread local
// without a destructor, which allocates nothing itself.
unsafe impl GlobalAlloc for CountingAllocator {
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

/// How often this thread has allocated since it began, or has made what it had larger; 0 for ever without a
/// [`CountingAllocator`].
pub fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Calls `call` and gives what it gives. What other threads do meanwhile does not count: to look into a job, compare
/// two counts of [`allocations`] from one of its operators.
///
/// # Panics
/// `call` has allocated on this thread; or nobody counts, as the test's binary has no [`CountingAllocator`].
#[track_caller]
pub fn assert_no_alloc<X>(call: impl FnOnce() -> X) -> X {
    let before = allocations();
    drop(black_box(Box::new(before)));
    assert_ne!(
        allocations(),
        before,
        "nobody counts: `#[global_allocator] static ALLOCATOR: CountingAllocator = CountingAllocator;`"
    );
    let before = allocations();
    let given = call();
    let allocated = allocations() - before;
    assert_eq!(allocated, 0, "it has allocated {allocated} times");
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "nobody counts")]
    fn without_the_allocator_nothing_is_asserted() {
        assert_no_alloc(|| ());
    }
}
