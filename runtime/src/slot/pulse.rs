//! A core's sign of life, for the watchdog.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task;

use crate::metrics::Stall;

/// What a core is doing: written by the core, two stores a step, and read by the watchdog.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Pulse {
    /// When the running step began; 0 between rounds.
    began_ns: AtomicU64,
    /// Whose step it is, by its number in `labels`.
    label: AtomicUsize,
    /// The core's subtasks; the place of one that has gone is free for the next.
    labels: Mutex<Vec<Option<Label>>>,
    /// The core's thread, as the system numbers it.
    thread: Mutex<Option<String>>,
    /// Counts rounds.
    beats: AtomicU64,
    /// Wakes the future that turns the core, where there is one.
    poke: Mutex<Option<task::Waker>>,
}

/// A subtask and its stalls.
#[derive(Debug)]
struct Label {
    slot: usize,
    who: Arc<str>,
    stalls: u64,
    /// When the step began that was the last to be named.
    stalled_ns: u64,
}

/// A step under way.
#[derive(Clone, Debug)]
pub struct Running {
    /// Slot, operator and number of its subtask.
    pub who: Arc<str>,
    /// For how long.
    pub took_ns: u64,
    label: usize,
    began_ns: u64,
}

impl Running {
    /// Whether that was this step, some time ago.
    pub fn is_step_of(&self, earlier: &Running) -> bool {
        (self.label, self.began_ns) == (earlier.label, earlier.began_ns)
    }
}

impl Pulse {
    /// Gives a subtask of a slot the number under which its steps are announced.
    pub fn register(&self, slot: usize, who: String) -> usize {
        let label = Some(Label { slot, who: who.into(), stalls: 0, stalled_ns: 0 });
        let mut labels = self.labels();
        match labels.iter_mut().position(|place| place.is_none()) {
            Some(place) => {
                labels[place] = label;
                place
            }
            None => {
                labels.push(label);
                labels.len() - 1
            }
        }
    }

    /// The subtask of that number has gone.
    pub fn forget(&self, label: usize) {
        self.labels()[label] = None;
    }

    fn labels(&self) -> MutexGuard<'_, Vec<Option<Label>>> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a number stands for.
    pub fn label(&self, label: usize) -> Arc<str> {
        let labels = self.labels();
        labels
            .get(label)
            .and_then(Option::as_ref)
            .map_or_else(|| "somebody".into(), |label| label.who.clone())
    }

    /// A step begins, or whatever else of the user's may keep the core.
    #[inline]
    pub fn stepping(&self, label: usize, now_ns: u64) {
        self.label.store(label, Relaxed);
        self.began_ns.store(now_ns, Relaxed);
    }

    /// A round is over, or what was announced before it.
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
    #[cfg(any(feature = "glommio", test))]
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

    /// The step has been named as a stall.
    pub fn note_stall(&self, stalled: &Running) {
        if let Some(Some(label)) = self.labels().get_mut(stalled.label) {
            label.stalls += 1;
            label.stalled_ns = stalled.began_ns;
        }
    }

    /// The stalls of a slot's present subtasks.
    pub fn stalls(&self, slot: usize, now_ns: u64) -> Vec<Stall> {
        let running = self.running(now_ns);
        let of = |label: &Label| {
            let now = running.as_ref().filter(|now| now.began_ns == label.stalled_ns && now.who == label.who);
            let running_ns = now.map_or(0, |now| now.took_ns);
            Stall { who: label.who.to_string(), count: label.stalls, running_ns }
        };
        let labels = self.labels();
        labels.iter().flatten().filter(|label| label.slot == slot && label.stalls > 0).map(of).collect()
    }

    /// Who has been running for how long, if anybody is.
    pub fn running(&self, now_ns: u64) -> Option<Running> {
        let began_ns = self.began_ns.load(Relaxed);
        if began_ns == 0 {
            return None;
        }
        let label = self.label.load(Relaxed);
        let who = self.labels().get(label)?.as_ref()?.who.clone();
        Some(Running { who, took_ns: now_ns.saturating_sub(began_ns), label, began_ns })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_belongs_to_its_slot_and_ends_with_its_step() {
        let pulse = Pulse::default();
        let (_other, stuck) = (pulse.register(0, "other".into()), pulse.register(1, "stuck".into()));
        pulse.stepping(stuck, 100);
        pulse.note_stall(&pulse.running(150).unwrap());
        let stall = Stall { who: "stuck".into(), count: 1, running_ns: 60 };
        assert_eq!((pulse.stalls(1, 160), pulse.stalls(0, 160)), (vec![stall], Vec::new()));
        pulse.stepping(stuck, 170);
        assert_eq!(pulse.stalls(1, 180)[0].running_ns, 0, "this is another step");
    }

    #[test]
    fn a_place_is_free_once_its_subtask_has_gone() {
        let pulse = Pulse::default();
        let first = pulse.register(0, "first".into());
        pulse.forget(first);
        assert_eq!(pulse.register(0, "second".into()), first);
        pulse.stepping(first, 1);
        assert_eq!(&*pulse.running(2).unwrap().who, "second");
    }
}
