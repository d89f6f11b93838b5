//! Reading as members of a group: partitions that move.
//!
//! The mock broker holds each round open until a second before it evicts those who wait in it, and begins another one
//! if a member asks for its part after the leader has given out all. So on a busy machine a member may be evicted here
//! and lines be read twice; that none is, where nobody is evicted, is tested with a real one.

use slotflow_io::kafka::{KafkaSource, MockKafka};
use slotflow_runtime::{Committer, Offsets, SourceReader, SplitId};

use crate::harness::{Reading, add_lines, kafka, lines, wait_for};

const PARTITIONS: u32 = 4;

fn source(kafka: &MockKafka) -> KafkaSource {
    // What a broker waits for more members is not for us to set, the rest is as quick as it may be.
    let source = kafka.source().topic("words").group("g").spread_by_group();
    source.setting("heartbeat.interval.ms", 50).setting("session.timeout.ms", 3_000)
}

/// A member of the group, whose sink has everything at once.
struct Member {
    reading: Reading,
    committer: Box<dyn Committer>,
    splits: Vec<SplitId>,
    state: u64,
}

impl Member {
    fn join(source: KafkaSource) -> Member {
        let mut reading = Reading::open(source, 0, 1).unwrap();
        let committer = reading.reader.committer().unwrap();
        Member { reading, committer, splits: Vec::new(), state: 0 }
    }

    /// One step, and what the job's thread does behind a barrier.
    fn step(&mut self) {
        self.read();
        self.committer.commit(&self.reading.reader.offsets()).unwrap();
    }

    fn read(&mut self) {
        self.reading.poll(100).unwrap();
        if let Some((state, splits)) = self.reading.reader.splits_since(self.state) {
            (self.state, self.splits) = (state, splits);
        }
    }

    fn got(&self) -> usize {
        self.reading.got.0.len()
    }
}

/// All that both have read, sorted, each once.
fn read_by(members: &[&Member]) -> Vec<String> {
    let got = members.iter().flat_map(|member| (0..PARTITIONS).flat_map(|it| member.reading.got.of(it)));
    let mut got: Vec<String> = got.collect();
    got.sort_unstable();
    got.dedup();
    got
}

fn all_lines(numbers: std::ops::Range<u32>) -> Vec<String> {
    let mut lines: Vec<String> = (0..PARTITIONS).flat_map(|it| lines(it, numbers.clone())).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_second_member_takes_half_and_nothing_is_lost() {
    let kafka = kafka("words", PARTITIONS, 10);
    let mut first = Member::join(source(&kafka));
    wait_for(|| {
        first.step();
        (first.got() == 40 && first.splits.len() == 4).then_some(())
    });
    let mut second = Member::join(source(&kafka));
    let mut written = 10;
    wait_for(|| {
        first.step();
        second.step();
        if written < 30 {
            add_lines(&kafka, "words", PARTITIONS, written..written + 1);
            written += 1;
        }
        (first.splits.len() == 2 && second.splits.len() == 2).then_some(())
    });
    add_lines(&kafka, "words", PARTITIONS, written..40);
    wait_for(|| {
        first.step();
        second.step();
        (read_by(&[&first, &second]) == all_lines(0..40)).then_some(())
    });
    assert!(second.got() >= 20, "it reads its half");
}

#[test]
fn what_a_member_leaves_behind_is_read_on_by_the_other() {
    let kafka = kafka("words", PARTITIONS, 5);
    let (mut first, mut second) = (Member::join(source(&kafka)), Member::join(source(&kafka)));
    wait_for(|| {
        first.step();
        second.step();
        (read_by(&[&first, &second]) == all_lines(0..5) && first.splits.len() == 2).then_some(())
    });
    let offsets: Offsets = first.reading.reader.offsets();
    first.committer.commit(&offsets).unwrap();
    first.committer.finish().unwrap();
    drop(first);
    wait_for(|| {
        second.step();
        (second.splits.len() == 4).then_some(())
    });
    add_lines(&kafka, "words", PARTITIONS, 5..8);
    wait_for(|| {
        second.step();
        let all = read_by(&[&second]);
        all_lines(5..8).iter().all(|line| all.contains(line)).then_some(())
    });
}

#[test]
fn an_eager_group_moves_its_partitions_too() {
    let kafka = kafka("words", PARTITIONS, 5);
    let eager = || source(&kafka).setting("partition.assignment.strategy", "range");
    let mut first = Member::join(eager());
    wait_for(|| {
        first.step();
        (first.got() == 20).then_some(())
    });
    let mut second = Member::join(eager());
    wait_for(|| {
        first.step();
        second.step();
        (first.splits.len() == 2 && second.splits.len() == 2).then_some(())
    });
    add_lines(&kafka, "words", PARTITIONS, 5..10);
    wait_for(|| {
        first.step();
        second.step();
        (read_by(&[&first, &second]) == all_lines(0..10)).then_some(())
    });
}

#[test]
fn a_group_is_joined_by_pattern() {
    let kafka = kafka("orders-a.b", 1, 3);
    let source = kafka.source().topics_like("orders-*.b").group("g").spread_by_group();
    let mut member = Member::join(source);
    wait_for(|| {
        member.step();
        (member.got() == 3).then_some(())
    });
}

#[test]
fn kafka_s_own_topics_are_not_spread_by_a_pattern_that_does_not_name_them() {
    let kafka = kafka("words", 2, 3);
    kafka.create_topic("__own", 2).unwrap();
    let source = |pattern| kafka.source().topics_like(pattern).group("g").spread_by_group();
    let mut member = Member::join(source("*"));
    wait_for(|| {
        member.step();
        (member.got() == 6).then_some(())
    });
    assert_eq!(member.splits.len(), 2, "a group gives all that it has at once");
    let mut of_own = Member::join(source("__*").group("h"));
    wait_for(|| {
        of_own.step();
        (of_own.splits.len() == 2).then_some(())
    });
}
