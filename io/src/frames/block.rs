//! What a reading thread tells its slot.

use std::sync::Arc;

use slotflow_runtime::{Error, SplitId};

/// Whole frames of one split, as they were read.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub split: SplitId,
    /// The file, or the far end.
    pub origin: Arc<str>,
    /// Where the first frame begins there.
    pub offset: u64,
    /// Where what follows begins, which a line break that was not there does not change.
    pub end: u64,
    /// The number of the first line, if that is known.
    pub line: Option<u64>,
    pub bytes: Vec<u8>,
}

impl Block {
    pub fn empty() -> Block {
        Block { split: 0, origin: "".into(), offset: 0, end: 0, line: None, bytes: Vec::new() }
    }
}

/// One thing a reading thread tells its slot, in the order in which it happened.
#[derive(Debug)]
pub(crate) enum Piece<B = Block> {
    /// A split is read from here on.
    Come(SplitId),
    /// Some of it.
    Block(B),
    /// It is not read any more, for now or for ever; how far it was read stays to be stored.
    Go(SplitId),
    /// Nothing of it will ever be asked for again.
    Forget(SplitId),
    /// It cannot be read.
    Failed(Error),
    /// There will be nothing more.
    End,
}
