//! From threads that may wait to a slot that may not: a bounded queue, and a wake-up.
//!
//! The threads wait for room in the queue, which is how a slot that does not keep up holds back the outside. A reader
//! that is dropped lets all of them go.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use slotflow_runtime::{Context, Output, Owned, Polled, Waker};

/// What goes in.
pub(crate) struct Feeder<X> {
    to: SyncSender<X>,
    /// Dropped behind the queue's end, so that a slot that is woken finds it closed.
    slot: Slot,
}

/// The slot that reads: woken for each piece, and when nobody is left to give any.
#[derive(Clone)]
struct Slot(Waker);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.wake();
    }
}

impl<X> Clone for Feeder<X> {
    fn clone(&self) -> Self {
        Feeder { to: self.to.clone(), slot: self.slot.clone() }
    }
}

/// Nobody will read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// What comes out.
pub(crate) struct Fed<X>(Receiver<X>);

/// What lies in the queue.
pub(crate) enum Taken<X> {
    One(X),
    Nothing,
    /// All threads have ended.
    Closed,
}

/// A queue for `capacity` pieces (at least 1) in front of the slot of `waker`.
pub(crate) fn feed<X>(capacity: usize, waker: Waker) -> (Feeder<X>, Fed<X>) {
    let (to, from) = sync_channel(capacity.max(1));
    (Feeder { to, slot: Slot(waker) }, Fed(from))
}

impl<X> Feeder<X> {
    /// Waits for room, and wakes the slot.
    pub fn give(&self, piece: X) -> Result<(), Gone> {
        self.to.send(piece).map_err(|_| Gone)?;
        self.slot.0.wake();
        Ok(())
    }
}

/// Pushes what `take` finds, at most `budget` records, and gives what a reader of a queue says to that.
#[inline]
pub(crate) fn drain<T: 'static>(
    mut take: impl FnMut() -> Taken<T>,
    budget: usize,
    ctx: &mut Context<'_>,
    out: &mut impl Output<Owned<T>>,
) -> Polled {
    for count in 0..budget {
        match take() {
            Taken::One(record) => out.push(record, ctx),
            Taken::Nothing if count == 0 => return Polled::Idle,
            Taken::Closed if count == 0 => return Polled::End,
            Taken::Nothing | Taken::Closed => return Polled::Records(count),
        }
    }
    Polled::Records(budget)
}

impl<X> Fed<X> {
    /// Never waits.
    #[inline]
    pub fn take(&self) -> Taken<X> {
        match self.0.try_recv() {
            Ok(piece) => Taken::One(piece),
            Err(TryRecvError::Empty) => Taken::Nothing,
            Err(TryRecvError::Disconnected) => Taken::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use slotflow_runtime::slot::Park;

    use super::*;

    #[test]
    fn the_last_who_goes_wakes_the_slot_which_finds_nobody() {
        let park = Arc::new(Park::default());
        let (first, fed) = feed::<u8>(1, Waker::new(park.clone()));
        let last = first.clone();
        for (feeder, is_closed) in [(first, false), (last, true)] {
            park.prepare();
            drop(feeder);
            assert!(!park.is_asleep());
            assert_eq!(matches!(fed.take(), Taken::Closed), is_closed);
        }
    }
}
