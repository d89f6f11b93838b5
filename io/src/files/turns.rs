//! A reading thread's splits, one after the other.

use slotflow_runtime::{Error, SplitId};

use crate::frames::{Feeder, Gone, Piece};

/// Why reading stops.
pub(super) enum Stop {
    /// The reader wants no more.
    Gone,
    Failed(Error),
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Stop {
        Stop::Gone
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// Tells the slot what is read, and which split counts for event time meanwhile.
pub(super) struct Turns<B> {
    to: Feeder<Piece<B>>,
    /// The split that was read last, as long as it counts.
    current: Option<SplitId>,
}

impl<B> Turns<B> {
    pub fn new(to: Feeder<Piece<B>>) -> Turns<B> {
        Turns { to, current: None }
    }

    pub fn give(&self, piece: Piece<B>) -> Result<(), Gone> {
        self.to.give(piece)
    }

    /// A split begins to count before the one in front of it ends: event time is not idle in between.
    pub fn come(&mut self, split: SplitId) -> Result<(), Gone> {
        if self.current == Some(split) {
            return Ok(());
        }
        self.give(Piece::Come(split))?;
        self.leave()?;
        self.current = Some(split);
        Ok(())
    }

    pub fn leave(&mut self) -> Result<(), Gone> {
        let gone = self.current.take().map(Piece::Go);
        gone.map_or(Ok(()), |gone| self.give(gone))
    }

    /// The last word.
    pub fn end(&self, outcome: Result<(), Stop>) {
        let last = match outcome {
            Ok(()) => Piece::End,
            Err(Stop::Failed(error)) => Piece::Failed(error),
            Err(Stop::Gone) => return,
        };
        // Who does not want it does not miss it.
        let _ = self.give(last);
    }
}
