//! A naive model of windows with triggers: a list of windows, each looked at whenever time goes on.

use super::super::super::tests::Pair;
use super::super::{Timing, WindowFiring};

/// Which windows there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Of this size, every so often.
    Sliding(i64, i64),
    /// With this gap.
    Session(i64),
    Global,
}

/// When they fire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    EventTime,
    Count(u64),
    ContinuousEventTime(i64),
    ContinuousProcessingTime(i64),
    /// Early results of [`When::EventTime`].
    Early(i64),
    /// By a count, or when so long has passed since the first record that no firing has had.
    Timeout(u64, i64),
    /// The same, since the last one.
    Silence(u64, i64),
}

/// What a test does to an operator, and the model.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Record(char, u64, i64),
    Watermark(i64),
    ProcessingTime(i64),
}

/// What a case is about.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub kind: Kind,
    pub when: When,
    pub purging: bool,
    pub lateness: i64,
    /// How many records an evictor keeps.
    pub keeps: Option<usize>,
}

#[derive(Clone, Debug)]
struct Window {
    key: char,
    start: i64,
    end: i64,
    records: Vec<u64>,
    /// Records since it fired.
    count: u64,
    /// It fires at its end.
    armed: bool,
    /// When it fires again, or looks whether something is new.
    next: Option<i64>,
    has_news: bool,
}

/// See the module.
pub struct Model {
    case: Case,
    windows: Vec<Window>,
    watermark: i64,
    processing_time: i64,
    given: Vec<WindowFiring<char, Vec<u64>>>,
    pub late: Vec<Pair>,
}

impl Model {
    pub fn new(case: Case) -> Model {
        let (given, late) = (Vec::new(), Vec::new());
        Model { case, windows: Vec::new(), watermark: i64::MIN, processing_time: 0, given, late }
    }

    /// Takes a step; what fires at it, sorted.
    pub fn step(&mut self, step: Step) -> Vec<WindowFiring<char, Vec<u64>>> {
        match step {
            Step::Record(key, n, time) => self.record(key, n, time),
            Step::Watermark(at) if at > self.watermark => self.reach(at),
            Step::Watermark(_) => {}
            Step::ProcessingTime(at) => self.tick(at),
        }
        let mut given = std::mem::take(&mut self.given);
        given.sort();
        given
    }

    fn record(&mut self, key: char, n: u64, time: i64) {
        let mut spans = match self.case.kind {
            Kind::Global => vec![(i64::MIN, i64::MAX)],
            Kind::Session(gap) => vec![(time, time + gap)],
            Kind::Sliding(size, slide) => (time - size + 1..=time)
                .filter(|start| start.rem_euclid(slide) == 0)
                .map(|start| (start, start + size))
                .collect(),
        };
        let merges = matches!(self.case.kind, Kind::Session(_));
        let of_key = |window: &Window| window.key == key;
        let touches = |window: &Window, span: (i64, i64)| window.start <= span.1 && span.0 <= window.end;
        spans.retain(|span| {
            let known = self.windows.iter().any(|window| of_key(window) && merges && touches(window, *span));
            known || !self.is_gone(span.1)
        });
        if spans.is_empty() {
            self.late.push((key, n));
        }
        for span in spans {
            let same = |window: &Window| {
                of_key(window)
                    && if merges { touches(window, span) } else { (window.start, window.end) == span }
            };
            let (mine, others) = std::mem::take(&mut self.windows).into_iter().partition(same);
            self.windows = others;
            let window = self.merged(key, span, mine);
            self.add(window, n, time);
        }
    }

    /// The windows that a record joins, as one.
    fn merged(&self, key: char, span: (i64, i64), mine: Vec<Window>) -> Window {
        let (start, end) = span;
        let mut all = Window {
            key,
            start,
            end,
            records: Vec::new(),
            count: 0,
            armed: false,
            next: None,
            has_news: false,
        };
        for window in mine {
            (all.start, all.end) = (all.start.min(window.start), all.end.max(window.end));
            all.records.extend(window.records);
            all.count += window.count;
            all.armed |= window.armed;
            let nexts = [all.next, window.next].into_iter().flatten();
            all.next = if let When::Silence(..) = self.case.when { nexts.max() } else { nexts.min() };
            all.has_news |= window.has_news;
        }
        all
    }

