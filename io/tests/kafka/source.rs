//! Reading: which partitions, from where, until when.

use slotflow_io::kafka::Start;
use slotflow_runtime::{Polled, SourceReader};

use crate::harness::{Reading, add_lines, kafka, lines, wait_for};

#[test]
fn partitions_go_to_subtasks_by_number() {
    let kafka = kafka("words", 8, 3);
    for index in 0..3 {
        let source = kafka.source().topic("words").group("g").bounded();
        let mut reading = Reading::open(source, index, 3).unwrap();
        reading.read_to_end().unwrap();
        let own: Vec<u32> = (0..8).filter(|partition| partition % 3 == index as u32).collect();
        assert_eq!(reading.got.0.len(), own.len() * 3);
        for partition in own {
            assert_eq!(reading.got.of(partition), lines(partition, 0..3));
        }
    }
}

#[test]
fn a_message_tells_where_it_comes_from() {
    let kafka = kafka("words", 2, 2);
    let mut reading = Reading::open(kafka.source().topic("words").no_commit().bounded(), 0, 1).unwrap();
    reading.read_to_end().unwrap();
    let message = reading.got.0.iter().find(|message| message.partition == 1 && message.offset == 1);
    let message = message.unwrap();
    assert_eq!((&message.payload[..], &message.key, message.tombstone), (&b"p1-1"[..], &None, false));
    assert!(message.timestamp_ms.is_some_and(|ms| ms > 1_600_000_000_000));
}

#[test]
fn a_subtask_without_partitions_is_idle_and_ends_with_a_bounded_source() {
    let kafka = kafka("words", 1, 0);
    let source = || kafka.source().topic("words").group("g");
    let mut endless = Reading::open(source(), 1, 2).unwrap();
    assert_eq!((endless.poll(10).unwrap(), endless.reader.idle()), (Polled::Idle, true));
    let mut bounded = Reading::open(source().bounded(), 1, 2).unwrap();
    assert_eq!((bounded.poll(10).unwrap(), bounded.reader.idle()), (Polled::End, true));
    assert!(bounded.reader.committer().is_none() && bounded.reader.offsets().is_empty());
}

#[test]
fn a_bounded_source_ends_where_the_topic_ended_at_the_start() {
    let kafka = kafka("words", 2, 5);
    let mut reading = Reading::open(kafka.source().topic("words").group("g").bounded(), 0, 1).unwrap();
    add_lines(&kafka, "words", 2, 5..8);
    reading.read_to_end().unwrap();
    assert_eq!([reading.got.of(0), reading.got.of(1)], [lines(0, 0..5), lines(1, 0..5)]);
    assert_eq!(reading.reader.offsets(), [(0, 5), (1, 5)]);
}

#[test]
fn a_bounded_source_over_an_empty_topic_ends_at_once() {
    let kafka = kafka("words", 2, 0);
    let mut reading = Reading::open(kafka.source().topic("words").group("g").bounded(), 0, 1).unwrap();
    assert_eq!(reading.poll(10).unwrap(), Polled::End);
    assert_eq!(reading.reader.offsets(), [(0, 0), (1, 0)]);
}

#[test]
fn a_poll_gives_no_more_than_its_budget() {
    let kafka = kafka("words", 1, 50);
    let mut reading = Reading::open(kafka.source().topic("words").group("g").bounded(), 0, 1).unwrap();
    wait_for(|| {
        let before = reading.got.0.len();
        let polled = reading.poll(3).unwrap();
        assert!(reading.got.0.len() - before <= 3);
        (polled == Polled::End).then_some(())
    });
    assert_eq!(reading.got.of(0), lines(0, 0..50));
}

#[test]
fn offsets_are_the_next_to_read() {
    let kafka = kafka("words", 2, 4);
    let mut reading = Reading::open(kafka.source().topic("words").group("g"), 0, 1).unwrap();
    assert_eq!(reading.reader.offsets(), [], "nothing is known before the first message");
    reading.read(8).unwrap();
    assert_eq!(reading.reader.offsets(), [(0, 4), (1, 4)]);
}

#[test]
fn without_committed_offsets_the_start_is_chosen() {
    let kafka = kafka("words", 1, 3);
    for (start, first) in [(Start::GroupOrEarliest, 0), (Start::Earliest, 0), (Start::GroupOrLatest, 3)] {
        let source = kafka.source().topic("words").group("new").starting(start.clone());
        let reading = Reading::open(source, 0, 1).unwrap();
        let end = reading.reader.offsets().first().map_or(0, |(_, next)| *next as u32);
        assert_eq!(end, first, "{start:?}");
    }
    let mut latest =
        Reading::open(kafka.source().topic("words").no_commit().starting(Start::Latest), 0, 1).unwrap();
    add_lines(&kafka, "words", 1, 3..5);
    latest.read(2).unwrap();
    assert_eq!(latest.got.of(0), lines(0, 3..5));
}

