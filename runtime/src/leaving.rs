//! How the chain of a subtask goes: part by part, so that a destructor that panics is blamed by name.

use std::sync::Arc;

use crate::{Error, Result};

/// Drops the parts of a chain, first to last; see [`Consumer::leave`](crate::Consumer::leave).
pub struct Leaving<'s> {
    /// The names of the job's operators, by number.
    names: &'s [Arc<str>],
    /// The subtask's number.
    index: usize,
    failed: Option<Error>,
}

impl<'s> Leaving<'s> {
    /// Nothing has gone yet.
    pub(crate) fn new(names: &'s [Arc<str>], index: usize) -> Self {
        Leaving { names, index, failed: None }
    }

    /// Drops what belongs to the operator of this number. The first that panics counts; the others go all the same.
    pub fn part<X>(&mut self, operator: u32, part: X) {
        let dropped = Error::caught(|| {
            drop(part);
            Ok(())
        });
        let Err(error) = dropped else { return };
        let name = self.names.get(operator as usize).map_or("", |name| name);
        self.failed.get_or_insert(error.at(name, self.index));
    }

    /// Whose destructor has panicked, if one has.
    pub(crate) fn outcome(self) -> Result<()> {
        self.failed.map_or(Ok(()), Err)
    }
}
