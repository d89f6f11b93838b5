//! Lends the frames of blocks, on the slot.

use slotflow_runtime::{
    Committer, Context, Error, Offset, Offsets, Output, Polled, Result, SourceReader, SplitId, Untimed,
};

use super::frame::{Frame, Frames};
use super::{Block, Fed, Framing, Incoming, Next, Piece, Silence};

/// Reads the frames that the threads of one subtask have read ahead.
pub struct FrameReader {
    framing: Framing,
    incoming: Incoming<Block>,
    block: Block,
    /// Where the next frame begins in it.
    at: usize,
    /// The number of its line, if that is known.
    line: Option<u64>,
    committer: Option<Box<dyn Committer>>,
    /// What ends its threads, when it goes.
    _ends: Option<Ends>,
}

/// What lets the reading threads go when it is dropped, beside a queue that nobody reads.
pub(crate) type Ends = Box<dyn Send>;

impl FrameReader {
    pub(crate) fn new(
        framing: Framing,
        fed: Fed<Piece>,
        silence: Silence,
        committer: Option<Box<dyn Committer>>,
        ends: Ends,
    ) -> FrameReader {
        let (incoming, reader) = (Incoming::new(fed, silence), FrameReader::without_splits(framing));
        FrameReader { incoming, committer, _ends: Some(ends), ..reader }
    }

    /// Of a subtask that has nothing to read.
    pub(crate) fn without_splits(framing: Framing) -> FrameReader {
        let (incoming, block) = (Incoming::without_splits(), Block::empty());
        FrameReader { framing, incoming, block, at: 0, line: None, committer: None, _ends: None }
    }

    /// The next block, once the one before is used up, or what to say instead.
    fn advance(&mut self, now_ns: u64) -> Result<Option<Polled>> {
        match self.incoming.next(now_ns)? {
            Next::Polled(polled) => Ok(Some(polled)),
            Next::Block(block) => {
                self.line = block.line;
                (self.block, self.at) = (block, 0);
                Ok(None)
            }
        }
    }
}

/// Pushes at most `budget` frames of `block` from `at` on, and gives how many.
#[inline]
fn lend<'s>(
    (framing, block): (Framing, &'s Block),
    (at, line): (&mut usize, &mut Option<u64>),
    budget: usize,
    ctx: &mut Context<'s>,
    out: &mut impl Output<Frames>,
) -> Result<usize> {
    for pushed in 0..budget {
        let offset = block.offset + *at as u64;
        let malformed = |cause| Error::data(&*block.origin, offset, cause);
        let Some(cut) = framing.first(&block.bytes[*at..]).map_err(malformed)? else { return Ok(pushed) };
        let bytes = &block.bytes[*at + cut.begin..*at + cut.end];
        out.push(Frame { bytes, origin: &block.origin, offset, line: *line }, ctx);
        *at += cut.next;
        *line = line.map(|line| line + 1);
    }
    Ok(budget)
}

impl SourceReader for FrameReader {
    type Item = Frames;
    type Time = Untimed;

    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Frames>,
    ) -> Result<Polled> {
        if self.at == self.block.bytes.len()
            && let Some(polled) = self.advance(ctx.now_ns())?
        {
            return Ok(polled);
        }
        let FrameReader { framing, block, at, line, incoming, .. } = self;
        let block: &'s Block = block;
        ctx.set_split(block.split);
        let pushed = lend((*framing, block), (at, line), budget, ctx, out)?;
        incoming.read_to(block.split, (block.offset + *at as u64).min(block.end) as Offset);
        Ok(Polled::Records(pushed))
    }

    fn offsets(&self) -> Offsets {
        self.incoming.offsets()
    }

    fn idle(&self) -> bool {
        self.incoming.idle()
    }

    fn is_behind(&self, split: SplitId) -> bool {
        self.incoming.is_behind(split)
    }

    fn splits_since(&self, state: u64) -> Option<(u64, Vec<SplitId>)> {
        self.incoming.splits_since(state)
    }

    fn committer(&mut self) -> Option<Box<dyn Committer>> {
        self.committer.take()
    }
}

#[cfg(test)]
mod tests {
    use std::mem::take;

    use slotflow_runtime::testing::subtask;
    use slotflow_runtime::{Arena, Blame};

    use super::*;
    use crate::frames::{Feeder, feed};

    /// What was lent, with the line and the split it came from.
    #[derive(Default)]
    struct Got(Vec<(String, Option<u64>, SplitId)>);

