//! The decisions of a plan, one after the other. Problems are found afterwards (`check`), so every
//! step here is total: a bad input gives a bad plan, not a panic.

use super::graph::{Chaining, EdgeSpec, Graph, OperatorId, Partitioner};
use super::{ChainPlan, DEFAULT_GROUP, EdgePlan, GroupPlan, Plan};
use crate::Splits;
use crate::config::{Config, MOST_KEY_GROUPS, OperatorConfig, Overcommit};

/// What is decided for an operator before it is known which chain it is in.
struct Decided {
    parallelism: usize,
    group: String,
    cores: Option<Vec<usize>>,
}

/// Decides everything.
pub fn resolve(graph: Graph, config: &Config) -> Plan {
    let decided = decide(&graph, config);
    let fused: Vec<bool> = graph.edges.iter().map(|edge| is_fused(&graph, edge, &decided, config)).collect();
    let (chains, chain_of) = chains(&graph, &decided, &fused);
    let edges = edges(&graph, &fused, &decided, &chain_of);
    let groups = groups(&chains);
    let needed = groups.last().map_or(0, |group| group.slots.end);
    let slots = match config.slots.overcommit {
        Overcommit::Pack => config.slots.count.unwrap_or(needed).min(needed),
        Overcommit::Refuse => needed,
    };
    let max_parallelism = config.job.max_parallelism;
    let mut plan =
        Plan { graph, chains, edges, groups, slots, max_parallelism, chain_of, warnings: Vec::new() };
    set_depths(&mut plan);
    plan.warnings = warnings(&plan);
    plan
}

/// The configuration's word about an operator.
fn configured<'c>(config: &'c Config, graph: &Graph, id: OperatorId) -> Option<&'c OperatorConfig> {
    config.operators.get(&*graph.operator(id).name)
}

fn decide(graph: &Graph, config: &Config) -> Vec<Decided> {
    let mut decided: Vec<Decided> = Vec::new();
    for (id, operator) in graph.operators.iter().enumerate() {
        let own = configured(config, graph, id as OperatorId);
        let inputs: Vec<&EdgeSpec> = graph.inputs(id as OperatorId).map(|(_, edge)| edge).collect();
        let inherited = inherited_parallelism(&inputs, &decided);
        let default = match operator.splits {
            Some(Splits::Single) => 1,
            _ => inherited.unwrap_or(config.job.parallelism),
        };
        let parallelism = own.and_then(|own| own.parallelism).or(operator.parallelism).unwrap_or(default);
        let group = own.and_then(|own| own.slot_sharing_group.clone()).or_else(|| operator.group.clone());
        decided.push(Decided {
            parallelism,
            group: group.unwrap_or_else(|| inherited_group(&inputs, &decided)),
            cores: own.and_then(|own| own.cores.clone()),
        });
    }
    decided
}

/// An operator behind a forward edge has its input's parallelism: nothing is spread anew without
/// being asked for. Behind a partitioner, or behind inputs that differ, it has the job's.
fn inherited_parallelism(inputs: &[&EdgeSpec], decided: &[Decided]) -> Option<usize> {
    let first = inputs.first()?;
    let parallelism = decided[first.from as usize].parallelism;
    let same = |edge: &&EdgeSpec| {
        edge.partitioner == Partitioner::Forward && decided[edge.from as usize].parallelism == parallelism
    };
    inputs.iter().all(same).then_some(parallelism)
}

/// As in Flink: the inputs' group if they have one and the same.
fn inherited_group(inputs: &[&EdgeSpec], decided: &[Decided]) -> String {
    let Some(first) = inputs.first() else { return DEFAULT_GROUP.into() };
    let group = &decided[first.from as usize].group;
    let same = inputs.iter().all(|edge| decided[edge.from as usize].group == *group);
    if same { group.clone() } else { DEFAULT_GROUP.into() }
}

