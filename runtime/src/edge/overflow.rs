//! What may wait behind the full rings of an outlet, and the failure when it is more.

use std::sync::Arc;

use crate::plan::{EdgeId, Plan};
use crate::{Error, SubtaskContext};

/// How much an outlet may keep back, over all its rings together, and whose outlet it is.
///
/// Counted is what a record takes in a ring: its own size with its event time. What it owns on the heap is
/// not: that would have to be asked of each record.
#[derive(Clone, Debug)]
pub struct Overflow {
    /// `edges.overflow_bytes`.
    bytes: usize,
    /// The operator that writes the edge.
    from: Arc<str>,
    /// The one that reads it.
    to: Arc<str>,
    /// The writing subtask's number.
    index: usize,
}

impl Overflow {
    /// What may wait in front of an edge.
    pub fn of_edge(plan: &Plan, edge: EdgeId, bytes: usize) -> Overflow {
        let spec = &plan.graph.edges[edge];
        let name = |operator| plan.graph.operator(operator).name.clone();
        Overflow { bytes, from: name(spec.from), to: name(spec.to), index: 0 }
    }

    /// The same, in front of the edge's outlet at this subtask.
    #[must_use]
    pub fn at(self, subtask: &SubtaskContext) -> Overflow {
        Overflow { index: subtask.index, ..self }
    }

    /// How many records that is.
    pub fn records<R>(&self) -> usize {
        self.bytes / size_of::<R>().max(1)
    }

    /// The failure when there are more.
    #[cold]
    pub fn exceeded<R>(&self) -> Error {
        let Overflow { bytes, from, to, index } = self;
        let error = Error::user(format!(
            "more records wait behind the full rings of its edge to \"{to}\" than edges.overflow_bytes = {bytes} \
             allows ({} of {} bytes each); emit fewer records for each input, or raise it",
            self.records::<R>(),
            size_of::<R>()
        ));
        error.at(from, *index)
    }
}

#[cfg(test)]
impl Overflow {
    /// So many bytes, of nobody's.
    pub(super) fn of(bytes: usize) -> Overflow {
        Overflow { bytes, from: "from".into(), to: "to".into(), index: 0 }
    }
}
