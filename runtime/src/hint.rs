//! What an operator notes of a record before it comes.

/// Where an operator will look when a record is processed: made by [`Operator::hint`](crate::Operator::hint) a few
/// records ahead, so that the memory is there by then, and handed back with the record. Only the operator that
/// made it knows what the numbers mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// The hash of the record's key, so that it is computed once.
    pub hash: u64,
    /// In which part of the state the key is.
    pub part: u32,
}
