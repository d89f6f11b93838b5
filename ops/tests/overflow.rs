//! One record that becomes too many: what may wait behind full rings is bounded, and the job fails by name.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use slotflow::io::{callback, from_iterator};
use slotflow_ops::Environment;
use slotflow_runtime::{Config, Error, Result};

/// 16 records fit into a ring and 100 records of 8 bytes may wait.
const TOML: &str = "[edges]\ncapacity = 16\noverflow_bytes = 800";

/// How many of them there are, how many there were at most, and how many were made.
#[derive(Default)]
struct Census {
    living: AtomicUsize,
    most: AtomicUsize,
    made: AtomicUsize,
}

/// A record of 8 bytes.
struct Counted(Arc<Census>);

impl Counted {
    fn new(census: &Arc<Census>) -> Counted {
        let living = census.living.fetch_add(1, Ordering::Relaxed) + 1;
        census.most.fetch_max(living, Ordering::Relaxed);
        census.made.fetch_add(1, Ordering::Relaxed);
        Counted(census.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.living.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes `count` records of one, in front of an edge to so many subtasks.
fn explode(count: usize, targets: usize, seed: u64) -> (Result<(), Error>, Arc<Census>) {
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
    (outcome, census)
}

/// What one record may become: what fits into the rings, and what may wait behind them.
fn most(targets: usize) -> usize {
    targets * 16 + 100
}

#[test]
fn what_fits_the_rings_and_the_overflow_goes_through() {
    for (seed, targets) in (0..20).flat_map(|seed| [(seed, 1), (seed, 2), (seed, 3)]) {
        let (outcome, census) = explode(most(targets), targets, seed);
        outcome.unwrap();
        assert_eq!(census.most.load(Ordering::Relaxed), most(targets));
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
fn an_operator_that_gives_without_end_neither_fills_the_memory_nor_keeps_its_slot() {
    // As good as endless, and still an end for tests of broken code.
    let (outcome, census) = explode(20_000_000, 2, 1);
    outcome.unwrap_err();
    // Each ring stages what it holds, what may wait, and the one too many; one more is in hand.
    let bound = 2 * (16 + 100 + 1) + 1;
    let [lived, made] = [&census.most, &census.made].map(|count| count.load(Ordering::Relaxed));
    assert!(lived <= bound, "{lived} records at once");
    assert!(made <= bound + 1, "{made} records were made, and nobody wanted them");
}
