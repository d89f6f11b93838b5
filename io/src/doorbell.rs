//! How a thread of the host waits for a slot.
//!
//! # The protocol
//!
//! 1. The host notes its thread, sets `waiting`, passes a `fence(SeqCst)`, looks for what it waits
//!    for once more, and parks only if there is still nothing.
//! 2. The slot publishes, passes a `fence(SeqCst)` and looks at `waiting`.
//! 3. If it is set the slot clears it and unparks the thread; the token that `unpark` leaves covers
//!    the time between the host's look and its sleep.
//!
//! The fences make it impossible that both miss each other, as for the slots' own sleep. The slot
//! takes the lock only when somebody waits.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// One waiting thread's bell.
#[derive(Debug, Default)]
pub(crate) struct Doorbell {
    waiting: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

impl Doorbell {
    /// Step 1: waits until `look` finds something, or until `timeout` has passed.
    pub(crate) fn wait<X>(&self, timeout: Duration, mut look: impl FnMut() -> Option<X>) -> Option<X> {
        let began = Instant::now();
        loop {
            *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::current());
            self.waiting.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            let found = look();
            let left = timeout.saturating_sub(began.elapsed());
            if found.is_some() || left.is_zero() {
                self.waiting.store(false, Ordering::Relaxed);
                return found;
            }
            thread::park_timeout(left);
        }
    }

    /// Steps 2 and 3, behind what was published.
    pub(crate) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) && self.waiting.swap(false, Ordering::AcqRel) {
            let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).clone();
            thread.iter().for_each(Thread::unpark);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn a_ring_is_never_missed() {
        let (bell, count) = (Doorbell::default(), AtomicU64::new(0));
        let reached = |goal| move |count: u64| (count >= goal).then_some(count);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    count.fetch_add(1, Ordering::Relaxed);
                    bell.ring();
                }
            });
            for goal in 1..=10_000 {
                let look = || reached(goal)(count.load(Ordering::Relaxed));
                bell.wait(Duration::MAX, look).unwrap();
            }
        });
    }

    #[test]
    fn nothing_comes_of_a_timeout() {
        assert_eq!(Doorbell::default().wait(Duration::from_micros(10), || None::<()>), None);
    }
}