    fn is_gone(&self, end: i64) -> bool {
        end < i64::MAX && end - 1 + self.case.lateness <= self.watermark
    }

    fn add(&mut self, mut window: Window, n: u64, time: i64) {
        window.records.push(n);
        window.count += 1;
        window.has_news = true;
        let over = window.end - 1 <= self.watermark;
        match self.case.when {
            When::Count(count) => {
                if window.count >= count {
                    window.count = 0;
                    self.fire(&mut window, None);
                }
            }
            When::Timeout(count, after) | When::Silence(count, after) => {
                let due = Some(self.processing_time + after);
                window.next = window.next.filter(|_| matches!(self.case.when, When::Timeout(..))).or(due);
                if window.count >= count {
                    (window.count, window.next) = (0, None);
                    self.fire(&mut window, None);
                }
            }
            When::ContinuousProcessingTime(every) => {
                window.next = window.next.or(Some(after(self.processing_time, every)));
            }
            _ if over => self.fire(&mut window, None),
            When::EventTime => window.armed = true,
            When::ContinuousEventTime(every) => {
                window.armed = true;
                window.next = window.next.or(Some(after(time, every).min(window.end - 1)));
            }
            When::Early(_) => window.armed = true,
        }
        if let When::Early(every) = self.case.when
            && window.has_news
        {
            window.next = window.next.or(Some(self.processing_time + every));
        }
        self.windows.push(window);
    }

    fn reach(&mut self, watermark: i64) {
        self.watermark = watermark;
        for mut window in std::mem::take(&mut self.windows) {
            if let When::ContinuousEventTime(every) = self.case.when {
                while let Some(next) = window.next.filter(|next| *next <= watermark && *next < window.end - 1)
                {
                    window.next =
                        (watermark < i64::MAX).then(|| after(watermark.max(next), every).min(window.end - 1));
                    self.fire(&mut window, Some(next));
                }
            }
            let by_event_time =
                matches!(self.case.when, When::EventTime | When::ContinuousEventTime(_) | When::Early(_));
            if by_event_time && window.armed && window.end - 1 <= watermark {
                (window.armed, window.has_news) = (false, false);
                let next = window.next.filter(|_| matches!(self.case.when, When::Early(_)));
                window.next = next;
                let end = window.end - 1;
                self.fire(&mut window, Some(end));
            }
            if !self.is_gone(window.end) {
                self.windows.push(window);
            }
        }
        if watermark == i64::MAX {
            self.tick(i64::MAX);
        }
    }

    fn tick(&mut self, time: i64) {
        let ended = time == i64::MAX;
        for mut window in std::mem::take(&mut self.windows) {
            match self.case.when {
                When::ContinuousProcessingTime(every) => {
                    while let Some(next) = window.next.filter(|next| *next <= time) {
                        window.next = Some(next + every).filter(|_| !ended);
                        self.fire(&mut window, None);
                    }
                }
                When::Timeout(..) | When::Silence(..) if window.next.is_some_and(|next| next <= time) => {
                    (window.count, window.next) = (0, None);
                    self.fire(&mut window, None);
                }
                When::Early(_) if window.next.is_some_and(|next| next <= time) => {
                    window.next = None;
                    if std::mem::take(&mut window.has_news) {
                        self.fire(&mut window, None);
                    }
                }
                _ => {}
            }
            self.windows.push(window);
        }
        self.processing_time = time;
    }

    /// `at` is the event time of the timer by which it fires, if it is one.
    fn fire(&mut self, window: &mut Window, at: Option<i64>) {
        let last = window.end - 1;
        let timing = match at {
            Some(at) if at == last => Timing::OnTime,
            _ if at.unwrap_or(self.watermark) < last => Timing::Early,
            _ => Timing::Late,
        };
        if let Some(keeps) = self.case.keeps {
            window.records.drain(..window.records.len().saturating_sub(keeps));
        }
        if !window.records.is_empty() {
            let (key, start, end, mut value) = (window.key, window.start, window.end, window.records.clone());
            value.sort_unstable();
            self.given.push(WindowFiring { key, start, end, timing, value });
        }
        window.has_news = false;
        if self.case.purging {
            // What is not there does not fire.
            window.records.clear();
            (window.armed, window.next) = (false, None);
        }
    }
}

/// The first multiple of an interval behind a time.
fn after(time: i64, every: i64) -> i64 {
    (time.div_euclid(every) + 1) * every
}
