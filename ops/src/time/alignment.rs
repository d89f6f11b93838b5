//! Sources that wait for one another in event time.
//!
//! 1. Each subtask of a group's sources has a member of the group's list, which only grows, and writes there how far
//!    it has come. A subtask whose splits are all idle, or which has ended, counts as infinitely far.
//! 2. A subtask all of whose splits are ahead of the least of all, by more than the group allows, is not asked for
//!    records: what its reader has stays there, and costs nothing. It is looked at again a little later; barriers,
//!    watermarks and the end of the job go through all the same.
//! 3. Where only some splits are ahead they are paused, if the reader can do that. A pause may cost what was fetched
//!    ahead (it does with Kafka), so one that is paused goes on only when it is some way below what is allowed.
//! 4. The list is only walked by a subtask that is ahead of what it knew of the others. What it knew is a lower bound,
//!    unless one comes back from idleness, which then catches up while the others stand where they are.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use slotflow_runtime::pipe::Begin;
use slotflow_runtime::{MAX_TIMESTAMP, MIN_TIMESTAMP, Source, SourceReader, SplitId, Timestamp};

use super::{SplitTimes, TimedSource};
use crate::Stream;

/// How soon a subtask that is ahead looks again (a guess: a thousandth of a core at most, and well below what event
/// time is ahead by).
pub(super) const LOOK_AGAIN_NS: u64 = 1_000_000;

/// A split that is paused goes on when it is this part of the drift below its limit (a guess: so a pause is for a
/// quarter of the drift at least, and three quarters of it are there to be used).
const BELOW: i64 = 4;

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
        Aligned { group: self.clone(), own, limit: MIN_TIMESTAMP, paused: Vec::new(), count: 0 }
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
    /// Which of its splits are paused, and how many.
    paused: Vec<bool>,
    count: usize,
}

impl Aligned {
    /// Says how far this subtask has come. `true` if all of its splits are ahead of others; if some are, they are
    /// paused.
    pub(super) fn must_wait<G, R: SourceReader>(
        &mut self,
        times: &SplitTimes<G>,
        ids: &[SplitId],
        reader: &mut R,
    ) -> bool {
        let reached = (!times.is_idle()).then(|| times.reached());
        if self.is_ahead(reached) {
            return true;
        }
        if self.count > 0 || self.passes(times.most()) {
            self.hold_back(times, ids, reader);
        }
        false
    }

    /// Whether one of its splits is paused.
    pub(super) fn holds_back(&self) -> bool {
        self.count > 0
    }

    /// Whether the split at this place is paused: its silence is no idleness.
    pub(super) fn is_paused(&self, split: usize) -> bool {
        self.paused.get(split).copied().unwrap_or(false)
    }

    /// Says how far this subtask has come, `None` if it is idle, and whether that is too far.
    fn is_ahead(&mut self, reached: Option<Timestamp>) -> bool {
        // A number by itself: nothing is read because of it that would have to be there.
        self.own.reached.store(reached.unwrap_or(MAX_TIMESTAMP), Ordering::Relaxed);
        self.passes(reached.unwrap_or(MIN_TIMESTAMP))
    }

    /// Whether this is further than it may go.
    fn passes(&mut self, time: Timestamp) -> bool {
        if time > self.limit {
            self.limit = self.least().saturating_add(self.group.drift_ms);
        }
        time > self.limit
    }

    /// Pauses the splits that are ahead, and lets those go on that are no more.
    fn hold_back<G, R: SourceReader>(&mut self, times: &SplitTimes<G>, ids: &[SplitId], reader: &mut R) {
        self.paused.resize(ids.len(), false);
        for (split, id) in ids.iter().enumerate() {
            let paused = self.paused[split];
            let ahead = self.is_to_wait(times.watermark_of(split), paused);
            if ahead && !paused && reader.pause(*id) {
                (self.paused[split], self.count) = (true, self.count + 1);
            } else if paused && !ahead {
                reader.resume(*id);
                (self.paused[split], self.count) = (false, self.count - 1);
            }
        }
    }

    /// Whether a split that has come so far is to give nothing for now.
    fn is_to_wait(&mut self, time: Timestamp, paused: bool) -> bool {
        self.passes(if paused { time.saturating_add(self.group.drift_ms / BELOW) } else { time })
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
    /// Keeps the source's event time from getting ahead of the others of a group by more than the group allows: a
    /// split that is ahead is paused until the slowest has caught up, where the source
    /// [can](slotflow_runtime::SourceReader::pause); elsewhere a subtask reads nothing while all of its splits are
    /// ahead. What is idle or has ended is not waited for, so a source of the group must not be
    /// [`never_idle`](crate::Watermarks::never_idle) and silent.
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
        assert!(a.is_ahead(Some(5)), "nobody knows how far the others are");
        assert!(b.is_ahead(Some(0)), "c has said nothing");
        assert!(!c.is_ahead(Some(0)));
        assert!(!a.is_ahead(Some(10)));
        assert!(a.is_ahead(Some(11)));
        assert!(!b.is_ahead(Some(7)));
        assert!(a.is_ahead(Some(11)), "c is at 0");
        assert!(!c.is_ahead(None));
        assert!(!a.is_ahead(Some(17)));
        assert!(a.is_ahead(Some(18)));
        drop(b);
        assert!(!a.is_ahead(Some(18)), "alone with one that is idle");
    }

    #[test]
    fn a_split_that_is_paused_goes_on_only_some_way_below_its_limit() {
        let group = WatermarkAlignment::within(Duration::from_millis(100));
        let [mut slow, mut fast] = [group.join(), group.join()];
        let (mut time, mut paused, mut switches) = (0, false, 0);
        for slowest in 0..1_000 {
            for member in [&mut slow, &mut fast] {
                member.is_ahead(Some(slowest));
            }
            let wait = fast.is_to_wait(time, paused);
            switches += u32::from(wait != paused);
            paused = wait;
            // Twice as fast as the slowest, as long as it may.
            time += if paused { 0 } else { 2 };
            assert!(time <= slowest + 102, "{time} when the slowest is at {slowest}");
        }
        assert!((20..=42).contains(&switches) && time > 1_000, "{switches} switches, come to {time}");
    }

    #[test]
    fn the_bounds_of_time_do_not_turn_round() {
        let group = WatermarkAlignment::within(Duration::MAX);
        let (mut a, _b) = (group.join(), group.join());
        assert!(!a.is_ahead(Some(-1)));
        assert!(WatermarkAlignment::within(Duration::ZERO).join().limit == MIN_TIMESTAMP);
    }
}
