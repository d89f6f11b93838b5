//! Reading: partitions and topics that come while a source runs.

use std::time::Duration;

use slotflow_runtime::{Polled, SourceReader};

use crate::harness::{Reading, add_lines, kafka, lines, wait_for};

const SOON: Duration = Duration::from_millis(5);

#[test]
fn a_new_topic_that_fits_is_read_from_its_oldest_record_and_committed() {
    let kafka = kafka("orders-eu", 1, 2);
    let source = || kafka.source().topics_like("orders-*").group("g");
    let mut reading = Reading::open(source().discover_every(SOON), 0, 1).unwrap();
    reading.read(2).unwrap();
    kafka.create_topic("orders-us", 2).unwrap();
    add_lines(&kafka, "orders-us", 2, 0..3);
    reading.read(8).unwrap();
    let (state, splits) = reading.reader.splits_since(0).unwrap();
    assert_eq!((reading.reader.splits_since(state), splits), (None, vec![0, 1, 2]));
    let new: Vec<_> = reading.got.0.iter().filter(|it| &*it.topic == "orders-us").collect();
    assert_eq!(new.len(), 6);
    let mut committer = reading.reader.committer().unwrap();
    committer.commit(&reading.reader.offsets()).unwrap();
    committer.finish().unwrap();
    let mut again = Reading::open(source().bounded(), 0, 1).unwrap();
    again.read_to_end().unwrap();
    assert!(again.got.0.is_empty(), "{:?}", again.got.0);
}

#[test]
fn new_partitions_go_where_their_numbers_would_have_sent_them() {
    let kafka = kafka("orders-a", 1, 1);
    let source = kafka.source().topics_like("orders-*").no_commit().discover_every(SOON);
    let mut readings = Reading::open_all(source, 2).unwrap();
    assert!(readings[1].reader.idle(), "it has no partition yet");
    kafka.create_topic("orders-b", 4).unwrap();
    add_lines(&kafka, "orders-b", 4, 0..2);
    readings[0].read(5).unwrap();
    readings[1].read(4).unwrap();
    assert!(!readings[1].reader.idle());
    assert_eq!([1, 3].map(|partition| readings[1].got.of(partition)), [lines(1, 0..2), lines(3, 0..2)]);
    assert_eq!(readings[0].got.of(2), lines(2, 0..2));
}

#[test]
fn no_record_of_a_new_split_comes_before_the_split_is_told_of() {
    let kafka = kafka("orders-a", 1, 0);
    let source = kafka.source().topics_like("orders-*").no_commit().discover_every(SOON);
    let mut reading = Reading::open(source, 0, 1).unwrap();
    kafka.create_topic("orders-b", 1).unwrap();
    add_lines(&kafka, "orders-b", 1, 0..1);
    let (mut state, mut told) = (0, vec![0]);
    wait_for(|| {
        if let Some((new, splits)) = reading.reader.splits_since(state) {
            (state, told) = (new, splits);
        }
        let polled = reading.poll(10).unwrap();
        let came = !reading.got.0.is_empty();
        assert!(!came || told == [0, 1], "{polled:?}");
        came.then_some(())
    });
}

#[test]
fn brokers_that_are_away_are_asked_again() {
    let kafka = kafka("orders-a", 1, 1);
    let source = kafka.source().topics_like("orders-*").no_commit().discover_every(SOON);
    let source = source.connect_timeout(Duration::from_millis(200));
    let mut reading = Reading::open(source, 0, 1).unwrap();
    reading.read(1).unwrap();
    kafka.with(|cluster| cluster.broker_down(1)).unwrap().unwrap();
    reading.poll_until(|_, polled| matches!(polled, Polled::Until(_))).unwrap();
    kafka.with(|cluster| cluster.broker_up(1)).unwrap().unwrap();
    kafka.create_topic("orders-b", 1).unwrap();
    add_lines(&kafka, "orders-b", 1, 0..1);
    reading.read(2).unwrap();
}