fn is_fused(graph: &Graph, edge: &EdgeSpec, decided: &[Decided], config: &Config) -> bool {
    if edge.must_cut {
        return false;
    }
    if !edge.can_cut || edge.from == edge.to {
        return true;
    }
    let (from, to) = (&decided[edge.from as usize], &decided[edge.to as usize]);
    let chained = config.slots.chaining
        && graph.operator(edge.from).chaining != Chaining::Never
        && graph.operator(edge.to).chaining == Chaining::Always;
    let one_to_one = match edge.partitioner {
        Partitioner::Forward => from.parallelism == to.parallelism,
        // With one subtask on both sides every partitioner has the same single target.
        _ => from.parallelism == 1 && to.parallelism == 1,
    };
    let together = from.group == to.group && (to.cores.is_none() || from.cores == to.cores);
    chained && one_to_one && together
}

fn chains(graph: &Graph, decided: &[Decided], fused: &[bool]) -> (Vec<ChainPlan>, Vec<usize>) {
    let mut chains: Vec<ChainPlan> = Vec::new();
    let mut chain_of = Vec::new();
    for (id, own) in decided.iter().enumerate() {
        let input = graph.inputs(id as OperatorId).find(|(edge, _)| fused[*edge]);
        let chain = match input {
            Some((_, edge)) => chain_of[edge.from as usize],
            None => {
                let Decided { parallelism, group, cores } = own;
                let (parallelism, group, cores) = (*parallelism, group.clone(), cores.clone());
                chains.push(ChainPlan { operators: Vec::new(), parallelism, group, depth: 0, cores });
                chains.len() - 1
            }
        };
        chains[chain].operators.push(id as OperatorId);
        chain_of.push(chain);
    }
    (chains, chain_of)
}

fn edges(graph: &Graph, fused: &[bool], decided: &[Decided], chain_of: &[usize]) -> Vec<EdgePlan> {
    let decide = |(edge, fused): (&EdgeSpec, &bool)| {
        let (from, to) = (edge.from as usize, edge.to as usize);
        let differs = decided[from].parallelism != decided[to].parallelism;
        let partitioner = match edge.partitioner {
            Partitioner::Forward if differs => Partitioner::Rebalance,
            other => other,
        };
        EdgePlan { from: chain_of[from], to: chain_of[to], fused: *fused, partitioner, ring: None }
    };
    graph.edges.iter().zip(fused).map(decide).collect()
}

/// As in Flink: a group needs as many slots as its largest parallelism, and groups add up.
fn groups(chains: &[ChainPlan]) -> Vec<GroupPlan> {
    let mut groups: Vec<GroupPlan> = Vec::new();
    for chain in chains {
        // A larger one is refused afterwards, and must not overflow here.
        let parallelism = chain.parallelism.min(MOST_KEY_GROUPS);
        match groups.iter_mut().find(|group| group.name == chain.group) {
            Some(group) => group.slots.end = group.slots.end.max(parallelism),
            None => groups.push(GroupPlan { name: chain.group.clone(), slots: 0..parallelism }),
        }
    }
    let mut start = 0;
    for group in &mut groups {
        group.slots = start..start + group.slots.end;
        start = group.slots.end;
    }
    groups
}

fn set_depths(plan: &mut Plan) {
    // Inputs have lower numbers, so edges sorted by their reader see finished writers.
    let mut crossing: Vec<&EdgePlan> = plan.edges.iter().filter(|edge| !edge.fused).collect();
    crossing.sort_by_key(|edge| edge.to);
    for edge in crossing {
        let depth = plan.chains[edge.from].depth + 1;
        plan.chains[edge.to].depth = plan.chains[edge.to].depth.max(depth);
    }
}

fn warnings(plan: &Plan) -> Vec<String> {
    let mut warnings = Vec::new();
    for (id, operator) in plan.graph.operators.iter().enumerate() {
        let parallelism = plan.chains[plan.chain_of[id]].parallelism;
        let Some(splits) = operator.splits.as_ref().and_then(Splits::count).filter(|count| *count > 0) else {
            continue;
        };
        let name = &operator.name;
        if parallelism > splits {
            let idle = parallelism - splits;
            warnings.push(format!(
                "source \"{name}\" has {parallelism} subtasks for {splits} partitions: {idle} of them will be idle"
            ));
        } else if parallelism < splits {
            warnings.push(format!(
                "source \"{name}\" reads {splits} partitions with {parallelism} subtasks: parallelism below the \
                 partition count bounds what the source can read"
            ));
        }
    }
    warnings
}
