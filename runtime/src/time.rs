//! Event time, and the clock that is handed in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::Context;

/// Event time in milliseconds since the Unix epoch, as in Flink.
pub type Timestamp = i64;

/// The watermark before any time has passed.
pub const MIN_TIMESTAMP: Timestamp = Timestamp::MIN;

/// The watermark at the true end of a stream, when every timer may fire.
pub const MAX_TIMESTAMP: Timestamp = Timestamp::MAX;

const NS_PER_MS: u64 = 1_000_000;

/// Whether the records of a stream carry event time across edges.
///
/// A type, not a setting, so that an untimed `u64` costs eight bytes on a ring.
pub trait Time: 'static {
    /// What travels beside each record.
    type Stamp: Copy + Send + 'static;
    /// Reads the stamp of the record in hand.
    fn stamp(ctx: &Context<'_>) -> Self::Stamp;
    /// Makes a stamp that came over an edge the time of the record in hand.
    fn restore(stamp: Self::Stamp, ctx: &mut Context<'_>);
}

/// Records without event time.
pub struct Untimed;

impl Time for Untimed {
    type Stamp = ();
    #[inline(always)]
    fn stamp(_: &Context<'_>) {}
    #[inline(always)]
    fn restore(_: (), _: &mut Context<'_>) {}
}

/// Records with event time.
pub struct EventTime;

impl EventTime {
    /// The stamp of this time.
    #[inline(always)]
    pub(crate) fn stamp_of(time: Timestamp) -> [u8; 8] {
        time.to_ne_bytes()
    }
}

impl Time for EventTime {
    /// Bytes, because they align with any record: a timestamp would round 12 bytes up to 16 on the ring.
    type Stamp = [u8; 8];
    #[inline(always)]
    fn stamp(ctx: &Context<'_>) -> [u8; 8] {
        EventTime::stamp_of(ctx.timestamp())
    }
    #[inline(always)]
    fn restore(stamp: [u8; 8], ctx: &mut Context<'_>) {
        ctx.set_timestamp(Timestamp::from_ne_bytes(stamp));
    }
}

/// Where "now" comes from: nanoseconds on a clock that never goes back.
///
/// The engine never asks the system for the time by itself; drivers read a clock once a step and
/// hand the value down, and a simulation moves its own.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's monotonic clock.
    System {
        /// Counted from here.
        origin: Instant,
        /// What the calendar said there, in nanoseconds since the Unix epoch.
        epoch_ns: u64,
    },
    /// A clock that only moves when it is told to.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clock, which reads 1 now, so that 0 can mean "never". The calendar is looked at here and not
    /// again: processing time goes on evenly when the system's calendar is set while a job runs.
    pub fn system() -> Clock {
        let calendar = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock::System { origin: Instant::now(), epoch_ns: calendar.as_nanos() as u64 }
    }

    /// A clock that reads 1 until it is advanced.
    pub fn manual() -> Clock {
        Clock::Manual(Arc::new(AtomicU64::new(1)))
    }

    /// Nanoseconds since the clock was made.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        match self {
            Clock::System { origin, .. } => origin.elapsed().as_nanos() as u64 + 1,
            Clock::Manual(now_ns) => now_ns.load(Ordering::Relaxed),
        }
    }

    /// Processing time when the clock reads `now_ns`: milliseconds since the Unix epoch, or, of a manual clock,
    /// since it read 0.
    #[inline]
    pub fn processing_time(&self, now_ns: u64) -> Timestamp {
        (now_ns.saturating_add(self.epoch_ns()) / NS_PER_MS) as Timestamp
    }

    /// What the clock reads when processing time reaches `time`, in nanoseconds; 0 for what lies before the clock,
    /// and `u64::MAX`, never, for what no clock will read.
    #[inline]
    pub fn reads_at(&self, time: Timestamp) -> u64 {
        let epoch_ns = u64::try_from(time).unwrap_or(0).saturating_mul(NS_PER_MS);
        if epoch_ns == u64::MAX { u64::MAX } else { epoch_ns.saturating_sub(self.epoch_ns()) }
    }

    fn epoch_ns(&self) -> u64 {
        match self {
            Clock::System { epoch_ns, .. } => *epoch_ns,
            Clock::Manual(_) => 0,
        }
    }

    /// Moves a manual clock on; the system's moves by itself.
    pub fn advance(&self, by_ns: u64) {
        if let Clock::Manual(now_ns) = self {
            now_ns.fetch_add(by_ns, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processing_time_is_the_calendar_s_and_goes_with_the_clock() {
        let clock = Clock::System { origin: Instant::now(), epoch_ns: 1_700_000_000_000_999_999 };
        assert_eq!(clock.processing_time(1), 1_700_000_000_001);
        assert_eq!(clock.reads_at(1_700_000_000_003), 2_000_001);
        assert_eq!(clock.processing_time(2_000_000), 1_700_000_000_002);
        assert_eq!(clock.processing_time(2_000_001), 1_700_000_000_003);
    }

    #[test]
    fn a_manual_clock_s_processing_time_is_its_milliseconds() {
        let clock = Clock::manual();
        clock.advance(6_999_998);
        assert_eq!(clock.processing_time(clock.now_ns()), 6);
        assert_eq!(clock.reads_at(7), 7_000_000);
    }

    #[test]
    fn what_was_is_due_at_once_and_what_never_comes_never() {
        let clock = Clock::manual();
        assert_eq!([MIN_TIMESTAMP, -1, 0].map(|time| clock.reads_at(time)), [0; 3]);
        assert_eq!(clock.reads_at(MAX_TIMESTAMP), u64::MAX);
    }
}
