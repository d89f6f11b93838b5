//! The plan: from what the user described to chains, subtasks, edges and slots.

mod check;
mod explain;
pub mod graph;
mod resolve;

use std::ops::Range;
use std::sync::Arc;

pub use explain::Explanation;
pub use graph::{Chaining, EdgeId, EdgeSpec, Graph, OperatorId, OperatorSpec, Partitioner, Role};

use crate::config::{Config, EdgesConfig, MOST_KEY_GROUPS};
use crate::error::Problem;
use crate::machine::Cpus;
use crate::{Error, Result};

/// The slot sharing group of operators that name none, as in Flink.
pub const DEFAULT_GROUP: &str = "default";

/// A chain: operators that run as one, in as many subtasks as its parallelism says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainPlan {
    /// Its operators, head first.
    pub operators: Vec<OperatorId>,
    /// How many subtasks it has.
    pub parallelism: usize,
    /// Its slot sharing group.
    pub group: String,
    /// The longest way from a source, in edges.
    pub depth: usize,
    /// The CPU numbers it may run on, if that was said.
    pub cores: Option<Vec<usize>>,
}

/// An edge, decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgePlan {
    /// The chain that writes it.
    pub from: usize,
    /// The chain that reads it.
    pub to: usize,
    /// Whether both are one chain, so that there is nothing to cross.
    pub fused: bool,
    /// What the partitioner has become.
    pub partitioner: Partitioner,
    /// How large each of its rings is, if it has any and its pipelines have been asked.
    pub ring: Option<RingPlan>,
}

/// How large a ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingPlan {
    /// How many records it holds.
    pub records: usize,
    /// What each of them takes, with its event time.
    pub record_bytes: usize,
}

impl RingPlan {
    /// What the ring takes. Its writer has as much again set aside to stage records in, of which memory is touched only
    /// as far as a step has ever staged for this ring.
    pub fn bytes(&self) -> usize {
        self.records * self.record_bytes
    }
}

/// A slot sharing group, and its slots: slot `i` holds subtask `i` of every chain of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPlan {
    /// Its name.
    pub name: String,
    /// Its slots' numbers within the job.
    pub slots: Range<usize>,
}

