//! The live view of a job.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::time::Duration;

use slotflow::io::{callback, generate};
use slotflow_ops::Environment;
use slotflow_runtime::{Config, Job};

fn job() -> Job {
    let env = Environment::with(Config::default());
    let numbers = env.source(generate(u64::MAX, |i| i)).name("numbers").rebalance();
    numbers.map(|i| i).name("map").parallelism(2).sink(callback(|_: u64| {})).name("end");
    env.start("viewed").unwrap()
}

fn shown(job: &Job, terminal: bool) -> String {
    let (mut out, mut looks) = (Vec::new(), 0);
    let stop = || {
        looks += 1;
        looks == 3
    };
    let mut view = job.view().every(Duration::from_millis(20)).columns(60);
    view.show_until(&mut out, terminal, stop).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_view_shows_rate_chains_rings_and_slots() {
    let job = job();
    let text = shown(&job, true);
    for part in
        [" records/s", "  numbers x 1 ", "  map -> end x 2 ", "numbers => map -> end", "  slot 1: useful "]
    {
        assert_eq!(text.matches(part).count(), 3, "{part:?} in\n{text}");
    }
    let whole = job.metrics().to_string();
    for part in ["/s  busy ", " %  backpressured ", " % full, the fullest "] {
        assert!(whole.contains(part), "{part:?} in\n{whole}");
    }
    assert_eq!(text.matches("\x1b[6A").count(), 2, "each drawing covers the one before:\n{text}");
    let drawn = text.lines().filter_map(|line| line.split("\x1b[2K").nth(1));
    assert_eq!(drawn.map(|line| line.chars().count()).max(), Some(60), "it is cut to the terminal:\n{text}");
    job.stop().unwrap();
}

#[test]
fn without_a_terminal_it_is_plain_lines() {
    let job = job();
    let text = shown(&job, false);
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(!text.contains('\x1b') && text.lines().all(|line| line.contains(" records/s")), "{text}");
    job.stop().unwrap();
}

#[test]
fn a_view_is_told_to_stop_between_two_drawings() {
    let (job, mut out, mut asked) = (job(), Vec::new(), 0);
    let stop = || {
        asked += 1;
        asked == 3
    };
    job.view().every(Duration::from_secs(600)).show_until(&mut out, false, stop).unwrap();
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 1);
    job.stop().unwrap();
}

#[test]
fn a_view_ends_with_its_job() {
    let env = Environment::with(Config::default());
    env.source(generate(10, |i| i)).sink(callback(|_: u64| {}));
    let job = env.start("short").unwrap();
    let mut out = Vec::new();
    job.view().every(Duration::from_secs(600)).show_until(&mut out, false, || false).unwrap();
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 1);
}
