//! Closures that do not return: they are named, and nothing else waits for them.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use slotflow::io::{Collected, callback, generate};
use slotflow_ops::Environment;
use slotflow_runtime::{Config, Ending, Job, Slots};

/// What a closure is stuck in until it is opened; opened when the test ends, however it ends.
#[derive(Clone, Default)]
struct Gate(Arc<AtomicBool>);

impl Gate {
    fn pass(&self) {
        while !self.0.load(Ordering::Acquire) {
            spin_loop();
        }
    }

    fn open(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Opens the gate when a test fails too: the pool could not end otherwise.
struct Opened(Gate);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open();
    }
}

fn config() -> Config {
    Config::from_toml("[slots]\ncount = 2\nstall_ms = 10\n[job]\nleave_timeout_ms = 50").unwrap()
}

/// A job on one slot of `pool` whose operator "gate" is stuck at its third record.
fn stuck(pool: &Slots, gate: &Gate, passed: &Collected<u64>) -> Job {
    let (env, gate) = (Environment::with(config()).on(pool), gate.clone());
    let gated = env.source(generate(1_000, |i| i)).start_new_chain().map(move |i| {
        if i == 2 {
            gate.pass();
        }
        i
    });
    gated.name("gate").start_new_chain().sink(passed.sink());
    env.start("stuck").unwrap()
}

/// Waits until the stall was named; the job cannot end meanwhile. A watchdog that has said nothing for a minute will
/// never say anything.
fn wait_for_stall(job: &Job) -> String {
    for _ in 0..6_000 {
        if let Some(stall) = job.metrics().stalls.first() {
            return stall.who.clone();
        }
        assert!(!job.ends_within(Duration::from_millis(10)));
    }
    panic!("no stall was named");
}

#[test]
fn a_stall_is_named_with_slot_and_operator_and_the_job_goes_on() {
    let (pool, gate, passed) = (Slots::new(&config()).unwrap(), Gate::default(), Collected::new());
    let _opened = Opened(gate.clone());
    let job = stuck(&pool, &gate, &passed);
    assert_eq!(wait_for_stall(&job), "slot 0, operator \"gate\", subtask 0");
    let why = job.why_slow();
    assert!(why.starts_with("stall: slot 0, operator \"gate\", subtask 0 has not returned for "), "{why}");
    gate.open();
    assert_eq!(job.wait().unwrap().ending, Ending::Finished);
    assert_eq!(passed.take(), (0..1_000).collect::<Vec<u64>>());
}

#[test]
fn abort_names_the_stuck_closure_and_other_jobs_go_on() {
    let (pool, gate, passed) = (Slots::new(&config()).unwrap(), Gate::default(), Collected::new());
    let _opened = Opened(gate.clone());
    let job = stuck(&pool, &gate, &passed);
    wait_for_stall(&job);
    let report = job.abort().unwrap();
    assert_eq!(report.ending, Ending::Aborted);
    let [unfinished] = &report.unfinished[..] else { panic!("{report}") };
    assert!(unfinished.starts_with("slot 0, operator \"gate\", subtask 0 (for "), "{unfinished}");

    let (env, other) = (Environment::with(config()).on(&pool), Collected::new());
    env.source(generate(10, |i| i)).sink(other.sink());
    env.run("other").unwrap();
    assert_eq!(other.take().len(), 10);
}

#[test]
fn dropping_the_handle_of_a_stuck_job_does_not_wait_for_ever() {
    let (pool, gate, passed) = (Slots::new(&config()).unwrap(), Gate::default(), Collected::new());
    let _opened = Opened(gate.clone());
    let job = stuck(&pool, &gate, &passed);
    wait_for_stall(&job);
    drop(job);
    let env = Environment::with(config()).on(&pool);
    env.source(generate(1, |i| i)).sink(callback(|_: u64| {}));
    let refused = env.plan().map(|plan| pool.choose("two", &[&plan.slot_cpus()[..], &[None]].concat()));
    assert!(refused.unwrap().unwrap_err().to_string().contains("1 by job \"stuck\""));
}
