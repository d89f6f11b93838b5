//! Where glommio cannot be had plain threads serve: the same results, and one warning that says why.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::fmt::Debug;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use slotflow::io::{Collected, generate};
use slotflow_ops::Environment;
use slotflow_runtime::config::DriverChoice;
use slotflow_runtime::machine::{Driver, Probe};
use slotflow_runtime::{Config, Problem, Slots};
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{set_global_default, with_default};
use tracing::{Event, Level, Metadata, Subscriber};

/// Keeps what is warned of.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Those about the driver: a machine may give reason for others.
    fn of_the_driver(&self) -> Vec<String> {
        let all = self.0.lock().unwrap();
        all.iter().filter(|warning| warning.starts_with("the thread driver serves")).cloned().collect()
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut all = self.0.lock().unwrap();
        event.record(&mut |field: &Field, value: &dyn Debug| {
            if field.name() == "message" {
                all.push(format!("{value:?}"));
            }
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The records of a job on two cores of a machine that is as `probe` says.
fn numbers(probe: &Probe, driver: DriverChoice) -> Vec<u64> {
    let mut config = Config::default();
    config.slots.cores = Some(probe.topology.allowed.iter().take(2).collect());
    config.slots.driver = driver;
    let (env, numbers) = (Environment::with(config.clone()).parallelism(2), Collected::new());
    env.source(generate(1_000, |i| i)).rebalance().map(|i| i + 1).sink(numbers.sink());
    let slots = Slots::for_plan(&env.plan().unwrap(), &config, probe).unwrap();
    env.on(&slots).run("numbers").unwrap();
    let mut numbers = numbers.take();
    numbers.sort_unstable();
    numbers
}

#[test]
fn where_io_uring_is_refused_results_are_the_same_and_one_warning_says_why() {
    let refused = Problem::new("io_uring", "the kernel refuses a ring", "use another kernel");
    let machine = Probe::run(Path::new("/"));
    let probe =
        Probe { io_uring: Some(refused), glommio_built: true, kernel: Some((6, 18)), ..machine.clone() };
    let (with, without) = (Warnings::default(), Warnings::default());
    let results = with_default(with.clone(), || numbers(&probe, DriverChoice::Auto));
    assert_eq!(with_default(without.clone(), || numbers(&machine, DriverChoice::Thread)), results);
    assert!(results.into_iter().eq(1..=1_000));
    assert_eq!(
        with.of_the_driver(),
        [
            "the thread driver serves instead of glommio: io_uring: the kernel refuses a ring; use another kernel"
        ]
    );
    assert!(without.of_the_driver().is_empty(), "who asks for threads is not warned: {:?}", without.0);
}

/// Set where this program runs itself with less locked memory than glommio needs.
const LOCKED: &str = "SLOTFLOW_TEST_LOCKED";

#[test]
fn a_refusal_that_no_probe_foresaw_is_said_once_for_all_cores() {
    if std::env::var_os(LOCKED).is_some() {
        return refused_late();
    }
    if let (Driver::Thread, reason) = Probe::run(Path::new("/")).driver(2, DriverChoice::Auto) {
        println!("glommio is left out: {}", reason.as_deref().unwrap_or("it is not built"));
        return;
    }
    let limited = ["-c", "ulimit -l 64; exec \"$0\" \"$@\""];
    let own = std::env::current_exe().unwrap();
    let test = ["--exact", "a_refusal_that_no_probe_foresaw_is_said_once_for_all_cores", "--nocapture"];
    let output = Command::new("sh").args(limited).arg(own).args(test).env(LOCKED, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

fn refused_late() {
    let probe = Probe { memlock_bytes: None, io_uring: None, ..Probe::run(Path::new("/")) };
    let warnings = Warnings::default();
    // The warning comes from a core's thread.
    set_global_default(warnings.clone()).unwrap();
    assert!(numbers(&probe, DriverChoice::Auto).into_iter().eq(1..=1_000));
    let warnings = warnings.of_the_driver();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let what = "the thread driver serves instead: glommio cannot start: ";
    let remedy = "; set slots.driver = \"thread\", or raise the limit that the reason names";
    assert!(warnings[0].starts_with(what) && warnings[0].ends_with(remedy), "{warnings:?}");
}
