//! A server that is asked again and again, with pauses.

use std::time::Duration;

use slotflow_runtime::Clock;

use super::server::{Failure, Link, Server};
use crate::frames::Gone;
use crate::net::{Backoff, Open};

/// How long connecting, and each answer, may take unless it is said otherwise.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// How a subtask's thread is connected.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    pub timeout: Duration,
    pub give_up_after: Option<Duration>,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { timeout: TIMEOUT, give_up_after: None }
    }
}

/// Why work on a connection ends before it is done.
pub(super) enum Stop {
    /// Nobody reads or writes any more.
    Gone,
    Failed(Failure),
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Stop {
        Stop::Gone
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

/// The connection of one subtask's thread: made when it is asked for, and again behind a failure that may pass.
pub(super) struct Tries {
    server: Server,
    timeout: Duration,
    open: Open,
    backoff: Backoff,
    link: Option<Link>,
}

impl Tries {
    pub fn new(server: Server, patience: &Patience, open: Open, clock: Clock) -> Tries {
        let backoff = Backoff::new(patience.give_up_after, clock);
        Tries { server, timeout: patience.timeout, open, backoff, link: None }
    }

    /// Does `work` on a connection, on a new one behind each failure that may pass; a `work` that returns is done.
    pub fn until_done(
        &mut self,
        mut work: impl FnMut(&mut Link, &mut Backoff) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        while !self.open.has_ended() {
            let connected = match self.link.take() {
                Some(link) => Ok(link),
                None => self.server.connect(self.timeout),
            };
            let done = connected.map_err(Stop::Failed).and_then(|mut link| {
                work(&mut link, &mut self.backoff)?;
                Ok(link)
            });
            match done {
                Ok(link) => {
                    self.backoff.reset();
                    self.link = Some(link);
                    return Ok(());
                }
                Err(Stop::Gone) => return Err(Stop::Gone),
                Err(Stop::Failed(failure)) => self.wait(failure)?,
            }
        }
        Err(Stop::Gone)
    }

    /// Pauses behind a failure that may pass.
    fn wait(&mut self, failure: Failure) -> Result<(), Stop> {
        let pause = if failure.passes { self.backoff.pause() } else { None };
        let Some(pause) = pause else { return Err(Stop::Failed(failure)) };
        tracing::warn!("{failure}; it is tried again in {pause:?}");
        self.open.pause(pause);
        Ok(())
    }
}
