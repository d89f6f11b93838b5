//! Waits for connections, on a thread of its own, and gives each a thread.

use std::io;
use std::time::Duration;

use slotflow_runtime::{IoCores, SplitId};

use super::connection::{Connection, Listener};
use super::counts::Count;
use super::open::Open;
use super::reading::Reading;
use crate::frames::Piece;

/// The pause after a connection could not be taken (a guess: a process without descriptors needs time to get some).
const PAUSE: Duration = Duration::from_millis(100);

/// What one subtask listens with.
#[derive(Clone)]
pub(super) struct Accepting {
    pub reading: Reading,
    pub open: Open,
    /// How many connections may be open at once; the others wait in the system's queue.
    pub most: usize,
    pub end: WhenClosed,
    pub io: IoCores,
}

/// What the end of the last connection means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenClosed {
    GoOn,
    End,
}

impl Accepting {
    /// Takes connections until the source ends.
    pub fn run(self, listener: &Listener) {
        self.take_all(listener);
        // Who does not want it does not miss it.
        let _ = self.reading.to.give(Piece::End);
    }

    fn take_all(&self, listener: &Listener) {
        while self.open.wait_for_room(self.most) {
            match listener.accept() {
                Ok((connection, from)) => self.take(connection, from),
                Err(_) if self.open.has_ended() => return,
                Err(error) => self.not_taken(&error),
            }
        }
    }

    fn take(&self, connection: Connection, from: String) {
        let noted = connection.try_clone().map(|noted| self.open.add(noted));
        let split = match noted {
            Ok(Some(split)) => split,
            Ok(None) => return,
            Err(error) => return self.not_taken(&error),
        };
        let here = self.clone();
        let spawned = self.io.spawn("slotflow-socket", move || here.read(split, &from, connection));
        if let Err(error) = spawned {
            self.open.remove(split);
            self.not_taken(&io::Error::other(error));
        }
    }

    fn not_taken(&self, error: &io::Error) {
        self.reading.counts.warn(Count::Lost, &format!("a connection cannot be taken: {error}"));
        self.open.pause(PAUSE);
    }

    fn read(&self, split: SplitId, from: &str, mut connection: Connection) {
        let read = self.reading.read(split, from, &mut connection);
        let last = self.open.remove(split);
        if read.is_ok() && last && self.end == WhenClosed::End {
            self.open.end();
        }
    }
}
