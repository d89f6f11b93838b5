//! Reading as members of a group: partitions that move.
//!
//! The mock broker holds each round open until a second before it evicts those who wait in it, and begins another one
//! if a member asks for its part after the leader has given out all. So on a busy machine a member may be evicted here
//! and lines be read twice; that none is, where nobody is evicted, is tested with a real one.

use std::time::{Duration, Instant};

use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Native};
use slotflow_io::kafka::{KafkaSource, MockKafka, Start};
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

/// What the job is told when the broker answers this to a request of a member.
fn told(api: Api, error: Native) -> String {
    let kafka = kafka("words", PARTITIONS, 1);
    kafka.with(move |cluster| cluster.request_errors(api, &[error])).unwrap();
    let mut reading = Reading::open(source(&kafka), 0, 1).unwrap();
    wait_for(|| reading.poll(100).err()).to_string()
}

#[test]
fn what_a_group_refuses_for_good_fails_the_job_with_its_remedy() {
    let refused = told(Api::JoinGroup, Native::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    assert!(refused.starts_with("no partitions come from group \"g\": JoinGroup failed"), "{refused}");
    assert!(refused.ends_with("; allow this principal the operation Read on the group"), "{refused}");
    let inconsistent = told(Api::JoinGroup, Native::RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL);
    assert!(
        inconsistent.contains("give all its members one `partition.assignment.strategy`"),
        "{inconsistent}"
    );
    let fenced = told(Api::Heartbeat, Native::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID);
    assert!(fenced.contains("another member has the same `group.instance.id`"), "{fenced}");
}

/// What the job is told when the topic goes that its member reads.
fn told_when_gone(source: fn(&MockKafka) -> KafkaSource) -> String {
    let kafka = kafka("words", PARTITIONS, 5);
    let mut member = Member::join(source(&kafka).setting("topic.metadata.refresh.interval.ms", 100));
    wait_for(|| {
        member.step();
        (member.got() == 20).then_some(())
    });
    let gone = Native::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    kafka.with(move |cluster| cluster.topic_error("words", gone)).unwrap().unwrap();
    wait_for(|| member.reading.poll(100).err()).to_string()
}

#[test]
fn a_topic_that_goes_fails_the_job_by_its_name_also_where_it_was_found_by_a_pattern() {
    for told in [told_when_gone(source), told_when_gone(|kafka| source(kafka).topics_like("wor*"))] {
        assert!(
            told.contains("words") && told.ends_with("; check that the topic was not deleted or made anew"),
            "{told}"
        );
    }
}

/// The poll that a member must not leave out for long is not that of its reader.
#[test]
fn a_member_whose_job_is_held_up_stays_one() {
    let most = Duration::from_secs(3);
    let kafka = kafka("words", PARTITIONS, 5);
    let mut member = Member::join(source(&kafka).setting("max.poll.interval.ms", most.as_millis()));
    wait_for(|| {
        member.step();
        (member.got() == 20).then_some(())
    });
    let (held_up, state) = (Instant::now(), member.state);
    wait_for(|| (held_up.elapsed() > 2 * most).then_some(()));
    add_lines(&kafka, "words", PARTITIONS, 5..8);
    wait_for(|| {
        member.step();
        (member.got() >= 32).then_some(())
    });
    assert_eq!((member.got(), member.state), (32, state), "its partitions have gone and come back");
}

#[test]
fn where_partitions_begin_is_asked_for_as_long_as_it_takes() {
    let kafka = kafka("words", PARTITIONS, 5);
    // More than fit into the connect timeout: librdkafka asks twice a second.
    let busy = [Native::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS; 12];
    kafka.with(move |cluster| cluster.request_errors(Api::OffsetFetch, &busy)).unwrap();
    let mut member = Member::join(source(&kafka).connect_timeout(Duration::from_secs(1)));
    wait_for(|| {
        member.step();
        (member.got() == 20).then_some(())
    });
}

#[test]
fn what_comes_before_the_first_commit_is_not_left_out() {
    let kafka = kafka("words", PARTITIONS, 5);
    let source = || source(&kafka).starting(Start::GroupOrLatest);
    let mut killed = Member::join(source());
    wait_for(|| {
        killed.read();
        (killed.splits.len() == 4).then_some(())
    });
    drop(killed);
    add_lines(&kafka, "words", PARTITIONS, 5..8);
    let mut next = Member::join(source());
    wait_for(|| {
        next.step();
        (read_by(&[&next]) == all_lines(5..8)).then_some(())
    });
}

#[test]
fn a_topic_that_is_new_is_read_from_its_beginning() {
    let kafka = kafka("words-a", PARTITIONS, 5);
    let source = source(&kafka).topics_like("words-*").starting(Start::GroupOrLatest);
    let mut member = Member::join(source.setting("topic.metadata.refresh.interval.ms", 100));
    wait_for(|| {
        member.step();
        (member.splits.len() == 4).then_some(())
    });
    kafka.create_topic("words-b", PARTITIONS).unwrap();
    add_lines(&kafka, "words-b", PARTITIONS, 5..8);
    wait_for(|| {
        member.step();
        (read_by(&[&member]) == all_lines(5..8)).then_some(())
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
