//! librdkafka's threads stay on the I/O cores. Alone in their process, and one after the other: these tests look at
//! every thread there is.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slotflow::prelude::{Environment, Job, callback};
use slotflow_io::kafka::{KafkaSource, Message, MockKafka};
use slotflow_runtime::config::EdgesConfig;
use slotflow_runtime::machine::{Cpus, affinity};
use slotflow_runtime::{Clock, Config, IoCores, Owned, Sink, Source, SubtaskContext, Waker};

/// How librdkafka's threads are called.
const CLIENTS: &str = "rdk:";

/// How the threads are called that step slots.
const CORES: &str = "slotflow-core-";

/// How all the engine's own threads are called.
const ENGINE: &str = "slotflow-";

/// Nothing here takes longer than some seconds; this only keeps a test that hangs from doing so for ever.
const HANGS: Duration = Duration::from_secs(60);

/// The names and masks of the threads of this process that are called so.
fn threads(called: &str) -> Vec<(String, Cpus)> {
    let threads = fs::read_dir("/proc/self/task").unwrap().filter_map(|entry| {
        let id: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(format!("/proc/self/task/{id}/comm")).ok()?;
        // A thread that ends meanwhile has neither name nor mask.
        name.starts_with(called).then_some((name.trim().to_owned(), affinity::mask_of(id).ok()?))
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
        masks.extend(threads(CLIENTS).into_iter().map(|(_, mask)| mask.to_string()));
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
    let clients = threads(CLIENTS);
    let names: Vec<&str> = clients.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.len() >= 6, "mock, consumer and producer have two threads each and more: {names:?}");
    let elsewhere: Vec<_> = clients.iter().filter(|(_, mask)| *mask != io).collect();
    assert!(elsewhere.is_empty(), "not on the I/O cores {io}: {elsewhere:?}");
    // Closing happens aside, so these drops return at once and the threads go by and by.
    drop((reader, writer, kafka));
    let began = Instant::now();
    while !threads(CLIENTS).is_empty() {
        assert!(began.elapsed() < HANGS, "still there: {:?}", threads(CLIENTS));
        std::thread::yield_now();
    }
}

/// The main job, with both settings.
fn uppercase(kafka: &MockKafka, slot: usize, io: usize) -> Job {
    let mut config = Config::default();
    config.slots.cores = Some(vec![slot]);
    config.io.cores = Some(vec![io]);
    // So that it commits while it is looked at.
    config.job.commit_interval_ms = 10;
    let env = Environment::with(config).parallelism(2);
    env.source(kafka.source().topic("words").group("g"))
        .map(|word: Message<'_>| word.payload().to_ascii_uppercase())
        .sink(kafka.sink().topic("WORDS"));
    env.start("uppercase").unwrap()
}

/// This thread may run on both CPUs, and so may whatever it started and forgot to place.
#[test]
fn a_running_job_has_its_slots_on_their_core_and_all_its_other_threads_on_the_io_cores() {
    let _turn = turn();
    let Some((slot, io)) = two_cpus() else { return };
    let [on_slot, on_io] = [slot, io].map(|cpu| Cpus::from_iter([cpu]));
    let kafka = MockKafka::start(&IoCores::on(on_io.clone())).unwrap();
    kafka.create_topic("words", 4).unwrap();
    kafka.create_topic("WORDS", 2).unwrap();
    let job = uppercase(&kafka, slot, io);
    kafka.fill("words", (0..100).map(|n| (n % 4, "word"))).unwrap();
    let began = Instant::now();
    loop {
        let clients = threads(CLIENTS);
        let elsewhere: Vec<_> = clients.iter().filter(|(_, mask)| *mask != on_io).collect();
        assert!(elsewhere.is_empty(), "not on the I/O core {io}, the slots' is {slot}: {elsewhere:?}");
        let engine = threads(ENGINE);
        let is_placed = |(name, mask): &(String, Cpus)| {
            *mask == if name.starts_with(CORES) { on_slot.clone() } else { on_io.clone() }
        };
        // A thread of the engine's has its name a moment before it has its place.
        if job.metrics().records_in() == 100 && engine.iter().all(is_placed) {
            let are = |called: &str| engine.iter().filter(|(name, _)| name.starts_with(called)).count();
            assert!(are(CORES) >= 1 && are("slotflow-job") == 1 && are("slotflow-watchd") == 1, "{engine:?}");
            assert!(clients.len() >= 10, "mock, two consumers and two producers: {clients:?}");
            break;
        }
        assert!(
            !job.has_ended() && began.elapsed() < HANGS,
            "{slot} is the slots', {io} for I/O: {engine:?}"
        );
        std::thread::yield_now();
    }
    job.drain(HANGS).unwrap();
    assert_eq!(kafka.read("WORDS").unwrap().concat().len(), 100);
}
