//! What a process function may know and do.

use slotflow_runtime::{Arena, Context, Error, Key, Output, Owned, Routed, Timestamp};

use crate::state::{At, BothTimers, Columns, Due, TimeDomain};

/// What a process function may know and do while it handles a record or a timer of the key in hand.
///
/// States are reached through the handles that were declared
/// ([`StateDescriptors`](crate::StateDescriptors)); everything here and there is about the same key. `K` is the key
/// and `U` what the function gives.
pub struct ProcessContext<'a, K, U> {
    pub(super) key: &'a K,
    pub(super) columns: &'a mut Columns,
    pub(super) at: At,
    pub(super) timers: &'a mut BothTimers,
    pub(super) split: u32,
    pub(super) timestamp: Timestamp,
    pub(super) emit: &'a mut (dyn Emit<U> + 'a),
}

impl<K: Key, U> ProcessContext<'_, K, U> {
    /// Registers a timer of this key in event time, which fires once the watermark has reached `time`. Says whether
    /// it is new: a timer of the same key and time is registered once.
    ///
    /// Timers fire in the order of time. One in the past fires at the next watermark. At the true end of the input
    /// all fire, once; what they register then does not. At a drain none do.
    pub fn register_event_time_timer(&mut self, time: Timestamp) -> bool {
        self.register(TimeDomain::EventTime, time)
    }

    /// Registers a timer of this key in processing time, milliseconds since the Unix epoch. Says whether it is
    /// new. It fires when the host's clock has reached `time`, or late if the subtask is held up; at the end of
    /// the input what is left does not fire, as in Flink.
    pub fn register_processing_time_timer(&mut self, time: Timestamp) -> bool {
        self.register(TimeDomain::ProcessingTime, time)
    }

    /// Deletes a timer of this key in event time. Says whether there was one.
    pub fn delete_event_time_timer(&mut self, time: Timestamp) -> bool {
        self.delete(TimeDomain::EventTime, time)
    }

    /// Deletes a timer of this key in processing time. Says whether there was one.
    pub fn delete_processing_time_timer(&mut self, time: Timestamp) -> bool {
        self.delete(TimeDomain::ProcessingTime, time)
    }

    fn register(&mut self, domain: TimeDomain, time: Timestamp) -> bool {
        let due = Due { time, row: self.at.row, hash: self.key.hash(), split: self.split };
        let new = self.timers.of(domain).register(due);
        self.at.live += u32::from(new);
        new
    }

    fn delete(&mut self, domain: TimeDomain, time: Timestamp) -> bool {
        let was = self.timers.of(domain).delete(time, self.at.row);
        self.at.live -= u32::from(was);
        was
    }
}

impl<'a, K, U> ProcessContext<'a, K, U> {
    /// Gives a record, with the event time of the record or timer in hand.
    #[inline(always)]
    pub fn push(&mut self, record: U) {
        self.emit.push(record, self.timestamp);
    }

    /// Gives a record of another event time. One that the watermark has passed is late for those behind.
    pub fn push_at(&mut self, record: U, timestamp: Timestamp) {
        self.emit.push(record, timestamp);
    }

    /// The key in hand.
    pub fn key(&self) -> &K {
        self.key
    }

    /// Event time of the record in hand, or what the timer in hand was registered for, in milliseconds.
    /// [`MIN_TIMESTAMP`](slotflow_runtime::MIN_TIMESTAMP) for a record without, and for a timer in processing time.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// How far event time has come. While timers fire at a watermark this is still the one before.
    pub fn watermark(&self) -> Timestamp {
        self.emit.known().watermark()
    }

    /// Processing time: milliseconds since the Unix epoch when the step began.
    pub fn processing_time(&self) -> Timestamp {
        self.emit.known().processing_time()
    }

    /// Scratch memory until the end of the step.
    pub fn arena(&self) -> &Arena {
        self.emit.known().arena()
    }

    /// Fails the job; see [`Context::fail`]. Give nothing more.
    #[cold]
    pub fn fail(&mut self, error: Error) {
        self.emit.fail(error);
    }

    /// What the handles of states work on.
    #[inline(always)]
    pub(crate) fn states(&mut self) -> (&mut Columns, &mut At) {
        (self.columns, &mut self.at)
    }
}

impl<K, A, B> ProcessContext<'_, K, Routed<A, B>> {
    /// Gives a record to the main output, of a function that has a side output
    /// ([`side_output`](crate::Stream::side_output)).
    #[inline(always)]
    pub fn main(&mut self, record: A) {
        self.push(Routed::Main(record));
    }

    /// Gives a record to the side output.
    #[inline(always)]
    pub fn side(&mut self, record: B) {
        self.push(Routed::Side(record));
    }
}

/// The operator's context and output, whatever their types and lifetimes.
pub(super) trait Emit<U> {
    fn push(&mut self, record: U, timestamp: Timestamp);
    fn known(&self) -> &Context<'_>;
    fn fail(&mut self, error: Error);
}

/// See [`Emit`].
pub(super) struct Emitter<'c, 's, O> {
    pub(super) ctx: &'c mut Context<'s>,
    pub(super) out: &'c mut O,
}

impl<U: 'static, O: Output<Owned<U>>> Emit<U> for Emitter<'_, '_, O> {
    #[inline(always)]
    fn push(&mut self, record: U, timestamp: Timestamp) {
        self.ctx.set_timestamp(timestamp);
        self.out.push(record, self.ctx);
    }

    #[inline(always)]
    fn known(&self) -> &Context<'_> {
        self.ctx
    }

    fn fail(&mut self, error: Error) {
        self.ctx.fail(error);
    }
}
