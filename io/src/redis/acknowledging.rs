//! The committer of a source of Redis streams: acknowledges entries by their ids.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use slotflow_runtime::{Committer, Offsets, Result};

use super::held::Held;
use super::reading::{IDS, Of, acknowledge};
use super::server::{Failure, Link, Server};

/// How long the job's own thread waits at first for connecting and for an answer while the job runs (a guess: it looks
/// after draining, too, and what could not be acknowledged waits for the next time). A server that is slower than that
/// would be asked in vain for ever, so each time in vain it waits twice as long.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// The pause between two tries at the end of the job (a guess).
const PAUSE: Duration = Duration::from_millis(50);

/// Acknowledges what one subtask holds, on a connection of its own: that of the reading thread waits for entries.
pub(super) struct Acknowledging {
    pub server: Server,
    pub group: Arc<str>,
    pub of: Vec<Of>,
    pub held: Arc<Held>,
    /// How long the end of the job may wait, and each answer at most.
    pub timeout: Duration,
    /// How often in a row the server was asked in vain.
    pub in_vain: u32,
    pub link: Option<Link>,
    /// The last offsets, while the server does not have all of them.
    pub unsaved: Offsets,
    /// Disconnected once the thread that reads asks for nothing more.
    pub asking: Receiver<Infallible>,
}

impl Acknowledging {
    /// How long to wait now.
    fn answer_timeout(&self) -> Duration {
        ANSWER_TIMEOUT.saturating_mul(1 << self.in_vain.min(16)).min(self.timeout)
    }

    fn acknowledge(&mut self, timeout: Duration) -> std::result::Result<(), Failure> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.server.connect(timeout)?,
        };
        for (split, offset) in &self.unsaved {
            let Some(of) = self.of.iter().find(|of| of.split == *split) else { continue };
            // What one answer is for need not be acknowledged again when the next one does not come.
            let some = || Some(self.held.before(*split, *offset, IDS)).filter(|ids| !ids.is_empty());
            while let Some(ids) = some() {
                acknowledge(&mut link, &self.group, &of.stream, &ids)?;
                self.held.forget(*split, ids.len());
            }
        }
        self.unsaved.clear();
        self.link = Some(link);
        Ok(())
    }
}

impl Committer for Acknowledging {
    fn commit(&mut self, offsets: &Offsets) -> Result<()> {
        self.unsaved.clone_from(offsets);
        match self.acknowledge(self.answer_timeout()) {
            Ok(()) => {
                self.in_vain = 0;
                Ok(())
            }
            Err(failure) if failure.passes => {
                self.in_vain += 1;
                tracing::warn!("{failure}; entries are acknowledged later");
                Ok(())
            }
            Err(failure) => Err(failure.into_error()),
        }
    }

    /// What is not acknowledged now comes again at the next start: that looks for it once, so nothing may be given to
    /// this consumer behind its job's end.
    fn finish(&mut self) -> Result<()> {
        let began = Instant::now();
        while !self.unsaved.is_empty() {
            let left = self.timeout.saturating_sub(began.elapsed());
            match self.acknowledge(left.max(PAUSE)) {
                Err(failure) if !failure.passes || left.is_zero() => return Err(failure.into_error()),
                Err(_) => std::thread::sleep(PAUSE),
                Ok(()) => {}
            }
        }
        // Nothing is ever sent: it is disconnected, or the server does not answer in its time.
        if let Err(RecvTimeoutError::Timeout) = self.asking.recv_timeout(self.timeout) {
            tracing::warn!(
                "a Redis server does not answer; what it gives yet is read when it has been idle for long"
            );
        }
        Ok(())
    }
}
