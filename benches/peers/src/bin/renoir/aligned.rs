//! Windows in event time that begin at multiples of their slide, as everybody else's do.
//!
//! Renoir's own begin where a key's first record is and drop what comes before it, so their results differ from run to
//! run. These are made of its public traits and keep what its own do: a row of open windows for each key, each of which
//! is told of each record that is in it.

use std::collections::VecDeque;

use renoir::operator::window::{WindowAccumulator, WindowDescription, WindowManager, WindowResult};
use renoir::operator::{Data, StreamElement};

/// Size and slide, in milliseconds.
#[derive(Clone)]
pub struct Aligned {
    pub size_ms: i64,
    pub slide_ms: i64,
}

impl<T: Data> WindowDescription<T> for Aligned {
    type Manager<A: WindowAccumulator<In = T>> = Open<A>;

    fn build<A: WindowAccumulator<In = T>>(&self, empty: A) -> Open<A> {
        Open { windows: self.clone(), empty, first_ms: 0, open: VecDeque::new() }
    }
}

/// The open windows of a key: the oldest begins at `first_ms`, each next one a slide later.
#[derive(Clone)]
pub struct Open<A> {
    windows: Aligned,
    empty: A,
    first_ms: i64,
    open: VecDeque<Option<A>>,
}

impl<A: WindowAccumulator> Open<A> {
    fn add(&mut self, record: &A::In, time_ms: i64) {
        let Aligned { size_ms, slide_ms } = self.windows;
        let newest_ms = time_ms.div_euclid(slide_ms) * slide_ms;
        let oldest_ms = newest_ms - (size_ms / slide_ms - 1) * slide_ms;
        if self.open.is_empty() {
            self.first_ms = oldest_ms;
        }
        while oldest_ms < self.first_ms {
            self.first_ms -= slide_ms;
            self.open.push_front(None);
        }
        let index = |start_ms| ((start_ms - self.first_ms) / slide_ms) as usize;
        let (oldest, newest) = (index(oldest_ms), index(newest_ms));
        if newest >= self.open.len() {
            self.open.resize(newest + 1, None);
        }
        for window in self.open.range_mut(oldest..=newest) {
            window.get_or_insert_with(|| self.empty.clone()).process(record);
        }
    }

    /// Closes the windows that end at or before a time.
    fn close(&mut self, to_ms: i64) -> Vec<WindowResult<A::Out>> {
        let mut results = Vec::new();
        while !self.open.is_empty() && self.first_ms + self.windows.size_ms <= to_ms {
            if let Some(window) = self.open.pop_front().flatten() {
                let last_ms = self.first_ms + self.windows.size_ms - 1;
                results.push(WindowResult::Timestamped(window.output(), last_ms));
            }
            self.first_ms += self.windows.slide_ms;
        }
        results
    }
}

impl<A: WindowAccumulator> WindowManager for Open<A> {
    type In = A::In;
    type Out = A::Out;
    type Output = Vec<WindowResult<A::Out>>;

    #[inline]
    fn process(&mut self, element: StreamElement<A::In>) -> Self::Output {
        match element {
            StreamElement::Timestamped(record, time_ms) => {
                self.add(&record, time_ms);
                Vec::new()
            }
            StreamElement::Watermark(to_ms) => self.close(to_ms),
            StreamElement::FlushAndRestart | StreamElement::Terminate => self.close(i64::MAX),
            _ => Vec::new(),
        }
    }

    fn recycle(&self) -> bool {
        self.open.is_empty()
    }
}

/// What an operator gives, with its event time, mapped; everything else as it is.
pub fn map_timed<T, U>(element: StreamElement<T>, map: impl FnOnce(T, i64) -> U) -> StreamElement<U> {
    match element {
        StreamElement::Timestamped(record, time_ms) => {
            StreamElement::Timestamped(map(record, time_ms), time_ms)
        }
        StreamElement::Item(_) => unreachable!("the windows are in event time"),
        StreamElement::Watermark(to_ms) => StreamElement::Watermark(to_ms),
        StreamElement::FlushBatch => StreamElement::FlushBatch,
        StreamElement::Terminate => StreamElement::Terminate,
        StreamElement::FlushAndRestart => StreamElement::FlushAndRestart,
    }
}
