//! The first phase: records of one key and pane that meet within a step are combined before they cross the edge.
//!
//! There is a place for each of some hundred hashes, and one key in it; another one that comes there lets it out. So
//! nothing is searched for, and the most that is kept is fixed. A record that meets no other crosses as it came.
//!
//! A record that the watermark has reached may be late behind the edge, so it passes as a record. Others cannot be, as
//! long as this side has never been idle; once it was, time behind the edge may be ahead of it. What passes lets out
//! first what is there of its key and pane: so a key's records stay in the order in which they came.

use slotflow_runtime::edge::combine::{BuildCombine, Combine};
use slotflow_runtime::{Key, MAX_TIMESTAMP, MIN_TIMESTAMP, Result, SubtaskContext, TimeSaid, Timestamp};

use super::gather::Gather;
use super::switch::Switch;
use crate::keyed::KeySelector;
use crate::window::Sliding;
use crate::window::shape::Shape;

/// How much memory the places take, if a hundred are not more: most of a core's first cache, and not all of it.
const PLACES_BYTES: usize = 32 * 1024;

/// How many places there are at least, however large records are (a guess: the hot keys of most streams).
const LEAST_PLACES: usize = 64;

/// Mixes a pane into a hash: an odd number near 2^64 over the golden ratio (Knuth, The Art of Computer Programming,
/// 6.4).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Describes the first phase of windows.
#[derive(Clone)]
pub struct LocalPlan<S, G> {
    selector: S,
    gather: G,
    windows: Sliding,
    /// Whether a late record must arrive by itself, because its window fires again for it.
    lateness: bool,
    /// Up to where records pass.
    reached: Timestamp,
}

impl<S, G> LocalPlan<S, G> {
    pub(super) fn new((selector, gather): (S, G), windows: Sliding, lateness_ms: Timestamp) -> Self {
        LocalPlan { selector, gather, windows, lateness: lateness_ms > 0, reached: MIN_TIMESTAMP }
    }

    /// The same without combining anything.
    pub(super) fn resting(self) -> Self {
        LocalPlan { reached: MAX_TIMESTAMP, ..self }
    }
}

/// What combines the records of one subtask.
pub struct Local<T, S, G: Gather<T>> {
    selector: S,
    gather: G,
    lateness: bool,
    /// Apart, because a chain is moved at each step, and best small.
    kept: Box<Kept<G::Out>>,
}

/// What is kept until the step ends.
struct Kept<P> {
    shape: Shape,
    /// The pane of the last record, and up to where it goes.
    pane: (Timestamp, Timestamp),
    /// Records up to here pass; at the end of time all do, for good.
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
    gathered: P,
}

impl<P> Kept<P> {
    fn new(shape: Shape, reached: Timestamp) -> Self {
        let fit = (PLACES_BYTES / size_of::<Option<Place<P>>>()).max(LEAST_PLACES);
        let places = 1 << fit.ilog2();
        Kept {
            shape,
            pane: (0, 0),
            reached,
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

    /// Takes what is in a place.
    #[cold]
    fn take(&mut self, at: usize) -> Option<Place<P>> {
        let place = self.places[at].take()?;
        self.switch.gives();
        self.taken.retain(|taken| *taken != at as u32);
        Some(place)
    }
}

impl<T, S, G> Local<T, S, G>
where
    S: KeySelector<T>,
    for<'r> S::Key<'r>: PartialEq,
    G: Gather<T>,
{
    /// Adds a record to its place, if the place has its key; else gives it back.
    #[inline(always)]
    fn join(&mut self, at: usize, (hash, pane): (u64, Timestamp), record: T) -> Option<T> {
        let Local { selector, gather, kept, .. } = self;
        let Some(place) = &mut kept.places[at] else { return Some(record) };
        if place.hash != hash || place.pane != pane {
            return Some(record);
        }
        let mut same = |a: &T, b: &T| selector.key(a) == selector.key(b);
        if !same(G::record(&place.gathered), &record) {
            return Some(record);
        }
        let refused = gather.join(&mut place.gathered, record, same);
        if refused.is_some() {
            kept.reached = MAX_TIMESTAMP;
        }
        refused
    }

    /// Lets a record pass.
    #[cold]
    #[inline(never)]
    fn pass(&mut self, at: usize, (record, time): (T, Timestamp), out: &mut impl FnMut(G::Out, Timestamp)) {
        self.kept.take(at).into_iter().for_each(|place| out(place.gathered, place.time));
        out(G::alone(record), time);
    }
}

impl<T, S, G> Combine for Local<T, S, G>
where
    T: Send + 'static,
    S: KeySelector<T>,
    for<'r> S::Key<'r>: PartialEq,
    G: Gather<T>,
{
    type In = T;
    type Out = G::Out;

    #[inline(always)]
    fn alone(record: T) -> G::Out {
        G::alone(record)
    }

    #[inline(always)]
    fn add(&mut self, record: T, time: Timestamp, out: &mut impl FnMut(G::Out, Timestamp)) {
        let (hash, pane) = (self.selector.key(&record).hash(), self.kept.pane_of(time));
        let at = self.kept.place_of(hash, pane);
        if time <= self.kept.reached {
            return self.pass(at, (record, time), out);
        }
        self.kept.switch.takes();
        let Some(record) = self.join(at, (hash, pane), record) else { return };
        let place = Place { hash, pane, time, gathered: G::alone(record) };
        if let Some(before) = self.kept.put(at, place) {
            out(before.gathered, before.time);
        }
    }

    #[inline]
    fn release(&mut self, out: &mut impl FnMut(G::Out, Timestamp)) {
        let Kept { places, taken, switch, .. } = &mut *self.kept;
        for place in taken.drain(..).filter_map(|at| places[at as usize].take()) {
            switch.gives();
            out(place.gathered, place.time);
        }
    }

    #[inline]
    fn rests(&mut self) -> usize {
        if self.kept.reached == MAX_TIMESTAMP { usize::MAX } else { self.kept.switch.rests() }
    }

    #[inline(always)]
    fn kept(&self) -> usize {
        self.kept.taken.len()
    }

    fn said(&mut self, said: TimeSaid) {
        let reached = match said {
            TimeSaid::Watermark(watermark) => watermark,
            // A record that is late behind the edge has to be told from the others of its key.
            TimeSaid::Idle if self.lateness || !G::COUNTS => MAX_TIMESTAMP,
            TimeSaid::Idle => return,
        };
        self.kept.reached = reached.max(self.kept.reached);
    }
}

impl<T, S, G> BuildCombine<T> for LocalPlan<S, G>
where
    T: Send + 'static,
    S: KeySelector<T>,
    for<'r> S::Key<'r>: PartialEq,
    G: Gather<T>,
{
    type Out = G::Out;
    type Combine = Local<T, S, G>;

    fn build(self, _: &SubtaskContext) -> Result<Self::Combine> {
        let LocalPlan { selector, gather, windows, lateness, reached } = self;
        Ok(Local { selector, gather, lateness, kept: Box::new(Kept::new(Shape::new(windows)?, reached)) })
    }
}
