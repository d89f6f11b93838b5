//! The watchdog: names whoever keeps a core, and pokes cores that should be awake.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::park::Waker;
use super::pulse::{Pulse, Running};
use crate::{Clock, IoCores, Result};

/// A thread that looks at every core's pulse; it ends when this is dropped.
pub struct Watchdog {
    leave: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One core, as the watchdog knows it.
struct Watched {
    pulse: Arc<Pulse>,
    waker: Waker,
    /// The step that was named last: it is named once, not at each look.
    named: Option<Running>,
    /// The rounds it had made at the last look.
    beats: u64,
}

impl Watchdog {
    /// Names each step that takes as long as `stall`, before that has passed.
    pub fn start(
        cores: Vec<(Arc<Pulse>, Waker)>,
        clock: Clock,
        stall: Duration,
        io: &IoCores,
    ) -> Result<Watchdog> {
        let (leave, left) = channel::<()>();
        let mut cores: Vec<Watched> =
            cores.into_iter().map(|(pulse, waker)| Watched::new(pulse, waker)).collect();
        let (look, stall_ns) = intervals(stall);
        let thread = io.spawn("slotflow-watchdog", move || {
            while left.recv_timeout(look) == Err(RecvTimeoutError::Timeout) {
                let now_ns = clock.now_ns();
                cores.iter_mut().for_each(|core| core.look(now_ns, stall_ns));
            }
        })?;
        Ok(Watchdog { leave: Some(leave), thread: Some(thread) })
    }
}

/// The time between two looks, a fifth of `stall`, and after how many nanoseconds a look names a step, four fifths:
/// whenever the step began, the look that names it comes before `stall` has passed.
fn intervals(stall: Duration) -> (Duration, u64) {
    (stall / 5, stall.as_nanos() as u64 * 4 / 5)
}

impl Watched {
    fn new(pulse: Arc<Pulse>, waker: Waker) -> Watched {
        Watched { pulse, waker, named: None, beats: 0 }
    }

    fn look(&mut self, now_ns: u64, stall_ns: u64) {
        match self.pulse.running(now_ns) {
            Some(step) if step.took_ns >= stall_ns => self.stalled(step),
            Some(_) => {}
            None => self.poke_if_lost(),
        }
    }

    /// A core that is awake, in no step, and has made no round since the last look is lost in its
    /// executor.
    fn poke_if_lost(&mut self) {
        let beats = self.pulse.beats();
        if beats == self.beats && !self.waker.is_asleep() {
            self.pulse.poke();
        }
        self.beats = beats;
    }

    fn stalled(&mut self, step: Running) {
        if self.named.as_ref().is_some_and(|named| step.is_step_of(named)) {
            return;
        }
        tracing::warn!(stalled_ms = step.took_ns / 1_000_000, "{} has not returned", step.who);
        self.pulse.note_stall(&step);
        self.named = Some(step);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.leave.take();
        if let Some(thread) = self.thread.take() {
            // It only ever waits for `leave`, which is gone.
            let _ended = thread.join();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::metrics::Stall;
    use crate::slot::Park;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    const WHO: &str = "slot 3, operator \"gate\", subtask 0";

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Pokes(AtomicUsize);

    impl Wake for Pokes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A core that is watched, with the label of a subtask in slot 3, and where it sleeps.
    fn watched() -> (Watched, usize, Arc<Park>) {
        let (pulse, park) = (Arc::new(Pulse::default()), Arc::new(Park::default()));
        let label = pulse.register(3, WHO.into());
        (Watched::new(pulse, Waker::new(park.clone())), label, park)
    }

    fn stalls(core: &Watched, now_ns: u64) -> Vec<(String, u64, u64)> {
        let shown = |Stall { who, count, running_ns }| (who, count, running_ns);
        core.pulse.stalls(3, now_ns).into_iter().map(shown).collect()
    }

    #[test]
    fn a_step_that_has_stalled_is_named_at_the_next_look_and_once() {
        let (mut core, label, _park) = watched();
        core.pulse.stepping(label, 1_000);
        core.look(1_099, 100);
        assert_eq!(stalls(&core, 1_099), []);
        for now_ns in [1_100, 1_101, 1_200] {
            core.look(now_ns, 100);
            assert_eq!(stalls(&core, now_ns), [(WHO.into(), 1, now_ns - 1_000)]);
        }
    }

    #[test]
    fn a_step_that_has_ended_is_not_named() {
        let (mut core, label, _park) = watched();
        core.pulse.stepping(label, 1_000);
        core.pulse.rested();
        core.look(2_000, 100);
        core.pulse.stepping(label, 2_050);
        core.look(2_100, 100);
        assert_eq!(stalls(&core, 2_100), []);
    }

    #[test]
    fn a_step_that_stalls_behind_a_stalled_one_is_named_too_without_a_look_in_between() {
        let (mut core, label, _park) = watched();
        core.pulse.stepping(label, 1_000);
        core.look(1_100, 100);
        core.pulse.stepping(label, 1_150);
        core.look(1_250, 100);
        assert_eq!(stalls(&core, 1_250), [(WHO.into(), 2, 100)]);
    }

    #[test]
    fn whenever_a_step_begins_it_is_named_before_the_time_has_passed() {
        let (look, stall_ns) = intervals(Duration::from_millis(100));
        let (look_ns, end_ns) = (look.as_nanos() as u64, 100_000_000);
        for began_ns in [1, look_ns / 2, look_ns - 1, look_ns] {
            let (mut core, label, _park) = watched();
            core.pulse.stepping(label, began_ns);
            let looks = (1..).map(|number| number * look_ns).take_while(|now_ns| *now_ns < began_ns + end_ns);
            looks.for_each(|now_ns| core.look(now_ns, stall_ns));
            assert_eq!(stalls(&core, began_ns + end_ns), [(WHO.into(), 1, end_ns)], "began at {began_ns}");
        }
    }

    #[test]
    fn a_core_that_is_awake_and_makes_no_round_is_poked_and_no_other() {
        let (mut core, label, park) = watched();
        let pokes = Arc::new(Pokes::default());
        core.pulse.set_poke(pokes.clone().into());
        let poked = |core: &mut Watched| {
            let before = pokes.0.load(Ordering::Relaxed);
            core.look(1_001, 100);
            pokes.0.load(Ordering::Relaxed) - before
        };
        core.pulse.rested();
        assert_eq!(poked(&mut core), 0, "it has made a round since the last look");
        assert_eq!(
            [poked(&mut core), poked(&mut core)],
            [1, 1],
            "it is lost, and again if that did not help"
        );
        core.pulse.rested();
        assert_eq!(poked(&mut core), 0, "it is found");
        park.prepare();
        assert_eq!(poked(&mut core), 0, "it sleeps, and whoever has work for it wakes it");
        park.cancel();
        core.pulse.stepping(label, 1_000);
        assert_eq!(poked(&mut core), 0, "it is in a step");
    }
}
