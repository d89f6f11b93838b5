//! Which windows there are: tumbling and sliding ones, and where their edges are.

use std::ops::RangeInclusive;
use std::time::Duration;

use slotflow_runtime::{Error, EventTime, Result, Timestamp};

use super::Windows;

/// Event times further from the epoch than this, 146 million years, are taken for this far, so that the edges
/// of the windows around them are times, too.
pub(super) const FARTHEST: Timestamp = 1 << 62;

/// Lengths are cut to this, for the same reason.
const LONGEST: Timestamp = 1 << 60;

/// A length in milliseconds; what is shorter than one is 0.
pub(super) fn milliseconds(length: Duration) -> Timestamp {
    length.as_millis().min(LONGEST as u128) as Timestamp
}

/// Windows of one size that follow each other without a gap: Flink's `TumblingEventTimeWindows`.
///
/// A window has the times from its start up to, and without, its end. Windows start at the epoch and at each
/// multiple of their size from there, in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Tumbling;

impl Tumbling {
    /// Windows of this size, in whole milliseconds; one of 0 is an error of the start. They are sliding ones that
    /// slide by their size, and [moved](Sliding::offset_ms) as those are.
    pub fn of(size: Duration) -> Sliding {
        Sliding::of(size, size)
    }
}

/// Windows of one size, of which one starts at each slide, so that they overlap: Flink's
/// `SlidingEventTimeWindows`.
///
/// However many windows a record is in, it changes one accumulator: that of its pane, which is as long as the
/// greatest length that divides both size and slide.
#[derive(Clone, Copy, Debug)]
pub struct Sliding {
    size_ms: Timestamp,
    slide_ms: Timestamp,
    offset_ms: Timestamp,
}

impl Sliding {
    /// Windows of `size` that start every `slide`, in whole milliseconds. A size or slide of 0, and a slide
    /// longer than the size, which would leave records out, are errors of the start.
    pub fn of(size: Duration, slide: Duration) -> Sliding {
        Sliding { size_ms: milliseconds(size), slide_ms: milliseconds(slide), offset_ms: 0 }
    }

    /// Moves all windows by this, in milliseconds, for days that begin elsewhere than in Greenwich: -8 hours for
    /// China's. Counts modulo the slide.
    pub fn offset_ms(self, offset_ms: Timestamp) -> Sliding {
        Sliding { offset_ms, ..self }
    }
}

impl Windows<EventTime> for Sliding {
    fn check(&self) -> Result<()> {
        Shape::new(*self).map(drop)
    }
}

/// Windows, panes and their edges.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub(super) size: Timestamp,
    pub(super) slide: Timestamp,
    offset: Timestamp,
    /// How long a pane is.
    pub(super) pane: Timestamp,
}

impl Shape {
    /// # Errors
    /// A size or slide of less than a millisecond, a slide longer than the size.
    pub(super) fn new(windows: Sliding) -> Result<Shape> {
        let Sliding { size_ms: size, slide_ms: slide, offset_ms } = windows;
        if size == 0 || slide == 0 {
            return Err(Error::user(format!(
                "windows of {size} ms every {slide} ms: size and slide must be a millisecond or more"
            )));
        }
        if slide > size {
            return Err(Error::user(format!(
                "windows of {size} ms every {slide} ms leave records out: filter those first, or slide by {size} ms"
            )));
        }
        Ok(Shape { size, slide, offset: offset_ms.rem_euclid(slide), pane: greatest_divisor(size, slide) })
    }

    /// Whether a window is one pane.
    pub(super) fn is_tumbling(&self) -> bool {
        self.size == self.pane
    }

    /// Where the pane of a time starts.
    pub(super) fn pane_of(&self, timestamp: Timestamp) -> Timestamp {
        self.floor(timestamp.clamp(-FARTHEST, FARTHEST), self.pane)
    }

    /// The ends of the first and the last window that has the pane.
    pub(super) fn ends_of(&self, pane: Timestamp) -> RangeInclusive<Timestamp> {
        let last = self.floor(pane, self.slide) + self.size;
        let more = (last - pane - self.pane) / self.slide;
        last - more * self.slide..=last
    }

    /// The last end of a window that this watermark passes.
    pub(super) fn last_end(&self, watermark: Timestamp) -> Timestamp {
        if watermark < -FARTHEST {
            return Timestamp::MIN;
        }
        let behind = watermark.min(FARTHEST + 2 * LONGEST) + 1;
        self.floor(behind - self.size, self.slide) + self.size
    }

    fn floor(&self, timestamp: Timestamp, unit: Timestamp) -> Timestamp {
        (timestamp - self.offset).div_euclid(unit) * unit + self.offset
    }
}

/// The greatest number that divides both.
pub(super) fn greatest_divisor(mut a: Timestamp, mut b: Timestamp) -> Timestamp {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(size: u64, slide: u64, offset_ms: Timestamp) -> Shape {
        let ms = Duration::from_millis;
        Shape::new(Sliding::of(ms(size), ms(slide)).offset_ms(offset_ms)).unwrap()
    }

    #[test]
    fn every_time_is_in_the_windows_that_end_where_they_should() {
        for (size, slide, offset) in [(10, 10, 0), (10, 5, 3), (10, 3, -1), (7, 7, 100), (6, 4, -9)] {
            let shape = shape(size, slide, offset);
            for time in -50..50 {
                let pane = shape.pane_of(time);
                assert!((pane..pane + shape.pane).contains(&time));
                let ends: Vec<_> = shape.ends_of(pane).step_by(slide as usize).collect();
                let starts = (-100..100).filter(|start| (start - offset).rem_euclid(slide as i64) == 0);
                let windows = starts.filter(|start| (*start..start + size as i64).contains(&time));
                assert_eq!(ends, windows.map(|start| start + size as i64).collect::<Vec<_>>(), "{time}");
            }
        }
    }

    #[test]
    fn the_ends_of_time_have_windows() {
        for shape in
            [shape(10, 5, 3), shape(u64::MAX, u64::MAX, i64::MIN), shape(u64::MAX, 1 << 59, i64::MAX)]
        {
            for time in [Timestamp::MIN, Timestamp::MIN + 1, -1, 0, Timestamp::MAX] {
                let pane = shape.pane_of(time);
                assert!(pane <= *shape.ends_of(pane).start());
                assert!(shape.ends_of(pane).end().checked_add(LONGEST).is_some());
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_remedy() {
        let ms = Duration::from_millis;
        let refused = |windows| Shape::new(windows).map(drop).unwrap_err().to_string();
        assert!(refused(Tumbling::of(Duration::from_micros(999))).contains("a millisecond or more"));
        assert!(refused(Sliding::of(ms(10), ms(0))).contains("a millisecond or more"));
        assert!(refused(Sliding::of(ms(10), ms(11))).contains("slide by 10 ms"));
    }
}