    impl Output<Frames> for Got {
        fn push<'s>(&mut self, frame: Frame<'s>, ctx: &mut Context<'s>) {
            self.0.push((frame.text().unwrap().to_owned(), frame.line(), ctx.split()));
        }
    }

    fn reader(silence: Silence) -> (Feeder<Piece>, FrameReader) {
        let (to, fed) = feed(8, subtask().waker);
        (to, FrameReader::new(Framing::lines(), fed, silence, None, Box::new(())))
    }

    fn poll(reader: &mut FrameReader, budget: usize) -> (Result<Polled>, Got) {
        let (arena, blame, place, mut got) = (Arena::new(), Blame::default(), subtask(), Got::default());
        let mut ctx = Context::new(&arena, &place, &blame, 5);
        let polled = reader.poll(budget, &mut ctx, &mut got);
        (polled, got)
    }

    fn block(split: SplitId, text: &str) -> Piece {
        let (offset, end) = (10, 10 + text.len() as u64);
        Piece::Block(Block { split, origin: "a".into(), offset, end, line: Some(3), bytes: text.into() })
    }

    #[test]
    fn a_split_is_told_of_before_its_first_frame_and_where_it_is_read_on_is_known() {
        let (to, mut reader) = reader(Silence::IsBehind);
        assert!(!reader.idle() && reader.is_behind(7), "nothing has come, but it will");
        assert_eq!(reader.splits_since(0), None);
        for piece in [Piece::Come(7), block(7, "x\ny\nz\n"), Piece::Go(7), Piece::End] {
            to.give(piece).unwrap();
        }
        assert_eq!(poll(&mut reader, 9).0.unwrap(), Polled::Until(5));
        assert_eq!(reader.splits_since(0), Some((1, vec![7])));
        assert!(reader.offsets().is_empty());
        let (polled, mut got) = poll(&mut reader, 2);
        assert_eq!(polled.unwrap(), Polled::Records(2));
        assert_eq!(take(&mut got.0), [("x".into(), Some(3), 7), ("y".into(), Some(4), 7)]);
        assert_eq!(reader.offsets(), [(7, 14)]);
        assert_eq!(poll(&mut reader, 2).1.0, [("z".into(), Some(5), 7)]);
        assert_eq!(poll(&mut reader, 2).0.unwrap(), Polled::Until(5));
        assert!(reader.idle() && !reader.is_behind(7));
        assert_eq!(reader.splits_since(1), Some((2, vec![])));
        assert_eq!((reader.offsets(), poll(&mut reader, 2).0.unwrap()), (vec![(7, 16)], Polled::Until(5)));
        assert_eq!(poll(&mut reader, 2).0.unwrap(), Polled::End);
    }

    #[test]
    fn splits_come_go_and_are_forgotten_each_for_itself() {
        let (to, mut reader) = reader(Silence::IsBehind);
        let pieces = [Piece::Come(7), Piece::Come(3), Piece::Come(7), Piece::Go(7)];
        let told = pieces.map(|piece| {
            to.give(piece).unwrap();
            poll(&mut reader, 1).0.unwrap();
            reader.splits_since(0).unwrap().1
        });
        assert_eq!(told, [vec![7], vec![3, 7], vec![3, 7], vec![3]]);
        assert!(reader.is_behind(3) && !reader.is_behind(7) && !reader.idle());
        for piece in [Piece::Forget(7), Piece::Forget(3)] {
            to.give(piece).unwrap();
            assert!(!reader.idle(), "3 is here until it is forgotten");
            poll(&mut reader, 1).0.unwrap();
        }
        assert!(reader.idle() && reader.offsets().is_empty());
    }

    #[test]
    fn what_is_silent_is_idle_where_nobody_knows_and_a_thread_that_is_gone_is_no_end() {
        let (to, mut reader) = reader(Silence::IsIdle);
        assert!(reader.idle() && !reader.is_behind(0));
        assert_eq!(poll(&mut reader, 1).0.unwrap(), Polled::Idle);
        to.give(Piece::Come(0)).unwrap();
        assert_eq!(poll(&mut reader, 1).0.unwrap(), Polled::Until(5));
        assert!(!reader.idle() && !reader.is_behind(0));
        drop(to);
        assert!(poll(&mut reader, 1).0.unwrap_err().to_string().contains("has ended without a word"));
    }
}
