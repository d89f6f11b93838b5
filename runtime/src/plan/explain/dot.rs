//! The explanation for Graphviz.

use std::fmt::Write;

use super::text::{crossed, numbered, rings, source, spread};
use super::{ExplainedChain, ExplainedCore, ExplainedEdge, Explanation};

/// The whole graph. Writing to a `String` cannot fail, so results of `write!` are dropped.
pub(super) fn dot(explanation: &Explanation) -> String {
    let mut dot = String::from("digraph job {\n  rankdir=LR;\n  node [shape=box];\n");
    let mut groups: Vec<&str> = Vec::new();
    for chain in &explanation.chains {
        if !groups.contains(&&*chain.slot_sharing_group) {
            groups.push(&chain.slot_sharing_group);
        }
    }
    groups.iter().enumerate().for_each(|(number, group)| cluster(&mut dot, explanation, number, group));
    explanation.edges.iter().for_each(|edge| arrow(&mut dot, edge));
    // Last, or the groups' boxes would inherit it.
    let _ = writeln!(dot, "  label={};\n  labelloc=t;", quoted(&headline(explanation)));
    dot + "}\n"
}

/// What holds for the whole job: its guarantee, and what is allowed but probably not meant.
fn headline(explanation: &Explanation) -> String {
    let warnings: String = explanation.warnings.iter().map(|text| format!("\nwarning: {text}")).collect();
    format!("{}: {}{warnings}", explanation.guarantee.level, explanation.guarantee.why)
}

fn cluster(dot: &mut String, explanation: &Explanation, number: usize, group: &str) {
    let _ = writeln!(dot, "  subgraph cluster_{number} {{\n    label={};", quoted(&format!("group {group}")));
    for (chain, spec) in explanation.chains.iter().enumerate() {
        if spec.slot_sharing_group == group {
            let _ = writeln!(dot, "    c{chain} [label={}];", quoted(&label(explanation, chain)));
        }
    }
    dot.push_str("  }\n");
}

/// A chain's operators, where its subtasks are, and how many partitions each of them reads.
fn label(explanation: &Explanation, chain: usize) -> String {
    let ExplainedChain { operators, parallelism, slots, .. } = &explanation.chains[chain];
    let sources = explanation.sources.iter().filter(|source| source.chain == chain);
    let partitions: String = sources.map(|of| format!("\n{}", source(of))).collect();
    let (operators, cores) = (operators.join("\n"), cores(explanation, slots));
    format!("{operators}\nx {parallelism}, {}\n{cores}{partitions}", numbered("slot", slots))
}

/// The core of each slot, in their order: subtasks with equal numbers share one.
fn cores(explanation: &Explanation, slots: &[usize]) -> String {
    let owns = |core: &ExplainedCore, slot: usize| core.slots.iter().any(|own| own.slot == slot);
    let core_of = |slot: &usize| explanation.cores.iter().position(|core| owns(core, *slot));
    let cores: Vec<usize> = slots.iter().filter_map(core_of).collect();
    let cpus: Option<Vec<usize>> = cores.iter().map(|core| explanation.cores[*core].cpu).collect();
    cpus.map_or_else(|| numbered("core", &cores) + ", not pinned", |cpus| numbered("CPU", &cpus))
}

fn arrow(dot: &mut String, edge: &ExplainedEdge) {
    let ExplainedEdge { from, to, crosses, order, .. } = edge;
    let label = format!("{}\n{}\n{}", spread(edge), rings(edge), crossed(crosses));
    let hint = quoted(order);
    let _ = writeln!(dot, "  c{from} -> c{to} [label={}, tooltip={hint}];", quoted(&label));
}

/// A DOT string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
