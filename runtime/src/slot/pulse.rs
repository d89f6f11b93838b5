//! A core's sign of life, for the watchdog.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task;

/// What a core is doing: written by the core, two stores a step, and read by the watchdog.
#[derive(Debug, Default)]
pub struct Pulse {
    /// When the running step began; 0 between rounds.
    began_ns: AtomicU64,
    /// Whose step it is, by its number in `labels`.
    label: AtomicUsize,
    /// The subtasks this core has ever had; grows only when a job is deployed.
    labels: Mutex<Vec<Arc<str>>>,
    /// The core's thread, as the system numbers it.
    thread: Mutex<Option<String>>,
    /// Counts rounds.
    beats: AtomicU64,
    /// Wakes the future that turns the core, where there is one.
    poke: Mutex<Option<task::Waker>>,
    /// The last stall that was named, and how many there were.
    stalls: Mutex<(u64, Option<String>)>,
}

impl Pulse {
    /// Gives a subtask the number under which its steps are announced.
    pub fn register(&self, label: &str) -> usize {
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        labels.push(label.into());
        labels.len() - 1
    }

    /// What a number stands for.
    pub fn label(&self, label: usize) -> Arc<str> {
        let labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        labels.get(label).cloned().unwrap_or_else(|| "somebody".into())
    }

    /// A step begins.
    #[inline]
    pub fn stepping(&self, label: usize, now_ns: u64) {
        self.label.store(label, Relaxed);
        self.began_ns.store(now_ns, Relaxed);
    }

    /// A round is over.
    #[inline]
    pub fn rested(&self) {
        self.began_ns.store(0, Relaxed);
        self.beats.store(self.beats.load(Relaxed) + 1, Relaxed);
    }

    /// How many rounds there have been.
    pub fn beats(&self) -> u64 {
        self.beats.load(Relaxed)
    }

    /// The core is turned by a future that this wakes.
    #[cfg(feature = "glommio")]
    pub fn set_poke(&self, waker: task::Waker) {
        *self.poke.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }

    /// Wakes the future that turns the core. At most a few times a second: an executor keeps count of
    /// wakes it has not seen yet in 16 bits.
    pub fn poke(&self) {
        if let Some(waker) = &*self.poke.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    /// A stall has been named.
    pub fn note_stall(&self, who: &str) {
        let mut stalls = self.stalls.lock().unwrap_or_else(PoisonError::into_inner);
        *stalls = (stalls.0 + 1, Some(who.into()));
    }

    /// How many stalls were named, and the last one.
    pub fn stalls(&self) -> (u64, Option<String>) {
        self.stalls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who has been running for how long, if anybody is.
    pub fn running(&self, now_ns: u64) -> Option<(Arc<str>, u64)> {
        let began_ns = self.began_ns.load(Relaxed);
        if began_ns == 0 {
            return None;
        }
        Some((self.label(self.label.load(Relaxed)), now_ns.saturating_sub(began_ns)))
    }

    /// The calling thread is the core's.
    pub fn enter_thread(&self) {
        let number = std::fs::read_link("/proc/thread-self").ok();
        let number = number.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = number;
    }

    /// How long the core's thread was ready to run but was not let, since it began: the system's own
    /// count (second field of `schedstat`).
    pub fn preempted_ns(&self) -> Option<u64> {
        let number = self.thread.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let text = std::fs::read_to_string(format!("/proc/self/task/{number}/schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse().ok()
    }
}
