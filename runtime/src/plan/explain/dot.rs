//! The explanation for Graphviz.

use std::fmt::Write;

use super::text::{crossed, spread};
use super::{ExplainedEdge, Explanation};

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
    dot + "}\n"
}

fn cluster(dot: &mut String, explanation: &Explanation, number: usize, group: &str) {
    let _ = writeln!(dot, "  subgraph cluster_{number} {{\n    label={};", quoted(&format!("group {group}")));
    for (chain, spec) in explanation.chains.iter().enumerate() {
        if spec.slot_sharing_group == group {
            let label = format!("{}\nx {}", spec.operators.join("\n"), spec.parallelism);
            let _ = writeln!(dot, "    c{chain} [label={}];", quoted(&label));
        }
    }
    dot.push_str("  }\n");
}

fn arrow(dot: &mut String, edge: &ExplainedEdge) {
    let ExplainedEdge { from, to, crosses, order, .. } = edge;
    let (label, hint) = (format!("{}\n{}", spread(edge), crossed(crosses)), quoted(order));
    let _ = writeln!(dot, "  c{from} -> c{to} [label={}, tooltip={hint}];", quoted(&label));
}

/// A DOT string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
