//! What a trigger may know and do.

use slotflow_runtime::{MAX_TIMESTAMP, Timestamp};

use super::super::spans::Span;
use crate::state::{BothTimers, Due, TimeDomain};

/// Where time stands while a trigger is called.
#[derive(Clone, Copy)]
pub(in super::super) struct Now {
    /// That of the record or timer in hand.
    pub(in super::super) timestamp: Timestamp,
    pub(in super::super) watermark: Timestamp,
    pub(in super::super) processing_time: Timestamp,
    /// The timer in hand, if there is one.
    pub(in super::super) timer: Option<(TimeDomain, Timestamp)>,
}

/// The timers that a window has registered.
pub(in super::super) type OwnTimers = Vec<(TimeDomain, Timestamp)>;

/// What a [`Trigger`](super::Trigger) may know and do about the window in hand.
pub struct TriggerContext<'a> {
    pub(in super::super) span: Span,
    pub(in super::super) domain: TimeDomain,
    pub(in super::super) now: Now,
    /// When the window itself is to be looked at; a timer that is not the trigger's.
    pub(in super::super) clean_up: Option<(TimeDomain, Timestamp)>,
    pub(in super::super) own: &'a mut OwnTimers,
    pub(in super::super) timers: &'a mut BothTimers,
    pub(in super::super) row: u32,
}

impl TriggerContext<'_> {
    /// The window's first time, in milliseconds; `MIN_TIMESTAMP` of a global window.
    pub fn start(&self) -> Timestamp {
        self.span.start
    }

    /// The first time that is not the window's any more; `MAX_TIMESTAMP` of a global window.
    pub fn end(&self) -> Timestamp {
        self.span.end
    }

    /// The window's last time, `end - 1`: Flink's `maxTimestamp`.
    pub fn max_timestamp(&self) -> Timestamp {
        self.span.end - 1
    }

    /// The time that the window is in; event time, for a global window.
    pub fn time_domain(&self) -> TimeDomain {
        self.domain
    }

    /// Event time of the record in hand, or what the timer in hand was registered for.
    pub fn timestamp(&self) -> Timestamp {
        self.now.timestamp
    }

    /// How far event time has come; while timers fire at a watermark, that one.
    pub fn watermark(&self) -> Timestamp {
        self.now.watermark
    }

    /// Processing time: milliseconds since the Unix epoch when the step began.
    pub fn processing_time(&self) -> Timestamp {
        self.now.processing_time
    }

    /// Registers a timer of this window in event time, which is due once the watermark has reached `time`. Says
    /// whether it is new: a timer of the same time is registered once.
    ///
    /// One in the past is due at the next watermark. At the true end of the input all are, once; what is registered
    /// then is not. At a drain none are.
    pub fn register_event_time_timer(&mut self, time: Timestamp) -> bool {
        self.register(TimeDomain::EventTime, time)
    }

    /// Registers a timer of this window in processing time, milliseconds since the Unix epoch, as
    /// [`register_event_time_timer`](TriggerContext::register_event_time_timer) does. It is due when the host's
    /// clock has reached `time`, or late if the subtask is held up; at the true end of the input all that are left
    /// are, behind those in event time.
    pub fn register_processing_time_timer(&mut self, time: Timestamp) -> bool {
        self.register(TimeDomain::ProcessingTime, time)
    }

    /// Deletes a timer of this window in event time. Says whether there was one.
    pub fn delete_event_time_timer(&mut self, time: Timestamp) -> bool {
        self.delete(TimeDomain::EventTime, time)
    }

    /// Deletes a timer of this window in processing time. Says whether there was one.
    pub fn delete_processing_time_timer(&mut self, time: Timestamp) -> bool {
        self.delete(TimeDomain::ProcessingTime, time)
    }

    fn register(&mut self, domain: TimeDomain, time: Timestamp) -> bool {
        if self.now.watermark == MAX_TIMESTAMP || self.own.contains(&(domain, time)) {
            return false;
        }
        self.own.push((domain, time));
        self.timers.of(domain).register(due(self.row, time));
        true
    }

    fn delete(&mut self, domain: TimeDomain, time: Timestamp) -> bool {
        let Some(at) = self.own.iter().position(|own| *own == (domain, time)) else { return false };
        self.own.swap_remove(at);
        if self.clean_up != Some((domain, time)) {
            self.timers.of(domain).delete(time, self.row);
        }
        true
    }
}

/// A timer of the window at `row`, which is found by nothing else.
pub(in super::super) fn due(row: u32, time: Timestamp) -> Due {
    Due { time, row, hash: 0, split: 0 }
}