/// How a job will run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was described.
    pub graph: Graph,
    /// By number.
    pub chains: Vec<ChainPlan>,
    /// By the number of the described edge.
    pub edges: Vec<EdgePlan>,
    /// In the order in which they were first named.
    pub groups: Vec<GroupPlan>,
    /// How many slots the job takes.
    pub slots: usize,
    /// How many key groups keyed state has.
    pub max_parallelism: usize,
    /// The chain of each operator.
    pub chain_of: Vec<usize>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Decides, or says everything that is wrong at once.
    pub fn new(graph: Graph, config: &Config) -> Result<Plan> {
        let (plan, problems) = Plan::drafted(graph, config);
        if problems.is_empty() { Ok(plan) } else { Err(Error::plan(problems)) }
    }

    /// Decides, and says everything that is wrong: for a host that has more to say about a plan that is refused.
    pub fn drafted(graph: Graph, config: &Config) -> (Plan, Vec<Problem>) {
        let mut plan = resolve::resolve(graph, config);
        let problems = check::check(&plan, config);
        // Nobody can count the rings of a parallelism that is refused.
        if problems.is_empty() {
            plan.set_rings(&config.edges);
        }
        (plan, problems)
    }

    fn set_rings(&mut self, settings: &EdgesConfig) {
        for edge in 0..self.edges.len() {
            let bytes = self.graph.edges[edge].record_bytes.filter(|_| !self.edges[edge].fused);
            self.edges[edge].ring = bytes.map(|bytes| self.ring(edge, bytes, settings));
        }
    }

    /// The number of all subtasks.
    pub fn subtasks(&self) -> usize {
        self.chains.iter().map(|chain| chain.parallelism).sum()
    }

    /// The slot, within the job, of a chain's subtask.
    pub fn slot(&self, chain: usize, index: usize) -> usize {
        let group = self.groups.iter().find(|group| group.name == self.chains[chain].group);
        group.map_or(0, |group| group.slots.start + index) % self.slots.max(1)
    }

    /// The CPUs that each slot of the job may use, `None` where its chains do not say.
    pub fn slot_cpus(&self) -> Vec<Option<Cpus>> {
        let mut slots: Vec<Option<Cpus>> = vec![None; self.slots];
        for (chain, spec) in self.chains.iter().enumerate() {
            let Some(cores) = &spec.cores else { continue };
            let cores = Cpus::from_iter(cores.iter().copied());
            // A plan that is refused may have more subtasks than can be counted, or no slot for them.
            for index in 0..spec.parallelism.min(MOST_KEY_GROUPS) {
                let slot = slots.get_mut(self.slot(chain, index));
                slot.into_iter().for_each(|slot| *slot = Some(cores.clone()));
            }
        }
        slots
    }

    /// A chain's name: those of its operators.
    pub fn chain_name(&self, chain: usize) -> String {
        let names = self.chains[chain].operators.iter().map(|id| &*self.graph.operator(*id).name);
        names.collect::<Vec<_>>().join(" -> ")
    }

    /// The operators' names, by number.
    pub fn names(&self) -> Arc<[Arc<str>]> {
        self.graph.operators.iter().map(|operator| operator.name.clone()).collect()
    }

    /// Which subtasks of the reading chain each subtask of the writing chain has a ring to.
    pub fn targets(&self, edge: EdgeId) -> Vec<Vec<usize>> {
        let EdgePlan { from, to, partitioner, .. } = self.edges[edge];
        let (from, to) = (self.chains[from].parallelism, self.chains[to].parallelism);
        let of = |index: usize| match partitioner {
            Partitioner::Forward => vec![index],
            Partitioner::Global => vec![0],
            Partitioner::Rescale if to >= from => {
                (0..to).filter(|target| target * from / to == index).collect()
            }
            Partitioner::Rescale => vec![index * to / from],
            _ => (0..to).collect(),
        };
        (0..from).map(of).collect()
    }

    /// How large each ring of an edge is whose elements take so many bytes.
    pub fn ring(&self, edge: EdgeId, record_bytes: usize, settings: &EdgesConfig) -> RingPlan {
        let mut origins = vec![0; self.chains[self.edges[edge].to].parallelism];
        self.targets(edge).iter().flatten().for_each(|target| origins[*target] += 1);
        let most = origins.into_iter().max().unwrap_or(1);
        RingPlan { records: settings.capacity_for(record_bytes, most), record_bytes }
    }

    /// Which splits a source's subtask reads: every `parallelism`-th, as Flink assigns partitions.
    pub fn splits(&self, source: OperatorId, index: usize) -> Vec<u32> {
        let parallelism = self.chains[self.chain_of[source as usize]].parallelism as u32;
        let own = |number: u32| number % parallelism == index as u32;
        match &self.graph.operator(source).splits {
            Some(crate::Splits::Count(count)) => (0..*count).filter(|split| own(*split)).collect(),
            Some(crate::Splits::Spread(numbers)) => {
                (0..).zip(numbers).filter(|(_, number)| own(**number)).map(|(split, _)| split).collect()
            }
            Some(crate::Splits::Single) if index > 0 => Vec::new(),
            _ => vec![index as u32],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Splits;

    #[test]
    fn splits_with_equal_numbers_meet() {
        let mut graph = Graph::default();
        let (words, print) = (graph.add("words", Role::Source), graph.add("print", Role::Sink));
        graph.connect(words, print);
        graph.operator_mut(words).splits = Some(Splits::Spread(vec![0, 0, 1, 1, 2, 3]));
        let config = Config::from_toml("[job]\nparallelism = 3\n").unwrap();
        let plan = Plan::new(graph, &config).unwrap();
        assert_eq!([0, 1, 2].map(|index| plan.splits(words, index)), [vec![0, 1, 5], vec![2, 3], vec![4]]);
    }

    #[test]
    fn subtasks_of_a_source_beyond_its_partitions_read_nothing_and_are_warned_of() {
        let planned = |parallelism| {
            let mut graph = Graph::default();
            let (words, print) = (graph.add("words", Role::Source), graph.add("print", Role::Sink));
            graph.connect(words, print);
            graph.operator_mut(words).splits = Some(Splits::Count(3));
            graph.operator_mut(words).parallelism = Some(parallelism);
            let plan = Plan::new(graph, &Config::default()).unwrap();
            let read: Vec<_> = (0..parallelism).map(|index| plan.splits(words, index)).collect();
            (read, plan.warnings)
        };
        let (read, warnings) = planned(8);
        assert_eq!(read, [vec![0], vec![1], vec![2], vec![], vec![], vec![], vec![], vec![]]);
        let expected = "source \"words\" has 8 subtasks for 3 partitions: 5 of them will be idle";
        assert_eq!(warnings, [expected]);
        assert_eq!(planned(3), (vec![vec![0], vec![1], vec![2]], vec![]));
    }

    /// The rings of an edge.
    fn targets(partitioner: Partitioner, from: usize, to: usize) -> Vec<Vec<usize>> {
        let mut graph = Graph::default();
        let (words, print) = (graph.add("words", Role::Source), graph.add("print", Role::Sink));
        let edge = graph.connect(words, print);
        (graph.edges[edge].partitioner, graph.edges[edge].can_cut) = (partitioner, true);
        graph.operator_mut(words).parallelism = Some(from);
        graph.operator_mut(print).parallelism = Some(to);
        Plan::new(graph, &Config::default()).unwrap().targets(edge)
    }

    #[test]
    fn a_rescale_has_rings_to_the_own_share_only_and_a_rebalance_to_all() {
        assert_eq!(targets(Partitioner::Rescale, 2, 6), [[0, 1, 2], [3, 4, 5]]);
        assert_eq!(targets(Partitioner::Rescale, 6, 2), [[0], [0], [0], [1], [1], [1]]);
        assert_eq!(targets(Partitioner::Rescale, 3, 3), [[0], [1], [2]]);
        assert_eq!(targets(Partitioner::Rebalance, 2, 6), [[0, 1, 2, 3, 4, 5]; 2]);
        assert_eq!(targets(Partitioner::Rebalance, 6, 2), [[0, 1]; 6]);
    }

    #[test]
    fn shares_of_a_rescale_leave_nobody_out_and_differ_by_one_at_most() {
        let alike = |counts: &[usize]| counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1;
        for (from, to) in (1..=9).flat_map(|from| (1..=9).map(move |to| (from, to))) {
            let targets = targets(Partitioner::Rescale, from, to);
            let shares: Vec<usize> = targets.iter().map(Vec::len).collect();
            let mut origins = vec![0; to];
            targets.iter().flatten().for_each(|target| origins[*target] += 1);
            assert!(!shares.contains(&0) && !origins.contains(&0), "{from} to {to}: {targets:?}");
            assert!(alike(&shares) && alike(&origins), "{from} to {to}: {targets:?}");
            assert_eq!(shares.iter().sum::<usize>(), from.max(to), "{from} to {to}: {targets:?}");
        }
    }
}
