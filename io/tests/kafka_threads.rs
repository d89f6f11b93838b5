//! librdkafka's threads stay on the I/O cores. Alone in its process: it looks at every thread there is.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::{Duration, Instant};

use slotflow_io::kafka::MockKafka;
use slotflow_runtime::machine::{Cpus, affinity};
use slotflow_runtime::{Clock, IoCores, Owned, Sink, Source, SubtaskContext, Waker};

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
        io: io.clone(),
    }
}

#[test]
fn clients_made_and_used_from_a_slots_core_have_their_threads_on_the_io_cores() {
    let allowed = affinity::current_mask().unwrap();
    let (Some(slot), Some(io)) = (allowed.first(), allowed.iter().nth(1)) else {
        println!("checked nothing: this machine has one CPU, which slots and I/O share");
        return;
    };
    affinity::pin_current_thread(slot).unwrap();
    let io = Cpus::from_iter([io]);
    let cores = IoCores::on(io.clone());
    let kafka = MockKafka::start(&cores).unwrap();
    kafka.create_topic("words", 2).unwrap();
    let mut source = kafka.source().topic("words").group("g");
    let mut sink = kafka.sink().topic("words");
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
