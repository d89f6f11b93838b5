//! The sections of the configuration, and where each default comes from.

use serde::{Deserialize, Serialize};

use super::{DriverChoice, Idle, Overcommit, Pin};

/// Flink's default: parallelism is a decision, not a guess.
const PARALLELISM: usize = 1;

/// Key groups, fixed for a job's life and never derived from its parallelism. Measured: one table of 10
/// million keys stalls its slot for 260 ms and more when it grows, 1,024 tables of it 0.5 ms each.
const MAX_PARALLELISM: usize = 1024;

/// A crash repeats about a second of records, and a broker sees one commit a second from each source subtask.
const COMMIT_INTERVAL_MS: u64 = 1_000;

/// A guess: far more than a step takes, little enough for a shutdown.
const LEAVE_TIMEOUT_MS: u64 = 5_000;

/// About what a sleep and a wake-up cost together (15-85 us measured), so that spinning never costs more than
/// twice the better choice.
const SPIN_US: u64 = 50;

/// What a person notices in a job of microseconds, and far above the scheduler's own slices (3-4 ms).
const STALL_MS: u64 = 100;

/// A ring that stays inside the second-level cache: rings of 65,536 records fell out of it and cost five
/// times as much a record.
const RING_BYTES: usize = 128 << 10;

/// Past this many records more room buys no throughput, only latency.
const RING_RECORDS: usize = 4096;

/// 16 full rings of 128 KiB, which stay in a usual second-level cache together. With 64 rings into each of 64 subtasks
/// eight times as much was no faster and a quarter as much no slower; an eighth was slower (PERF.md, scaling).
const BUDGET_BYTES: usize = 2 << 20;

/// 16 of the largest messages that Kafka takes by default.
const OVERFLOW_BYTES: usize = 16 << 20;

/// Between 20 us, where reading the clock begins to show, and 50 us, which a neighbour on the slot would
/// feel.
const BUDGET_US: u64 = 30;

/// Cutting a bare loop every 256 records costs 8-12 %, every 4,096 records 4 %.
const MIN_RECORDS: usize = 1024;

/// `[job]`: what holds for a whole job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobConfig {
    /// Subtasks of each operator that has no parallelism of its own; default 1, at most `max_parallelism`.
    pub parallelism: usize,
    /// Key groups, and so the largest parallelism a keyed operator can ever have; default 1024, at most
    /// 32,768. State is stored by key group: changing it makes stored state unreadable.
    pub max_parallelism: usize,
    /// How often sources inject a barrier and commit the offsets before the last acknowledged one; default
    /// 1000. Like every time here at most a year.
    pub commit_interval_ms: u64,
    /// Lets a job run that keeps state and commits offsets although no checkpoint stores the state: after a
    /// restart the state is gone and its records are not read again. Default false.
    pub best_effort: bool,
    /// How long `stop`, `abort` and dropping the handle wait for steps that are under way; default 5000. A
    /// closure that does not return in time is named in the report, and its thread is left.
    pub leave_timeout_ms: u64,
}

impl Default for JobConfig {
    fn default() -> Self {
        Self {
            parallelism: PARALLELISM,
            max_parallelism: MAX_PARALLELISM,
            commit_interval_ms: COMMIT_INTERVAL_MS,
            best_effort: false,
            leave_timeout_ms: LEAVE_TIMEOUT_MS,
        }
    }
}

/// `[slots]`: the pool of slots, its cores and how they wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlotsConfig {
    /// How many slots the pool has; default what the job needs, at most 32,768.
    pub count: Option<usize>,
    /// CPU numbers that slots may use; default all that the process may run on, without `io.cores`. With more
    /// slots than cores a core thread owns several slots.
    pub cores: Option<Vec<usize>>,
    /// What a slot does while it has nothing to do; default `park`.
    pub idle: Idle,
    /// How long `park` spins before it sleeps; default 50. 0 sleeps at once.
    pub spin_us: u64,
    /// What happens when a job needs more slots than there are; default `refuse`.
    pub overcommit: Overcommit,
    /// What steps the slots of a core; default `auto`.
    pub driver: DriverChoice,
    /// Whether core threads are pinned; default `auto`: only where cores are named, exclusive or isolated.
    pub pin: Pin,
    /// Before a step has taken so long, the stall detector names the slot and its operator: it looks five times in
    /// that, and names from four fifths of it on. Default 100.
    pub stall_ms: u64,
    /// Whether operators are fused into chains where they can be; default true.
    pub chaining: bool,
}

