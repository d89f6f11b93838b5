//! The logical graph: what the user described, before anything is decided.

use std::sync::Arc;

use crate::error::Problem;
use crate::{Error, Guarantee, IoCores, Result, Splits};

/// An operator's number in its job; inputs have lower numbers than what they feed.
pub type OperatorId = u32;

/// An edge's number in its job.
pub type EdgeId = usize;

/// What an operator is to the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Has no input.
    Source,
    /// Has inputs and an output.
    Operator,
    /// Has no output.
    Sink,
}

/// Whether an operator may share a chain with its neighbours, as in Flink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chaining {
    /// With both.
    #[default]
    Always,
    /// Only with those behind it: `start_new_chain`.
    Head,
    /// With neither: `disable_chaining`.
    Never,
}

/// Which subtask of the next operator gets a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioner {
    /// The one with the same number; between different parallelisms it becomes a rebalance.
    Forward,
    /// By key group.
    Hash,
    /// All in turn.
    Rebalance,
    /// Those of its own share in turn.
    Rescale,
    /// Any, at random.
    Shuffle,
    /// All.
    Broadcast,
    /// The first.
    Global,
    /// As a closure says.
    Custom,
}

impl Partitioner {
    /// The word for it in plans.
    pub fn name(self) -> &'static str {
        match self {
            Partitioner::Forward => "forward",
            Partitioner::Hash => "hash",
            Partitioner::Rebalance => "rebalance",
            Partitioner::Rescale => "rescale",
            Partitioner::Shuffle => "shuffle",
            Partitioner::Broadcast => "broadcast",
            Partitioner::Global => "global",
            Partitioner::Custom => "custom",
        }
    }
}

/// One operator as described.
#[derive(Clone, Debug)]
pub struct OperatorSpec {
    /// Its name: the user's, or what it does.
    pub name: Arc<str>,
    /// The user's stable identity for it.
    pub uid: Option<String>,
    /// What it is to the graph.
    pub role: Role,
    /// Its own parallelism, if it was given one.
    pub parallelism: Option<usize>,
    /// Its slot sharing group, if it was given one.
    pub group: Option<String>,
    /// Whether it may be chained.
    pub chaining: Chaining,
    /// A source's division, once it has been asked.
    pub splits: Option<Splits>,
    /// What a source or a sink is set to, for people.
    pub settings: Vec<String>,
    /// What a sink promises.
    pub guarantee: Option<Guarantee>,
    /// Whether a sink has looked at its output and found nothing wrong.
    pub checked: bool,
    /// Whether a source commits its offsets somewhere.
    pub commits: bool,
    /// Whether it keeps state from record to record.
    pub stateful: bool,
    /// Whether it relies on records being where their source read them.
    pub by_source_partition: bool,
    /// Whether the type of the pipeline ends behind it, so that what it gives goes through a pointer.
    pub boxed: bool,
}

/// One edge as described.
#[derive(Clone, Debug)]
pub struct EdgeSpec {
    /// The operator that writes it.
    pub from: OperatorId,
    /// The operator that reads it; the writing one itself as long as nothing was put behind it.
    pub to: OperatorId,
    /// How records are spread.
    pub partitioner: Partitioner,
    /// Whether the code for a cut was compiled here.
    pub can_cut: bool,
    /// Whether its two ends are separate pipelines, so that it cannot be fused.
    pub must_cut: bool,
    /// How many cuts were compiled for it. The last one makes it, as the last of several partitioners counts; the
    /// others let records through.
    pub cuts: u32,
    /// Whether records of a step may be combined in front of it, if it is cut.
    pub two_phases: bool,
    /// What a record takes in a ring, with its event time; known once the pipelines have been asked.
    pub record_bytes: Option<usize>,
}

/// Everything the user described.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// By number.
    pub operators: Vec<OperatorSpec>,
    /// By number.
    pub edges: Vec<EdgeSpec>,
    /// What cannot be carried out as it was described; no second asking mends it.
    pub mistakes: Vec<Problem>,
    /// What speaks against a start according to the sources and sinks that have been asked.
    pub refusals: Vec<Problem>,
}

