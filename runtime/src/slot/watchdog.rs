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
    /// Whether the present stall has been named already.
    named: bool,
    /// The rounds it had made at the last look.
    beats: u64,
}

impl Watchdog {
    /// Names a step that has taken four fifths of `stall`, and looks five times in that: it is named before `stall`
    /// has passed.
    pub fn start(
        cores: Vec<(Arc<Pulse>, Waker)>,
        clock: Clock,
        stall: Duration,
        io: &IoCores,
    ) -> Result<Watchdog> {
        let (leave, left) = channel::<()>();
        let watched = |(pulse, waker)| Watched { pulse, waker, named: false, beats: 0 };
        let mut cores: Vec<Watched> = cores.into_iter().map(watched).collect();
        let (look, stall_ns) = (stall / 5, stall.as_nanos() as u64 * 4 / 5);
        let thread = io.spawn("slotflow-watchdog", move || {
            while left.recv_timeout(look) == Err(RecvTimeoutError::Timeout) {
                let now_ns = clock.now_ns();
                cores.iter_mut().for_each(|core| core.look(now_ns, stall_ns));
            }
        })?;
        Ok(Watchdog { leave: Some(leave), thread: Some(thread) })
    }
}

impl Watched {
    fn look(&mut self, now_ns: u64, stall_ns: u64) {
        match self.pulse.running(now_ns) {
            Some(step) if step.took_ns >= stall_ns => self.stalled(&step),
            Some(_) => self.named = false,
            None => {
                self.named = false;
                self.poke_if_lost();
            }
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

    fn stalled(&mut self, step: &Running) {
        if !self.named {
            tracing::warn!(
                stalled_ms = step.took_ns / 1_000_000,
                "{} has not returned from its step",
                step.who
            );
            self.pulse.note_stall(step);
        }
        self.named = true;
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
