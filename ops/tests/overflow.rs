//! One record that becomes too many: what may wait behind full rings is bounded, and the job fails by name.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use slotflow::io::{callback, from_iterator};
use slotflow_ops::Environment;
use slotflow_runtime::{Config, Error, Result};

/// 16 records fit into a ring and 100 records of 8 bytes may wait.
const TOML: &str = "[edges]\ncapacity = 16\noverflow_bytes = 800";

/// How many of them there are, and how many there were at most.
#[derive(Default)]
struct Census {
    living: AtomicUsize,
    most: AtomicUsize,
}

/// A record of 8 bytes.
struct Counted(Arc<Census>);

impl Counted {
    fn new(census: &Arc<Census>) -> Counted {
        let living = census.living.fetch_add(1, Ordering::Relaxed) + 1;
        census.most.fetch_max(living, Ordering::Relaxed);
        Counted(census.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.living.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes `count` records of one, in front of an edge to so many subtasks; how many of them lived at once.
fn explode(count: usize, targets: usize, seed: u64) -> (Result<(), Error>, usize) {
    let (env, census) = (Environment::with(Config::from_toml(TOML).unwrap()), Arc::<Census>::default());
    let counter = census.clone();
    let many = move |_: u64| {
        let census = counter.clone();
        (0..count).map(move |_| Counted::new(&census))
    };
    let records = env.source(from_iterator([7])).flat_map(many).name("explode");
    let shards = records.rebalance().map(|it| it).name("shards").start_new_chain().parallelism(targets);
    shards.sink(callback(|_: Counted| {}));
    let outcome = env.simulate("explode", seed).map(drop);
    assert_eq!(census.living.load(Ordering::Relaxed), 0, "each is dropped once");
    (outcome, census.most.load(Ordering::Relaxed))
}

/// What one record may become: what fits into the rings, and what may wait behind them.
fn most(targets: usize) -> usize {
    targets * 16 + 100
}

#[test]
fn what_fits_the_rings_and_the_overflow_goes_through() {
    for (seed, targets) in (0..20).flat_map(|seed| [(seed, 1), (seed, 2), (seed, 3)]) {
        let (outcome, lived) = explode(most(targets), targets, seed);
        outcome.unwrap();
        assert_eq!(lived, most(targets));
    }
}

#[test]
fn one_more_fails_the_job_and_names_operator_edge_setting_and_remedy() {
    for (seed, targets) in (0..20).flat_map(|seed| [(seed, 1), (seed, 2), (seed, 3)]) {
        assert_eq!(
            explode(most(targets) + 1, targets, seed).0.unwrap_err().to_string(),
            "operator \"explode\", subtask 0: more records wait behind the full rings of its edge to \"shards\" than \
             edges.overflow_bytes = 800 allows (100 of 8 bytes each); emit fewer records for each input, or raise it"
        );
    }
}

#[test]
fn an_operator_that_gives_without_end_does_not_fill_the_memory() {
    let (outcome, lived) = explode(usize::MAX, 2, 1);
    outcome.unwrap_err();
    // Each ring stages what it holds, what may wait, and the one too many; one more is in hand.
    assert!(lived <= 2 * (16 + 100 + 1) + 1, "{lived} records at once");
}
