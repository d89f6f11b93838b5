//! How much an operator keeps.

use std::iter::Sum;
use std::ops::Add;

use crate::Measures;

/// How much state there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSize {
    /// Keys that have a state or a timer.
    pub keys: usize,
    /// What all of it takes: table, states and timers, with lists and maps, but without what single values own on
    /// the heap, which only they know.
    pub bytes: usize,
}

impl StateSize {
    /// Tells it as what an operator keeps.
    pub fn tell(self, measures: &mut Measures<'_>) {
        measures.state(self.keys, self.bytes);
    }

    /// The same keys, which have so many bytes more.
    pub fn and_bytes(self, bytes: usize) -> StateSize {
        StateSize { bytes: self.bytes + bytes, ..self }
    }
}

impl Add for StateSize {
    type Output = StateSize;
    fn add(self, other: StateSize) -> StateSize {
        StateSize { keys: self.keys + other.keys, bytes: self.bytes + other.bytes }
    }
}

impl Sum for StateSize {
    fn sum<I: Iterator<Item = StateSize>>(sizes: I) -> StateSize {
        sizes.fold(StateSize::default(), Add::add)
    }
}
