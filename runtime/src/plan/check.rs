//! Everything that can be wrong with a plan, found before anything starts.

use std::collections::HashMap;

use super::graph::{OperatorId, Partitioner, Role};
use super::{EdgePlan, Plan};
use crate::Splits;
use crate::config::{Config, Overcommit};
use crate::error::Problem;

/// All the problems of a plan; none means that it can be carried out.
pub fn check(plan: &Plan, config: &Config) -> Vec<Problem> {
    let mut problems = config.check();
    if plan.graph.operators.is_empty() {
        let remedy = "describe at least one source and one sink before run";
        problems.push(Problem::new("job", "has no operators", remedy));
        return problems;
    }
    problems.extend(ends(plan));
    problems.extend(identities(plan));
    problems.extend(parallelisms(plan));
    problems.extend(overrides(plan, config));
    problems.extend(slots(plan, config));
    problems.extend(cores(plan));
    problems.extend(guarantees(plan, config));
    problems.extend(source_partitions(plan));
    problems.extend_from_slice(&plan.graph.mistakes);
    problems.extend_from_slice(&plan.graph.refusals);
    problems
}

fn subject(plan: &Plan, id: usize) -> String {
    format!("operator \"{}\"", plan.graph.operators[id].name)
}

/// A stream must end in a sink.
fn ends(plan: &Plan) -> impl Iterator<Item = Problem> {
    let open = (0..plan.graph.operators.len()).filter(|id| {
        let is_sink = plan.graph.operators[*id].role == Role::Sink;
        !is_sink && plan.graph.outputs(*id as OperatorId).next().is_none()
    });
    open.map(|id| Problem::new(subject(plan, id), "leads to no sink", "end the stream with .sink(...)"))
}

/// A uid stands for one operator.
fn identities(plan: &Plan) -> Vec<Problem> {
    let mut owner: HashMap<&str, usize> = HashMap::new();
    let mut problems = Vec::new();
    for (id, operator) in plan.graph.operators.iter().enumerate() {
        let Some(uid) = &operator.uid else { continue };
        if let Some(other) = owner.insert(uid, id) {
            let what = format!("has the uid \"{uid}\" of {}", subject(plan, other));
            problems.push(Problem::new(subject(plan, id), what, "give each operator a uid of its own"));
        }
    }
    problems
}

fn parallelisms(plan: &Plan) -> Vec<Problem> {
    let mut problems = Vec::new();
    for chain in &plan.chains {
        let head = chain.operators[0] as usize;
        let (parallelism, most) = (chain.parallelism, plan.max_parallelism);
        // A number from the configuration is checked there, once.
        let said = plan.graph.operators[head].parallelism == Some(parallelism);
        if said && parallelism == 0 {
            problems.push(Problem::new(subject(plan, head), "has parallelism 0", "give it at least 1"));
        }
        if said && parallelism > most {
            let what = format!("has parallelism {parallelism}, more than the max parallelism {most}");
            let remedy = "lower it, or raise max_parallelism (fixed for the life of stored state)";
            problems.push(Problem::new(subject(plan, head), what, remedy));
        }
        if plan.graph.operators[head].splits == Some(Splits::Single) && parallelism > 1 {
            let what = format!("has parallelism {parallelism}, but only one subtask can read it");
            problems.push(Problem::new(
                subject(plan, head),
                what,
                "leave it at 1 and call .rebalance() behind it",
            ));
        }
    }
    problems
}

/// The configuration addresses heads of chains.
fn overrides(plan: &Plan, config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    for name in config.operators.keys() {
        let subject = format!("operators.\"{name}\"");
        let named = (0..plan.graph.operators.len()).filter(|id| *plan.graph.operators[*id].name == **name);
        let named: Vec<usize> = named.collect();
        let Some(id) = named.first() else {
            let heads: Vec<String> = heads(plan).map(|name| format!("\"{name}\"")).collect();
            let remedy = format!("name the head of a chain: {}", heads.join(", "));
            problems.push(Problem::new(subject, "names no operator of this job", remedy));
            continue;
        };
        if named.len() > 1 {
            let what = format!("names {} operators", named.len());
            problems.push(Problem::new(&subject, what, "give them different names with .name(...)"));
        }
        if !can_head(plan, *id) {
            let head = plan.chains[plan.chain_of[*id]].operators[0];
            let what = format!(
                "names an operator in the middle of the chain of \"{}\"",
                plan.graph.operator(head).name
            );
            let remedy = "name that one, or call .start_new_chain() on this one";
            problems.push(Problem::new(subject, what, remedy));
        }
    }
    problems
}

