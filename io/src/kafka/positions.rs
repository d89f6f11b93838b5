//! How far each partition of a source subtask is.

use std::sync::Arc;

use slotflow_runtime::{Offset, Offsets, SplitId};

use super::beginning::Partition;
use super::orders::ReadFrom;
use super::subscription::TopicPartition;
use super::watch::Stand;

/// No place: the partition is not read here.
const NOWHERE: u32 = u32::MAX;

/// How far each partition is.
pub(super) struct Positions {
    bounded: bool,
    /// Nobody tells when a partition has nothing more.
    endless: bool,
    /// The topics, in the order in which they came.
    topics: Vec<Arc<str>>,
    /// By topic and partition, which of the places it has.
    by_topic: Vec<Vec<u32>>,
    places: Vec<Place>,
    /// How many partitions have not reached their end, and how many have.
    unfinished: usize,
    finished: usize,
    /// How often partitions have come or gone since the beginning.
    state: u64,
}

/// How far one partition is.
#[derive(Clone, Copy)]
struct Place {
    split: SplitId,
    /// The next offset to read; negative as long as none is known.
    next: Offset,
    /// Reading stops in front of this.
    end: Offset,
    finished: bool,
    /// Somebody else reads it now, or will; where it stood is told until that is committed.
    gone: bool,
    /// The last that the brokers have said of it is that there is nothing more.
    at_end: bool,
    /// Where they have said so: perhaps behind entries of the log that are no records.
    told_end: Offset,
}

impl Positions {
    pub fn new(partitions: &[Partition], bounded: bool) -> Positions {
        let (topics, by_topic, places) = (Vec::new(), Vec::new(), Vec::new());
        let mut positions = Positions {
            bounded,
            endless: false,
            topics,
            by_topic,
            places,
            unfinished: 0,
            finished: 0,
            state: 0,
        };
        partitions.iter().for_each(|partition| positions.add(partition));
        positions.state = 0;
        positions
    }

    /// Of a member of a group, which has no partition yet. Ends are not told: librdkafka notes them as if they were
    /// records that were given, and when a group moves other partitions it goes on behind that, so a record is lost.
    pub fn of_member() -> Positions {
        Positions { endless: true, ..Positions::new(&[], false) }
    }

    /// Whether a partition that has met an error at an offset may be read on: see [`of_member`](Positions::of_member).
    pub fn passes_errors(&self) -> bool {
        !self.endless
    }

    /// One more partition is read.
    pub fn add(&mut self, partition: &Partition) {
        let (topic, number) = (self.topic_or_add(&partition.of.topic), partition.of.partition as usize);
        let row = &mut self.by_topic[topic];
        row.resize(row.len().max(number + 1), NOWHERE);
        let (next, end) = (partition.next.unwrap_or(-1), partition.end.unwrap_or(Offset::MAX));
        let split = partition.of.split;
        let place = Place { split, next, end, finished: false, gone: false, at_end: false, told_end: -1 };
        if row[number] == NOWHERE {
            row[number] = self.places.len() as u32;
            self.places.push(place);
        } else {
            // It was here before.
            self.places[row[number] as usize] = place;
        }
        let place = row[number] as usize;
        self.unfinished += 1;
        self.state += 1;
        if next >= end {
            self.finish(place);
        }
    }

    /// A partition is not read any more: gives where to read on, if that is known.
    pub fn leave(&mut self, split: SplitId) -> Option<Offset> {
        let number = self.places.iter().position(|place| place.split == split)?;
        let place = &mut self.places[number];
        self.unfinished -= usize::from(!std::mem::replace(&mut place.finished, true));
        place.gone = true;
        self.state += 1;
        (place.next >= 0).then_some(place.next)
    }

    fn topic_or_add(&mut self, topic: &Arc<str>) -> usize {
        self.topics.iter().position(|known| known == topic).unwrap_or_else(|| {
            self.topics.push(topic.clone());
            self.by_topic.push(Vec::new());
            self.topics.len() - 1
        })
    }

    /// Whether nothing is read here for now.
    pub fn is_empty(&self) -> bool {
        self.places.iter().all(|place| place.gone)
    }

    /// The splits, if they have changed since that state.
    pub fn splits_since(&self, state: u64) -> Option<(u64, Vec<SplitId>)> {
        let here = || self.places.iter().filter(|place| !place.gone).map(|place| place.split).collect();
        (self.state != state).then(|| (self.state, here()))
    }

    pub fn is_bounded(&self) -> bool {
        self.bounded
    }

    /// Whether there is nothing left to read.
    #[inline]
    pub fn ended(&self) -> bool {
        self.unfinished == 0
    }

