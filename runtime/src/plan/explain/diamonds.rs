//! Diamonds: where a chain's output goes several ways that meet again.
//!
//! Each way keeps its own order, but records of different ways can overtake each other, so what left the fork in
//! order need not arrive so. That holds for a partition, too: its order ends where its ways meet.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::plan::Plan;

/// Ways from one chain to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Diamond {
    /// The last chain that all the ways come from.
    pub from: usize,
    /// The chain where they meet.
    pub to: usize,
    /// The chains they arrive by.
    pub ways: Vec<usize>,
}

/// All of a plan's, in the order of the chains where they meet.
pub(super) fn diamonds(plan: &Plan) -> Vec<Diamond> {
    let ancestors = ancestors(plan);
    let of_chain = |to| {
        let forks = forks(&inputs(plan, to), &ancestors);
        forks.into_iter().map(move |(from, ways)| Diamond { from, to, ways: ways.into_iter().collect() })
    };
    (0..plan.chains.len()).flat_map(of_chain).collect()
}

/// What an edge between these chains adds to the order it keeps by itself.
pub(super) fn order_between_ways(diamonds: &[Diamond], from: usize, to: usize) -> String {
    let of = diamonds.iter().filter(|diamond| diamond.to == to && diamond.ways.contains(&from));
    of.map(|diamond| format!(", and between the ways from {} it ends here", diamond.from)).collect()
}

fn inputs(plan: &Plan, chain: usize) -> Vec<usize> {
    plan.edges.iter().filter(|edge| !edge.fused && edge.to == chain).map(|edge| edge.from).collect()
}

/// By chain: itself and all that it has records from.
fn ancestors(plan: &Plan) -> Vec<BTreeSet<usize>> {
    let mut ancestors: Vec<BTreeSet<usize>> = Vec::new();
    // Inputs have lower numbers, so those of a chain are complete when it is its turn.
    for chain in 0..plan.chains.len() {
        let inputs = inputs(plan, chain);
        let mut own: BTreeSet<usize> = inputs.iter().flat_map(|input| &ancestors[*input]).copied().collect();
        own.insert(chain);
        ancestors.push(own);
    }
    ancestors
}

/// The chains at which two or more of these inputs were last one, and which inputs.
fn forks(inputs: &[usize], ancestors: &[BTreeSet<usize>]) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut forks: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (number, first) in inputs.iter().enumerate() {
        for second in &inputs[number + 1..] {
            let common: BTreeSet<usize> = &ancestors[*first] & &ancestors[*second];
            let behind =
                |fork: usize| common.iter().any(|other| *other != fork && ancestors[*other].contains(&fork));
            for fork in common.iter().filter(|fork| !behind(**fork)) {
                forks.entry(*fork).or_default().extend([*first, *second]);
            }
        }
    }
    forks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::plan::{Graph, Role};

    /// The diamonds of operators `0..count` with these edges, none of them chained.
    fn of(count: u32, edges: &[(u32, u32)]) -> Vec<(usize, usize, Vec<usize>)> {
        let mut graph = Graph::default();
        for number in 0..count {
            let role = match number {
                0 => Role::Source,
                _ if number == count - 1 => Role::Sink,
                _ => Role::Operator,
            };
            graph.add(&number.to_string(), role);
        }
        for (from, to) in edges {
            let edge = graph.connect(*from, *to);
            graph.edges[edge].must_cut = true;
        }
        let plan = Plan::new(graph, &Config::default()).unwrap();
        diamonds(&plan).into_iter().map(|diamond| (diamond.from, diamond.to, diamond.ways)).collect()
    }

    #[test]
    fn a_line_and_a_fork_that_does_not_meet_are_none() {
        assert_eq!(of(3, &[(0, 1), (1, 2)]), []);
        assert_eq!(of(2, &[(0, 1)]), []);
    }

    #[test]
    fn two_ways_that_meet_are_one() {
        assert_eq!(of(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]), [(0, 3, vec![1, 2])]);
    }

    #[test]
    fn a_way_may_be_long_and_the_fork_is_the_last_common_chain() {
        let edges = [(0, 1), (1, 2), (1, 3), (2, 4), (4, 5), (3, 5), (5, 6)];
        assert_eq!(of(7, &edges), [(1, 5, vec![3, 4])]);
    }

    #[test]
    fn a_fork_within_a_way_is_a_diamond_of_its_own() {
        let edges = [(0, 1), (0, 2), (2, 3), (2, 4), (1, 5), (3, 5), (4, 5)];
        assert_eq!(of(6, &edges), [(0, 5, vec![1, 3, 4]), (2, 5, vec![3, 4])]);
    }
}
