//! The random jobs of the simulation on real threads, with both drivers: the same results.

mod jobs;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jobs::{Leave, Ledger, Setup};
use slotflow_ops::Environment;
use slotflow_runtime::config::{DriverChoice, Idle};
use slotflow_runtime::machine::{Driver, Probe};
use slotflow_runtime::{Config, Job, JobReport, Result, Slots};

/// How many jobs each driver runs, by what its slots do while they have nothing to do. Those that never sleep take the
/// cores from everybody else, so they run fewer.
const JOBS: [(Idle, u64); 3] = [(Idle::Park, 300), (Idle::Yield, 40), (Idle::Spin, 40)];

/// How long a job may take to drain, which is milliseconds here.
const HANGS: Duration = Duration::from_secs(60);

/// How often one may look, 100 microseconds apart, and find that nothing has happened: what hangs must not hang its
/// test. Looks are counted and not time, as a machine may stand still for a minute, its jobs and its tests with it.
const LOOKS: u32 = 400_000;

/// Four slots on two cores that, if they sleep, sleep as soon as they can.
fn config(probe: &Probe, driver: DriverChoice, idle: Idle) -> Config {
    let mut config = Config::default();
    config.slots.count = Some(4);
    config.slots.cores = Some(probe.topology.allowed.iter().take(2).collect());
    config.slots.idle = idle;
    config.slots.spin_us = 0;
    config.slots.driver = driver;
    config
}

/// Four slots are for jobs whose operators share them.
fn setup(seed: u64) -> Arc<Setup> {
    Arc::new(Setup { groups: ["a"; 3], ..Setup::random(seed) })
}

/// Waits until the job has ended, or for `until`, as long as something is read, arrives or is committed.
fn guard(setup: &Setup, ledger: &Ledger, job: &Job, mut until: impl FnMut() -> bool) {
    let (mut progress, mut quiet) = (0, 0);
    while !job.has_ended() && !until() {
        let before = std::mem::replace(&mut progress, ledger.progress());
        quiet = if progress == before { quiet + 1 } else { 0 };
        assert!(quiet < LOOKS, "seed {} hangs: {job:?}", setup.seed);
        std::thread::park_timeout(Duration::from_micros(100));
    }
}

/// Ends the job as its setup says: where the simulation counts turns, this counts arrivals.
fn leave(setup: &Setup, ledger: &Ledger, job: Job) -> Result<JobReport> {
    let Some(leave) = setup.leave else {
        guard(setup, ledger, &job, || false);
        return job.wait();
    };
    let (Leave::Drain(moment) | Leave::Stop(moment) | Leave::Abort(moment)) = leave;
    guard(setup, ledger, &job, || ledger.arrivals() >= moment / 8);
    match leave {
        Leave::Drain(_) => job.drain(HANGS),
        Leave::Stop(_) => job.stop(),
        Leave::Abort(_) => job.abort(),
    }
}

/// What arrived in each of the jobs that ran to their end.
fn arrivals(slots: &Slots, jobs: u64) -> Vec<Option<u64>> {
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
    (0..jobs).map(run).collect()
}

/// The same for a driver, by what its idle slots do.
fn arrivals_by(driver: DriverChoice, probe: &Probe) -> [Vec<Option<u64>>; 3] {
    JOBS.map(|(idle, jobs)| {
        let slots = Slots::new(&config(probe, driver, idle)).expect("two cores carry four slots");
        if slots.placement().idle != idle {
            println!("{idle:?} is left out: {:?}", slots.placement().warnings);
        }
        arrivals(&slots, jobs)
    })
}

#[test]
fn both_drivers_give_the_same_results_whatever_idle_slots_do() {
    jobs::hush_planned_panics();
    let probe = Probe::run(Path::new("/"));
    let threads = arrivals_by(DriverChoice::Thread, &probe);
    let [sleep, others @ ..] = &threads;
    assert!(sleep.iter().flatten().sum::<u64>() > JOBS[0].1, "jobs that do nothing prove nothing");
    others.iter().for_each(|other| assert_eq!(*other, sleep[..other.len()]));
    match probe.driver(2, DriverChoice::Auto) {
        (Driver::Glommio, _) => assert_eq!(arrivals_by(DriverChoice::Glommio, &probe), threads),
        (Driver::Thread, reason) => {
            println!("glommio is left out: {}", reason.as_deref().unwrap_or("it is not built"));
        }
    }
}