    /// The number of a topic by its name.
    pub fn topic(&self, name: &str) -> Option<usize> {
        self.topics.iter().position(|known| **known == *name)
    }

    /// The topic, if there is only one.
    #[inline]
    pub fn only_topic(&self) -> Option<usize> {
        (self.topics.len() == 1).then_some(0)
    }

    #[inline]
    fn place(&self, topic: usize, partition: i32) -> Option<usize> {
        let place = *self.by_topic.get(topic)?.get(partition as usize)?;
        (place != NOWHERE).then_some(place as usize)
    }

    /// Moves behind a message, and gives its split if it is one to push: not those behind a bounded source's end.
    #[inline]
    pub fn pass(&mut self, topic: usize, partition: i32, offset: Offset) -> Option<SplitId> {
        let number = self.place(topic, partition)?;
        let place = &mut self.places[number];
        // What lies in front was fetched before the partition had gone and come back.
        if place.finished || offset < place.next {
            return None;
        }
        place.at_end = false;
        if offset < place.end {
            place.next = offset + 1;
        }
        let pushed = (offset < place.end).then_some(place.split);
        if offset + 1 >= place.end {
            self.finish(number);
        }
        pushed
    }

    /// The brokers have nothing more for now, perhaps behind entries of the log that are no records.
    pub fn reach_end(&mut self, topic: usize, partition: i32, offset: Offset) {
        let Some(number) = self.place(topic, partition) else { return };
        let place = &mut self.places[number];
        place.at_end = true;
        place.told_end = offset;
        if self.bounded && offset >= place.end {
            self.finish(number);
        }
    }

    /// How many partitions have reached their end since the beginning.
    #[inline]
    pub fn finished(&self) -> usize {
        self.finished
    }

    /// Whether this one has; those of other subtasks have from the start.
    pub fn is_finished(&self, split: SplitId) -> bool {
        self.places.iter().find(|place| place.split == split).is_none_or(|place| place.finished)
    }

    /// Topic and partition of a split that is read here.
    pub fn named(&self, split: SplitId) -> Option<(&Arc<str>, i32)> {
        let number = self.places.iter().position(|place| place.split == split && !place.gone)? as u32;
        let in_row = |row: &Vec<u32>| row.iter().position(|place| *place == number);
        let (topic, partition) =
            self.by_topic.iter().enumerate().find_map(|(topic, row)| Some((topic, in_row(row)?)))?;
        Some((&self.topics[topic], partition as i32))
    }

    /// Where a split that is read here goes on.
    pub fn read_from(&self, split: SplitId) -> Option<ReadFrom> {
        let (topic, partition) = self.named(split)?;
        let next = self.places.iter().find(|place| place.split == split)?.next;
        Some(ReadFrom { topic: topic.clone(), partition, next: (next >= 0).then_some(next) })
    }

    /// All that are read here and have not reached their end, and where each goes on.
    pub fn unfinished(&self) -> Vec<(SplitId, ReadFrom)> {
        let open = self.places.iter().filter(|place| !place.gone && !place.finished);
        open.filter_map(|place| Some((place.split, self.read_from(place.split)?))).collect()
    }

    /// How far each of them has come, also behind entries that are no records; -1 where nobody knows.
    pub fn stands(&self) -> Vec<Stand> {
        let come =
            |split| self.places.iter().find(|place| place.split == split).map(|it| it.next.max(it.told_end));
        let stand = |(split, ReadFrom { topic, partition, .. })| {
            let of = TopicPartition { split, topic, partition: partition as SplitId };
            Stand { come: come(split).unwrap_or(-1), of }
        };
        self.unfinished().into_iter().map(stand).collect()
    }

    pub fn is_behind(&self, split: SplitId) -> bool {
        let mut places = self.places.iter();
        !self.endless && places.any(|place| place.split == split && !place.finished && !place.at_end)
    }

    /// The end was reached, perhaps behind entries of the log that are no records.
    fn finish(&mut self, number: usize) {
        let place = &mut self.places[number];
        if !place.finished {
            place.finished = true;
            place.next = place.next.max(place.end);
            self.unfinished -= 1;
            self.finished += 1;
        }
    }

