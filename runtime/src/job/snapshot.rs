//! What a job says about itself at one moment.

use std::collections::HashMap;

use super::shares::SlotMetrics;
use crate::install::Installed;
use crate::metrics::{Latencies, OperatorMetrics, RingSnapshot, Stall, SubtaskMeter};
use crate::plan::{Partitioner, Plan};
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
    /// One for each of the job's slots, since the job began.
    pub slots: Vec<SlotMetrics>,
    /// Subtasks that did not return from a step within `slots.stall_ms`.
    pub stalls: Vec<Stall>,
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
    /// Time in which it took no input, for want of room or because an operator waits for somebody outside.
    pub blocked_ns: u64,
    /// Time in which it was ready and its slot stepped others.
    pub waited_ns: u64,
    /// Its longest step.
    pub step_max_ns: u64,
    /// Keys that have state, of all its operators.
    pub state_keys: usize,
    /// What all its state takes, which `state.budget_bytes` bounds.
    pub state_bytes: usize,
    /// Records that were sent to it and that it did not take, of a job that has ended.
    pub unread_records: u64,
    /// Of each operator that has told of itself: its state, and what it has left out. Some milliseconds old, a tenth
    /// of a second while the subtask is busy.
    pub operators: Vec<OperatorMetrics>,
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
    /// How records are spread over the readers.
    pub partitioner: Partitioner,
    /// What the ring's meter says.
    pub ring: RingSnapshot,
}

impl JobMetrics {
    pub(super) fn new(
        plan: &Plan,
        installed: &Installed,
        slots: &Slots,
        lease: &[usize],
        began_ns: u64,
        now_ns: u64,
    ) -> Self {
        let names: Vec<String> = (0..plan.chains.len()).map(|chain| plan.chain_name(chain)).collect();
        let mut latency = Latencies::default();
        installed.latencies.iter().for_each(|meter| latency.merge(&meter.snapshot()));
        JobMetrics {
            since_ns: now_ns - began_ns,
            subtasks: subtasks(plan, installed, lease, &names, now_ns),
            edges: edges(plan, installed, &names),
            slots: lease.iter().map(|slot| slots.slot_metrics(*slot)).collect(),
            stalls: slots.stalls(lease),
            latency,
        }
    }

    /// What came between an earlier look at the same job and this one: for a view of the last second. The
    /// longest step and the highest fill stay those of all the time.
    ///
    /// ```
    /// # fn look(job: &slotflow_runtime::Job, earlier: &slotflow_runtime::job::JobMetrics) {
    /// let lately = job.metrics().since(earlier);
    /// let records_per_s = lately.records_in() as f64 * 1e9 / lately.since_ns as f64;
    /// # let _ = records_per_s;
    /// # }
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &JobMetrics) -> JobMetrics {
        let mut now = self.clone();
        now.since_ns = self.since_ns.saturating_sub(earlier.since_ns);
        now.subtasks.iter_mut().zip(&earlier.subtasks).for_each(|(now, then)| now.subtract(then));
        for (now, then) in now.edges.iter_mut().zip(&earlier.edges) {
            now.ring = now.ring.since(&then.ring);
        }
        now.slots.iter_mut().zip(&earlier.slots).for_each(|(now, then)| *now = now.since(then));
        for stall in &mut now.stalls {
            let before = earlier.stalls.iter().find(|before| before.who == stall.who);
            stall.count -= before.map_or(0, |before| before.count.min(stall.count));
        }
        now.stalls.retain(|stall| stall.count > 0 || stall.running_ns > 0);
        now.latency = self.latency.since(&earlier.latency);
        now
    }

    /// Records that operators have left out, whatever the reason; which, where and why is in
    /// [`SubtaskMetrics::operators`].
    pub fn dropped(&self) -> u64 {
        let operators = self.subtasks.iter().flat_map(|subtask| &subtask.operators);
        operators.flat_map(|operator| &operator.dropped).map(|dropped| dropped.records).sum()
    }

    /// Records that the sources have read.
    pub fn records_in(&self) -> u64 {
        self.subtasks.iter().filter(|subtask| subtask.is_source).map(|subtask| subtask.records).sum()
    }
}

impl SubtaskMetrics {
    fn subtract(&mut self, earlier: &SubtaskMetrics) {
        self.records = self.records.saturating_sub(earlier.records);
        self.busy_ns = self.busy_ns.saturating_sub(earlier.busy_ns);
        self.blocked_ns = self.blocked_ns.saturating_sub(earlier.blocked_ns);
        self.waited_ns = self.waited_ns.saturating_sub(earlier.waited_ns);
        // There may be more of them now, behind those of before.
        self.operators.iter_mut().zip(&earlier.operators).for_each(|(now, then)| now.subtract(then));
    }
}

fn subtasks(
    plan: &Plan,
    installed: &Installed,
    lease: &[usize],
    names: &[String],
    now_ns: u64,
) -> Vec<SubtaskMetrics> {
    let unread = unread(plan, installed);
    let of = |subtask: &crate::install::SubtaskMeters| SubtaskMetrics {
        chain: names[subtask.chain].clone(),
        is_source: plan.chains[subtask.chain].depth == 0,
        chain_number: subtask.chain,
        index: subtask.index,
        slot: lease[plan.slot(subtask.chain, subtask.index)],
        records: subtask.meter.records.value(),
        busy_ns: subtask.meter.busy_ns.value(),
        blocked_ns: blocked_ns(&subtask.meter, now_ns),
        waited_ns: subtask.meter.waited_ns.value(),
        step_max_ns: subtask.meter.step_max_ns.value(),
        state_keys: subtask.meter.operators.state().0,
        state_bytes: subtask.meter.operators.state().1,
        unread_records: unread.get(&(subtask.chain, subtask.index)).copied().unwrap_or(0),
        operators: subtask.meter.operators.snapshot(|it| plan.graph.operators[it as usize].name.to_string()),
    };
    installed.subtasks.iter().map(of).collect()
}

/// How many records were not taken, by the reading chain and subtask. Of all rings at once: there are as many as
/// writers times readers.
fn unread(plan: &Plan, installed: &Installed) -> HashMap<(usize, usize), u64> {
    let mut unread = HashMap::new();
    for ring in &installed.rings {
        *unread.entry((plan.edges[ring.edge].to, ring.to)).or_default() += ring.meter.unread();
    }
    unread
}

/// What is booked, and the time since the last step if that was blocked: a core that sleeps books nothing.
fn blocked_ns(meter: &SubtaskMeter, now_ns: u64) -> u64 {
    let open_ns = match meter.blocked_since_ns.value() {
        0 => 0,
        since_ns => now_ns.saturating_sub(since_ns),
    };
    meter.blocked_ns.value() + open_ns
}

fn edges(plan: &Plan, installed: &Installed, names: &[String]) -> Vec<EdgeMetrics> {
    let of = |ring: &crate::install::RingMeters| {
        let edge = &plan.edges[ring.edge];
        EdgeMetrics {
            from: (names[edge.from].clone(), ring.from),
            to: (names[edge.to].clone(), ring.to),
            chains: (edge.from, edge.to),
            partitioner: edge.partitioner,
            ring: ring.meter.snapshot(),
        }
    };
    installed.rings.iter().map(of).collect()
}
