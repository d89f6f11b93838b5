//! Event time, and the clock that is handed in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::Context;

/// Event time in milliseconds since the Unix epoch, as in Flink.
pub type Timestamp = i64;

/// The watermark before any time has passed.
pub const MIN_TIMESTAMP: Timestamp = Timestamp::MIN;

/// The watermark at the true end of a stream, when every timer may fire.
pub const MAX_TIMESTAMP: Timestamp = Timestamp::MAX;

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

impl Time for EventTime {
    type Stamp = Timestamp;
    #[inline(always)]
    fn stamp(ctx: &Context<'_>) -> Timestamp {
        ctx.timestamp()
    }
    #[inline(always)]
    fn restore(stamp: Timestamp, ctx: &mut Context<'_>) {
        ctx.set_timestamp(stamp);
    }
}

/// Where "now" comes from: nanoseconds on a clock that never goes back.
///
/// The engine never asks the system for the time by itself; drivers read a clock once a step and
/// hand the value down, and a simulation moves its own.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's monotonic clock, counted from here.
    System(Instant),
    /// A clock that only moves when it is told to.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clock, which reads 1 now, so that 0 can mean "never".
    pub fn system() -> Clock {
        Clock::System(Instant::now())
    }

    /// A clock that reads 1 until it is advanced.
    pub fn manual() -> Clock {
        Clock::Manual(Arc::new(AtomicU64::new(1)))
    }

    /// Nanoseconds since the clock was made.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        match self {
            Clock::System(origin) => origin.elapsed().as_nanos() as u64 + 1,
            Clock::Manual(now_ns) => now_ns.load(Ordering::Relaxed),
        }
    }

    /// Moves a manual clock on; the system's moves by itself.
    pub fn advance(&self, by_ns: u64) {
        if let Clock::Manual(now_ns) = self {
            now_ns.fetch_add(by_ns, Ordering::Relaxed);
        }
    }
}
