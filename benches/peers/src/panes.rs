//! Tumbling and sliding windows for contestants that have none: one count and one maximum for each key and slide.
//!
//! A sliding window is a row of slides. Its count is kept by adding the slide that comes and subtracting the one that
//! goes; its maximum by two stacks: those that came since the last turn have one maximum for all, those before have
//! each the maximum of itself and all that are newer.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::reading::{Fired, KEYS, Reading, size_and_slide_ms};

/// Numbers the keys of one thread, so that what is kept of them can lie in arrays.
pub trait Numbers {
    fn number(&mut self, key: u32) -> usize;
    /// The keys by number.
    fn keys(&self) -> &[u32];
}

/// Knows the range of the keys, and that a thread has each `stride`th of them.
pub struct Known {
    stride: u32,
    keys: Vec<u32>,
}

impl Known {
    pub fn new(index: usize, stride: usize) -> Known {
        Known { stride: stride as u32, keys: (index as u32..KEYS).step_by(stride).collect() }
    }
}

impl Numbers for Known {
    #[inline(always)]
    fn number(&mut self, key: u32) -> usize {
        (key / self.stride) as usize
    }
    fn keys(&self) -> &[u32] {
        &self.keys
    }
}

/// Knows nothing of the keys: looks each up.
#[derive(Default)]
pub struct Hashed {
    numbers: FxHashMap<u32, u32>,
    keys: Vec<u32>,
}

impl Numbers for Hashed {
    #[inline(always)]
    fn number(&mut self, key: u32) -> usize {
        let keys = &mut self.keys;
        *self.numbers.entry(key).or_insert_with(|| {
            keys.push(key);
            keys.len() as u32 - 1
        }) as usize
    }
    fn keys(&self) -> &[u32] {
        &self.keys
    }
}

/// Count and maximum of each key in one slide.
#[derive(Clone)]
struct Pane {
    counts: Vec<u32>,
    maxima: Vec<u32>,
}

impl Pane {
    fn new() -> Pane {
        Pane { counts: vec![0; KEYS as usize], maxima: vec![0; KEYS as usize] }
    }

    fn clear(&mut self) {
        self.counts.fill(0);
        self.maxima.fill(0);
    }
}

fn raise(maxima: &mut [u32], others: &[u32]) {
    maxima.iter_mut().zip(others).for_each(|(max, other)| *max = (*max).max(*other));
}

/// The windows of one thread.
pub struct Panes<N> {
    numbers: N,
    slide_ms: u32,
    slides: usize,
    /// The slide that is to be closed next; none before the first record.
    next: Option<u32>,
    open: VecDeque<Pane>,
    spare: Vec<Pane>,
    /// Slides of the current window, oldest last and newest last, if there are several.
    before: Vec<Pane>,
    since: Vec<Pane>,
    current: Pane,
}

impl<N: Numbers> Panes<N> {
    pub fn new(workload: &str, numbers: N) -> Panes<N> {
        let (size_ms, slide_ms) = size_and_slide_ms(workload);
        Panes {
            numbers,
            slide_ms,
            slides: (size_ms / slide_ms) as usize,
            next: None,
            open: VecDeque::new(),
            spare: Vec::new(),
            before: Vec::new(),
            since: Vec::new(),
            current: Pane::new(),
        }
    }

    #[inline]
    pub fn add(&mut self, reading: Reading) {
        let slide = reading.time_ms / self.slide_ms;
        let next = *self.next.get_or_insert(slide);
        if slide < next || slide - next >= self.open.len() as u32 {
            self.make_room(slide);
        }
        let pane = &mut self.open[(slide - self.next.unwrap_or(slide)) as usize];
        let number = self.numbers.number(reading.key);
        pane.counts[number] += 1;
        pane.maxima[number] = pane.maxima[number].max(reading.value);
    }

    #[cold]
    fn make_room(&mut self, slide: u32) {
        let next = self.next.get_or_insert(slide);
        while slide < *next {
            assert!(self.since.is_empty() && self.before.is_empty(), "a record is late");
            *next -= 1;
            self.open.push_front(self.spare.pop().unwrap_or_else(Pane::new));
        }
        while slide - *next >= self.open.len() as u32 {
            self.open.push_back(self.spare.pop().unwrap_or_else(Pane::new));
        }
    }

    /// Nothing at this time or before comes any more.
    #[inline]
    pub fn advance(&mut self, to_ms: u32, mut fired: impl FnMut(Fired)) {
        while let Some(next) = self.next.filter(|_| !self.open.is_empty()) {
            if (next + 1) * self.slide_ms > to_ms + 1 {
                return;
            }
            self.close(&mut fired);
        }
    }

    /// Nothing comes any more: the windows that have begun end, too.
    pub fn finish(&mut self, mut fired: impl FnMut(Fired)) {
        let rest = self.open.len() + if self.next.is_some() { self.slides - 1 } else { 0 };
        (0..rest).for_each(|_| self.close(&mut fired));
    }

    fn close(&mut self, fired: &mut impl FnMut(Fired)) {
        let next = self.next.unwrap_or_default();
        self.next = Some(next + 1);
        let mut pane = self.open.pop_front().unwrap_or_else(|| self.spare.pop().unwrap_or_else(Pane::new));
        if self.slides == 1 {
            fire(
                self.numbers.keys(),
                next * self.slide_ms,
                &pane.counts,
                |number| pane.maxima[number],
                fired,
            );
            pane.clear();
            self.spare.push(pane);
        } else {
            self.slide(pane);
            let start_ms = (next + 1 - self.slides as u32) * self.slide_ms;
            let (since, before) = (&self.current.maxima, self.before.last());
            let max = |number: usize| before.map_or(0, |pane| pane.maxima[number]).max(since[number]);
            fire(self.numbers.keys(), start_ms, &self.current.counts, max, fired);
        }
    }

    /// The window moves on by one slide.
    fn slide(&mut self, pane: Pane) {
        let counts = self.current.counts.iter_mut();
        counts.zip(&pane.counts).for_each(|(count, more)| *count += more);
        raise(&mut self.current.maxima, &pane.maxima);
        self.since.push(pane);
        if self.since.len() + self.before.len() <= self.slides {
            return;
        }
        if self.before.is_empty() {
            self.turn();
        }
        if let Some(mut oldest) = self.before.pop() {
            let counts = self.current.counts.iter_mut();
            counts.zip(&oldest.counts).for_each(|(count, less)| *count -= less);
            oldest.clear();
            self.spare.push(oldest);
        }
    }

    fn turn(&mut self) {
        while let Some(mut pane) = self.since.pop() {
            if let Some(newer) = self.before.last() {
                raise(&mut pane.maxima, &newer.maxima);
            }
            self.before.push(pane);
        }
        self.current.maxima.fill(0);
    }
}

#[inline(always)]
fn fire(
    keys: &[u32],
    start_ms: u32,
    counts: &[u32],
    max: impl Fn(usize) -> u32,
    fired: &mut impl FnMut(Fired),
) {
    for (number, &key) in keys.iter().enumerate() {
        if counts[number] > 0 {
            fired(Fired { start_ms, key, count: counts[number], max: max(number) });
        }
    }
}
