//! How a core goes to sleep and is woken.
//!
//! # The protocol
//!
//! Two sides, each with one shared word of the other to look at: the core publishes "asleep", a
//! waker publishes work (a record in a ring, a command, a changed phase).
//!
//! 1. The core, having found nothing to do for a while, sets `asleep`.
//! 2. The core passes a `fence(SeqCst)`.
//! 3. The core looks for work once more, everywhere: every ring, its mailbox, every job's phase.
//! 4. If there is some it clears `asleep` and goes on. Otherwise it sleeps until `asleep` is cleared.
//! 5. A waker publishes its work, passes a `fence(SeqCst)`, and looks at `asleep`.
//! 6. Whoever changes `asleep` from true to false wakes the core, so it is woken once.
//!
//! The two fences make it impossible that both miss each other (Dekker): either the core's second
//! look sees the work, or the waker sees `asleep`. With acquire and release alone both can read the
//! old value, and loom finds that schedule at once (`loom_park` below). `std`'s unpark leaves a token,
//! so a wake between step 4's look and the actual sleep is not lost either.

#[cfg(not(loom))]
use std::{
    sync::OnceLock,
    sync::atomic::{AtomicBool, Ordering, fence},
    thread::{self, Thread},
};

#[cfg(loom)]
use loom::{
    sync::atomic::{AtomicBool, Ordering, fence},
    thread::{self, Thread},
};

use std::sync::Arc;
use std::time::Duration;

#[cfg(loom)]
type Bed = std::sync::Mutex<Option<Thread>>;
#[cfg(not(loom))]
type Bed = OnceLock<Thread>;

/// One core's bed. Padded, since every neighbour looks at it after each of its rounds.
#[repr(align(128))]
#[derive(Debug)]
pub struct Park {
    asleep: AtomicBool,
    /// The thread that sleeps here, known from its first sleep on.
    thread: Bed,
}

impl Default for Park {
    fn default() -> Self {
        Park { asleep: AtomicBool::new(false), thread: Bed::default() }
    }
}

impl Park {
    /// Step 1 and 2: announces the sleep. The caller looks for work once more, then calls
    /// [`sleep`](Park::sleep) or [`cancel`](Park::cancel).
    pub fn prepare(&self) {
        self.remember_thread();
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    #[cfg(not(loom))]
    fn remember_thread(&self) {
        self.thread.get_or_init(thread::current);
    }

    #[cfg(loom)]
    fn remember_thread(&self) {
        *self.thread.lock().expect("one loom thread runs at a time") = Some(thread::current());
    }

    /// Step 4, with work at hand.
    pub fn cancel(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Step 4, with nothing to do: sleeps until woken or until `timeout` has passed.
    pub fn sleep(&self, timeout: Option<Duration>) {
        while self.asleep.load(Ordering::Acquire) {
            match timeout {
                None => thread::park(),
                #[cfg(not(loom))]
                Some(timeout) => {
                    thread::park_timeout(timeout);
                    self.cancel();
                }
                #[cfg(loom)]
                Some(_) => self.cancel(),
            }
        }
    }

    /// Whether the core sleeps or is about to.
    pub fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Acquire)
    }

    /// Step 5 and 6 for a caller that has passed the fence already.
    #[inline]
    fn wake_fenced(&self) {
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            self.unpark();
        }
    }

    #[cfg(not(loom))]
    #[cold]
    fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    #[cfg(loom)]
    fn unpark(&self) {
        if let Some(thread) = &*self.thread.lock().expect("one loom thread runs at a time") {
            thread.unpark();
        }
    }
}

/// Wakes one core. Cheap to clone; call it after the work is published, from any thread.
#[derive(Clone, Debug, Default)]
pub struct Waker(Arc<Park>);

impl Waker {
    /// A waker for the core that sleeps in `park`.
    pub fn new(park: Arc<Park>) -> Waker {
        Waker(park)
    }

    /// Wakes the core if it sleeps: 30 to 75 ns if it does not (the fence), some microseconds if it does.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        self.0.wake_fenced();
    }

    /// Wakes all those that sleep, with one fence for all.
    pub fn wake_all(wakers: &[Waker]) {
        if wakers.is_empty() {
            return;
        }
        fence(Ordering::SeqCst);
        wakers.iter().for_each(|waker| waker.0.wake_fenced());
    }

    /// Whether the core sleeps or is about to.
    pub fn is_asleep(&self) -> bool {
        self.0.is_asleep()
    }

    /// Whether both wake the same core.
    pub fn same_core(&self, other: &Waker) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(all(test, loom))]
mod loom_park {
    use super::*;
    use loom::sync::atomic::AtomicUsize;

    /// A core that takes `work` or sleeps, and a waker that publishes it. A lost wake-up is a
    /// deadlock, which loom reports.
    fn model(prepare: fn(&Park), wake: fn(&Waker)) {
        loom::model(move || {
            let park = Arc::new(Park::default());
            let work = Arc::new(AtomicUsize::new(0));
            let waker = Waker::new(park.clone());
            let publish = work.clone();
            let other = thread::spawn(move || {
                publish.store(1, Ordering::Release);
                wake(&waker);
            });
            while work.load(Ordering::Acquire) == 0 {
                prepare(&park);
                if work.load(Ordering::Acquire) == 1 {
                    park.cancel();
                } else {
                    park.sleep(None);
                }
            }
            other.join().unwrap();
        });
    }

    #[test]
    fn loom_no_wake_is_lost() {
        model(Park::prepare, Waker::wake);
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn loom_rejects_the_protocol_without_its_fences() {
        let prepare = |park: &Park| {
            park.remember_thread();
            park.asleep.store(true, Ordering::Release);
        };
        model(prepare, |waker| waker.0.wake_fenced());
    }
}
