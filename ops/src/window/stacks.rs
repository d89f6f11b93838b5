//! What a sliding window keeps for a key: two stacks of panes, for aggregates that cannot take back.
//!
//! Panes come in at the back and leave at the front. The back has each pane's accumulator and their sum; the
//! front has for each pane the sum of it and all newer ones of the front. So a window's value is one merge,
//! and once the front is used up the back is turned into a new one: about three merges for each pane, however
//! many windows it is in (Tangwongsan, Hirzel, Schneider: Low-Latency Sliding-Window Aggregation, DEBS 2017).

use slotflow_runtime::{Key, Timestamp};

use super::Merge;
use crate::keyed::Segments;

/// The panes of one key, by their starts.
pub(super) struct Stacks<A> {
    /// The oldest last.
    front: Vec<(Timestamp, A)>,
    /// The newest last.
    back: Vec<(Timestamp, A)>,
    /// What the back has in all.
    sum: Option<A>,
}

impl<A> Default for Stacks<A> {
    fn default() -> Self {
        Stacks { front: Vec::new(), back: Vec::new(), sum: None }
    }
}

impl<A: Clone> Stacks<A> {
    /// Of what has been stacked already.
    pub(super) fn of(front: Vec<(Timestamp, A)>, back: Vec<(Timestamp, A)>, sum: Option<A>) -> Self {
        Stacks { front, back, sum }
    }

    /// How many panes it has.
    pub(super) fn len(&self) -> usize {
        self.front.len() + self.back.len()
    }

    /// A pane that is newer than all others.
    pub(super) fn push<T>(&mut self, pane: Timestamp, acc: &A, aggregate: &impl Merge<T, Acc = A>) {
        join(&mut self.sum, acc, aggregate);
        self.back.push((pane, acc.clone()));
    }

    /// Something that belongs to a pane which may have been pushed already.
    pub(super) fn push_behind<T>(&mut self, pane: Timestamp, acc: &A, aggregate: &impl Merge<T, Acc = A>) {
        if self.front.first().is_none_or(|(newest, _)| *newest < pane) {
            join(&mut self.sum, acc, aggregate);
            match self.back.binary_search_by_key(&pane, |(known, _)| *known) {
                Ok(at) => aggregate.merge(&mut self.back[at].1, acc),
                Err(at) => self.back.insert(at, (pane, acc.clone())),
            }
            return;
        }
        let at = self.front.partition_point(|(known, _)| *known > pane);
        if self.front.get(at).is_none_or(|(known, _)| *known != pane) {
            // All that is newer: there is at least the newest of the front.
            let newer = self.front[at - 1].1.clone();
            self.front.insert(at, (pane, newer));
        }
        self.front[at..].iter_mut().for_each(|(_, sum)| aggregate.merge(sum, acc));
    }

    /// Forgets the panes that start before `first`. Gives how many panes it had to look at.
    pub(super) fn evict<T>(&mut self, first: Timestamp, aggregate: &impl Merge<T, Acc = A>) -> usize {
        while self.front.pop_if(|(pane, _)| *pane < first).is_some() {}
        if self.front.is_empty() && self.back.first().is_some_and(|(pane, _)| *pane < first) {
            return self.turn(first, aggregate);
        }
        0
    }

    /// Makes the back the front.
    fn turn<T>(&mut self, first: Timestamp, aggregate: &impl Merge<T, Acc = A>) -> usize {
        let count = self.back.len();
        self.sum = None;
        while let Some((pane, mut acc)) = self.back.pop_if(|(pane, _)| *pane >= first) {
            if let Some((_, newer)) = self.front.last() {
                aggregate.merge(&mut acc, newer);
            }
            self.front.push((pane, acc));
        }
        self.back.clear();
        count
    }

    /// What all panes have; `None` if there are none.
    pub(super) fn value<T, M: Merge<T, Acc = A>>(&self, aggregate: &M) -> Option<M::Out> {
        match (self.front.last(), &self.sum) {
            (Some((_, front)), Some(back)) => {
                let mut all = front.clone();
                aggregate.merge(&mut all, back);
                Some(aggregate.result(&all))
            }
            (Some((_, all)), None) | (None, Some(all)) => Some(aggregate.result(all)),
            (None, None) => None,
        }
    }
}

/// Merges into what may not be there yet.
pub(super) fn join<T, M: Merge<T>>(into: &mut Option<M::Acc>, other: &M::Acc, aggregate: &M) {
    match into {
        Some(into) => aggregate.merge(into, other),
        None => *into = Some(other.clone()),
    }
}

/// The stacks of a key.
pub(super) fn stack_of<'a, K: Key + Eq + Clone, A>(
    stacks: &'a mut Segments<K, Stacks<A>>,
    key: &K,
) -> &'a mut Stacks<A> {
    stacks.value(key, |known, key| known == *key, |key| (key.clone(), Stacks::default()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::merge::All;
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_value_is_that_of_the_panes_in_the_window(
            steps in prop::collection::vec((0..6i64, 0..5i64, prop::option::of(0..9i64)), 0..60),
        ) {
            let (all, mut stacks, mut model) = (All::<i64>::new(), Stacks::default(), BTreeMap::new());
            let (mut newest, mut first) = (0, -8);
            for (number, (gap, leave, behind)) in (0i64..).zip(steps) {
                newest += gap;
                match behind {
                    None => {
                        newest += 1;
                        stacks.push(newest, &vec![number], &all);
                        model.insert(newest, vec![number]);
                    }
                    Some(behind) => {
                        let pane = (newest - behind).max(first);
                        stacks.push_behind(pane, &vec![number], &all);
                        model.entry(pane).or_insert_with(Vec::new).push(number);
                        newest = newest.max(pane);
                    }
                }
                first = (first + leave).max(newest - 8).min(newest);
                stacks.evict(first, &all);
                let mut value = stacks.value(&all);
                value.iter_mut().for_each(|value| value.sort_unstable());
                let mut expected: Vec<_> = model.range(first..).flat_map(|(_, numbers)| numbers.clone()).collect();
                expected.sort_unstable();
                prop_assert_eq!(value, (!expected.is_empty()).then_some(expected));
            }
        }
    }
}
