//! The committer of a source of Redis streams: acknowledges entries by their ids.

use std::sync::Arc;
use std::time::Duration;

use slotflow_runtime::{Committer, Offsets, Result};

use super::held::Held;
use super::reading::{Of, acknowledge};
use super::server::{Failure, Link, Server};

/// How long the job's own thread waits for connecting and for an answer while the job runs (a guess: it looks after
/// draining, too, and what could not be acknowledged waits for the next time).
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// Acknowledges what one subtask holds, on a connection of its own: that of the reading thread waits for entries.
pub(super) struct Acknowledging {
    pub server: Server,
    pub group: Arc<str>,
    pub of: Vec<Of>,
    pub held: Arc<Held>,
    /// How long the end of the job may wait.
    pub timeout: Duration,
    pub link: Option<Link>,
    /// The last offsets, while the server does not have all of them.
    pub unsaved: Offsets,
}

impl Acknowledging {
    fn acknowledge(&mut self, timeout: Duration) -> std::result::Result<(), Failure> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.server.connect(timeout)?,
        };
        for (split, offset) in &self.unsaved {
            let Some(of) = self.of.iter().find(|of| of.split == *split) else { continue };
            acknowledge(&mut link, &self.group, &of.stream, &self.held.before(*split, *offset))?;
            self.held.forget_before(*split, *offset);
        }
        self.unsaved.clear();
        self.link = Some(link);
        Ok(())
    }
}

impl Committer for Acknowledging {
    fn commit(&mut self, offsets: &Offsets) -> Result<()> {
        self.unsaved.clone_from(offsets);
        match self.acknowledge(ANSWER_TIMEOUT) {
            Ok(()) => Ok(()),
            Err(failure) if failure.passes => {
                tracing::warn!("{failure}; entries are acknowledged later");
                Ok(())
            }
            Err(failure) => Err(failure.into_error()),
        }
    }

    /// What is not acknowledged now comes again at the next start.
    fn finish(&mut self) -> Result<()> {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        self.acknowledge(self.timeout).map_err(Failure::into_error)
    }
}
