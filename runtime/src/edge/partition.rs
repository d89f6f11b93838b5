//! Partitioners: which target gets a record.

use super::ring::Sender;
use crate::plan::Partitioner;
use crate::{Error, Result, SubtaskContext};

/// Gives each record to its target, or targets.
pub trait Route<T>: 'static {
    /// Stages `record` with its stamp for one of `targets`, of which there is at least one. `false` if more is staged
    /// than may wait ([`Sender::stage`]).
    fn send<S: Copy>(&mut self, record: T, stamp: S, targets: &mut [Sender<(T, S)>]) -> bool;
}

/// The targets of partitioners that do not look at the record.
#[derive(Clone, Debug)]
pub enum Spread {
    /// Always the same target: forward, global.
    To(usize),
    /// One after the other, from this one: rebalance, rescale.
    RoundRobin(usize),
    /// Uniformly at random, seeded: shuffle.
    Random(u64),
}

impl Spread {
    #[inline(always)]
    fn next(&mut self, targets: usize) -> usize {
        match self {
            Spread::To(target) => *target,
            Spread::RoundRobin(next) => {
                let target = *next;
                *next = if target + 1 == targets { 0 } else { target + 1 };
                target
            }
            Spread::Random(state) => random_below(state, targets),
        }
    }
}

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
pub(crate) fn random_below(state: &mut u64, bound: usize) -> usize {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((u128::from(mixed ^ (mixed >> 31)) * bound as u128) >> 64) as usize
}

impl<T: 'static> Route<T> for Spread {
    #[inline(always)]
    fn send<S: Copy>(&mut self, record: T, stamp: S, targets: &mut [Sender<(T, S)>]) -> bool {
        let target = self.next(targets.len());
        targets[target].stage((record, stamp))
    }
}

/// By a closure of the user's: `(record, targets) -> target`, taken modulo the targets.
#[derive(Clone)]
pub struct Custom<F>(pub F);

impl<T: 'static, F: FnMut(&T, usize) -> usize + 'static> Route<T> for Custom<F> {
    #[inline(always)]
    fn send<S: Copy>(&mut self, record: T, stamp: S, targets: &mut [Sender<(T, S)>]) -> bool {
        let target = (self.0)(&record, targets.len()) % targets.len();
        targets[target].stage((record, stamp))
    }
}

/// To all the targets; the record is cloned for all but the last.
#[derive(Clone, Debug)]
pub struct Broadcast;

impl<T: Clone + 'static> Route<T> for Broadcast {
    #[inline(always)]
    fn send<S: Copy>(&mut self, record: T, stamp: S, targets: &mut [Sender<(T, S)>]) -> bool {
        let Some((last, others)) = targets.split_last_mut() else { return true };
        let others = others.iter_mut().all(|target| target.stage((record.clone(), stamp)));
        others && last.stage((record, stamp))
    }
}

/// What a plan says about the partitioner of one edge.
#[derive(Clone, Debug)]
pub struct RoutePlan {
    /// What it has become.
    pub partitioner: Partitioner,
    /// How many subtasks read the edge.
    pub readers: usize,
    /// How many key groups there are.
    pub groups: usize,
}

/// How the partitioner of one subtask comes to be.
pub trait BuildRoute<T>: Clone + Send + 'static {
    /// The partitioner.
    type Route: Route<T>;
    /// Makes it on its slot, for `targets` rings.
    fn build(self, subtask: &SubtaskContext, plan: &RoutePlan, targets: usize) -> Result<Self::Route>;
}

/// Whatever the plan says, of what needs no look at the record.
#[derive(Clone, Copy, Debug)]
pub struct AsPlanned;

impl<T: 'static> BuildRoute<T> for AsPlanned {
    type Route = Spread;
    fn build(self, subtask: &SubtaskContext, plan: &RoutePlan, targets: usize) -> Result<Spread> {
        match plan.partitioner {
            Partitioner::Forward | Partitioner::Global => Ok(Spread::To(0)),
            Partitioner::Shuffle => Ok(Spread::Random(subtask.index as u64)),
            // Each begins elsewhere, so that short inputs do not all go to the first.
            Partitioner::Rebalance | Partitioner::Rescale => {
                Ok(Spread::RoundRobin(subtask.index % targets.max(1)))
            }
            Partitioner::Hash | Partitioner::Broadcast | Partitioner::Custom => Err(Error::bug(format!(
                "a {} edge was cut where nobody looks at the record",
                plan.partitioner.name()
            ))),
        }
    }
}

impl<T: 'static, F: FnMut(&T, usize) -> usize + Clone + Send + 'static> BuildRoute<T> for Custom<F> {
    type Route = Custom<F>;
    fn build(self, _: &SubtaskContext, _: &RoutePlan, _: usize) -> Result<Custom<F>> {
        Ok(self)
    }
}

impl<T: Clone + 'static> BuildRoute<T> for Broadcast {
    type Route = Broadcast;
    fn build(self, _: &SubtaskContext, _: &RoutePlan, _: usize) -> Result<Broadcast> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::subtask;

    /// Which of so many targets the first records of a subtask go to.
    fn sent(partitioner: Partitioner, index: usize, targets: usize, records: usize) -> Vec<usize> {
        let subtask = SubtaskContext { index, ..subtask() };
        let plan = RoutePlan { partitioner, readers: targets, groups: 16 };
        let mut spread: Spread = BuildRoute::<u64>::build(AsPlanned, &subtask, &plan, targets).unwrap();
        (0..records).map(|_| spread.next(targets)).collect()
    }

    #[test]
    fn in_turn_each_target_gets_one_before_any_gets_two_and_each_subtask_begins_elsewhere() {
        for partitioner in [Partitioner::Rebalance, Partitioner::Rescale] {
            assert_eq!(sent(partitioner, 0, 3, 7), [0, 1, 2, 0, 1, 2, 0]);
            assert_eq!(sent(partitioner, 1, 3, 4), [1, 2, 0, 1]);
            assert_eq!(sent(partitioner, 5, 3, 4), [2, 0, 1, 2]);
            assert_eq!(sent(partitioner, 4, 1, 3), [0, 0, 0]);
        }
    }

    #[test]
    fn at_random_each_target_gets_about_as_many_the_same_ones_in_every_run() {
        for index in 0..8 {
            let targets = sent(Partitioner::Shuffle, index, 5, 5_000);
            let count = |target| targets.iter().filter(|sent| **sent == target).count();
            let counts = [0, 1, 2, 3, 4].map(count);
            assert!(counts.iter().all(|count| (900..1_100).contains(count)), "subtask {index}: {counts:?}");
            assert_eq!(counts.iter().sum::<usize>(), 5_000);
            assert_eq!(targets, sent(Partitioner::Shuffle, index, 5, 5_000));
        }
        assert_ne!(sent(Partitioner::Shuffle, 0, 5, 50), sent(Partitioner::Shuffle, 1, 5, 50));
    }

    #[test]
    fn who_has_one_target_sends_it_everything() {
        for partitioner in [Partitioner::Forward, Partitioner::Global] {
            assert_eq!(sent(partitioner, 3, 1, 3), [0; 3]);
        }
    }
}
