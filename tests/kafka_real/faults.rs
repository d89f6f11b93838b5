//! What happens to brokers, members and sinks while a job runs. A job that has something done to its process is a
//! process of its own: this test's, started again.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use slotflow::io::kafka::{KafkaRecord, KafkaSink, KafkaSource};
use slotflow::prelude::*;

use crate::kafka::process::Process;
use crate::kafka::{PARTITIONS, Topics, environment, standstill};
use crate::{PATIENCE, fill_until, member, start_member, with_topics, with_topics_at};

/// What a drain may take, as an orchestrator sees it.
const DRAINED: Duration = Duration::from_secs(25);

/// So that ten thousand lines take longer than a broker to end.
const LINES_PER_S: u64 = 2_000;

/// A broker that a test may do things to.
struct Broker {
    name: &'static str,
}

impl Broker {
    fn up(name: &'static str) -> Broker {
        let broker = Broker { name };
        broker.again();
        broker
    }

    fn again(&self) {
        assert!(self.script("up").success());
    }

    fn script(&self, what: &str) -> std::process::ExitStatus {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kafka");
        Command::new(script)
            .args([what, self.name])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
    }

    fn file(&self, name: &str) -> String {
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), ".kafka", self.name, name].iter().collect();
        std::fs::read_to_string(path).unwrap().trim().into()
    }

    /// Ends it, however long that takes.
    fn end(&self, signal: &str) {
        let process: u32 = self.file("pid").parse().unwrap();
        kill(process, signal);
        let lives =
            || std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|it| !it.contains(") Z "));
        let began = Instant::now();
        while lives() {
            assert!(began.elapsed() < PATIENCE, "broker {process} does not end");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.script("down");
    }
}

