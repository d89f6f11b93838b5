//! The random jobs of the simulation on real threads, with both drivers: the same results.

mod jobs;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobs::{Leave, Ledger, Setup};
use slotflow_ops::Environment;
use slotflow_runtime::config::DriverChoice;
use slotflow_runtime::machine::{Driver, Probe};
use slotflow_runtime::{Config, Job, JobReport, Result, Slots};

/// How many jobs each driver runs.
const JOBS: u64 = 300;

/// Nothing here takes a second; this only keeps a job that hangs from hanging its test.
const HANGS: Duration = Duration::from_secs(60);

/// Four slots on two cores that sleep as soon as they can.
fn config(probe: &Probe, driver: DriverChoice) -> Config {
    let mut config = Config::default();
    config.slots.count = Some(4);
    config.slots.cores = Some(probe.topology.allowed.iter().take(2).collect());
    config.slots.idle = slotflow_runtime::config::Idle::Park;
    config.slots.spin_us = 0;
    config.slots.driver = driver;
    config
}

/// Four slots are for jobs whose operators share them.
fn setup(seed: u64) -> Arc<Setup> {
    Arc::new(Setup { groups: ["a"; 3], ..Setup::random(seed) })
}

fn guard(seed: u64, job: &Job, mut until: impl FnMut() -> bool) {
    let deadline = Instant::now() + HANGS;
    while !job.has_ended() && !until() {
        assert!(Instant::now() < deadline, "seed {seed} hangs: {job:?}");
        std::thread::park_timeout(Duration::from_micros(100));
    }
}

/// Ends the job as its setup says: where the simulation counts turns, this counts arrivals.
fn leave(setup: &Setup, ledger: &Ledger, job: Job) -> Result<JobReport> {
    let Some(leave) = setup.leave else {
        guard(setup.seed, &job, || false);
        return job.wait();
    };
    let (Leave::Drain(moment) | Leave::Stop(moment) | Leave::Abort(moment)) = leave;
    guard(setup.seed, &job, || ledger.arrivals() >= moment / 8);
    match leave {
        Leave::Drain(_) => job.drain(HANGS),
        Leave::Stop(_) => job.stop(),
        Leave::Abort(_) => job.abort(),
    }
}

/// What arrived in each of the jobs that ran to their end.
fn arrivals(slots: &Slots) -> Vec<Option<u64>> {
    let run = |seed| {
        let setup = setup(seed);
        let ledger = Ledger::new(&setup);
        let env = Environment::with(setup.config()).on(slots);
        jobs::describe(&env, &setup, &ledger);
        let job = env.start("random").expect("four slots are enough");
        let outcome = leave(&setup, &ledger, job);
        if let Err(wrong) = jobs::check(&setup, &ledger, outcome) {
            panic!("seed {seed}: {wrong}\n{setup:?}");
        }
        (setup.leave.is_none() && setup.failure.is_none()).then(|| ledger.arrivals())
    };
    (0..JOBS).map(run).collect()
}

#[test]
fn both_drivers_give_the_same_results() {
    jobs::hush_planned_panics();
    let probe = Probe::run(Path::new("/"));
    let pool = |driver| Slots::new(&config(&probe, driver)).expect("two cores carry four slots");
    let threads = arrivals(&pool(DriverChoice::Thread));
    assert!(threads.iter().flatten().sum::<u64>() > JOBS, "jobs that do nothing prove nothing");
    match probe.driver(2, DriverChoice::Auto) {
        (Driver::Glommio, _) => assert_eq!(arrivals(&pool(DriverChoice::Glommio)), threads),
        (Driver::Thread, reason) => {
            println!("glommio is left out: {}", reason.as_deref().unwrap_or("it is not built"));
        }
    }
}