#[test]
fn a_new_message_wakes_the_slot() {
    let kafka = kafka("words", 1, 1);
    let mut reading = Reading::open(kafka.source().topic("words").group("g"), 0, 1).unwrap();
    reading.read(1).unwrap();
    reading.poll_until(|_, polled| matches!(polled, Polled::Until(_))).unwrap();
    reading.park.prepare();
    add_lines(&kafka, "words", 1, 1..2);
    wait_for(|| (!reading.park.is_asleep()).then_some(()));
    reading.read(2).unwrap();
}

#[test]
fn a_wake_up_that_is_lost_costs_50_ms_and_not_the_stream() {
    let kafka = kafka("words", 1, 1);
    let mut reading = Reading::open(kafka.source().topic("words").group("g"), 0, 1).unwrap();
    reading.read(1).unwrap();
    // A step begins at 1 ns of the harness's clock. The slot is told to come back, whoever wakes it.
    reading.poll_until(|_, polled| polled == Polled::Until(50_000_001)).unwrap();
    add_lines(&kafka, "words", 1, 1..2);
    // Nobody listens to the waker here: that the record comes is the doing of the next look alone.
    reading.read(2).unwrap();
}

#[test]
fn a_broker_that_goes_away_and_comes_back_costs_nothing() {
    let kafka = kafka("words", 1, 2);
    let mut reading = Reading::open(kafka.source().topic("words").group("g"), 0, 1).unwrap();
    reading.read(2).unwrap();
    kafka.with(|cluster| cluster.broker_down(1)).unwrap().unwrap();
    (0..1_000).for_each(|_| assert_ne!(reading.poll(10).unwrap(), Polled::End));
    kafka.with(|cluster| cluster.broker_up(1)).unwrap().unwrap();
    add_lines(&kafka, "words", 1, 2..4);
    reading.read(4).unwrap();
    assert_eq!(reading.got.of(0), lines(0, 0..4));
}

#[test]
fn a_partition_that_is_paused_gives_nothing_and_loses_nothing() {
    let kafka = kafka("words", 2, 3_000);
    let mut reading = Reading::open(kafka.source().topic("words").no_commit(), 0, 1).unwrap();
    reading.read(100).unwrap();
    assert!(reading.reader.pause(0));
    // Carried out on another thread: sooner or later many lines of the other come, and none of this.
    let (mut lines_each, mut got, mut rounds) = (3_000, 0, 0);
    wait_for(|| {
        lines_each += 1;
        add_lines(&kafka, "words", 2, lines_each - 1..lines_each);
        reading.poll_until(|reading, _| reading.got.of(1).len() as u32 == lines_each).unwrap();
        let before = std::mem::replace(&mut got, reading.got.of(0).len());
        rounds = if got == before { rounds + 1 } else { 0 };
        (rounds == 20).then_some(())
    });
    assert!(got < lines_each as usize);
    reading.reader.resume(0);
    reading.poll_until(|reading, _| reading.got.of(0).len() as u32 == lines_each).unwrap();
    assert_eq!(reading.got.of(0), lines(0, 0..lines_each), "each once, in order");
    assert_eq!(reading.got.of(1), lines(1, 0..lines_each));
}

#[test]
fn a_partition_that_is_paused_at_its_end_loses_nothing() {
    let kafka = kafka("words", 2, 0);
    add_lines(&kafka, "words", 1, 0..3);
    let mut reading = Reading::open(kafka.source().topic("words").no_commit(), 0, 1).unwrap();
    // Both ends are told, also that of the partition that has nothing.
    let ends = |reading: &Reading| [0, 1].iter().all(|split| !reading.reader.is_behind(*split));
    reading.poll_until(|reading, _| reading.got.0.len() == 3 && ends(reading)).unwrap();
    for split in [0, 1] {
        assert!(reading.reader.pause(split));
        reading.reader.resume(split);
    }
    add_lines(&kafka, "words", 1, 3..6);
    add_lines(&kafka, "words", 2, 6..9);
    reading.poll_until(|reading, _| reading.got.of(0).len() == 9 && reading.got.of(1).len() == 3).unwrap();
    assert_eq!(reading.got.of(0), lines(0, 0..9));
    assert_eq!(reading.got.of(1), lines(1, 6..9));
}
