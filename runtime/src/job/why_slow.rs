//! Why a job is slow, in words.
//!
//! The culprit is looked for in this order, and the first one found is named:
//! 1. a step that does not return;
//! 2. the reader at the end of the way over full rings: a hot key, a busy neighbour that keeps it waiting, or
//!    the operator itself;
//! 3. somebody outside whom an operator waits for, or a sink whose other side does not keep up;
//! 4. a busy neighbour that keeps a subtask waiting, though no ring is full;
//! 5. the machine, if it gave a slot's core to others.

use super::snapshot::{EdgeMetrics, JobMetrics, SubtaskMetrics};
use crate::metrics::{OperatorMetrics, Stall};
use crate::plan::Partitioner;

/// What takes less of the time is not worth naming (a guess: a tenth is what a person would look for).
const SHARE: f64 = 0.1;

/// A subtask that works for this share of the time has no more to give (a guess: the rest is the round
/// itself).
const FULL: f64 = 0.9;

/// A key is hot when its subtask has so many times the records of an average other one (a guess: chance gives
/// far less from a few hundred keys on).
const SKEW: u64 = 2;

impl JobMetrics {
    /// Names what holds the job up: an operator, a hot key, a neighbour in its slot, the outside, or the
    /// machine. Ask it of an interval, [`since`](JobMetrics::since) an earlier look, to hear of the present.
    ///
    /// ```
    /// # fn look(job: &slotflow_runtime::Job) {
    /// println!("{}", job.metrics().why_slow());
    /// # }
    /// ```
    pub fn why_slow(&self) -> String {
        let culprit = self.stall().or_else(|| self.full_ring()).or_else(|| self.full_sink());
        let culprit = culprit.or_else(|| self.waiting().and_then(|waiting| self.neighbour_of(waiting)));
        match (culprit, self.preempted()) {
            (Some(culprit), Some(machine)) => format!("{culprit}; besides, {machine}"),
            (Some(culprit), None) => culprit,
            (None, Some(machine)) => format!("the machine: {machine}"),
            (None, None) => self.nothing(),
        }
    }

    fn stall(&self) -> Option<String> {
        let Stall { who, count, running_ns } = self.stalls.iter().max_by_key(|stall| stall.running_ns)?;
        Some(match running_ns {
            0 => format!("stall: {who} did not return in time, {count} x"),
            _ => format!("stall: {who} has not returned for {:.1} s", *running_ns as f64 / 1e9),
        })
    }

    /// Follows blocked time from ring to ring, to a reader that no ring holds up.
    fn full_ring(&self) -> Option<String> {
        let mut ring = self.most_blocking(|_| true)?;
        // A way without a loop is no longer than there are rings.
        for _ in 0..self.edges.len() {
            let reader = (ring.chains.1, ring.to.1);
            let Some(next) = self.most_blocking(|edge| (edge.chains.0, edge.from.1) == reader) else { break };
            ring = next;
        }
        let reader = self.subtask(ring.chains.1, ring.to.1)?;
        if let Some(hot) = self.hot_key(reader) {
            return Some(format!("{hot}, and its full ring holds up {}", writer(ring)));
        }
        let held_up = || self.neighbour_of(reader).filter(|_| reader.waited_ns > reader.busy_ns);
        Some(self.refused(reader).or_else(held_up).unwrap_or_else(|| self.slow(ring, reader)))
    }

    /// The ring that held its writer up for longest, if that is worth naming.
    fn most_blocking(&self, of: impl Fn(&EdgeMetrics) -> bool) -> Option<&EdgeMetrics> {
        let blocking = self.edges.iter().filter(|edge| of(edge) && self.share(edge.ring.blocked_ns) >= SHARE);
        blocking.max_by_key(|edge| edge.ring.blocked_ns)
    }

    /// The subtask reads a keyed edge, of which it gets far more records than the others.
    fn hot_key(&self, reader: &SubtaskMetrics) -> Option<String> {
        let into = |edge: &&EdgeMetrics| edge.chains.1 == reader.chain_number;
        let keyed = |edge: &EdgeMetrics| matches!(edge.partitioner, Partitioner::Hash | Partitioner::Custom);
        if !self.edges.iter().filter(into).any(keyed) {
            return None;
        }
        let of_chain = || self.subtasks.iter().filter(|other| other.chain_number == reader.chain_number);
        let others = of_chain().count() as u64 - 1;
        let all: u64 = of_chain().map(|subtask| subtask.records).sum();
        if others == 0 || reader.records * others < SKEW * (all - reader.records) {
            return None;
        }
        let (share, fair) = (percent_of(reader.records, all), percent_of(1, others + 1));
        Some(format!(
            "hot key or skew: {} has {share} of the records of its operator, where {fair} would be fair",
            named(reader)
        ))
    }

