//! Reads one connection, on a thread of its own.

use std::sync::Arc;

use slotflow_runtime::{Error, SplitId};

use super::connection::Connection;
use super::counts::{Count, SocketCounts};
use crate::frames::{Cutter, Feeder, Framing, Gone, Piece, Range};

/// What all connections of a subtask have in common.
#[derive(Clone)]
pub(super) struct Reading {
    pub framing: Framing,
    pub malformed: OnMalformed,
    pub to: Feeder<Piece>,
    pub counts: SocketCounts,
}

/// What becomes of a connection on which something is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnMalformed {
    FailJob,
    CloseConnection,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The far end has closed it.
    Closed,
    /// It broke, or was closed here.
    Broken,
}

impl Reading {
    /// Reads until the connection ends, and says how it did and how many bytes of frames it gave.
    ///
    /// # Errors
    /// Nobody wants it any more.
    pub fn read(
        &self,
        split: SplitId,
        origin: &str,
        connection: &mut Connection,
    ) -> Result<(Ended, u64), Gone> {
        self.counts.add_connected();
        self.to.give(Piece::Come(split))?;
        let origin: Arc<str> = origin.into();
        let mut cutter = Cutter::new(self.framing, split, origin, Range::ALL);
        let ended = self.read_all(&mut cutter, connection)?;
        self.to.give(Piece::Go(split))?;
        Ok((ended, cutter.offset()))
    }

    fn read_all(&self, cutter: &mut Cutter, connection: &mut Connection) -> Result<Ended, Gone> {
        loop {
            match cutter.read(connection) {
                Ok(0) => return self.finish(cutter),
                Ok(_) => {}
                Err(error) => {
                    self.counts.warn(Count::Lost, &format!("{} is lost: {error}", cutter.origin()));
                    self.tear(cutter);
                    return Ok(Ended::Broken);
                }
            }
            if let Err(error) = self.give_whole(cutter)? {
                self.refuse(error)?;
                return Ok(Ended::Broken);
            }
        }
    }

    fn give_whole(&self, cutter: &mut Cutter) -> Result<Result<(), Error>, Gone> {
        loop {
            match cutter.take() {
                Ok(Some(block)) => self.to.give(Piece::Block(block))?,
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// The far end has closed it: half a line is a line then, as at the end of a file.
    fn finish(&self, cutter: &mut Cutter) -> Result<Ended, Gone> {
        if !self.framing.are_lines() {
            self.tear(cutter);
        } else if let Some(half) = cutter.take_half() {
            self.to.give(Piece::Block(half))?;
        }
        Ok(Ended::Closed)
    }

    fn tear(&self, cutter: &Cutter) {
        if cutter.half() > 0 {
            self.counts.warn(Count::Torn, &cutter.torn().to_string());
        }
    }

    fn refuse(&self, error: Error) -> Result<(), Gone> {
        match self.malformed {
            OnMalformed::FailJob => self.to.give(Piece::Failed(error)),
            OnMalformed::CloseConnection => {
                self.counts.warn(Count::Malformed, &format!("a connection is closed: {error}"));
                Ok(())
            }
        }
    }
}