impl Graph {
    /// Adds an operator and gives its number.
    pub fn add(&mut self, name: &str, role: Role) -> OperatorId {
        self.operators.push(OperatorSpec {
            name: name.into(),
            uid: None,
            role,
            parallelism: None,
            group: None,
            chaining: Chaining::Always,
            splits: None,
            settings: Vec::new(),
            guarantee: None,
            checked: false,
            commits: false,
            stateful: false,
            by_source_partition: false,
            boxed: false,
        });
        (self.operators.len() - 1) as OperatorId
    }

    /// Adds an edge that cannot be cut, and gives its number.
    pub fn connect(&mut self, from: OperatorId, to: OperatorId) -> EdgeId {
        let partitioner = Partitioner::Forward;
        self.edges.push(EdgeSpec {
            from,
            to,
            partitioner,
            can_cut: false,
            must_cut: false,
            cuts: 0,
            two_phases: false,
            record_bytes: None,
        });
        self.edges.len() - 1
    }

    /// Notes that an edge's rings, if it has any, hold elements of type `R`.
    pub fn carries<R>(&mut self, edge: EdgeId) {
        self.edges[edge].record_bytes = Some(size_of::<R>());
    }

    /// Makes an edge one that can be cut by one more cut, and gives its number.
    pub fn cut(&mut self, edge: EdgeId) -> u32 {
        let spec = &mut self.edges[edge];
        spec.can_cut = true;
        spec.cuts += 1;
        spec.cuts
    }

    /// As [`cut`](Graph::cut) where the edge has none yet; else 0, the number of a cut that is never made.
    pub fn cut_once(&mut self, edge: EdgeId) -> u32 {
        if self.edges[edge].can_cut { 0 } else { self.cut(edge) }
    }

    /// The operator of that number.
    pub fn operator(&self, id: OperatorId) -> &OperatorSpec {
        &self.operators[id as usize]
    }

    /// The operator of that number, to be described further.
    pub fn operator_mut(&mut self, id: OperatorId) -> &mut OperatorSpec {
        &mut self.operators[id as usize]
    }

    /// Asks a sink to look at its output unless it has said that all is well, on a thread of its own: both what is in
    /// front of it, `rest`, and the sink may wait for somebody. What it says is noted last.
    pub fn check(
        &mut self,
        id: OperatorId,
        check: impl FnOnce() -> Result<()> + Send,
        rest: impl FnOnce(&mut Graph),
    ) {
        if self.operator(id).checked {
            return rest(self);
        }
        let (checked, ()) = IoCores::default().run_beside(|| Error::caught(check), || rest(self));
        let checked = checked.flatten().map_err(|error| self.refuse(id, error));
        self.operator_mut(id).checked = checked.is_ok();
    }

    /// Takes over what pipelines, their sources and sinks have said to a copy of this graph that had no refusals.
    pub fn take_answers(&mut self, copy: Graph) {
        for (mine, asked) in self.operators.iter_mut().zip(copy.operators) {
            mine.splits = mine.splits.take().or(asked.splits);
            mine.checked |= asked.checked;
        }
        for (mine, asked) in self.edges.iter_mut().zip(copy.edges) {
            mine.record_bytes = mine.record_bytes.or(asked.record_bytes);
        }
        self.refusals.extend(copy.refusals);
    }

    /// Notes that a source or sink speaks against a start.
    pub fn refuse(&mut self, id: OperatorId, error: Error) {
        let subject = format!("operator \"{}\"", self.operator(id).name);
        self.refusals.extend(error.into_problems(&subject));
    }

    /// Notes that an operator was described wrong.
    pub fn mistake(&mut self, id: OperatorId, error: Error) {
        let subject = format!("operator \"{}\"", self.operator(id).name);
        self.mistakes.extend(error.into_problems(&subject));
    }

    /// The edges into an operator.
    pub fn inputs(&self, id: OperatorId) -> impl Iterator<Item = (EdgeId, &EdgeSpec)> {
        self.edges.iter().enumerate().filter(move |(_, edge)| edge.to == id && edge.from != id)
    }

    /// The edges out of an operator.
    pub fn outputs(&self, id: OperatorId) -> impl Iterator<Item = (EdgeId, &EdgeSpec)> {
        self.edges.iter().enumerate().filter(move |(_, edge)| edge.from == id && edge.to != id)
    }
}
