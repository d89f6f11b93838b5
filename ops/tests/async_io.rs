//! Requests on an executor that users have: all answers come, once, in the order that was asked for; what goes wrong on
//! the way is asked again or told.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Waker};
use std::time::Duration;

use slotflow::io::{Collected, from_iterator, generate};
use slotflow_ops::{AsyncIo, Environment, Request, Tumbling};
use slotflow_runtime::{Config, Ending};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

fn on(runtime: &Runtime) -> impl Fn(Request) + Clone + Send + 'static {
    let handle = runtime.handle().clone();
    move |request| drop(handle.spawn(request))
}

/// How many requests run, and the most that ever did.
#[derive(Clone, Default)]
struct Load {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Load {
    /// Takes a few turns of the executor, other ones for each record.
    async fn ask(self, n: u64) -> Result<u64, String> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.asked.fetch_add(1, Ordering::SeqCst);
        for _ in 0..n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 7 {
            yield_now().await;
        }
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(n * 2)
    }
}

#[test]
fn all_answers_come_once_and_no_more_are_asked_for_than_the_capacity() {
    let (tokio, load, answers) = (runtime(), Load::default(), Collected::new());
    let env = Environment::with(
        Config::from_toml("[slots]\novercommit = \"pack\"\n[job]\nparallelism = 2").unwrap(),
    );
    let asked = load.clone();
    env.source(generate(20_000, |i| i))
        .map_async(AsyncIo::unordered(on(&tokio)).capacity(16), move |n: &u64| asked.clone().ask(*n))
        .sink(answers.sink());
    env.run("ask").unwrap();
    let mut answers = answers.take();
    answers.sort();
    assert_eq!(answers, (0..20_000).map(|n| n * 2).collect::<Vec<_>>());
    assert!((1..=32).contains(&load.most.load(Ordering::SeqCst)));
}

#[test]
fn ordered_answers_come_in_the_order_of_their_records() {
    let (tokio, answers) = (runtime(), Collected::new());
    let env = Environment::with(Config::default());
    env.source(from_iterator(0..20_000u64))
        .map_async(AsyncIo::ordered(on(&tokio)), |n: &u64| Load::default().ask(*n))
        .sink(answers.sink());
    env.run("ask").unwrap();
    assert_eq!(answers.take(), (0..20_000).map(|n| n * 2).collect::<Vec<_>>());
}

#[test]
fn what_fails_at_first_is_asked_again() {
    let (tokio, answers) = (runtime(), Collected::new());
    let failed: Arc<Mutex<HashSet<u64>>> = Arc::default();
    let env = Environment::with(Config::default());
    let known = failed.clone();
    env.source(from_iterator(0..100u64))
        .map_async(AsyncIo::ordered(on(&tokio)).retry(2, 0), move |n: &u64| {
            let (n, first) = (*n, known.lock().unwrap().insert(*n));
            async move { if first && n % 3 == 0 { Err("busy") } else { Ok(n) } }
        })
        .sink(answers.sink());
    env.run("ask").unwrap();
    assert_eq!(answers.take(), (0..100).collect::<Vec<_>>());
    assert_eq!(failed.lock().unwrap().len(), 100);
}

#[test]
fn a_request_that_fails_panics_or_finds_no_executor_fails_the_job_and_names_the_operator() {
    let tokio = runtime();
    let message = |io: AsyncIo<_>, ask: fn(u64) -> Result<u64, String>| {
        let (env, answers) = (Environment::with(Config::default()), Collected::new());
        let request = move |n: &u64| {
            let n = *n;
            async move { ask(n) }
        };
        env.source(from_iterator([7u64])).map_async(io, request).sink(answers.sink());
        env.run("ask").unwrap_err().to_string()
    };
    let failing = message(AsyncIo::unordered(on(&tokio)).retry(2, 0), |_| Err("no such user".into()));
    assert_eq!(
        failing,
        "operator \"answer\", subtask 0: a record was asked for 2 times and got no answer, at last: no such user; see \
         AsyncIo::retry and timeout_ms"
    );
    let panicking = message(AsyncIo::unordered(on(&tokio)), |n| {
        [0].get(n as usize).copied().ok_or_else(|| panic!("{n}"))
    });
    assert!(
        panicking.contains("asked for once and got no answer, at last: its future panicked"),
        "{panicking}"
    );
    let gone = on(&tokio);
    tokio.shutdown_background();
    let nobody = message(AsyncIo::unordered(gone), |_| Ok(0));
    assert!(nobody.contains("or its executor dropped it"), "{nobody}");
}

#[test]
fn a_drain_waits_for_the_answers_that_are_under_way() {
    let (tokio, answers, load) = (runtime(), Collected::new(), Load::default());
    let env = Environment::with(Config::default());
    let asked = load.clone();
    env.source(generate(u64::MAX, |i| i))
        .map_async(AsyncIo::ordered(on(&tokio)), move |n: &u64| asked.clone().ask(*n % 1_000))
        .sink(answers.sink());
    let job = env.start("ask").unwrap();
    while load.asked.load(Ordering::SeqCst) < 1_000 {
        std::thread::yield_now();
    }
    let report = job.drain(std::time::Duration::from_secs(60)).unwrap();
    assert_eq!(report.ending, Ending::Drained);
    let answers = answers.take();
    assert!(answers.len() >= 1_000);
    assert!(answers.iter().enumerate().all(|(i, answer)| *answer == i as u64 % 1_000 * 2));
    assert_eq!(load.now.load(Ordering::SeqCst), 0);
}

/// Polls a request to its end, which waits for nothing.
fn at_once(mut request: Request) {
    assert!(request.as_mut().poll(&mut Poller::from_waker(Waker::noop())).is_ready());
}

/// Windows by the clock, of more keys than one step fires. The requests in front of them fail up to three times, and
/// the pauses in between end at any time, so that answers come whatever the windows are about.
fn fired_by_clock(seed: u64) -> Result<Vec<u64>, slotflow_runtime::Error> {
    let (env, fired) = (Environment::with(Config::default()), Collected::new());
    let asked: Arc<Mutex<HashMap<u64, u64>>> = Arc::default();
    env.source(generate(RECORDS, |i| i))
        .map_async(AsyncIo::unordered(at_once).capacity(2_000).retry(4, 1), move |n: &u64| {
            let (n, mut asked) = (*n, asked.lock().unwrap());
            let times = asked.entry(n).or_default();
            *times += 1;
            let answer = if *times > n % 4 { Ok(n) } else { Err("busy") };
            async move { answer }
        })
        .key_by_source_partition(|n| *n)
        .window(Tumbling::of(Duration::from_millis(1)).in_processing_time())
        .reduce(|a, b| a + b)
        .map(|window| window.value)
        .sink(fired.sink());
    env.simulate("fired", seed)?;
    let mut fired = fired.take();
    fired.sort_unstable();
    Ok(fired)
}

const RECORDS: u64 = 10_000;

#[test]
fn answers_that_come_while_windows_fire_by_the_clock_are_in_one_window_each() {
    for seed in 0..20 {
        let fired = fired_by_clock(seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(fired.into_iter().eq(0..RECORDS), "seed {seed}: a record is missing, or there twice");
    }
}
