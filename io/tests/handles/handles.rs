//! Ingress and egress handles, with real jobs between them.

use std::time::{Duration, Instant};

use slotflow::io::{Nothing, Refused, egress, ingress, ingress_n};
use slotflow::prelude::*;

fn environment() -> Environment {
    Environment::with(Config::default())
}

/// Pushes, waiting for room.
fn push<T>(ingress: &mut slotflow::io::Ingress<T>, mut record: T) {
    while let Err(refused) = ingress.try_push(record) {
        assert!(matches!(refused, Refused::Full(_)), "the job has ended");
        record = refused.into_record();
        std::thread::yield_now();
    }
}

#[test]
fn every_record_comes_through_in_order_whatever_the_capacity() {
    for capacity in [0, 1, 2, 64] {
        let env = environment();
        let ((mut ingress, source), (egress, sink)) = (ingress(capacity), egress(capacity));
        env.source(source).map(|n: u64| n + 1).sink(sink);
        let job = env.start("through").unwrap();
        let pusher = std::thread::spawn(move || (0..5_000).for_each(|n| push(&mut ingress, n)));
        assert!(egress.eq(1..=5_000), "capacity {capacity}");
        pusher.join().unwrap();
        job.wait().unwrap();
    }
}

#[test]
fn several_handles_and_subtasks_lose_nothing() {
    let env = environment();
    let ((ingresses, source), (egress, sink)) = (ingress_n(3, 8), egress(4));
    env.source(source).parallelism(2).rebalance().map(|n: u64| n).parallelism(2).sink(sink);
    let job = env.start("several").unwrap();
    let push_share = |(number, mut ingress): (u64, _)| {
        std::thread::spawn(move || (0..1_000).for_each(|n| push(&mut ingress, n * 3 + number)))
    };
    let pushers: Vec<_> = (0..).zip(ingresses).map(push_share).collect();
    let mut records: Vec<u64> = egress.collect();
    records.sort_unstable();
    assert!(records.into_iter().eq(0..3_000));
    pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
    job.wait().unwrap();
}

#[test]
fn a_full_ingress_gives_the_record_back() {
    let (mut ingress, _source) = ingress(1);
    assert_eq!(ingress.try_push("a"), Ok(()));
    assert_eq!(ingress.try_push("b"), Err(Refused::Full("b")));
    assert_eq!(ingress.room(), 0);
}

#[test]
fn an_ingress_whose_job_is_gone_refuses_for_good() {
    let (mut ingress, source) = ingress(1);
    drop(source);
    assert_eq!(ingress.try_push("a"), Err(Refused::Closed("a")));
}

#[test]
fn a_handle_dropped_by_a_panic_fails_the_job() {
    let env = environment();
    let (ingress, source) = ingress::<u64>(4);
    env.source(source).sink(callback(|_| ()));
    let job = env.start("panics").unwrap();
    let pusher = std::thread::spawn(move || {
        let _held = ingress;
        panic!("planned");
    });
    assert!(pusher.join().is_err());
    let error = job.wait().unwrap_err().to_string();
    let said = "the thread that pushes into the ingress panicked: what it had to push is lost";
    assert_eq!(error, format!("operator \"ingress\", subtask 0: {said}"));
}

#[test]
fn an_egress_without_a_record_says_whether_to_ask_again() {
    let (mut egress, sink) = egress::<u64>(4);
    assert_eq!(egress.try_pop(), Err(Nothing::Yet));
    assert_eq!(egress.recv(Duration::from_micros(10)), Err(Nothing::Yet));
    drop(sink);
    assert_eq!(egress.try_pop(), Err(Nothing::More));
    assert_eq!(egress.recv(Duration::MAX), Err(Nothing::More));
}

#[test]
fn a_dropped_egress_fails_the_job() {
    let env = environment();
    let (egress, sink) = egress(4);
    env.source(generate(1_000, |n| n)).sink(sink);
    drop(egress);
    let error = env.run("dropped").unwrap_err().to_string();
    let said = "the egress handle was dropped: keep the Egress until it gives no more, or stop the job before \
                dropping it";
    assert_eq!(error, format!("operator \"egress\", subtask 0: {said}"));
}

#[test]
fn what_comes_at_the_end_waits_for_room() {
    let env = environment();
    let (egress, sink) = egress(1);
    env.source(generate(10_000, |n| n)).key_by(|n| *n).fold_at_end(0, |count, _| *count += 1).sink(sink);
    let job = env.start("end").unwrap();
    let mut keys: Vec<u64> = egress.map(|(key, _)| key).collect();
    keys.sort_unstable();
    assert!(keys.into_iter().eq(0..10_000));
    job.wait().unwrap();
}

/// Nothing here takes longer than a moment; this only keeps a test that hangs from doing so for ever.
const HANGS: Duration = Duration::from_secs(60);

/// How many records the operator in front of the sink makes of one.
const EXPANSION: usize = 100;

#[test]
fn an_expanding_operator_in_front_of_a_full_egress_is_held_back() {
    let env = environment();
    let (mut egress, sink) = egress(8);
    env.source(generate(200, |n| n)).flat_map(|n| vec![n; EXPANSION]).sink(sink);
    let job = env.start("expanding").unwrap();
    let mut popped = 0;
    while let Ok(record) = egress.recv(Duration::MAX) {
        assert_eq!(record, (popped / EXPANSION) as u64);
        popped += 1;
        // One more is let in only when everything made of those before it has found room.
        let let_in = job.metrics().records_in() as usize;
        assert!(let_in <= (popped + 8) / EXPANSION + 1, "{let_in} were let in when {popped} were out");
    }
    assert_eq!(popped, 200 * EXPANSION);
    job.wait().unwrap();
}

#[test]
fn what_expands_beyond_a_full_egress_and_its_budget_fails_the_job() {
    let mut config = Config::default();
    config.edges.overflow_bytes = 1_000;
    let env = Environment::with(config);
    let (_egress, sink) = egress(8);
    env.source(generate(10, |n| n)).flat_map(|n| vec![n; 1_000]).sink(sink).name("out");
    let job = env.start("expanding").unwrap();
    let began = Instant::now();
    while !job.has_ended() {
        assert!(began.elapsed() < HANGS, "it waits for room instead");
        std::thread::yield_now();
    }
    assert_eq!(
        job.wait().unwrap_err().to_string(),
        "operator \"out\", subtask 0: 1008 bytes wait for room in the sink, more than edges.overflow_bytes = \
         1000 allows; emit fewer records for each input, or raise it"
    );
}
