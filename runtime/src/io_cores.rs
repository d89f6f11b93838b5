//! Where threads that are no slots run: librdkafka's, the job's own, the watchdog.

use std::thread::{self, Builder};

use crate::machine::{Cpus, affinity};
use crate::{Error, Result};

/// The CPUs for threads that may wait. A thread inherits the mask of the one that makes it, so a
/// client library must be opened, used and closed on a thread of these, or its own threads end up on
/// a slot's core.
#[derive(Clone, Debug, Default)]
pub struct IoCores {
    /// `None` leaves the mask as it is.
    cpus: Option<Cpus>,
}

impl IoCores {
    /// Threads on these CPUs.
    pub fn on(cpus: Cpus) -> IoCores {
        IoCores { cpus: Some(cpus) }
    }

    /// The CPUs, if they are restricted.
    pub fn cpus(&self) -> Option<&Cpus> {
        self.cpus.as_ref()
    }

    /// Runs `work` on a thread of its own and waits for it. Never call this from a slot.
    pub fn run<X: Send>(&self, work: impl FnOnce() -> X + Send) -> Result<X> {
        self.run_beside(work, || ()).0
    }

    /// Runs `work` as [`run`](IoCores::run) does, and `meanwhile` on the thread that calls it.
    pub fn run_beside<X: Send, Y>(
        &self,
        work: impl FnOnce() -> X + Send,
        meanwhile: impl FnOnce() -> Y,
    ) -> (Result<X>, Y) {
        thread::scope(|scope| {
            let thread = Builder::new().name("slotflow-io".into()).spawn_scoped(scope, || {
                self.enter();
                work()
            });
            let meanwhile = meanwhile();
            let outcome = thread.map_err(no_thread).and_then(|thread| thread.join().map_err(Error::panicked));
            (outcome, meanwhile)
        })
    }

    /// Starts a thread that does `work`.
    pub fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>> {
        let here = self.clone();
        // The name can be the user's, and the system refuses some.
        let thread = Builder::new().name(name.replace('\0', " ")).spawn(move || {
            here.enter();
            work();
        });
        thread.map_err(no_thread)
    }

    fn enter(&self) {
        if let Some(cpus) = &self.cpus
            && let Err(error) = affinity::set_current_mask(cpus)
        {
            tracing::warn!("an I/O thread stays where it is: {error}");
        }
    }
}

pub(crate) fn no_thread(error: std::io::Error) -> Error {
    Error::world(format!("a thread cannot be made: {error}"), "raise the limit of threads (ulimit -u)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_cannot_be_had_names_the_limit() {
        assert_eq!(
            no_thread(std::io::Error::other("try again")).to_string(),
            "a thread cannot be made: try again; raise the limit of threads (ulimit -u)"
        );
    }
}
