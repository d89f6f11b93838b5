//! Which of the records that are shown ahead a record is.

/// The number of a record among those that an inlet showed last, from 0 to [`LOOK_AHEAD`](crate::LOOK_AHEAD) - 1, or
/// [`NONE`](Hint::NONE).
///
/// Under it an operator notes at [`Operator::hint`](crate::Operator::hint) where it will look when the record comes,
/// and finds that again when it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint(pub usize);

impl Hint {
    /// Of a record that comes alone: nothing is noted of it.
    pub const NONE: Hint = Hint(crate::LOOK_AHEAD);
}