fn heads(plan: &Plan) -> impl Iterator<Item = &str> {
    let able = (0..plan.graph.operators.len()).filter(|id| can_head(plan, *id));
    able.map(|id| &*plan.graph.operators[id].name)
}

/// Whether the code for a cut in front of the operator was compiled.
fn can_head(plan: &Plan, id: usize) -> bool {
    let mut inputs = plan.graph.inputs(id as OperatorId);
    plan.graph.operators[id].role == Role::Source || inputs.any(|(_, edge)| edge.can_cut || edge.must_cut)
}

fn slots(plan: &Plan, config: &Config) -> Option<Problem> {
    let needed = plan.groups.last()?.slots.end;
    let given = config.slots.count?;
    if given >= needed || config.slots.overcommit == Overcommit::Pack {
        return None;
    }
    let shares: Vec<String> = plan
        .groups
        .iter()
        .map(|group| format!("{} for group \"{}\"", group.slots.len(), group.name))
        .collect();
    let what = format!("is {given}, but the job needs {needed} slots: {}", shares.join(", "));
    let remedy = format!("set it to {needed}, lower the parallelism, or set slots.overcommit = \"pack\"");
    Some(Problem::new("slots.count", what, remedy))
}

/// Chains that share a slot run on its one core.
fn cores(plan: &Plan) -> Vec<Problem> {
    let mut problems = Vec::new();
    let restricted = |chain: &usize| plan.chains[*chain].cores.is_some();
    let chains: Vec<usize> = (0..plan.chains.len()).filter(restricted).collect();
    let share = |a: &usize, b: &usize| {
        let slots =
            |chain: usize| (0..plan.chains[chain].parallelism).map(move |index| plan.slot(chain, index));
        slots(*a).any(|slot| slots(*b).any(|other| other == slot))
    };
    for (number, b) in chains.iter().enumerate() {
        let apart = |a: &&usize| plan.chains[**a].cores != plan.chains[*b].cores && share(a, b);
        let Some(a) = chains[..number].iter().find(apart) else { continue };
        let head = |chain: usize| plan.chains[chain].operators[0] as usize;
        let what = format!("shares slots with {}, which may use other cores", subject(plan, head(*a)));
        let remedy = "name the same cores for both, or give one a slot sharing group of its own";
        problems.push(Problem::new(subject(plan, head(*b)), what, remedy));
    }
    problems
}

/// What is keyed by source partition must be where its source read it.
fn source_partitions(plan: &Plan) -> impl Iterator<Item = Problem> {
    let keyed = (0..plan.graph.operators.len()).filter(|id| plan.graph.operators[*id].by_source_partition);
    keyed.filter_map(|id| {
        let edge = moved(plan, id as OperatorId)?;
        let what = format!("is keyed by source partition, but a {edge} stands between it and its source");
        let remedy = "give all operators up to it the source's parallelism, or use key_by";
        Some(Problem::new(subject(plan, id), what, remedy))
    })
}

/// The first partitioner on the way up from an operator that moves records to other subtasks.
fn moved(plan: &Plan, id: OperatorId) -> Option<&'static str> {
    plan.graph.inputs(id).find_map(|(edge, spec)| {
        let EdgePlan { fused, partitioner, .. } = &plan.edges[edge];
        let stays = *fused || *partitioner == Partitioner::Forward;
        if stays { moved(plan, spec.from) } else { Some(partitioner.name()) }
    })
}

/// A job with state that commits offsets would lose that state's records at a restart.
fn guarantees(plan: &Plan, config: &Config) -> Option<Problem> {
    let operators = &plan.graph.operators;
    let commits = operators.iter().position(|operator| operator.commits)?;
    let keeps = operators.iter().position(|operator| operator.stateful)?;
    if config.job.best_effort {
        return None;
    }
    let what = format!(
        "commits offsets while {} keeps state that no checkpoint stores: after a restart its records would not \
         be read again",
        subject(plan, keeps)
    );
    let remedy = "set job.best_effort = true to accept that, or turn the source's commits off";
    Some(Problem::new(subject(plan, commits), what, remedy))
}
