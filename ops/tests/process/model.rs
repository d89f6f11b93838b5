//! What the probe has to tell, by maps and by looking at all of them.

use std::collections::{BTreeMap, BTreeSet};

use super::probe::{Given, Op, TTL_MS};

pub struct Model {
    pub watermark: i64,
    /// Processing time.
    pub now: i64,
    /// By key: the value, and when it was written.
    values: BTreeMap<u64, (u64, i64)>,
    lists: BTreeMap<u64, Vec<u64>>,
    /// By key and time: when it is due.
    timers: BTreeMap<(u64, i64), i64>,
    clocked: BTreeSet<(i64, u64)>,
    given: Vec<Given>,
}

impl Default for Model {
    fn default() -> Self {
        Model {
            watermark: i64::MIN,
            now: 0,
            values: BTreeMap::new(),
            lists: BTreeMap::new(),
            timers: BTreeMap::new(),
            clocked: BTreeSet::new(),
            given: Vec::new(),
        }
    }
}

impl Model {
    pub fn take(&mut self) -> Vec<Given> {
        std::mem::take(&mut self.given)
    }

    /// The value of a key, as seen at `time`; one that is over is gone.
    fn value(&mut self, key: u64, time: i64) -> Option<(u64, i64)> {
        let now = self.watermark.max(time);
        self.values.retain(|it, (_, written)| *it != key || now < *written + TTL_MS);
        self.values.get(&key).copied()
    }

    pub fn record(&mut self, key: u64, op: Op, time: i64) {
        match op {
            Op::Set(value) => {
                let written = self.value(key, time).map_or(i64::MIN, |(_, written)| written);
                self.values.insert(key, (value, written.max(time).max(self.watermark)));
            }
            Op::Clear => {
                self.values.remove(&key);
                self.lists.remove(&key);
            }
            Op::Add(value) => self.lists.entry(key).or_default().push(value),
            Op::Timer(at) => drop(self.timers.entry((key, at)).or_insert(at)),
            Op::Delete(at) => drop(self.timers.remove(&(key, at))),
            Op::Clocked(at) => drop(self.clocked.insert((at, key))),
            Op::Unclock(at) => drop(self.clocked.remove(&(at, key))),
            Op::Read => {
                let (value, list) = (self.value(key, time), self.lists.get(&key).cloned());
                self.given.push(Given::Read(key, value.map(|it| it.0), list.unwrap_or_default()));
            }
        }
        // Those of the past are due at once.
        self.processing(self.now);
    }

    pub fn watermark(&mut self, watermark: i64) {
        if watermark <= self.watermark {
            return;
        }
        while let Some((due, time, key)) = self.first_due(watermark) {
            self.timers.remove(&(key, time));
            let value = self.value(key, time).map(|it| it.0);
            self.given.push(Given::Fired(time, false, key, value));
            let more = [(time % 3 == 0).then_some(time + 2), (time % 5 == 0).then_some(time - 1)];
            for next in more.into_iter().flatten().filter(|_| watermark < i64::MAX) {
                let due = if next <= due { watermark + 1 } else { next };
                self.timers.entry((key, next)).or_insert(due);
            }
        }
        self.watermark = watermark;
    }

    fn first_due(&self, watermark: i64) -> Option<(i64, i64, u64)> {
        let all = self.timers.iter().map(|((key, time), due)| (*due, *time, *key));
        all.filter(|(due, ..)| *due <= watermark).min()
    }

    pub fn processing(&mut self, time: i64) {
        self.now = self.now.max(time);
        while let Some((at, key)) = self.clocked.first().copied().filter(|(at, _)| *at <= self.now) {
            self.clocked.remove(&(at, key));
            let value = self.value(key, i64::MIN).map(|it| it.0);
            self.given.push(Given::Fired(at, true, key, value));
        }
    }

    /// How many keys have something that cannot be over, and how many have anything.
    pub fn keys(&self) -> (usize, usize) {
        let timers = self.timers.keys().map(|it| it.0).chain(self.clocked.iter().map(|it| it.1));
        let sure: BTreeSet<u64> = self.lists.keys().copied().chain(timers).collect();
        let all = sure.iter().chain(self.values.keys()).collect::<BTreeSet<_>>().len();
        (sure.len(), all)
    }
}