fn kill(process: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// Starts a job that writes these lines, spread over the partitions, for some seconds.
fn start_filling(topics: &Topics, numbers: Range<u32>) -> Job {
    let env = Environment::new().unwrap();
    let (first, count) = (numbers.start, u64::from(numbers.end - numbers.start));
    let line = move |n: u64| {
        let n = first + n as u32;
        KafkaRecord::new(format!("line {n}")).partition(n % PARTITIONS)
    };
    let sink = KafkaSink::new(&topics.brokers).topic(&topics.input);
    env.source(generate(count, line).rate(LINES_PER_S)).sink(sink);
    env.start("filling").unwrap()
}

/// Waits for the end of such a job, which needs some seconds; where it stands, the test says so and does not hang.
fn has_filled(job: Job) {
    let began = Instant::now();
    while !job.has_ended() {
        assert!(began.elapsed() < 2 * PATIENCE, "{}\n{:?}", job.why_slow(), job.metrics());
        std::thread::park_timeout(Duration::from_millis(10));
    }
    job.wait().unwrap();
}

/// A source and two sinks live through each way of ending.
#[test]
fn a_broker_that_is_restarted_costs_no_line() {
    if std::env::var_os("KAFKA_BOOTSTRAP").is_none() {
        return;
    }
    let broker = Broker::up("restarted");
    with_topics_at(&broker.file("bootstrap"), "restarted", "1000000", |topics| {
        restarted_costs_no_line(&broker, topics, topics.source());
    });
    with_topics_at(&broker.file("bootstrap"), "restarted-group", "1000000", |topics| {
        restarted_costs_no_line(&broker, topics, topics.source().spread_by_group());
    });
}

fn restarted_costs_no_line(broker: &Broker, topics: &Topics, source: KafkaSource) {
    let job = topics.uppercase(source);
    let mut written = 0;
    for signal in ["-TERM", "-KILL"] {
        let filling = start_filling(topics, written..written + 10_000);
        topics.wait_for(&job, u64::from(written) + 1_000);
        broker.end(signal);
        broker.again();
        has_filled(filling);
        written = fill_until(topics, written + 10_000, |_| true);
    }
    job.drain(PATIENCE).unwrap();
    let again = topics.uppercase(topics.source().bounded()).wait().unwrap();
    assert_eq!((again.records, topics.compare(0..written).0), (0, vec![]));
}

/// A member of which the group would wait for minutes, were it only gone.
fn patient_member(topics: &Topics) -> Job {
    topics.uppercase(topics.source().spread_by_group().setting("session.timeout.ms", 300_000))
}

/// The member that the test below waits for, if this process was started as it.
#[test]
fn a_member_that_ends_by_itself() {
    let Some(topics) = Topics::of_process() else { return };
    let job = patient_member(&topics);
    topics.wait_for(&job, 1_000);
    job.drain(DRAINED).unwrap();
}

#[test]
fn a_process_that_ends_behind_a_drain_leaves_its_partitions_to_others_at_once() {
    with_topics("left", |topics| {
        topics.fill(0..1_000);
        assert!(Process::start("faults::a_member_that_ends_by_itself", topics).wait().success());
        let job = patient_member(topics);
        let written = fill_until(topics, 1_000, |_| true);
        job.drain(PATIENCE).unwrap();
        assert_eq!(topics.compare(0..written), (vec![], vec![]));
    });
}

/// Without barriers in between, a partition that moves has its own.
#[test]
fn partitions_move_at_once_however_rarely_a_job_commits() {
    with_topics("rarely", |topics| {
        let member = || {
            let mut env = environment();
            env.config_mut().job.commit_interval_ms = 600_000;
            topics.uppercase_in(env, topics.source().spread_by_group())
        };
        let first = member();
        let written = fill_until(topics, 0, |lines| first.metrics().records_in() == u64::from(lines));
        let second = member();
        let written = fill_until(topics, written, |_| second.metrics().records_in() > 0);
        [first, second].into_iter().for_each(|job| drop(job.drain(PATIENCE).unwrap()));
        assert_eq!(topics.compare(0..written), (vec![], vec![]));
    });
}

/// A process that stands still is evicted; the others read on for it, and it is let in again when it goes on.
#[test]
fn a_member_that_stands_still_is_evicted_and_costs_no_line() {
    with_topics("evicted", |topics| {
        let job = member(topics);
        let written = fill_until(topics, 0, |lines| job.metrics().records_in() == u64::from(lines));
        let other = start_member(topics);
        let all_by_this = |lines| job.metrics().records_in() >= u64::from(lines);
        let written = fill_until(topics, written, |lines| !all_by_this(lines));
        topics.fill(written..written + 2_000);
        kill(other.id(), "-STOP");
        let written = fill_until(topics, written + 2_000, |_| true);
        kill(other.id(), "-CONT");
        let read = job.metrics().records_in();
        let shared = |lines: u32| job.metrics().records_in() - read < u64::from(lines - written);
        fill_until(topics, written, shared);
        other.kill();
        job.drain(PATIENCE).unwrap();
    });
}

/// The job that `SIGTERM` drains, if this process was started as it.
#[test]
fn a_job_that_is_told_to_end() {
    let Some(topics) = Topics::of_process() else { return };
    drains_when_told(&topics, topics.source());
}

/// The same as members of a group.
#[test]
fn members_that_are_told_to_end() {
    let Some(topics) = Topics::of_process() else { return };
    drains_when_told(&topics, topics.source().spread_by_group());
}

fn drains_when_told(topics: &Topics, source: KafkaSource) {
    let told = Arc::new(AtomicBool::new(false));
    let hears = told.clone();
    ctrlc::set_handler(move || hears.store(true, Ordering::Relaxed)).unwrap();
    let job = topics.uppercase(source);
    while !told.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    job.drain(DRAINED).unwrap();
}

#[test]
fn sigterm_under_load_drains_in_time_and_nothing_is_lost_or_doubled() {
    for job in ["faults::a_job_that_is_told_to_end", "faults::members_that_are_told_to_end"] {
        with_topics("terminated", |topics| sigterm_under_load(topics, job));
    }
}

fn sigterm_under_load(topics: &Topics, job: &str) {
    let (ended, written) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let next = written.load(Ordering::Relaxed);
                topics.fill(next..next + 5_000);
                written.store(next + 5_000, Ordering::Relaxed);
            }
        });
        let mut job = Process::start(job, topics);
        let began = Instant::now();
        while topics.output().len() < 2_000 {
            assert!(began.elapsed() < PATIENCE, "it writes nothing");
        }
        kill(job.id(), "-TERM");
        let told = Instant::now();
        let status = job.wait();
        ended.store(true, Ordering::Relaxed);
        assert!(status.success() && told.elapsed() < DRAINED, "{status} after {:?}", told.elapsed());
    });
    topics.uppercase(topics.source().bounded()).wait().unwrap();
    assert_eq!(topics.compare(0..written.load(Ordering::Relaxed)), (vec![], vec![]));
}

#[test]
fn a_job_whose_sink_has_stopped() {
    standstill::job();
}

/// A quarter of a minute stands for an hour: nothing but what is fetched can grow.
#[test]
fn a_sink_that_has_stopped_costs_the_budget_and_no_more() {
    for (test, line_bytes) in [("large", 10_000), ("middling", 500), ("small", 100)] {
        with_topics(test, |topics| {
            let job = || Process::start("faults::a_job_whose_sink_has_stopped", topics);
            standstill::costs_the_budget_and_no_more(topics, job, line_bytes, Duration::from_secs(15));
        });
    }
}
