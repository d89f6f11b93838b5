//! The explanation: how a job would run, for people and for programs, without running it.
//!
//! It is made from the plan and a placement alone, so it starts no thread and opens no connector. It has
//! three forms: text (also its `Display`), DOT for Graphviz, and JSON.

mod diamonds;
mod dot;
mod promises;
mod text;

use serde::Serialize;

use super::{EdgeId, Plan};
use crate::Splits;
use crate::machine::{Cpus, Placement, Topology};

/// How a job would run: chains, slots and cores, edges and what they cross, partition balance, order,
/// guarantee.
///
/// From `Environment::explain`, on the host's thread, before the job's start or instead of it.
///
/// ```
/// use std::path::Path;
/// use slotflow_runtime::config::Config;
/// use slotflow_runtime::machine::{Placement, Probe};
/// use slotflow_runtime::plan::{Explanation, Graph, Plan, Role};
///
/// let mut graph = Graph::default();
/// let numbers = graph.add("numbers", Role::Source);
/// let print = graph.add("print", Role::Sink);
/// graph.connect(numbers, print);
/// let (config, probe) = (Config::default(), Probe::run(Path::new("/")));
/// let plan = Plan::new(graph, &config)?;
/// let placement = Placement::choose(&probe, &config, &plan.slot_cpus()).expect("no cores are named");
/// let explanation = Explanation::new(&plan, &placement, &probe.topology, &[0]);
/// assert!(explanation.text().contains("numbers -> print"));
/// # Ok::<(), slotflow_runtime::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    key_groups: usize,
    chains: Vec<ExplainedChain>,
    cores: Vec<ExplainedCore>,
    edges: Vec<ExplainedEdge>,
    diamonds: Vec<diamonds::Diamond>,
    sources: Vec<ExplainedSource>,
    settings: Vec<ExplainedSettings>,
    guarantee: promises::Guarantees,
    warnings: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct ExplainedChain {
    name: String,
    operators: Vec<String>,
    parallelism: usize,
    slot_sharing_group: String,
    /// Where its subtasks are, in their order.
    slots: Vec<usize>,
    /// The CPUs it was restricted to.
    cpus: Option<String>,
    /// The operators whose records go through a pointer.
    boxed: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct ExplainedCore {
    cpu: Option<usize>,
    slots: Vec<ExplainedSlot>,
}

#[derive(Clone, Debug, Serialize)]
struct ExplainedSlot {
    slot: usize,
    /// Those of this job, as `head[index]`.
    subtasks: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct ExplainedEdge {
    /// The chains' numbers.
    from: usize,
    to: usize,
    partitioner: &'static str,
    /// Whether records of a step are combined before they cross it, where that pays.
    two_phases: bool,
    rings: usize,
    /// How many records each of them holds.
    ring_records: Option<usize>,
    /// What all of them take together.
    ring_bytes: Option<usize>,
    /// From near to far.
    crosses: Vec<Crossed>,
    order: String,
}

#[derive(Clone, Debug, Serialize)]
struct Crossed {
    what: String,
    rings: usize,
}

#[derive(Clone, Debug, Serialize)]
struct ExplainedSource {
    name: String,
    /// The chain's number.
    chain: usize,
    partitions: usize,
    /// How many each subtask reads.
    balance: Vec<usize>,
}

/// What a source or a sink is set to.
#[derive(Clone, Debug, Serialize)]
struct ExplainedSettings {
    name: String,
    lines: Vec<String>,
}

impl Explanation {
    /// Explains `plan` on a pool that is placed so; `lease` has the pool's number of each of the job's slots.
    pub fn new(plan: &Plan, placement: &Placement, topology: &Topology, lease: &[usize]) -> Explanation {
        let slot = |chain, index| lease.get(plan.slot(chain, index)).copied().unwrap_or(0);
        let edges = (0..plan.edges.len()).filter(|edge| !plan.edges[*edge].fused);
        let crossing = |from, to| placement.crossing(topology, from, to);
        let diamonds = diamonds::diamonds(plan);
        let explained = |edge| {
            let mut explained = explained_edge(plan, edge, &slot, &crossing);
            explained.order += &diamonds::order_between_ways(&diamonds, explained.from, explained.to);
            explained
        };
        Explanation {
            key_groups: plan.max_parallelism,
            chains: (0..plan.chains.len()).map(|chain| explained_chain(plan, chain, &slot)).collect(),
            cores: cores(plan, placement, &slot),
            edges: edges.map(explained).collect(),
            diamonds,
            sources: sources(plan),
            settings: settings(plan),
            guarantee: promises::guarantee(plan),
            warnings: plan.warnings.iter().cloned().chain(placed(placement)).collect(),
        }
    }

    /// For people: sections of lines.
    pub fn text(&self) -> String {
        self.to_string()
    }

    /// For Graphviz: the chains as nodes in boxes of their slot sharing groups, with slots, cores and partition
    /// balance; the edges between them with their rings; guarantee and warnings above all.
    pub fn dot(&self) -> String {
        dot::dot(self)
    }

    /// For programs: one object, indented; edges name chains by their place in `chains`.
    pub fn json(&self) -> String {
        // Only maps with keys that are no text can fail, and there are none.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    fn subtasks(&self) -> usize {
        self.chains.iter().map(|chain| chain.parallelism).sum()
    }

    /// The slots that have subtasks of this job.
    fn slots(&self) -> usize {
        self.cores.iter().flat_map(|core| &core.slots).filter(|slot| !slot.subtasks.is_empty()).count()
    }
}

/// What the placement has to say, in the plan's form.
fn placed(placement: &Placement) -> impl Iterator<Item = String> {
    placement.warnings.iter().map(ToString::to_string)
}

fn explained_chain(plan: &Plan, chain: usize, slot: &impl Fn(usize, usize) -> usize) -> ExplainedChain {
    let spec = &plan.chains[chain];
    let operators = || spec.operators.iter().map(|id| plan.graph.operator(*id));
    ExplainedChain {
        name: plan.chain_name(chain),
        operators: operators().map(|operator| operator.name.to_string()).collect(),
        parallelism: spec.parallelism,
        slot_sharing_group: spec.group.clone(),
        slots: (0..spec.parallelism).map(|index| slot(chain, index)).collect(),
        cpus: spec.cores.as_ref().map(|cores| Cpus::from_iter(cores.iter().copied()).to_string()),
        boxed: operators()
            .filter(|operator| operator.boxed)
            .map(|operator| operator.name.to_string())
            .collect(),
    }
}

fn cores(plan: &Plan, placement: &Placement, slot: &impl Fn(usize, usize) -> usize) -> Vec<ExplainedCore> {
    let of_slot = |number: &usize| ExplainedSlot { slot: *number, subtasks: seated(plan, *number, slot) };
    let threads = placement.threads.iter();
    threads
        .map(|thread| ExplainedCore { cpu: thread.cpu, slots: thread.slots.iter().map(of_slot).collect() })
        .collect()
}

/// The subtasks in one of the pool's slots.
fn seated(plan: &Plan, number: usize, slot: &impl Fn(usize, usize) -> usize) -> Vec<String> {
    let mut seated = Vec::new();
    for (chain, spec) in plan.chains.iter().enumerate() {
        let head = &plan.graph.operator(spec.operators[0]).name;
        let here = (0..spec.parallelism).filter(|index| slot(chain, *index) == number);
        seated.extend(here.map(|index| format!("{head}[{index}]")));
    }
    seated
}

fn explained_edge(
    plan: &Plan,
    edge: EdgeId,
    slot: &impl Fn(usize, usize) -> usize,
    crossing: &impl Fn(usize, usize) -> crate::machine::Crossing,
) -> ExplainedEdge {
    let spec = &plan.edges[edge];
    let targets = plan.targets(edge);
    let pairs = targets.iter().enumerate().flat_map(|(from, to)| to.iter().map(move |to| (from, *to)));
    let mut crossed: Vec<_> =
        pairs.map(|(from, to)| crossing(slot(spec.from, from), slot(spec.to, to))).collect();
    crossed.sort_unstable();
    let crosses = crossed.chunk_by(|a, b| a == b);
    ExplainedEdge {
        from: spec.from,
        to: spec.to,
        partitioner: spec.partitioner.name(),
        two_phases: plan.graph.edges[edge].two_phases,
        rings: crossed.len(),
        ring_records: spec.ring.map(|ring| ring.records),
        ring_bytes: spec.ring.map(|ring| ring.bytes() * crossed.len()),
        crosses: crosses.map(|same| Crossed { what: same[0].to_string(), rings: same.len() }).collect(),
        order: promises::order(spec.partitioner, &targets).into(),
    }
}

fn sources(plan: &Plan) -> Vec<ExplainedSource> {
    let mut sources = Vec::new();
    for (id, operator) in plan.graph.operators.iter().enumerate() {
        let Some(partitions) = operator.splits.as_ref().and_then(Splits::count).filter(|count| *count > 0)
        else {
            continue;
        };
        let chain = plan.chain_of[id];
        let subtasks = 0..plan.chains[chain].parallelism;
        let balance = subtasks.map(|index| plan.splits(id as u32, index).len()).collect();
        sources.push(ExplainedSource { name: operator.name.to_string(), chain, partitions, balance });
    }
    sources
}

fn settings(plan: &Plan) -> Vec<ExplainedSettings> {
    let told = plan.graph.operators.iter().filter(|operator| !operator.settings.is_empty());
    told.map(|operator| ExplainedSettings {
        name: operator.name.to_string(),
        lines: operator.settings.clone(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::machine::Probe;
    use crate::machine::fixture::Tree;
    use crate::plan::{Graph, OperatorId, Partitioner, Role};

    /// A source of 8 partitions on 3 subtasks, mapped, counted by key, written by 2 on a slot of their own.
    fn graph() -> Graph {
        let mut graph = Graph::default();
        let words = graph.add("words", Role::Source);
        graph.operator_mut(words).splits = Some(Splits::Count(8));
        graph.operator_mut(words).commits = true;
        graph.operator_mut(words).settings = vec!["low latency: wait = 1".into(), "also set: name".into()];
        let map = graph.add("map", Role::Operator);
        let count = graph.add("count", Role::Operator);
        let sink = graph.add("say \"it\"", Role::Sink);
        graph.operator_mut(sink).parallelism = Some(2);
        graph.operator_mut(sink).group = Some("sinks".into());
        graph.operator_mut(sink).guarantee = Some(crate::Guarantee::AtLeastOnce);
        graph.connect(words, map);
        cut(&mut graph, map, count, Partitioner::Hash);
        cut(&mut graph, count, sink, Partitioner::Forward);
        graph
    }

    fn cut(graph: &mut Graph, from: OperatorId, to: OperatorId, partitioner: Partitioner) {
        let edge = graph.connect(from, to);
        (graph.edges[edge].partitioner, graph.edges[edge].can_cut) = (partitioner, true);
        graph.carries::<[u64; 2]>(edge);
    }

    fn explained(toml: &str) -> Explanation {
        of(graph(), toml)
    }

    fn of(graph: Graph, toml: &str) -> Explanation {
        let config = Config::from_toml(toml).unwrap();
        let probe = Probe::run(Tree::server("0-3").root());
        let plan = Plan::new(graph, &config).unwrap();
        let placement = Placement::choose(&probe, &config, &plan.slot_cpus()).unwrap();
        let lease: Vec<usize> = (0..plan.slots).collect();
        Explanation::new(&plan, &placement, &probe.topology, &lease)
    }

    const THREE: &str = "[job]\nparallelism = 3\n[slots]\npin = true\ncores = [0, 1, 2, 3]\n";

    #[test]
    fn the_text_of_a_small_job_is_golden() {
        assert_eq!(explained(THREE).text(), include_str!("golden/text.txt"));
    }

    #[test]
    fn the_graph_of_a_small_job_is_golden() {
        assert_eq!(explained(THREE).dot(), include_str!("golden/graph.dot"));
    }

    #[test]
    fn the_json_of_a_small_job_is_golden() {
        assert_eq!(explained(THREE).json(), include_str!("golden/plan.json").trim_end());
    }

    #[test]
    fn the_graph_names_cores_where_nothing_is_pinned_and_each_source_s_own_partitions() {
        let mut graph = graph();
        let more = graph.add("words", Role::Source);
        graph.operator_mut(more).splits = Some(Splits::Count(2));
        let sink = graph.add("end", Role::Sink);
        graph.connect(more, sink);
        let dot = of(graph, "[job]\nparallelism = 3\n[slots]\npin = false\n").dot();
        for line in [
            r#"\nmap\nx 3, slots 0, 1, 2\ncores 0, 1, 2, not pinned\nwords: 8 partitions on 3 subtasks = 3/3/2"];"#,
            r#"c2 [label="say \"it\"\nx 2, slots 3, 4\ncores 3, 0, not pinned"];"#,
            r#"\nend\nx 3, slots 0, 1, 2\ncores 0, 1, 2, not pinned\nwords: 2 partitions on 3 subtasks = 1/1/0"];"#,
        ] {
            assert!(dot.contains(line), "{line} is not in\n{dot}");
        }
    }

    #[test]
    fn an_edge_that_combines_where_that_pays_says_so() {
        let mut graph = graph();
        graph.edges[1].two_phases = true;
        let explanation = of(graph, THREE);
        assert!(explanation.text().contains("0 -> 1  hash in two phases where that pays, 9 rings"));
        assert!(explanation.dot().contains("c0 -> c1 [label=\"hash in two phases where that pays\\n"));
        assert!(explanation.json().contains("\"two_phases\": true"));
    }

    #[test]
    fn chains_that_are_restricted_to_cores_say_so() {
        let text = explained("[operators.count]\ncores = [2, 3]\n").text();
        assert!(text.contains("1  count  x 1, group \"default\", slot 0, may use CPUs 2-3\n"), "{text}");
    }
}
