//! Payloads that wait until their format is ready for them, and all that came behind.
//!
//! 1. A payload is lent for the step, so one that waits is copied. What comes behind it waits, too: order is kept.
//! 2. Whoever holds some is due at once and says [`Flow::Waits`](slotflow_runtime::Flow::Waits) from then on, so that
//!    its subtask takes no input: that is the backpressure. What is held came in one step; more can come only from an
//!    operator in front that fires many, and is bounded.
//! 3. Watermarks, barriers, idleness and the end come behind what is held.

use std::collections::VecDeque;

use slotflow_runtime::{Context, Error, Result, Timestamp};

use super::Payload;

/// What may be held (a guess: a hundred times what a step takes in of the largest usual messages).
const HELD_BYTES: usize = 64 << 20;

/// A payload with all that was known of it.
#[derive(Clone)]
pub(super) struct Held {
    pub payload: Box<[u8]>,
    pub place: (String, u64),
    timestamp: Timestamp,
    split: u32,
}

impl Held {
    /// What it takes: a short payload is the least of it.
    fn bytes(&self) -> usize {
        size_of::<Held>() + self.payload.len() + self.place.0.len()
    }

    /// The record is in hand again.
    pub fn resume(&self, ctx: &mut Context<'_>) {
        ctx.set_timestamp(self.timestamp);
        ctx.set_split(self.split);
    }
}

/// What waits, in order.
#[derive(Clone, Default)]
pub(super) struct HeldBack {
    queue: VecDeque<Held>,
    bytes: usize,
}

impl HeldBack {
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    #[cold]
    pub fn push<'s>(&mut self, record: &impl Payload<'s>, ctx: &Context<'s>) -> Result<()> {
        let (payload, place) = (record.payload().into(), record.place());
        let held = Held { payload, place, timestamp: ctx.timestamp(), split: ctx.split() };
        self.bytes += held.bytes();
        self.queue.push_back(held);
        if self.bytes > HELD_BYTES { Err(too_much()) } else { Ok(()) }
    }

    pub fn first(&self) -> Option<&[u8]> {
        self.queue.front().map(|held| &*held.payload)
    }

    pub fn pop(&mut self) -> Option<Held> {
        let held = self.queue.pop_front()?;
        self.bytes -= held.bytes();
        Some(held)
    }
}

fn too_much() -> Error {
    Error::world(
        format!("more than {HELD_BYTES} bytes wait for what their format has asked for"),
        "decode in front of operators that fire many records at once, or start a new chain for the decoder",
    )
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::subtask;
    use slotflow_runtime::{Arena, Blame};

    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_comes_back_with_all_that_was_known_of_it() {
        let (arena, place, blame) = (Arena::new(), subtask(), Blame::default());
        let mut ctx = Context::new(&arena, &place, &blame, 0);
        let (mut held, payload) = (HeldBack::default(), vec![7; HELD_BYTES / 2]);
        ctx.set_split(3);
        ctx.set_timestamp(5);
        held.push(&&payload[..], &ctx).unwrap();
        let error = held.push(&&payload[..], &ctx).unwrap_err().to_string();
        assert!(
            error.starts_with("more than 67108864 bytes wait for what their format has asked for"),
            "{error}"
        );
        (0..2).for_each(|_| drop(held.pop()));
        assert!(held.is_empty() && held.bytes == 0);
        held.push(&&b"x"[..], &ctx).unwrap();
        ctx.set_split(0);
        ctx.set_timestamp(0);
        assert_eq!(held.first(), Some(&b"x"[..]));
        let first = held.pop().unwrap();
        first.resume(&mut ctx);
        assert_eq!((ctx.split(), ctx.timestamp(), first.place), (3, 5, ("memory".into(), 0)));
    }

    #[test]
    fn payloads_of_no_length_are_bounded_too() {
        let (arena, place, blame) = (Arena::new(), subtask(), Blame::default());
        let (ctx, mut held) = (Context::new(&arena, &place, &blame, 0), HeldBack::default());
        let all = (0..HELD_BYTES / size_of::<Held>()).all(|_| held.push(&&b""[..], &ctx).is_ok());
        assert!(!all, "each takes more than nothing");
    }
}