    fn slow(&self, ring: &EdgeMetrics, reader: &SubtaskMetrics) -> String {
        format!(
            "slow operator: {} in slot {} is busy {} of the time; the ring towards it is {} full and held up {} for {}",
            named(reader),
            reader.slot,
            self.percent(reader.busy_ns),
            percent(ring.ring.mean_fill()),
            writer(ring),
            self.percent(ring.ring.blocked_ns)
        )
    }

    /// The subtask that the outside holds up for longest. Where all wait for it, nobody books what the rings in front
    /// of it hold up.
    fn full_sink(&self) -> Option<String> {
        let refused = self.subtasks.iter().filter_map(|it| Some((it.blocked_ns, self.refused(it)?)));
        refused.max_by_key(|(blocked_ns, _)| *blocked_ns).map(|(_, said)| said)
    }

    fn refused(&self, subtask: &SubtaskMetrics) -> Option<String> {
        let refused = self.share(subtask.blocked_ns) >= SHARE && subtask.blocked_ns > subtask.busy_ns;
        if !refused {
            return None;
        }
        let (who, share) = (named(subtask), self.percent(subtask.blocked_ns));
        let waits = subtask.operators.iter().filter(|operator| operator.waiting_records > 0);
        if let Some(waits) = waits.max_by_key(|operator| operator.waiting_records) {
            let OperatorMetrics { operator, waiting_records, waits_for, .. } = waits;
            return Some(format!(
                "the outside: \"{operator}\" of {who} waits for {waits_for} with {waiting_records} records, and took \
                 nothing for {share} of the time"
            ));
        }
        let writes = |edge: &EdgeMetrics| edge.chains.0 == subtask.chain_number;
        let behind =
            || format!("the outside: what is behind the sink of {who} took nothing for {share} of the time");
        (!self.edges.iter().any(writes)).then(behind)
    }

    /// The subtask that waited longest for its turn, if that is worth naming.
    fn waiting(&self) -> Option<&SubtaskMetrics> {
        let waiting = self.subtasks.iter().filter(|subtask| self.share(subtask.waited_ns) >= SHARE);
        waiting.max_by_key(|subtask| subtask.waited_ns)
    }

    /// Who kept a subtask waiting: the busiest of the others that its core steps.
    fn neighbour_of(&self, waiting: &SubtaskMetrics) -> Option<String> {
        let core = self.core(waiting.slot);
        let others = self.subtasks.iter().filter(|other| {
            let itself = (other.chain_number, other.index) == (waiting.chain_number, waiting.index);
            self.core(other.slot) == core && !itself && self.share(other.busy_ns) >= SHARE
        });
        let busiest = others.max_by_key(|other| other.busy_ns)?;
        let place = if busiest.slot == waiting.slot { "the same slot" } else { "another slot of its core" };
        if let Some(hot) = self.hot_key(busiest) {
            return Some(format!("{hot}, and keeps {} waiting in {place}", named(waiting)));
        }
        Some(format!(
            "busy neighbour: {}, busy {} of the time in slot {}, kept {} waiting in {place} for {}",
            named(busiest),
            self.percent(busiest.busy_ns),
            busiest.slot,
            named(waiting),
            self.percent(waiting.waited_ns)
        ))
    }

    /// The core thread of one of the job's slots.
    fn core(&self, slot: usize) -> Option<usize> {
        self.slots.iter().find(|metrics| metrics.slot == slot).map(|metrics| metrics.core)
    }

    fn preempted(&self) -> Option<String> {
        let slot = self.slots.iter().max_by_key(|slot| slot.stalled_ns)?;
        let stalled = slot.stalled_ns as f64 / slot.total_ns().max(1) as f64;
        (stalled >= SHARE).then(|| {
            format!(
                "the system gave slot {}'s core to others for {} of the time",
                slot.slot,
                percent(stalled)
            )
        })
    }

    fn nothing(&self) -> String {
        let busiest = self.subtasks.iter().max_by_key(|subtask| subtask.busy_ns);
        match busiest.filter(|subtask| self.share(subtask.busy_ns) >= FULL) {
            Some(busiest) => format!("nothing holds this job up; {} works all the time", named(busiest)),
            None => "nothing holds this job up".into(),
        }
    }