impl Default for SlotsConfig {
    fn default() -> Self {
        Self {
            count: None,
            cores: None,
            idle: Idle::default(),
            spin_us: SPIN_US,
            overcommit: Overcommit::default(),
            driver: DriverChoice::default(),
            pin: Pin::default(),
            stall_ms: STALL_MS,
            chaining: true,
        }
    }
}

/// `[edges]`: the rings between slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgesConfig {
    /// Records in each ring, a power of two, at most 1,048,576; default
    /// [`capacity_for`](EdgesConfig::capacity_for) decides.
    pub capacity: Option<usize>,
    /// What all rings into one subtask may hold together; default 2 MiB.
    pub budget_bytes: usize,
    /// What one record may expand to beyond the room of an outlet's rings or of a sink, before the job fails; default
    /// 16 MiB. In front of a ring a record counts with its own size, not with what it owns on the heap. All the rings
    /// of an outlet together may keep back this much at the end of a step, and each of them in the middle of one, so
    /// that an operator that gives too many is stopped before they fill the memory.
    pub overflow_bytes: usize,
}

impl Default for EdgesConfig {
    fn default() -> Self {
        Self { capacity: None, budget_bytes: BUDGET_BYTES, overflow_bytes: OVERFLOW_BYTES }
    }
}

impl EdgesConfig {
    /// Records in each of the `rings` into one subtask, for records of `record_bytes`: what is configured,
    /// else 4,096 or as many as fit in 128 KiB or in the ring's share of the budget, whichever is least, as a
    /// power of two.
    ///
    /// ```
    /// use slotflow_runtime::config::EdgesConfig;
    ///
    /// let edges = EdgesConfig::default();
    /// assert_eq!(edges.capacity_for(8, 4), 4096);
    /// assert_eq!(edges.capacity_for(72, 4), 1024);
    /// assert_eq!(edges.capacity_for(72, 64), 256);
    /// ```
    pub fn capacity_for(&self, record_bytes: usize, rings: usize) -> usize {
        self.capacity.unwrap_or_else(|| {
            let bytes = RING_BYTES.min(self.budget_bytes / rings.max(1));
            let records = RING_RECORDS.min(bytes / record_bytes.max(1)).max(1);
            1 << records.ilog2()
        })
    }
}

/// `[step]`: how long a subtask may keep its slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StepConfig {
    /// The time after which a step gives the slot to the next subtask; default 30.
    pub budget_us: u64,
    /// Records that a step may always process where no edge limits it, whatever the time; default 1024.
    pub min_records: usize,
}

impl Default for StepConfig {
    fn default() -> Self {
        Self { budget_us: BUDGET_US, min_records: MIN_RECORDS }
    }
}

/// `[io]`: where the threads of connectors run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IoConfig {
    /// CPU numbers for librdkafka's and other I/O threads; default what the process may run on, without the
    /// slots'.
    pub cores: Option<Vec<usize>>,
}

/// `[state]`: how much operators may keep.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateConfig {
    /// What all state may take in one subtask: that of process functions with their timers, of keyed operators,
    /// windows and joins. More fails the job, before the process is killed for its memory. Looked at before the
    /// subtask idles, and while it is busy every 16 Ki records or tenth of a second. What single keys and values own
    /// on the heap does not count. Default no bound.
    pub budget_bytes: Option<usize>,
}

/// `[operators."NAME"]`: settings of the chain whose first operator is NAME.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperatorConfig {
    /// Subtasks of the chain; default what the code says, else the job's.
    pub parallelism: Option<usize>,
    /// Chains of different groups never share a slot; default what the code says, else Flink's `default`.
    pub slot_sharing_group: Option<String>,
    /// CPU numbers that the chain's slots may use; default those of the pool.
    pub cores: Option<Vec<usize>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_a_power_of_two_within_cache_and_budget() {
        let mut edges = EdgesConfig::default();
        let of = |edges: &EdgesConfig, bytes, rings| edges.capacity_for(bytes, rings);
        assert_eq!([of(&edges, 0, 1), of(&edges, 32, 1), of(&edges, 33, 1)], [4096, 4096, 2048]);
        assert_eq!([of(&edges, 1 << 20, 1), of(&edges, 8, 1 << 30), of(&edges, 8, 0)], [1, 1, 4096]);
        edges.capacity = Some(2);
        assert_eq!(of(&edges, 1 << 20, 1 << 20), 2);
    }
}
