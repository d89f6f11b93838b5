//! What reading threads have told a slot: pieces, and the splits that come and go between them.

use std::collections::BTreeMap;

use slotflow_runtime::{Error, Offset, Offsets, Polled, Result, SplitId};

use super::{Fed, Piece, Taken};

/// The reading end of one subtask's threads.
pub(crate) struct Incoming<B> {
    /// None where there is nothing to read, and never will be.
    fed: Option<Fed<Piece<B>>>,
    silence: Silence,
    /// By split, as there may be thousands: of files that were read, of connections.
    places: BTreeMap<SplitId, Place>,
    /// How many of them are here.
    here: usize,
    /// How often splits have come or gone.
    state: u64,
    ended: bool,
}

/// What it means that nothing comes of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It has nothing.
    IsIdle,
    /// It has more, and is slow.
    IsBehind,
}

/// A split as far as it was read.
#[derive(Default)]
struct Place {
    /// Known once something of it has come.
    next: Option<Offset>,
    here: bool,
}

/// What comes next: something to read, or what to say instead.
pub(crate) enum Next<B> {
    Block(B),
    Polled(Polled),
}

impl<B> Incoming<B> {
    pub fn new(fed: Fed<Piece<B>>, silence: Silence) -> Incoming<B> {
        // A file that waits for its turn is behind; of a connection that is not there nobody knows.
        let state = u64::from(silence == Silence::IsIdle);
        Incoming { fed: Some(fed), silence, state, ..Incoming::without_splits() }
    }

    /// Of a subtask that has nothing to read.
    pub fn without_splits() -> Incoming<B> {
        let (fed, silence, places) = (None, Silence::IsIdle, BTreeMap::new());
        Incoming { fed, silence, places, here: 0, state: 1, ended: false }
    }

    /// Never waits. Splits come and go by the way.
    pub fn next(&mut self, now_ns: u64) -> Result<Next<B>> {
        let Some(fed) = self.fed.as_ref().filter(|_| !self.ended) else {
            return Ok(Next::Polled(Polled::End));
        };
        let piece = match fed.take() {
            Taken::One(piece) => piece,
            Taken::Nothing => return Ok(Next::Polled(Polled::Idle)),
            Taken::Closed => {
                return Err(Error::bug("the thread that reads for a source has ended without a word"));
            }
        };
        match piece {
            Piece::Block(block) => return Ok(Next::Block(block)),
            Piece::Come(split) => self.set_here(split, true),
            Piece::Go(split) => self.set_here(split, false),
            Piece::Forget(split) => self.forget(split),
            Piece::Failed(error) => return Err(error),
            Piece::End => self.ended = true,
        }
        self.state += 1;
        // Event time hears of it before the next record.
        Ok(Next::Polled(Polled::Until(now_ns)))
    }

    fn set_here(&mut self, split: SplitId, here: bool) {
        let place = self.places.entry(split).or_default();
        let was_here = std::mem::replace(&mut place.here, here);
        self.here = self.here + usize::from(here) - usize::from(was_here);
    }

    fn forget(&mut self, split: SplitId) {
        let gone = self.places.remove(&split);
        self.here -= usize::from(gone.is_some_and(|place| place.here));
    }

    /// Notes where a split is read on.
    #[inline]
    pub fn read_to(&mut self, split: SplitId, next: Offset) {
        if let Some(place) = self.places.get_mut(&split) {
            place.next = Some(next);
        }
    }

    pub fn offsets(&self) -> Offsets {
        self.places.iter().filter_map(|(split, place)| Some((*split, place.next?))).collect()
    }

    /// Before the first split has come, nobody knows.
    pub fn idle(&self) -> bool {
        self.state > 0 && self.here == 0
    }

    pub fn is_behind(&self, split: SplitId) -> bool {
        self.silence == Silence::IsBehind
            && (self.state == 0 || self.places.get(&split).is_some_and(|place| place.here))
    }

    pub fn splits_since(&self, state: u64) -> Option<(u64, Vec<SplitId>)> {
        let here = || self.places.iter().filter(|(_, place)| place.here).map(|(split, _)| *split);
        (self.state != state).then(|| (self.state, here().collect()))
    }
}