    pub fn offsets(&self) -> Offsets {
        let known = self.places.iter().filter(|place| place.next >= 0);
        known.map(|place| (place.split, place.next)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::subscription::TopicPartition;
    use super::*;

    fn partition(topic: &str, number: SplitId, next: Option<Offset>, end: Option<Offset>) -> Partition {
        // The split's number differs from the partition's, as it does for several topics.
        let of = TopicPartition { split: number + 10, topic: topic.into(), partition: number };
        Partition { next, end, ..Partition::whole(&of) }
    }

    /// Two partitions of a bounded source, both to be read from 3 to 6.
    fn positions() -> Positions {
        let partition = |number| partition("words", number, Some(3), Some(6));
        Positions::new(&[partition(1), partition(4)], true)
    }

    fn endless() -> Positions {
        Positions::new(&[partition("words", 0, None, None)], false)
    }

    #[test]
    fn a_gap_across_the_end_ends_the_partition_and_lets_nothing_through() {
        let mut positions = positions();
        assert_eq!(positions.pass(0, 1, 3), Some(11));
        // 4 and 5 are a transaction's markers, 6 was written after the start.
        assert_eq!(positions.pass(0, 1, 6), None);
        assert_eq!((positions.offsets(), positions.unfinished), (vec![(11, 6), (14, 3)], 1));
        assert_eq!(positions.pass(0, 1, 7), None);
        assert_eq!(positions.offsets(), [(11, 6), (14, 3)]);
    }

    #[test]
    fn the_last_record_before_the_end_ends_the_partition() {
        let mut positions = positions();
        assert!([3, 4, 5].into_iter().all(|offset| positions.pass(0, 4, offset).is_some()));
        let finished = [11, 14].map(|split| positions.is_finished(split));
        assert_eq!((positions.finished(), finished), (1, [false, true]), "it holds event time up no longer");
        assert!((3..6).all(|offset| positions.pass(0, 1, offset).is_some()) && positions.ended());
        assert_eq!(positions.offsets(), [(11, 6), (14, 6)]);
    }

    #[test]
    fn an_endless_source_knows_no_end() {
        let mut positions = endless();
        assert!(positions.offsets().is_empty());
        assert!(positions.pass(0, 0, 1 << 40).is_some() && !positions.ended());
        assert_eq!(positions.offsets(), [(10, (1 << 40) + 1)]);
    }

    #[test]
    fn a_partition_is_behind_until_the_brokers_have_nothing_more() {
        let mut positions = endless();
        assert!(positions.is_behind(10), "nobody has answered yet");
        positions.reach_end(0, 0, 5);
        assert!(!positions.is_behind(10));
        assert!(positions.pass(0, 0, 5).is_some() && positions.is_behind(10));
        positions.reach_end(0, 0, 9);
        assert!(!positions.is_behind(10) && !positions.ended());
        let mut bounded = self::positions();
        bounded.reach_end(0, 4, 6);
        assert!(bounded.is_behind(11) && !bounded.is_behind(14) && !bounded.is_behind(7));
    }

    #[test]
    fn what_a_member_of_a_group_does_not_know_does_not_hold_time() {
        let mut positions = Positions::of_member();
        positions.add(&partition("words", 0, None, None));
        assert!(!positions.is_behind(10));
    }

    #[test]
    fn a_partition_of_somebody_else_is_not_passed_on() {
        let mut positions = positions();
        for (topic, partition) in [(0, 0), (0, 9), (0, -1), (1, 1)] {
            assert_eq!(positions.pass(topic, partition, 3), None);
        }
    }

    #[test]
    fn a_partition_that_goes_tells_where_it_stood_and_may_come_back_elsewhere() {
        let mut positions = endless();
        assert!(positions.pass(0, 0, 4).is_some());
        assert_eq!((positions.leave(10), positions.leave(99)), (Some(5), None));
        assert!(positions.is_empty() && positions.pass(0, 0, 5).is_none());
        assert_eq!((positions.offsets(), positions.splits_since(0)), (vec![(10, 5)], Some((1, vec![]))));
        positions.add(&partition("words", 0, Some(8), None));
        assert_eq!(positions.pass(0, 0, 6), None, "fetched before it went");
        assert_eq!((positions.pass(0, 0, 8), positions.places.len()), (Some(10), 1));
        assert_eq!((positions.offsets(), positions.unfinished), (vec![(10, 9)], 1));
    }

    #[test]
    fn equal_partitions_of_two_topics_are_two_splits() {
        let mut positions = Positions::new(&[partition("a", 1, Some(0), None)], false);
        assert_eq!(positions.only_topic(), Some(0));
        let mut other = partition("b", 1, Some(5), None);
        other.of.split = 12;
        positions.add(&other);
        assert_eq!(
            (positions.only_topic(), positions.topic("b"), positions.topic("c")),
            (None, Some(1), None)
        );
        assert_eq!((positions.pass(0, 1, 0), positions.pass(1, 1, 5)), (Some(11), Some(12)));
        let named = |split| positions.named(split).map(|(topic, partition)| (&**topic, partition));
        assert_eq!([11, 12, 13].map(named), [Some(("a", 1)), Some(("b", 1)), None]);
        assert_eq!(positions.offsets(), [(11, 1), (12, 6)]);
    }
}
