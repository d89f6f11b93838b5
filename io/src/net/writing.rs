//! Writes to one connection, on a thread of its own.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use slotflow_runtime::{Error, SplitId};

use super::backoff::Backoff;
use super::connecting::Dialling;
use super::connection::Connection;
use crate::frames::{Order, Progress};

/// Writes the blocks of one sink subtask.
pub(super) struct Writing {
    dialling: Dialling,
    orders: Receiver<Order>,
    progress: Arc<Progress>,
    /// The connection, and its place among those that are open.
    connection: Option<(Connection, SplitId)>,
    backoff: Backoff,
}

impl Writing {
    pub fn new(dialling: Dialling, orders: Receiver<Order>, progress: Arc<Progress>) -> Writing {
        let backoff = dialling.backoff();
        Writing { dialling, orders, progress, connection: None, backoff }
    }

    /// Writes until nobody gives any more orders; the connection that was made before the start comes first.
    pub fn run(mut self, made: Option<Connection>) {
        self.connection = made.and_then(|made| self.dialling.note(made).ok().flatten());
        self.connection.iter().for_each(|_| self.dialling.counts.add_connected());
        let (mut blocks, mut barrier) = (0, 0);
        while let Ok(order) = self.orders.recv() {
            match order {
                Order::Write(block) => match self.write(&block) {
                    Ok(true) => blocks += 1,
                    Ok(false) => return,
                    Err(error) => return self.progress.fail(error),
                },
                Order::Barrier(number) => barrier = number,
                Order::Close => {}
            }
            self.progress.arrive(blocks, barrier);
        }
    }

    /// Writes a block to this connection or, if that breaks, to the next; `false` if the end has begun.
    fn write(&mut self, block: &[u8]) -> Result<bool, Error> {
        loop {
            let (mut connection, place) = match self.connection.take() {
                Some(connection) => connection,
                None => match self.dialling.dial(&mut self.backoff)? {
                    Some(dialled) => {
                        self.dialling.counts.add_connected();
                        dialled
                    }
                    None => return Ok(false),
                },
            };
            match connection.write_all(block) {
                Ok(()) => {
                    self.backoff.reset();
                    self.connection = Some((connection, place));
                    return Ok(true);
                }
                Err(error) => {
                    self.dialling.open.remove(place);
                    self.dialling.wait(&mut self.backoff, &error)?;
                }
            }
        }
    }
}
