//! What a job costs whose sink takes nothing any more: a process of its own, looked at from outside.

use std::time::{Duration, Instant};

use slotflow::io::egress;
use slotflow::io::kafka::Message;
use slotflow::prelude::*;

use super::Topics;
use super::process::Process;

/// What the source may fetch ahead.
const BUDGET_BYTES: usize = 16 << 20;

/// Memory that has not settled after this never does.
const PATIENCE: Duration = Duration::from_secs(60);

/// The job whose sink takes nothing, if this process was started as it; until it is killed.
pub fn job() {
    let Some(topics) = Topics::of_process() else { return };
    let env = Environment::new().unwrap();
    let source = topics.source().no_commit().prefetch_bytes(BUDGET_BYTES);
    let (_nobody_takes_from, sink) = egress(64);
    env.source(source).map(|line: Message<'_>| line.to_bytes()).sink(sink);
    env.run("stopped").unwrap();
}

/// Twice what is fetched lies in the topic when the job begins, so that the last fetch is a whole one. Nothing goes for
/// as long as is said here, or for the seconds that `SINK_STOPPED_S` says.
pub fn costs_the_budget_and_no_more(
    topics: &Topics,
    job: impl Fn() -> Process,
    line_bytes: usize,
    stopped: Duration,
) {
    let seconds = std::env::var("SINK_STOPPED_S").ok();
    let stopped = seconds.map_or(stopped, |seconds| Duration::from_secs(seconds.parse().unwrap()));
    let before = job();
    let empty = memory_bytes_settled(before.id());
    before.kill();
    topics.fill_bytes(2 * BUDGET_BYTES, line_bytes);
    let job = job();
    let full = memory_bytes_settled(job.id());
    let (began, mut most) = (Instant::now(), full);
    while began.elapsed() < stopped {
        most = most.max(memory_bytes(job.id()));
        std::thread::park_timeout(Duration::from_millis(100));
    }
    println!(
        "lines of {line_bytes}: empty {empty}, full {full}, most {most} in {stopped:?}, budget {BUDGET_BYTES}"
    );
    assert!(most - full <= BUDGET_BYTES / 20, "it grows while nothing goes: {full} to {most}");
    assert!(most - empty <= BUDGET_BYTES / 10 * 11, "lines of {line_bytes}: {empty} to {most}");
    assert!(
        most - empty >= BUDGET_BYTES / 3,
        "lines of {line_bytes}: it has fetched nothing: {empty} to {most}"
    );
}

/// What a process has in memory.
fn memory_bytes(process: u32) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    // Linux on anything that the tests run on has pages of this size.
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// The same, once it has not changed for two seconds.
fn memory_bytes_settled(process: u32) -> usize {
    let (mut before, mut since, began) = (0, Instant::now(), Instant::now());
    loop {
        let now = memory_bytes(process);
        if now.abs_diff(before) > BUDGET_BYTES / 100 {
            (before, since) = (now, Instant::now());
        } else if since.elapsed() > Duration::from_secs(2) {
            return now;
        }
        assert!(began.elapsed() < PATIENCE, "the memory of {process} never settles");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
