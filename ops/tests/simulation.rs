//! Random jobs in the simulation: any seed that fails here fails again.

mod jobs;

use std::sync::Arc;

use jobs::{Leave, Ledger, Setup};
use slotflow_ops::Environment;
use slotflow_runtime::testing::simulation::{SimReport, Simulation};
use slotflow_runtime::{Error, Result};

/// How many jobs are run, unless `SLOTFLOW_SEEDS` says otherwise.
const SEEDS: u64 = 2_000;

/// A few hundred records in rings of one: the largest job needs some ten thousand.
const TURNS_MAX: u64 = 200_000;

fn simulation(setup: &Setup) -> Simulation {
    let simulation = Simulation::seed(setup.seed).turns_max(TURNS_MAX);
    match setup.leave {
        None => simulation,
        Some(Leave::Drain(turn)) => simulation.drain_at(turn),
        Some(Leave::Stop(turn)) => simulation.stop_at(turn),
        Some(Leave::Abort(turn)) => simulation.abort_at(turn),
    }
}

fn run(setup: Setup) -> (Arc<Setup>, Arc<Ledger>, Result<SimReport>) {
    let setup = Arc::new(setup);
    let ledger = Ledger::new(&setup);
    let env = Environment::with(setup.config());
    jobs::describe(&env, &setup, &ledger);
    let outcome = env.simulate("random", simulation(&setup));
    (setup, ledger, outcome)
}

fn seeds() -> u64 {
    std::env::var("SLOTFLOW_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS)
}

#[test]
fn nothing_is_lost_doubled_reordered_or_committed_early() {
    jobs::hush_planned_panics();
    let (mut turns, mut commits) = (0, 0);
    for seed in 0..seeds() {
        let (setup, ledger, outcome) = run(Setup::random(seed).lingering());
        turns += outcome.as_ref().map_or(0, |report| report.turns);
        commits += ledger.commits();
        if let Err(wrong) = jobs::check(&setup, &ledger, outcome.map(|report| report.job)) {
            panic!("seed {seed}: {wrong}\n{setup:?}");
        }
    }
    println!("{} jobs, {turns} turns, {commits} commits", seeds());
    assert!(turns > seeds() && commits > seeds(), "jobs that do nothing prove nothing");
}

#[test]
fn a_seed_replays_the_same_run() {
    jobs::hush_planned_panics();
    let trace = |seed| run(Setup::random(seed)).2.map(|report| (report.turns, report.trace));
    for seed in 0..20 {
        let [first, second] =
            [trace(seed), trace(seed)].map(|run| run.map_err(|error: Error| error.to_string()));
        assert_eq!(first, second, "seed {seed}");
    }
    assert_ne!(trace(3).ok(), trace(4).ok());
}
