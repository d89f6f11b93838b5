//! Lends the entries of blocks, on the slot.

use slotflow_runtime::{
    Committer, Context, Offset, Offsets, Output, Polled, Result, SourceReader, SplitId, Untimed,
};

use super::block::Block;
use super::entry::Entries;
use super::reading::Behind;
use crate::frames::{Incoming, Next};
use crate::net::EndWith;

/// Reads the entries that the thread of one subtask has read ahead.
pub struct RedisReader {
    pub(super) incoming: Incoming<Block>,
    pub(super) block: Block,
    /// The next entry of it.
    pub(super) at: usize,
    pub(super) behind: Behind,
    pub(super) committer: Option<Box<dyn Committer>>,
    /// Ends the thread when the reader goes.
    pub(super) _ends: EndWith,
}

impl SourceReader for RedisReader {
    type Item = Entries;
    type Time = Untimed;

    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Entries>,
    ) -> Result<Polled> {
        if self.at == self.block.len() {
            match self.incoming.next(ctx.now_ns())? {
                Next::Polled(polled) => return Ok(polled),
                Next::Block(block) => (self.block, self.at) = (block, 0),
            }
        }
        let RedisReader { incoming, block, at, .. } = self;
        let (block, from): (&'s Block, usize) = (block, *at);
        *at = block.len().min(from + budget);
        ctx.set_split(block.split);
        (from..*at).for_each(|index| out.push(block.entry(index), ctx));
        incoming.read_to(block.split, block.first + *at as Offset);
        Ok(Polled::Records(*at - from))
    }

    fn offsets(&self) -> Offsets {
        self.incoming.offsets()
    }

    fn idle(&self) -> bool {
        self.incoming.idle()
    }

    fn is_behind(&self, split: SplitId) -> bool {
        self.behind.is(split)
    }

    fn splits_since(&self, state: u64) -> Option<(u64, Vec<SplitId>)> {
        self.incoming.splits_since(state)
    }

    fn committer(&mut self) -> Option<Box<dyn Committer>> {
        self.committer.take()
    }
}
