//! What a job says about itself at one moment.

use crate::install::Installed;
use crate::metrics::{Latencies, RingSnapshot};
use crate::plan::Plan;
use crate::slot::Slots;

/// The measurements of a job since its start.
#[derive(Clone, Debug)]
pub struct JobMetrics {
    /// Since when, in nanoseconds before now.
    pub since_ns: u64,
    /// One for each subtask.
    pub subtasks: Vec<SubtaskMetrics>,
    /// One for each ring.
    pub edges: Vec<EdgeMetrics>,
    /// One for each of the job's slots.
    pub slots: Vec<SlotMetrics>,
    /// From a source's step to a sink's writer, sampled.
    pub latency: Latencies,
}

/// One subtask's measurements.
#[derive(Clone, Debug)]
pub struct SubtaskMetrics {
    /// The names of its operators.
    pub chain: String,
    /// Whether the chain begins with a source.
    pub is_source: bool,
    /// The chain's number.
    pub chain_number: usize,
    /// The subtask's number in the chain.
    pub index: usize,
    /// Its slot's number in the pool.
    pub slot: usize,
    /// Records that came in.
    pub records: u64,
    /// Time in steps that made progress.
    pub busy_ns: u64,
    /// Time without room.
    pub blocked_ns: u64,
    /// Time in which it was ready and its slot stepped others.
    pub waited_ns: u64,
    /// Its longest step.
    pub step_max_ns: u64,
}

/// One ring's measurements.
#[derive(Clone, Debug)]
pub struct EdgeMetrics {
    /// The names of the writing chain's operators, and its subtask's number.
    pub from: (String, usize),
    /// The names of the reading chain's operators, and its subtask's number.
    pub to: (String, usize),
    /// The chains' numbers, writing and reading.
    pub chains: (usize, usize),
    /// What the ring's meter says.
    pub ring: RingSnapshot,
}

/// One slot's time, split so that the shares add up to the whole.
#[derive(Clone, Debug)]
pub struct SlotMetrics {
    /// The slot's number in the pool.
    pub slot: usize,
    /// Its CPU, if it is pinned.
    pub cpu: Option<usize>,
    /// Rounds that made progress.
    pub useful_ns: u64,
    /// Rounds that found nothing to do.
    pub spinning_ns: u64,
    /// Asleep.
    pub parked_ns: u64,
    /// Rounds that found no room.
    pub blocked_ns: u64,
    /// Ready to run, but the system ran somebody else.
    pub stalled_ns: u64,
}

impl SlotMetrics {
    /// All of it: the time since the slot's core began.
    pub fn total_ns(&self) -> u64 {
        self.useful_ns + self.spinning_ns + self.parked_ns + self.blocked_ns + self.stalled_ns
    }

    /// Splits what the core booked, taking the time it was kept off its CPU out of the shares in
    /// which it thought it ran.
    fn split(slot: usize, slots: &Slots) -> SlotMetrics {
        let (meter, preempted_ns) = slots.meter(slot);
        let [useful, spinning, blocked] =
            [&meter.useful_ns, &meter.spinning_ns, &meter.blocked_ns].map(|count| count.value());
        let awake = useful + spinning + blocked;
        let stalled = preempted_ns.min(awake);
        let kept =
            |share: u64| share - (u128::from(share) * u128::from(stalled) / u128::from(awake.max(1))) as u64;
        let (useful_ns, spinning_ns, blocked_ns) = (kept(useful), kept(spinning), kept(blocked));
        SlotMetrics {
            slot,
            cpu: slots.cpu(slot),
            useful_ns,
            spinning_ns,
            parked_ns: meter.parked_ns.value(),
            blocked_ns,
            stalled_ns: awake - useful_ns - spinning_ns - blocked_ns,
        }
    }
}

impl JobMetrics {
    pub(super) fn new(
        plan: &Plan,
        installed: &Installed,
        slots: &Slots,
        lease: &[usize],
        since_ns: u64,
    ) -> Self {
        let names: Vec<String> = (0..plan.chains.len()).map(|chain| plan.chain_name(chain)).collect();
        let mut latency = Latencies::default();
        installed.latencies.iter().for_each(|meter| latency.merge(&meter.snapshot()));
        JobMetrics {
            since_ns,
            subtasks: subtasks(plan, installed, lease, &names),
            edges: edges(plan, installed, &names),
            slots: lease.iter().map(|slot| SlotMetrics::split(*slot, slots)).collect(),
            latency,
        }
    }

    /// Records that the sources have read.
    pub fn records_in(&self) -> u64 {
        self.subtasks.iter().filter(|subtask| subtask.is_source).map(|subtask| subtask.records).sum()
    }
}

fn subtasks(plan: &Plan, installed: &Installed, lease: &[usize], names: &[String]) -> Vec<SubtaskMetrics> {
    let of = |subtask: &crate::install::SubtaskMeters| SubtaskMetrics {
        chain: names[subtask.chain].clone(),
        is_source: plan.chains[subtask.chain].depth == 0,
        chain_number: subtask.chain,
        index: subtask.index,
        slot: lease[plan.slot(subtask.chain, subtask.index)],
        records: subtask.meter.records.value(),
        busy_ns: subtask.meter.busy_ns.value(),
        blocked_ns: subtask.meter.blocked_ns.value(),
        waited_ns: subtask.meter.waited_ns.value(),
        step_max_ns: subtask.meter.step_max_ns.value(),
    };
    installed.subtasks.iter().map(of).collect()
}

fn edges(plan: &Plan, installed: &Installed, names: &[String]) -> Vec<EdgeMetrics> {
    let of = |ring: &crate::install::RingMeters| {
        let edge = &plan.edges[ring.edge];
        EdgeMetrics {
            from: (names[edge.from].clone(), ring.from),
            to: (names[edge.to].clone(), ring.to),
            chains: (edge.from, edge.to),
            ring: ring.meter.snapshot(),
        }
    };
    installed.rings.iter().map(of).collect()
}
