//! Operators around closures that a factory makes.

use slotflow_runtime::{Build, Family, Operator, Place, Result, SubtaskContext};

/// Describes an operator around a closure that a factory makes for each subtask, on its slot; the
/// `_with` forms of the operators. The closure need be neither `Clone` nor `Send`.
pub struct Made<M, C, O> {
    make: M,
    wrap: fn(C) -> O,
}

impl<M, C, O> Made<M, C, O> {
    pub(crate) fn new(make: M, wrap: fn(C) -> O) -> Self {
        Made { make, wrap }
    }
}

impl<M: Fn(Place<'_>) -> C, C, O> Made<M, C, O> {
    /// Makes one subtask's.
    pub(crate) fn make(&self, subtask: Place<'_>) -> O {
        (self.wrap)((self.make)(subtask))
    }
}

impl<M: Clone, C, O> Clone for Made<M, C, O> {
    fn clone(&self) -> Self {
        Made { make: self.make.clone(), wrap: self.wrap }
    }
}

impl<In, M, C, O> Build<In> for Made<M, C, O>
where
    In: Family,
    M: Fn(Place<'_>) -> C + Clone + Send + 'static,
    C: 'static,
    O: Operator<In>,
{
    type Out = O::Out;
    type Operator = O;

    fn build(self, subtask: &SubtaskContext) -> Result<O> {
        Ok(self.make(subtask.place()))
    }
}
