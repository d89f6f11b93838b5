//! Sources that wait for one another in event time.
//!
//! 1. Each subtask of a group's sources has a member of the group's list, which only grows, and writes there how far
//!    it has come. A subtask whose splits are all idle, or which has ended, counts as infinitely far.
//! 2. A subtask that is ahead of the least of all by more than the group allows is not asked for records. It is looked
//!    at again a little later; barriers, watermarks and the end of the job go through all the same.
//! 3. The list is only walked by a subtask that is ahead of what it knew of the others. What it knew is a lower bound,
//!    unless one comes back from idleness, which then catches up while the others stand where they are.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use slotflow_runtime::pipe::Begin;
use slotflow_runtime::{MAX_TIMESTAMP, MIN_TIMESTAMP, Source, Timestamp};

use super::TimedSource;
use crate::Stream;

/// How soon a subtask that is ahead looks again (a guess: a thousandth of a core at most, and well below what event
/// time is ahead by).
pub(super) const LOOK_AGAIN_NS: u64 = 1_000_000;

/// A group of sources whose event times stay close together: Flink's watermark alignment.
///
/// Without it a source that is read faster fills the state of a join or a window with what must wait for the slower
/// one. See [`Stream::with_watermark_alignment`].
#[derive(Clone, Debug)]
pub struct WatermarkAlignment {
    drift_ms: i64,
    /// A member of nobody, in front of the others.
    first: Arc<Member>,
}

impl WatermarkAlignment {
    /// A group whose watermarks may drift apart by `drift`, in whole milliseconds; what one step reads comes on top.
    pub fn within(drift: Duration) -> WatermarkAlignment {
        let drift_ms = i64::try_from(drift.as_millis()).unwrap_or(i64::MAX);
        WatermarkAlignment { drift_ms, first: Arc::new(Member::new(MAX_TIMESTAMP)) }
    }

    /// A place in the group for one subtask. Called on the starting thread.
    pub(super) fn join(&self) -> Aligned {
        let own = Arc::new(Member::new(MIN_TIMESTAMP));
        let mut last = &self.first;
        // Whoever has come before at this place is the one to stand behind.
        while last.next.set(own.clone()).is_err() {
            let Some(next) = last.next.get() else { break };
            last = next;
        }
        Aligned { group: self.clone(), own, limit: MIN_TIMESTAMP }
    }
}

/// How far one subtask has come, and who joined after it.
#[derive(Debug)]
struct Member {
    reached: AtomicI64,
    next: OnceLock<Arc<Member>>,
}

impl Member {
    fn new(reached: Timestamp) -> Member {
        Member { reached: AtomicI64::new(reached), next: OnceLock::new() }
    }
}

/// A subtask's place in a group. Dropped with the subtask's reader, it holds nobody up.
pub(super) struct Aligned {
    group: WatermarkAlignment,
    own: Arc<Member>,
    /// How far it may go, as far as it knows.
    limit: Timestamp,
}

impl Aligned {
    /// Says how far this subtask has come, `None` if it is idle, and whether it has to wait for others.
    pub(super) fn must_wait(&mut self, reached: Option<Timestamp>) -> bool {
        // A number by itself: nothing is read because of it that would have to be there.
        self.own.reached.store(reached.unwrap_or(MAX_TIMESTAMP), Ordering::Relaxed);
        let reached = reached.unwrap_or(MIN_TIMESTAMP);
        if reached > self.limit {
            self.limit = self.least().saturating_add(self.group.drift_ms);
        }
        reached > self.limit
    }

    fn least(&self) -> Timestamp {
        let members = std::iter::successors(Some(&self.group.first), |member| member.next.get());
        members.map(|member| member.reached.load(Ordering::Relaxed)).min().unwrap_or(MAX_TIMESTAMP)
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        self.own.reached.store(MAX_TIMESTAMP, Ordering::Relaxed);
    }
}

impl<'env, S: Source, A, G> Stream<'env, Begin<TimedSource<S, A, G>>>
where
    TimedSource<S, A, G>: Source,
{
    /// Keeps the source's watermark from getting ahead of the others of a group by more than the group allows: a
    /// subtask that is ahead reads nothing until the slowest has caught up. One that is idle or has ended is not
    /// waited for, so a source of the group must not be [`never_idle`](crate::Watermarks::never_idle) and silent.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// use std::time::Duration;
    ///
    /// let env = Environment::with(Config::default());
    /// let together = WatermarkAlignment::within(Duration::from_secs(10));
    /// let orders = env.source(from_iterator([1_000, 2_000])).with_timestamps(|at| *at, Watermarks::monotonous());
    /// let payments = env.source(from_iterator([1_500, 90_000])).with_timestamps(|at| *at, Watermarks::monotonous());
    /// let orders = orders.with_watermark_alignment(&together);
    /// orders.union(payments.with_watermark_alignment(&together)).sink(callback(|_| ()));
    /// env.run("together")?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_watermark_alignment(self, group: &WatermarkAlignment) -> Self {
        let Stream { env, last, open_edge, pipe: Begin { operator, source } } = self;
        Stream { env, last, open_edge, pipe: Begin { operator, source: source.aligned(group) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_ahead_waits_until_the_slowest_is_near_idle_or_gone() {
        let group = WatermarkAlignment::within(Duration::from_millis(10));
        let [mut a, mut b, mut c] = [group.join(), group.join(), group.join()];
        assert!(a.must_wait(Some(5)), "nobody knows how far the others are");
        assert!(b.must_wait(Some(0)), "c has said nothing");
        assert!(!c.must_wait(Some(0)));
        assert!(!a.must_wait(Some(10)));
        assert!(a.must_wait(Some(11)));
        assert!(!b.must_wait(Some(7)));
        assert!(a.must_wait(Some(11)), "c is at 0");
        assert!(!c.must_wait(None));
        assert!(!a.must_wait(Some(17)));
        assert!(a.must_wait(Some(18)));
        drop(b);
        assert!(!a.must_wait(Some(18)), "alone with one that is idle");
    }

    #[test]
    fn the_bounds_of_time_do_not_turn_round() {
        let group = WatermarkAlignment::within(Duration::MAX);
        let (mut a, _b) = (group.join(), group.join());
        assert!(!a.must_wait(Some(-1)));
        assert!(WatermarkAlignment::within(Duration::ZERO).join().limit == MIN_TIMESTAMP);
    }
}
