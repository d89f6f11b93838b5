//! The explanation for people.

use std::fmt::{self, Display, Formatter};

use super::diamonds::Diamond;
use super::{
    Crossed, ExplainedChain, ExplainedCore, ExplainedEdge, ExplainedSettings, ExplainedSource, Explanation,
};

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (subtasks, chains) = (self.subtasks(), self.chains.len());
        let (slots, key_groups) = (self.slots(), self.key_groups);
        writeln!(f, "{subtasks} subtasks of {chains} chains in {slots} slots, {key_groups} key groups")?;
        section(f, "chains", self.chains.iter().enumerate().map(chain))?;
        section(f, "cores", self.cores.iter().enumerate().flat_map(core))?;
        section(f, "edges", self.edges.iter().map(edge))?;
        section(f, "diamonds", self.diamonds.iter().map(diamond))?;
        section(f, "partitions", self.sources.iter().map(source))?;
        section(f, "settings", self.settings.iter().flat_map(settings))?;
        section(f, "guarantee", [format!("{}: {}", self.guarantee.level, self.guarantee.why)].into_iter())?;
        section(f, "warnings", self.warnings.iter().cloned())
    }
}

/// A headline and its lines; nothing where there are none.
fn section(f: &mut Formatter<'_>, name: &str, lines: impl Iterator<Item = String>) -> fmt::Result {
    for (number, line) in lines.enumerate() {
        if number == 0 {
            writeln!(f, "\n{name}")?;
        }
        writeln!(f, "  {line}")?;
    }
    Ok(())
}

fn chain((number, chain): (usize, &ExplainedChain)) -> String {
    let ExplainedChain { name, parallelism, slot_sharing_group, slots, cpus, boxed, .. } = chain;
    let cpus = cpus.as_ref().map(|cpus| format!(", may use CPUs {cpus}")).unwrap_or_default();
    let boxed: String = boxed.iter().map(|name| format!(", boxed behind \"{name}\"")).collect();
    let slots = numbered("slot", slots);
    format!("{number}  {name}  x {parallelism}, group \"{slot_sharing_group}\", {slots}{cpus}{boxed}")
}

/// `slot 3`, or `slots 0, 1, 2`.
pub(super) fn numbered(word: &str, numbers: &[usize]) -> String {
    let plural = if numbers.len() == 1 { "" } else { "s" };
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("{word}{plural} {}", numbers.join(", "))
}

fn core((number, core): (usize, &ExplainedCore)) -> Vec<String> {
    let cpu = core.cpu.map_or("not pinned".into(), |cpu| format!("on CPU {cpu}"));
    let mut lines = vec![format!("core {number}, {cpu}")];
    for slot in &core.slots {
        let subtasks = if slot.subtasks.is_empty() { "-".into() } else { slot.subtasks.join(", ") };
        lines.push(format!("  slot {}: {subtasks}", slot.slot));
    }
    lines
}

fn edge(edge: &ExplainedEdge) -> String {
    let ExplainedEdge { from, to, crosses, order, .. } = edge;
    let (spread, rings, crossed) = (spread(edge), rings(edge), crossed(crosses));
    format!("{from} -> {to}  {spread}, {rings} ({crossed}); {order}")
}

/// How an edge spreads its records.
pub(super) fn spread(edge: &ExplainedEdge) -> String {
    let phases = if edge.two_phases { " in two phases where that pays" } else { "" };
    format!("{}{phases}", edge.partitioner)
}

/// How many rings an edge has, and how large they are.
pub(super) fn rings(edge: &ExplainedEdge) -> String {
    let (rings, plural) = (edge.rings, if edge.rings == 1 { "" } else { "s" });
    format!("{rings} ring{plural}{}", room(edge).unwrap_or_default())
}

/// How much an edge's rings hold, if that is known.
fn room(edge: &ExplainedEdge) -> Option<String> {
    let (records, kib) = (edge.ring_records?, edge.ring_bytes?.div_ceil(1024));
    Some(format!(" of {records} records, {kib} KiB"))
}

fn diamond(Diamond { from, to, ways }: &Diamond) -> String {
    let ways: Vec<String> = ways.iter().map(ToString::to_string).collect();
    format!("{from} -> {to}  by {}; what left {from} in order can arrive in another", ways.join(" and "))
}

pub(super) fn crossed(crosses: &[Crossed]) -> String {
    let crosses: Vec<String> =
        crosses.iter().map(|Crossed { what, rings }| format!("{rings} {what}")).collect();
    crosses.join(", ")
}

fn settings(of: &ExplainedSettings) -> impl Iterator<Item = String> {
    of.lines.iter().map(|line| format!("{}: {line}", of.name))
}

pub(super) fn source(source: &ExplainedSource) -> String {
    let ExplainedSource { name, partitions, balance, .. } = source;
    let shares: Vec<String> = balance.iter().map(ToString::to_string).collect();
    format!("{name}: {partitions} partitions on {} subtasks = {}", balance.len(), shares.join("/"))
}
