//! Columns that have become empty, for panes to come.

use super::columns::Cells;

/// How many spare columns are kept (a guess: disorder seldom spans more).
const SPARE: usize = 4;

/// Columns without anything in them.
pub(super) struct Spare<A>(Vec<Cells<A>>);

impl<A> Default for Spare<A> {
    fn default() -> Self {
        Spare(Vec::new())
    }
}

impl<A> Spare<A> {
    /// One of them, or a new one.
    pub(super) fn take(&mut self) -> Cells<A> {
        self.0.pop().unwrap_or_default()
    }

    pub(super) fn columns(&self) -> &[Cells<A>] {
        &self.0
    }

    /// Keeps an empty column, unless there are enough.
    pub(super) fn keep(&mut self, cells: Cells<A>) {
        if self.0.len() < SPARE {
            self.0.push(cells);
        }
    }
}