    fn subtask(&self, chain: usize, index: usize) -> Option<&SubtaskMetrics> {
        self.subtasks.iter().find(|subtask| (subtask.chain_number, subtask.index) == (chain, index))
    }

    fn share(&self, ns: u64) -> f64 {
        ns as f64 / self.since_ns.max(1) as f64
    }

    fn percent(&self, ns: u64) -> String {
        percent(self.share(ns))
    }
}

fn named(subtask: &SubtaskMetrics) -> String {
    format!("\"{}\" subtask {}", subtask.chain, subtask.index)
}

fn writer(ring: &EdgeMetrics) -> String {
    format!("\"{}\" subtask {}", ring.from.0, ring.from.1)
}

fn percent_of(part: u64, whole: u64) -> String {
    percent(part as f64 / whole.max(1) as f64)
}

/// A share as people read it; meters of different threads may overshoot the clock by a step.
fn percent(share: f64) -> String {
    format!("{:.0} %", (share * 100.0).min(100.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::SlotMetrics;
    use crate::metrics::{Latencies, RingSnapshot, SlotTimes};

    /// A subtask of chain `number`, with its shares in percent.
    fn subtask(
        number: usize,
        index: usize,
        slot: usize,
        [busy, blocked, waited]: [u64; 3],
    ) -> SubtaskMetrics {
        SubtaskMetrics {
            chain: format!("c{number}"),
            is_source: number == 0,
            chain_number: number,
            index,
            slot,
            records: 100,
            busy_ns: busy * 10,
            blocked_ns: blocked * 10,
            waited_ns: waited * 10,
            step_max_ns: 0,
            state_keys: 0,
            state_bytes: 0,
            unread_records: 0,
            operators: Vec::new(),
        }
    }

    fn ring(from: (usize, usize), to: (usize, usize), blocked: u64) -> EdgeMetrics {
        let mut fill_ns = [0; 9];
        fill_ns[6] = 1;
        EdgeMetrics {
            from: (format!("c{}", from.0), from.1),
            to: (format!("c{}", to.0), to.1),
            chains: (from.0, to.0),
            partitioner: Partitioner::Hash,
            ring: RingSnapshot { capacity: 8, fill_ns, blocked_ns: blocked * 10, seen_max: 8 },
        }
    }

    /// A job of 1,000 ns whose slots lost some percent to the system.
    fn job(subtasks: Vec<SubtaskMetrics>, edges: Vec<EdgeMetrics>, stalled: [u64; 2]) -> JobMetrics {
        let slot = |(slot, stalled): (usize, u64)| {
            let times = SlotTimes { useful_ns: 1_000, preempted_ns: stalled * 10, ..SlotTimes::default() };
            SlotMetrics::new(slot, slot, None, times)
        };
        let slots = stalled.into_iter().enumerate().map(slot).collect();
        JobMetrics {
            since_ns: 1_000,
            subtasks,
            edges,
            slots,
            stalls: Vec::new(),
            latency: Latencies::default(),
        }
    }

    #[test]
    fn blocked_time_is_followed_to_the_reader_that_is_not_blocked() {
        let subtasks =
            vec![subtask(0, 0, 0, [2, 95, 0]), subtask(1, 0, 0, [5, 90, 0]), subtask(2, 0, 1, [97, 0, 1])];
        let job = job(subtasks, vec![ring((0, 0), (1, 0), 95), ring((1, 0), (2, 0), 90)], [0, 0]);
        assert_eq!(
            job.why_slow(),
            "slow operator: \"c2\" subtask 0 in slot 1 is busy 97 % of the time; the ring towards it is 75 % full and \
             held up \"c1\" subtask 0 for 90 %"
        );
    }

    #[test]
    fn a_keyed_ring_towards_one_reader_is_a_hot_key() {
        let mut subtasks =
            vec![subtask(0, 0, 0, [10, 80, 0]), subtask(1, 0, 0, [9, 0, 0]), subtask(1, 1, 1, [91, 0, 0])];
        subtasks[2].records = 900;
        let rings = || vec![ring((0, 0), (1, 0), 0), ring((0, 0), (1, 1), 80)];
        let hot = job(subtasks.clone(), rings(), [0, 0]);
        assert_eq!(
            hot.why_slow(),
            "hot key or skew: \"c1\" subtask 1 has 90 % of the records of its operator, where 50 % would be fair, and \
             its full ring holds up \"c0\" subtask 0"
        );
        subtasks[2].records = 150;
        assert!(job(subtasks, rings(), [0, 0]).why_slow().starts_with("slow operator: \"c1\" subtask 1"));
    }

    #[test]
    fn a_hot_key_shows_on_its_writer_s_own_core_too() {
        let mut subtasks =
            vec![subtask(0, 0, 1, [10, 0, 80]), subtask(1, 0, 0, [9, 0, 0]), subtask(1, 1, 1, [81, 0, 9])];
        subtasks[2].records = 900;
        let why = job(subtasks, vec![ring((0, 0), (1, 1), 0)], [0, 0]).why_slow();
        assert!(why.starts_with("hot key or skew: \"c1\" subtask 1 has 90 %"), "{why}");
        assert!(why.ends_with(", and keeps \"c0\" subtask 0 waiting in the same slot"), "{why}");
    }

    #[test]
    fn a_reader_that_waits_for_its_neighbour_is_not_the_culprit() {
        let subtasks =
            vec![subtask(0, 0, 0, [5, 90, 0]), subtask(1, 0, 1, [5, 0, 90]), subtask(2, 0, 1, [92, 0, 2])];
        let job = job(subtasks, vec![ring((0, 0), (1, 0), 90)], [0, 0]);
        assert_eq!(
            job.why_slow(),
            "busy neighbour: \"c2\" subtask 0, busy 92 % of the time in slot 1, kept \"c1\" subtask 0 waiting in the \
             same slot for 90 %"
        );
    }

    #[test]
    fn a_sink_that_is_refused_names_the_outside() {
        let subtasks = vec![subtask(0, 0, 0, [5, 90, 0]), subtask(1, 0, 1, [5, 92, 0])];
        let job = job(subtasks, vec![ring((0, 0), (1, 0), 90)], [0, 0]);
        assert_eq!(
            job.why_slow(),
            "the outside: what is behind the sink of \"c1\" subtask 0 took nothing for 92 % of the time"
        );
    }

    #[test]
    fn an_operator_that_waits_says_for_whom_although_there_is_a_ring_behind_it() {
        let waits = |waiting_records| OperatorMetrics {
            operator: "ask".into(),
            waiting_records,
            waits_for: "the registry".into(),
            ..OperatorMetrics::default()
        };
        let named = |waiting_records, full| {
            let mut asks = subtask(1, 0, 1, [5, 92, 0]);
            asks.operators = vec![OperatorMetrics::default(), waits(waiting_records)];
            let subtasks = vec![subtask(0, 0, 0, [5, 95, 0]), asks, subtask(2, 0, 1, [1, 0, 0])];
            job(subtasks, vec![ring((0, 0), (1, 0), full), ring((1, 0), (2, 0), 0)], [0, 0]).why_slow()
        };
        let said = "the outside: \"ask\" of \"c1\" subtask 0 waits for the registry with 7 records, and took \
                    nothing for 92 % of the time";
        assert_eq!(named(7, 90), said);
        assert_eq!(named(7, 0), said, "the core in front sleeps, and books nothing");
        assert!(!named(0, 90).starts_with("the outside"), "{}", named(0, 90));
    }

    #[test]
    fn the_machine_is_named_alone_or_besides() {
        let idle = || vec![subtask(0, 0, 0, [50, 0, 0])];
        assert_eq!(
            job(idle(), Vec::new(), [0, 35]).why_slow(),
            "the machine: the system gave slot 1's core to others for 35 % of the time"
        );
        let waiting = vec![subtask(0, 0, 0, [80, 0, 0]), subtask(1, 0, 0, [10, 0, 80])];
        let both = job(waiting, Vec::new(), [20, 0]).why_slow();
        assert!(both.starts_with("busy neighbour: \"c0\" subtask 0"), "{both}");
        assert!(
            both.ends_with("; besides, the system gave slot 0's core to others for 20 % of the time"),
            "{both}"
        );
    }

    #[test]
    fn a_stall_comes_first_and_nothing_last() {
        let mut job = job(vec![subtask(0, 0, 0, [95, 0, 0])], Vec::new(), [0, 0]);
        assert_eq!(job.why_slow(), "nothing holds this job up; \"c0\" subtask 0 works all the time");
        job.stalls =
            vec![Stall { who: "slot 0, operator \"c0\", subtask 0".into(), count: 1, running_ns: 0 }];
        assert_eq!(job.why_slow(), "stall: slot 0, operator \"c0\", subtask 0 did not return in time, 1 x");
        job.stalls[0].running_ns = 2_500_000_000;
        assert_eq!(job.why_slow(), "stall: slot 0, operator \"c0\", subtask 0 has not returned for 2.5 s");
    }
}
