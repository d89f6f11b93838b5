//! Two stages with a topic between them in two processes, of which one dies and comes back.

#[path = "../../examples/scale_out/stages.rs"]
mod stages;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use slotflow::io::kafka::{OwnedMessage, fill_topic, read_topic};
use slotflow::runtime::IoCores;

use self::stages::{Instance, payment};
use crate::kafka::process::Process;
use crate::kafka::{PARTITIONS, Topics};
use crate::{PATIENCE, make_topics, with_topics};

/// The topic between the stages.
fn between(topics: &Topics) -> String {
    format!("{}-by-user", topics.input)
}

fn instance(topics: &Topics) -> Instance {
    Instance::start(&topics.brokers, [&topics.input, &between(topics), &topics.output]).unwrap()
}

/// One process of several, if this one was started as that; until it is killed.
#[test]
fn an_instance_in_a_process_of_its_own() {
    let Some(topics) = Topics::of_process() else { return };
    instance(&topics).stages.into_iter().for_each(|stage| drop(stage.wait().unwrap()));
}

fn pay(topics: &Topics, numbers: Range<u32>) {
    let lines = numbers.map(|n| (n % PARTITIONS, payment(n)));
    fill_topic(&IoCores::default(), &topics.brokers, &topics.input, lines).unwrap();
}

/// Waits until every payment up to this one was seen.
fn all_are_seen(topics: &Topics, count: u32) {
    let began = Instant::now();
    loop {
        let seen = topics.output();
        let missing: Vec<u32> =
            (0..count).filter(|n| !seen.contains_key(&payment(*n).to_uppercase())).collect();
        if missing.is_empty() {
            return;
        }
        assert!(
            began.elapsed() < 2 * PATIENCE,
            "{} of {count} are missing, {:?}..",
            missing.len(),
            missing[0]
        );
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// What stage one has written.
fn written(topics: &Topics) -> Vec<Vec<OwnedMessage>> {
    read_topic(&IoCores::default(), &topics.brokers, &between(topics)).unwrap()
}

/// Those who have written it, as each message says.
fn producers(topics: &Topics) -> BTreeSet<Vec<u8>> {
    let producer = |message: &OwnedMessage| {
        let header = message.headers.iter().find(|header| &*header.name == "slotflow-watermark");
        header.and_then(|header| header.value.clone()).expect("each says how far its producer was")[..8]
            .to_vec()
    };
    written(topics).iter().flatten().map(producer).collect()
}

#[test]
fn two_stages_in_two_processes_lose_nothing_when_one_is_killed_and_comes_back() {
    with_topics("scale-out", |topics| {
        make_topics(&topics.brokers, &[(&between(topics), 4)], "1000000");
        let (this, other) =
            (instance(topics), Process::start("scale_out::an_instance_in_a_process_of_its_own", topics));
        let began = Instant::now();
        let mut paid = 0;
        // Each subtask of stage one is a producer, and this process has two.
        while producers(topics).len() < 3 {
            pay(topics, paid..paid + 1_000);
            paid += 1_000;
            assert!(began.elapsed() < PATIENCE, "the other process writes nothing");
        }
        pay(topics, paid..paid + 3_000);
        other.kill();
        pay(topics, paid + 3_000..paid + 5_000);
        let other = Process::start("scale_out::an_instance_in_a_process_of_its_own", topics);
        pay(topics, paid + 5_000..paid + 7_000);
        all_are_seen(topics, paid + 7_000);
        other.kill();
        // A user is in one partition, whoever has written.
        let written = written(topics);
        let of_users = written.iter().map(|of| of.iter().map(|it| it.key.clone()).collect::<BTreeSet<_>>());
        let (all, distinct) = of_users.fold((0, BTreeSet::new()), |(all, mut distinct), users| {
            let all = all + users.len();
            distinct.extend(users);
            (all, distinct)
        });
        assert_eq!(all, distinct.len());
        this.drain(PATIENCE).unwrap();
    });
}
