//! What a plan promises: where order ends, and what becomes of records after a failure.

use serde::Serialize;

use crate::Guarantee;
use crate::plan::{OperatorSpec, Partitioner, Plan, Role};

/// What an edge does to order, which holds within each pair of subtasks and nowhere else.
pub(super) fn order(partitioner: Partitioner, targets: &[Vec<usize>]) -> &'static str {
    let one_target = targets.iter().all(|targets| targets.len() <= 1);
    match partitioner {
        _ if one_target => "order of each origin subtask is kept",
        Partitioner::Hash => "order per key from each origin subtask",
        Partitioner::Broadcast => "order of each origin subtask is kept at each target",
        Partitioner::Custom => "order for a partition ends here, unless the closure keeps it together",
        _ => "order for a partition ends here",
    }
}

/// A job's guarantee and the reason for it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Guarantees {
    pub level: &'static str,
    pub why: String,
}

/// The weakest part decides.
pub(super) fn guarantee(plan: &Plan) -> Guarantees {
    let operators = &plan.graph.operators;
    let forgets = |operator: &&OperatorSpec| operator.role == Role::Source && !operator.commits;
    let keeps = |operator: &&OperatorSpec| operator.guarantee == Some(Guarantee::InProcess);
    let loses = |operator: &&OperatorSpec| operator.guarantee == Some(Guarantee::BestEffort);
    let of = |operator: &OperatorSpec, what: &str| format!("\"{}\" {what}", operator.name);
    let (level, why) = if let Some(sink) = operators.iter().find(keeps) {
        ("in-process", of(sink, "hands its records to this process, and they end with it"))
    } else if let Some(sink) = operators.iter().find(loses) {
        ("best effort", of(sink, "counts records as arrived that can still be lost"))
    } else if let Some(source) = operators.iter().find(forgets) {
        ("best effort", of(source, "commits no offsets, so a restart does not read on where the job stopped"))
    } else if let Some(stateful) = operators.iter().find(|operator| operator.stateful) {
        let what = "keeps state that no checkpoint stores, which job.best_effort accepts";
        ("best effort", of(stateful, what))
    } else {
        let why = "offsets are committed once all sinks have acknowledged everything before them";
        ("at-least-once", why.into())
    };
    Guarantees { level, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::plan::Graph;

    #[test]
    fn order_ends_where_an_origin_has_several_targets_and_no_key() {
        let (one, two) = (vec![vec![0], vec![0]], vec![vec![0, 1], vec![0, 1]]);
        assert_eq!(order(Partitioner::Rebalance, &one), "order of each origin subtask is kept");
        for partitioner in [Partitioner::Rebalance, Partitioner::Shuffle, Partitioner::Rescale] {
            assert_eq!(order(partitioner, &two), "order for a partition ends here");
        }
        assert_eq!(order(Partitioner::Hash, &two), "order per key from each origin subtask");
    }

    fn graph(commits: bool, stateful: bool, sink: Guarantee) -> Graph {
        let mut graph = Graph::default();
        let source = graph.add("source", Role::Source);
        let map = graph.add("map", Role::Operator);
        let end = graph.add("sink", Role::Sink);
        graph.connect(source, map);
        graph.connect(map, end);
        graph.operator_mut(source).commits = commits;
        graph.operator_mut(map).stateful = stateful;
        graph.operator_mut(end).guarantee = Some(sink);
        graph
    }

    fn level(commits: bool, stateful: bool, sink: Guarantee) -> &'static str {
        let mut config = Config::default();
        config.job.best_effort = true;
        guarantee(&Plan::new(graph(commits, stateful, sink), &config).unwrap()).level
    }

    #[test]
    fn a_job_that_keeps_state_and_commits_offsets_is_refused_unless_it_says_best_effort() {
        let planned = |commits, stateful| {
            Plan::new(graph(commits, stateful, Guarantee::AtLeastOnce), &Config::default())
        };
        assert_eq!(
            planned(true, true).unwrap_err().to_string(),
            "operator \"source\": commits offsets while operator \"map\" keeps state that no checkpoint stores: \
             after a restart its records would not be read again; set job.best_effort = true to accept that, or \
             turn the source's commits off"
        );
        assert!(planned(true, false).is_ok() && planned(false, true).is_ok());
        assert_eq!(level(true, true, Guarantee::AtLeastOnce), "best effort");
    }

    #[test]
    fn the_weakest_part_decides_the_guarantee() {
        assert_eq!(level(true, false, Guarantee::AtLeastOnce), "at-least-once");
        assert_eq!(level(true, true, Guarantee::AtLeastOnce), "best effort");
        assert_eq!(level(false, false, Guarantee::AtLeastOnce), "best effort");
        assert_eq!(level(true, false, Guarantee::InProcess), "in-process");
        assert_eq!(level(true, false, Guarantee::BestEffort), "best effort");
    }
}
