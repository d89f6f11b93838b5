//! librdkafka's threads stay on the I/O cores. Alone in their process, and one after the other: these tests look at
//! every thread there is.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slotflow::prelude::{Environment, callback};
use slotflow_io::kafka::{KafkaSource, Message, MockKafka};
use slotflow_runtime::config::EdgesConfig;
use slotflow_runtime::machine::{Cpus, affinity};
use slotflow_runtime::{Clock, Config, IoCores, Owned, Sink, Source, SubtaskContext, Waker};

/// The names and masks of librdkafka's threads in this process.
fn rdkafka_threads() -> Vec<(String, Cpus)> {
    let threads = fs::read_dir("/proc/self/task").unwrap().filter_map(|entry| {
        let id: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(format!("/proc/self/task/{id}/comm")).ok()?;
        // A thread that ends meanwhile has neither name nor mask.
        name.starts_with("rdk:").then_some((name.trim().to_owned(), affinity::mask_of(id).ok()?))
    });
    threads.collect()
}

fn place(io: &IoCores) -> SubtaskContext {
    SubtaskContext {
        operator: "test".into(),
        index: 0,
        parallelism: 1,
        max_parallelism: 1024,
        waker: Waker::default(),
        clock: Clock::system(),
        overflow_bytes: EdgesConfig::default().overflow_bytes,
        state_budget_bytes: None,
        io: io.clone(),
    }
}

/// Held by the test whose turn it is.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A CPU for slots and another for I/O, if there are two.
fn two_cpus() -> Option<(usize, usize)> {
    let allowed = affinity::current_mask().unwrap();
    let cpus = allowed.first().zip(allowed.iter().nth(1));
    if cpus.is_none() {
        println!("checked nothing: this machine has one CPU, which slots and I/O share");
    }
    cpus
}

#[test]
fn the_client_that_asks_for_the_topic_has_its_threads_on_the_io_cores() {
    let _turn = turn();
    let Some((slot, io)) = two_cpus() else { return };
    // A broker that accepts and says nothing, so that the client is there long enough to be looked at.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let brokers = silent.local_addr().unwrap().to_string();
    let starting = std::thread::spawn(move || {
        affinity::pin_current_thread(slot).unwrap();
        let mut config = Config::default();
        config.slots.cores = Some(vec![slot]);
        config.io.cores = Some(vec![io]);
        let env = Environment::with(config);
        let source = KafkaSource::new(brokers).topic("words").group("g");
        let source = source.connect_timeout(Duration::from_secs(2));
        env.source(source).sink(callback(|_: Message<'_>| {}));
        env.run("asks").unwrap_err().to_string()
    });
    let mut masks = BTreeSet::new();
    while !starting.is_finished() {
        masks.extend(rdkafka_threads().into_iter().map(|(_, mask)| mask.to_string()));
        std::thread::yield_now();
    }
    let error = starting.join().unwrap();
    assert!(error.contains("answered within 2 s"), "{error}");
    assert_eq!(masks, BTreeSet::from([io.to_string()]), "the I/O core is {io}, the slot's is {slot}");
}

#[test]
fn clients_made_and_used_from_a_slots_core_have_their_threads_on_the_io_cores() {
    let _turn = turn();
    let Some((slot, io)) = two_cpus() else { return };
    affinity::pin_current_thread(slot).unwrap();
    let io = Cpus::from_iter([io]);
    let cores = IoCores::on(io.clone());
    let kafka = MockKafka::start(&cores).unwrap();
    kafka.create_topic("words", 2).unwrap();
    let mut source = kafka.source().topic("words").group("g");
    let mut sink = kafka.sink().topic("words");
    cores.run(|| source.splits()).unwrap().unwrap();
    let reader = source.open(&place(&cores), &[0, 1]).unwrap();
    let writer = Sink::<Owned<String>>::open(&mut sink, &place(&cores)).unwrap();
    let threads = rdkafka_threads();
    let names: Vec<&str> = threads.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.len() >= 6, "mock, consumer and producer have two threads each and more: {names:?}");
    let elsewhere: Vec<_> = threads.iter().filter(|(_, mask)| *mask != io).collect();
    assert!(elsewhere.is_empty(), "not on the I/O cores {io}: {elsewhere:?}");
    // Closing happens aside, so these drops return at once and the threads go by and by.
    drop((reader, writer, kafka));
    let began = Instant::now();
    while !rdkafka_threads().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "still there: {:?}", rdkafka_threads());
        std::thread::yield_now();
    }
}
