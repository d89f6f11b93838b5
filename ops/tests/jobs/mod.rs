//! Random jobs and what must hold for each of them; the simulation and the threads run the same ones.

#![allow(dead_code, reason = "each test binary uses its part")]

mod ledger;
mod setup;
mod sink;
mod source;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use slotflow_ops::{BoundedOutOfOrderness, Environment, Stream, Watermarks};
use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::testing::WatermarkChecker;
use slotflow_runtime::{Cloned, Ending, Error, JobReport, Timestamp};

pub use ledger::Ledger;
pub use setup::{Leave, Setup, Shape};

/// A record: where it comes from, what became of it, and its last hop.
#[derive(Clone, Debug)]
pub struct Rec {
    pub split: u32,
    pub seq: u64,
    pub key: u64,
    /// Which copy of the source's record it is; two copies never have the same path.
    pub path: u64,
    /// The subtask of the last stage it left, and that subtask's count of departures.
    pub from: u32,
    pub hop: u64,
}

/// Panics that are part of a job would fill the screen.
pub fn hush_planned_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some("planned failure") {
            usual(panic);
        }
    }));
}

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((u128::from(mixed ^ (mixed >> 31)) * u128::from(bound)) >> 64) as u64
    }

    pub fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

/// The stream behind a guard that fails the job at a record which comes behind the watermark of its time.
fn checked<P: Pipe>(stream: Stream<'_, P>) -> Stream<'_, Then<P, Cloned<WatermarkChecker>>> {
    stream.then("checker", Cloned(WatermarkChecker::default()))
}

/// Describes the job of a setup in `env`.
pub fn describe(env: &Environment, setup: &Arc<Setup>, ledger: &Arc<Ledger>) {
    let source = source::numbers(setup, ledger);
    let stage = |number| stage::stage(number, setup, ledger);
    let sink = sink::late(setup, ledger);
    let (groups, [sources, middle, last, sinks]) = (setup.groups, setup.parallelism);
    let source = env.source(source).parallelism(sources).slot_sharing_group(groups[0]);
    let source = match setup.timed {
        true => source.with_timestamps(timestamp(setup), watermarks()).boxed(),
        false => source.boxed(),
    };
    let first = source.then("first", stage(0));
    match setup.shape {
        Shape::Exchange => {
            let second = first.rebalance().then("second", stage(1)).parallelism(middle);
            let keyed = second.slot_sharing_group(groups[1]).key_by(|rec| rec.key);
            let third =
                keyed.map_with_state(|_: &mut u64, rec| rec).parallelism(last).then("third", stage(2));
            checked(third).sink(sink).parallelism(sinks).slot_sharing_group(groups[2]);
        }
        Shape::Spread => {
            let second = first.rescale().then("second", stage(1)).parallelism(middle);
            let custom = second.partition_custom(|rec, targets| rec.key as usize % targets);
            let third = custom.then("third", stage(2)).parallelism(last).slot_sharing_group(groups[1]);
            checked(third).shuffle().sink(sink).parallelism(sinks).slot_sharing_group(groups[2]);
        }
        Shape::Diamond => {
            let (odd, even) = first.split(|rec| rec.key % 2 == 1);
            let odd = odd.then("second", stage(1)).parallelism(middle).slot_sharing_group(groups[1]);
            let even = even.rebalance().then("beside", stage(1).beside()).parallelism(last);
            let third = odd.union(even).then("third", stage(2)).parallelism(middle);
            checked(third).sink(sink).parallelism(sinks).slot_sharing_group(groups[2]);
        }
        Shape::Chain => {
            let second = first.then("second", stage(1)).start_new_chain();
            checked(second.then("third", stage(2))).sink(sink).disable_chaining();
        }
    }
}

fn timestamp(setup: &Arc<Setup>) -> impl FnMut(&Rec) -> Timestamp + Clone + Send + 'static + use<> {
    let setup = setup.clone();
    move |rec| setup.timestamp(rec.split, rec.seq)
}

/// A pause is no idleness here, or a record could be late.
fn watermarks() -> Watermarks<BoundedOutOfOrderness> {
    Watermarks::bounded_out_of_orderness(Duration::from_millis(5)).never_idle()
}

/// What must hold after any run.
pub fn check(setup: &Setup, ledger: &Ledger, outcome: Result<JobReport, Error>) -> Result<(), String> {
    ledger.violations()?;
    match outcome {
        Ok(report) => check_end(setup, ledger, &report),
        Err(error) => check_failure(setup, ledger, &error),
    }
}

fn check_end(setup: &Setup, ledger: &Ledger, report: &JobReport) -> Result<(), String> {
    let failed = ledger.failed_at();
    // What fails on a thread while the job is being stopped is not what ended it.
    if !failed.is_empty() && matches!(report.ending, Ending::Finished | Ending::Drained) {
        return Err(format!("{failed:?} failed, but the job {:?}", report.ending));
    }
    match report.ending {
        Ending::Finished => ledger.complete(Some(setup.records)).and_then(|()| ledger.time_has_ended()),
        Ending::Drained => ledger.complete(None),
        Ending::Stopped | Ending::Aborted => Ok(()),
    }
}

fn check_failure(setup: &Setup, ledger: &Ledger, error: &Error) -> Result<(), String> {
    let (failed, said) = (ledger.failed_at(), error.to_string());
    let place = error.place().map(|place| (place.operator.clone(), place.subtask));
    let named = place.is_some_and(|place| failed.contains(&place));
    if named && said.contains("planned failure") {
        return Ok(());
    }
    Err(format!("{:?} happened at {failed:?}, but the job says: {said}", setup.failure))
}
