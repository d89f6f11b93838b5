//! The first phase: records of one key and pane that meet within a step are combined before they cross the edge.
//!
//! There is a place for each of some hundred hashes, and one key in it; another one that comes there lets it out. So
//! nothing is searched for, and the most that is kept is fixed. The first record crosses as it came, so its key is not
//! cloned, and a record that meets no other costs nothing behind the edge.
//!
//! A record that the watermark has reached may be late behind the edge, so it passes as a record. Others cannot be, as
//! long as this side has never been idle; once it was, time behind the edge may be ahead of it.

use slotflow_runtime::edge::combine::{BuildCombine, Combine};
use slotflow_runtime::{Key, MAX_TIMESTAMP, MIN_TIMESTAMP, Result, SubtaskContext, TimeSaid, Timestamp};

use super::partial::{Others, Partial, PartialOf};
use super::switch::Switch;
use crate::keyed::KeySelector;
use crate::window::shape::Shape;
use crate::window::{Merge, Sliding};

/// How much memory the places take, if a hundred are not more: most of a core's first cache, and not all of it.
const PLACES_BYTES: usize = 32 * 1024;

/// How many places there are at least, however large records are (a guess: the hot keys of most streams).
const LEAST_PLACES: usize = 64;

/// Mixes a pane into a hash: an odd number near 2^64 over the golden ratio (Knuth, The Art of Computer Programming,
/// 6.4).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Describes the first phase of a window's aggregate.
#[derive(Clone)]
pub struct LocalPlan<S, A> {
    pub(super) selector: S,
    pub(super) aggregate: A,
    pub(super) windows: Sliding,
    /// Whether a late record must arrive by itself, because its window fires again for it.
    pub(super) lateness: bool,
}

impl<S, A> LocalPlan<S, A> {
    pub(super) fn new((selector, aggregate): (S, A), windows: Sliding, lateness_ms: Timestamp) -> Self {
        LocalPlan { selector, aggregate, windows, lateness: lateness_ms > 0 }
    }
}

/// What combines the records of one subtask.
pub struct Local<T, S: KeySelector<T>, A: Merge<T>> {
    selector: S,
    aggregate: A,
    lateness: bool,
    /// Apart, because a chain is moved at each step, and best small.
    kept: Box<Kept<PartialOf<T, A>>>,
}

/// What is kept until the step ends.
struct Kept<P> {
    shape: Shape,
    /// The pane of the last record, and up to where it goes.
    pane: (Timestamp, Timestamp),
    /// Records up to here pass.
    reached: Timestamp,
    places: Vec<Option<Place<P>>>,
    /// Which places have something.
    taken: Vec<u32>,
    switch: Switch,
}

/// What the records of a key and pane have come to.
struct Place<P> {
    hash: u64,
    pane: Timestamp,
    /// That of the first record, which is as good as any other of the pane.
    time: Timestamp,
    partial: P,
}

impl<P> Kept<P> {
    fn new(shape: Shape) -> Self {
        let fit = (PLACES_BYTES / size_of::<Option<Place<P>>>()).max(LEAST_PLACES);
        let places = 1 << fit.ilog2();
        Kept {
            shape,
            pane: (0, 0),
            reached: MIN_TIMESTAMP,
            places: std::iter::repeat_with(|| None).take(places).collect(),
            taken: Vec::with_capacity(places),
            switch: Switch::default(),
        }
    }

    /// The pane of this time; seldom another one than the last.
    #[inline(always)]
    fn pane_of(&mut self, time: Timestamp) -> Timestamp {
        if !(self.pane.0..self.pane.1).contains(&time) {
            let start = self.shape.pane_of(time);
            self.pane = (start, start + self.shape.pane);
        }
        self.pane.0
    }

    /// The place of a hash in a pane.
    #[inline(always)]
    fn place_of(&self, hash: u64, pane: Timestamp) -> usize {
        (hash ^ (pane as u64).wrapping_mul(SPREAD)) as usize & (self.places.len() - 1)
    }

    /// Puts something into a place, and gives what was there.
    #[inline(always)]
    fn put(&mut self, at: usize, place: Place<P>) -> Option<Place<P>> {
        let before = self.places[at].replace(place);
        match before {
            Some(_) => self.switch.gives(),
            None => self.taken.push(at as u32),
        }
        before
    }
}

impl<T, S, A> Local<T, S, A>
where
    T: 'static,
    S: KeySelector<T>,
    A: Merge<T>,
{
    /// Whether the place has this record's key, which is then added.
    #[inline(always)]
    fn join(&mut self, at: usize, (hash, pane): (u64, Timestamp), record: T) -> Option<T>
    where
        for<'r> S::Key<'r>: PartialEq,
    {
        let Local { selector, aggregate, kept, .. } = self;
        let Some(place) = &mut kept.places[at] else { return Some(record) };
        if place.hash != hash || place.pane != pane {
            return Some(record);
        }
        let Partial { record: first, others } = &mut place.partial;
        if selector.key(first) != selector.key(&record) {
            return Some(record);
        }
        let others = others.get_or_insert_with(|| Others { acc: aggregate.create(), records: 0 });
        aggregate.add(&mut others.acc, record);
        others.records += 1;
        None
    }
}

impl<T, S, A> Combine for Local<T, S, A>
where
    T: 'static,
    S: KeySelector<T>,
    for<'r> S::Key<'r>: PartialEq,
    A: Merge<T, Acc: Send>,
    T: Send,
{
    type In = T;
    type Out = PartialOf<T, A>;

    #[inline(always)]
    fn add(&mut self, record: T, time: Timestamp, out: &mut impl FnMut(Self::Out, Timestamp)) {
        if time <= self.kept.reached || !self.kept.switch.takes() {
            return out(Partial { record, others: None }, time);
        }
        let (hash, pane) = (self.selector.key(&record).hash(), self.kept.pane_of(time));
        let at = self.kept.place_of(hash, pane);
        let Some(record) = self.join(at, (hash, pane), record) else { return };
        let place = Place { hash, pane, time, partial: Partial { record, others: None } };
        if let Some(before) = self.kept.put(at, place) {
            out(before.partial, before.time);
        }
    }

    #[inline]
    fn release(&mut self, out: &mut impl FnMut(Self::Out, Timestamp)) {
        let Kept { places, taken, switch, .. } = &mut *self.kept;
        for place in taken.drain(..).filter_map(|at| places[at as usize].take()) {
            switch.gives();
            out(place.partial, place.time);
        }
        switch.is_even();
    }

    #[inline(always)]
    fn kept(&self) -> usize {
        self.kept.taken.len()
    }

    fn said(&mut self, said: TimeSaid) {
        let reached = match said {
            TimeSaid::Watermark(watermark) => watermark,
            TimeSaid::Idle if self.lateness => MAX_TIMESTAMP,
            TimeSaid::Idle => return,
        };
        self.kept.reached = reached.max(self.kept.reached);
    }
}

impl<T, S, A> BuildCombine<T> for LocalPlan<S, A>
where
    T: Send + 'static,
    S: KeySelector<T>,
    for<'r> S::Key<'r>: PartialEq,
    A: Merge<T, Acc: Send> + Clone + Send,
{
    type Out = PartialOf<T, A>;
    type Combine = Local<T, S, A>;

    fn build(self, _: &SubtaskContext) -> Result<Self::Combine> {
        let LocalPlan { selector, aggregate, windows, lateness } = self;
        Ok(Local { selector, aggregate, lateness, kept: Box::new(Kept::new(Shape::new(windows)?)) })
    }
}
