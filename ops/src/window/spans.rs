//! Which windows a record is in, one by one, for windows that a trigger fires.

use slotflow_runtime::{MAX_TIMESTAMP, MIN_TIMESTAMP, Result, Timestamp};

use super::shape::{FARTHEST, Shape};
use super::trigger::{MergingTrigger, Trigger, TriggerContext};
use super::{Global, InProcessingTime, Session, Sliding};
use crate::state::TimeDomain;

/// From when to when a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first time.
    pub start: Timestamp,
    /// The first that is not its any more.
    pub end: Timestamp,
}

impl Span {
    /// Of a window that never ends.
    const ENDLESS: Span = Span { start: MIN_TIMESTAMP, end: MAX_TIMESTAMP };

    /// Whether the window never ends.
    pub(super) fn is_endless(self) -> bool {
        self.end == MAX_TIMESTAMP
    }

    /// Whether two sessions are one: nothing is between them.
    pub(super) fn touches(self, other: Span) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// From the first time of both to their last.
    pub(super) fn cover(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// What happens to the states of a trigger when windows merge: [`MergingTrigger::on_merge`].
pub type OnMerge<T, G> =
    for<'c> fn(&mut G, &mut <G as Trigger<T>>::State, <G as Trigger<T>>::State, &mut TriggerContext<'c>);

/// Windows that a trigger of this kind can fire: Flink's `WindowAssigner`.
pub trait WindowAssigner<T, G: Trigger<T>>: Clone + Send + 'static {
    /// What is computed of them once.
    type Shape: Copy + 'static;

    /// The time that they are in.
    const TIME: TimeDomain = TimeDomain::EventTime;

    /// How they merge, if they do.
    const ON_MERGE: Option<OnMerge<T, G>> = None;

    /// What [`spans`](WindowAssigner::spans) goes by.
    ///
    /// # Errors
    /// That there are no such windows.
    fn shape(&self) -> Result<Self::Shape>;

    /// The windows of a time; if they merge, the one that a record of that time would have alone.
    fn spans(shape: Self::Shape, time: Timestamp) -> impl Iterator<Item = Span>;
}

impl<T, G: Trigger<T>> WindowAssigner<T, G> for Sliding {
    type Shape = Shape;

    fn shape(&self) -> Result<Shape> {
        Shape::new(*self)
    }

    #[inline]
    fn spans(shape: Shape, time: Timestamp) -> impl Iterator<Item = Span> {
        let ends = shape.ends_of(shape.pane_of(time)).step_by(shape.slide as usize);
        ends.map(move |end| Span { start: end - shape.size, end })
    }
}

impl<T, G: MergingTrigger<T>> WindowAssigner<T, G> for Session {
    /// The gap.
    type Shape = Timestamp;

    const ON_MERGE: Option<OnMerge<T, G>> = Some(G::on_merge);

    fn shape(&self) -> Result<Timestamp> {
        Ok(self.gap_ms)
    }

    #[inline]
    fn spans(gap: Timestamp, time: Timestamp) -> impl Iterator<Item = Span> {
        let start = time.clamp(-FARTHEST, FARTHEST);
        [Span { start, end: start + gap }].into_iter()
    }
}

impl<T, G: Trigger<T>> WindowAssigner<T, G> for Global {
    type Shape = ();

    fn shape(&self) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn spans((): (), _: Timestamp) -> impl Iterator<Item = Span> {
        [Span::ENDLESS].into_iter()
    }
}

impl<T, G: Trigger<T>, W: WindowAssigner<T, G>> WindowAssigner<T, G> for InProcessingTime<W> {
    type Shape = W::Shape;

    const TIME: TimeDomain = TimeDomain::ProcessingTime;

    const ON_MERGE: Option<OnMerge<T, G>> = W::ON_MERGE;

    fn shape(&self) -> Result<W::Shape> {
        self.windows().shape()
    }

    #[inline]
    fn spans(shape: W::Shape, time: Timestamp) -> impl Iterator<Item = Span> {
        W::spans(shape, time)
    }
}
