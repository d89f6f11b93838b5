//! Time to live: how long a state is kept after it was written.

use std::time::Duration;

use slotflow_runtime::{Context, Timestamp};

/// How long a state lives after it was last written: Flink's `StateTtlConfig`, with event time as well.
///
/// A state whose time is over is not there: no call returns it from then on, whether it has been cleaned up yet or
/// not. Its memory is given back when it is met by a record of its key, and by a round over all keys of which each
/// 64 records and each watermark do a bounded piece (Flink's incremental clean-up); while nothing comes in, nothing
/// is cleaned and nothing grows.
///
/// **In event time** "now" is the time of the record or timer in hand, or the watermark if that is further: a
/// record that is not late sees the same states whatever the watermarks between records were, and a late one sees no
/// more than those before it did. In a stream without event time such a state lives for ever.
///
/// **In processing time** "now" is [`Context::processing_time`].
///
/// ```
/// use std::time::Duration;
/// use slotflow_ops::Ttl;
///
/// let ttl = Ttl::event_time(Duration::from_secs(60));
/// assert_ne!(ttl, Ttl::processing_time(Duration::from_secs(60)));
/// assert_ne!(ttl, ttl.renewed_by_reads());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    lives_ms: Timestamp,
    time: TimeDomain,
    by_reads: bool,
}

/// Which time a timer or a time to live goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeDomain {
    /// That of the records, as far as the watermark.
    EventTime,
    /// That of the host's clock.
    ProcessingTime,
}

impl Ttl {
    /// In event time. Whole milliseconds, rounded down; 0 is over at once.
    pub fn event_time(lives: Duration) -> Ttl {
        Ttl { lives_ms: milliseconds(lives), time: TimeDomain::EventTime, by_reads: false }
    }

    /// In processing time. Whole milliseconds, rounded down; 0 is over at once.
    pub fn processing_time(lives: Duration) -> Ttl {
        Ttl { time: TimeDomain::ProcessingTime, ..Ttl::event_time(lives) }
    }

    /// Reading a state counts as writing it: Flink's `OnReadAndWrite`.
    #[must_use]
    pub fn renewed_by_reads(self) -> Ttl {
        Ttl { by_reads: true, ..self }
    }

    pub(super) fn is_renewed_by_reads(self) -> bool {
        self.by_reads
    }

    /// Whether what was last written at `written` is over.
    #[inline]
    pub(super) fn is_over(self, written: Timestamp, now: Now) -> bool {
        now.of(self.time) >= written.saturating_add(self.lives_ms)
    }

    /// When it is now.
    pub(super) fn now(self, now: Now) -> Timestamp {
        now.of(self.time)
    }
}

fn milliseconds(lives: Duration) -> Timestamp {
    Timestamp::try_from(lives.as_millis()).unwrap_or(Timestamp::MAX)
}

/// The time that states are looked at, in both domains.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(super) event: Timestamp,
    pub(super) processing: Timestamp,
}

impl Now {
    /// That of the record or timer in hand.
    #[inline]
    pub(crate) fn of_record(ctx: &Context<'_>) -> Now {
        Now { event: ctx.watermark().max(ctx.timestamp()), processing: ctx.processing_time() }
    }

    /// That which no record that is not late is before.
    pub(crate) fn of_watermark(ctx: &Context<'_>) -> Now {
        Now { event: ctx.watermark(), processing: ctx.processing_time() }
    }

    #[inline]
    fn of(self, time: TimeDomain) -> Timestamp {
        match time {
            TimeDomain::EventTime => self.event,
            TimeDomain::ProcessingTime => self.processing,
        }
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::{MAX_TIMESTAMP, MIN_TIMESTAMP};

    use super::*;

    #[test]
    fn a_state_is_over_exactly_when_its_time_is() {
        let ttl = Ttl::event_time(Duration::from_millis(10));
        let over = |written, event| ttl.is_over(written, Now { event, processing: 0 });
        assert_eq!([over(5, 14), over(5, 15), over(-20, -11), over(-20, -10)], [false, true, false, true]);
    }

    #[test]
    fn without_event_time_it_lives_for_ever_and_extremes_do_not_overflow() {
        let ttl = Ttl::event_time(Duration::MAX);
        let over = |written, event| ttl.is_over(written, Now { event, processing: MAX_TIMESTAMP });
        assert_eq!(
            [over(MIN_TIMESTAMP, MIN_TIMESTAMP), over(0, 5), over(1, MAX_TIMESTAMP)],
            [false, false, true]
        );
    }
}
