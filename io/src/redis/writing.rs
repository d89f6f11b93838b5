//! The thread that writes for one subtask of a sink.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::tries::{Stop, Tries};
use super::writer::Commands;
use crate::frames::{Order, Progress};

/// Writes the blocks of one sink subtask.
pub(super) struct Writing {
    pub tries: Tries,
    pub orders: Receiver<Order<Commands>>,
    pub progress: Arc<Progress>,
}

impl Writing {
    /// Writes until nobody gives any more orders. A block has arrived when the server has answered each of its
    /// commands; until then all of it is written again.
    pub fn run(mut self) {
        let (mut blocks, mut barrier) = (0, 0);
        while let Ok(order) = self.orders.recv() {
            match order {
                Order::Write(Commands { bytes, count }) => {
                    let write =
                        self.tries.until_done(|link, _| link.ask_all(&bytes, count).map_err(Stop::Failed));
                    match write {
                        Ok(()) => blocks += 1,
                        Err(Stop::Gone) => return,
                        Err(Stop::Failed(failure)) => return self.progress.fail(failure.into_error()),
                    }
                }
                Order::Barrier(number) => barrier = number,
                Order::Close => {}
            }
            self.progress.arrive(blocks, barrier);
        }
    }
}
