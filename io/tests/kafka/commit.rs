//! Committing: what a restart finds, and what happens while the coordinator is away.

use std::time::Duration;

use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Native};
use slotflow_io::kafka::{MockKafka, Start};
use slotflow_runtime::{Committer, SourceReader};

use crate::harness::{Reading, add_lines, kafka, lines};

/// A reader of everything there is, in group `g`.
fn reading(kafka: &MockKafka) -> Reading {
    let source = kafka.source().topic("words").group("g").bounded();
    Reading::open(source.connect_timeout(Duration::from_secs(5)), 0, 1).unwrap()
}

fn committer(kafka: &MockKafka) -> (Reading, Box<dyn Committer>) {
    let mut reading = reading(kafka);
    let committer = reading.reader.committer().unwrap();
    (reading, committer)
}

#[test]
fn a_restart_reads_on_where_was_committed() {
    let kafka = kafka("words", 2, 6);
    let (_first, mut committer) = committer(&kafka);
    committer.commit(&vec![(0, 2), (1, 5)]).unwrap();
    committer.finish().unwrap();
    let mut second = reading(&kafka);
    second.read_to_end().unwrap();
    assert_eq!([second.got.of(0), second.got.of(1)], [lines(0, 2..6), lines(1, 5..6)]);
}

#[test]
fn offsets_that_are_stored_are_not_sent_again() {
    let kafka = kafka("words", 1, 6);
    let (_reading, mut committer) = committer(&kafka);
    committer.commit(&vec![(0, 2)]).unwrap();
    committer.finish().unwrap();
    // Whatever is sent from here on is refused.
    let refused = [Native::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED];
    kafka.with(move |cluster| cluster.request_errors(Api::OffsetCommit, &refused)).unwrap();
    committer.commit(&vec![(0, 2)]).unwrap();
    committer.finish().unwrap();
    assert_eq!(
        committer.commit(&vec![(0, 3)]).unwrap_err().to_string(),
        "this principal may not use group \"g\"; allow it the operation Read on the group, or read without \
         committing: .no_commit()"
    );
}

#[test]
fn offsets_that_go_back_are_sent() {
    let kafka = kafka("words", 1, 6);
    let (_first, mut committer) = committer(&kafka);
    for offset in [2, 4, 2] {
        committer.commit(&vec![(0, offset)]).unwrap();
    }
    committer.finish().unwrap();
    let mut second = reading(&kafka);
    second.read_to_end().unwrap();
    assert_eq!(second.got.of(0), lines(0, 2..6));
}

#[test]
fn what_is_not_committed_is_read_again() {
    let kafka = kafka("words", 1, 4);
    let (mut first, committer) = committer(&kafka);
    first.read_to_end().unwrap();
    drop((first, committer));
    let mut second = reading(&kafka);
    second.read_to_end().unwrap();
    assert_eq!(second.got.of(0), lines(0, 0..4));
}

#[test]
fn what_comes_behind_the_beginning_is_not_left_out_by_a_restart_before_the_first_commit() {
    let kafka = kafka("words", 1, 4);
    let source = || kafka.source().topic("words").group("g").starting(Start::GroupOrLatest);
    drop(Reading::open(source(), 0, 1).unwrap());
    add_lines(&kafka, "words", 1, 4..7);
    let mut second = Reading::open(source(), 0, 1).unwrap();
    second.read(3).unwrap();
    assert_eq!(second.got.of(0), lines(0, 4..7));
}

#[test]
fn a_partition_that_was_committed_to_its_end_has_nothing_more() {
    let kafka = kafka("words", 2, 3);
    let (mut first, mut committer) = committer(&kafka);
    first.read_to_end().unwrap();
    committer.commit(&first.reader.offsets()).unwrap();
    committer.finish().unwrap();
    let mut second = reading(&kafka);
    second.read_to_end().unwrap();
    assert_eq!(second.got.0, []);
}

#[test]
fn a_coordinator_that_is_busy_gets_the_offsets_later() {
    let kafka = kafka("words", 1, 6);
    let (_first, mut committer) = committer(&kafka);
    // More than librdkafka tries by itself for either commit.
    let busy = [Native::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS; 8];
    kafka.with(move |cluster| cluster.request_errors(Api::OffsetCommit, &busy)).unwrap();
    committer.commit(&vec![(0, 2)]).unwrap();
    committer.commit(&vec![(0, 3)]).unwrap();
    committer.finish().unwrap();
    let mut second = reading(&kafka);
    second.read_to_end().unwrap();
    assert_eq!(second.got.of(0), lines(0, 3..6));
}

#[test]
fn brokers_that_are_away_fail_the_end_of_the_job_and_not_the_commit() {
    let kafka = kafka("words", 1, 1);
    let source = kafka.source().topic("words").group("g").connect_timeout(Duration::from_secs(1));
    let mut reading = Reading::open(source, 0, 1).unwrap();
    let mut committer = reading.reader.committer().unwrap();
    kafka.with(|cluster| cluster.broker_down(1)).unwrap().unwrap();
    committer.commit(&vec![(0, 1)]).unwrap();
    committer.commit(&vec![(0, 1)]).unwrap();
    let text = committer.finish().unwrap_err().to_string();
    assert!(
        text.starts_with("the offsets of group \"g\" for topic \"words\" cannot be committed: "),
        "{text}"
    );
    assert!(text.ends_with("; check the group's coordinator on the brokers"), "{text}");
}

#[test]
fn a_group_that_others_subscribe_in_is_named() {
    let kafka = kafka("words", 1, 1);
    let (_reading, mut committer) = committer(&kafka);
    let foreign = [Native::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID];
    kafka.with(move |cluster| cluster.request_errors(Api::OffsetCommit, &foreign)).unwrap();
    assert_eq!(
        committer.commit(&vec![(0, 1)]).unwrap_err().to_string(),
        "the offsets of group \"g\" for topic \"words\", partition 0 cannot be committed: another \
         application is subscribed in this group; give this job a group of its own"
    );
}

#[test]
fn without_commits_there_is_no_committer() {
    let kafka = kafka("words", 1, 1);
    let mut reading = Reading::open(kafka.source().topic("words").no_commit(), 0, 1).unwrap();
    assert!(reading.reader.committer().is_none());
}
