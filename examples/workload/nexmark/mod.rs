//! Nexmark: queries about people, auctions and bids. PERF.md has what each of them asks.

mod auctions;
mod bids;
mod checksum;
mod joins;
pub mod naive;
mod windows;

use nexmark::config::NexmarkConfig;
use nexmark::{EventGenerator, event::Event};
use slotflow::prelude::*;
use slotflow::runtime::EventTime;
use slotflow::runtime::pipe::{Begin, Pipe};

use crate::args::Args;
use crate::prepared::Prepared;
use crate::report::{Outcome, line};

/// Event time of the first event, in milliseconds: a multiple of all windows' sizes.
const BEGIN_MS: u64 = 1_000_000;

/// How long a window is, and how long the pause that ends a session.
const WINDOW_MS: u64 = 10_000;

/// How far apart the windows of `q5` begin.
const SLIDE_MS: u64 = 2_000;

/// A query that is being described.
pub struct Query<'a> {
    env: &'a Environment,
    args: &'a Args,
    outcome: Outcome,
}

/// Runs the query that is asked for and gives the result's line; none if there is no such query.
pub fn run(args: &Args) -> Result<Option<String>> {
    let Some(describe) = query(&args.workload) else { return Ok(None) };
    let mut env = args.environment(args.parallelism)?;
    env.config_mut().job.best_effort = true;
    let outcome = Outcome::default();
    describe(&Query { env: &env, args, outcome: outcome.clone() });
    env.run(&args.workload)?;
    Ok(Some(line(args, &outcome)))
}

fn query(workload: &str) -> Option<fn(&Query)> {
    Some(match workload {
        "q0" => bids::q0,
        "q1" => bids::q1,
        "q2" => bids::q2,
        "q3" => joins::q3,
        "q4" => auctions::q4,
        "q5" => windows::q5,
        "q7" => windows::q7,
        "q8" => joins::q8,
        "q9" => auctions::q9,
        "q11" => windows::q11,
        "q12" => windows::q12,
        _ => return None,
    })
}

impl Query<'_> {
    /// The events, without event time.
    fn events(&self) -> Stream<'_, Begin<Prepared<Event>>> {
        let parallelism = self.args.parallelism;
        let shares = std::thread::scope(|scope| {
            let threads = (0..parallelism).map(|index| {
                let args = self.args;
                scope.spawn(move || events(args, index, parallelism))
            });
            let threads = threads.collect::<Vec<_>>();
            threads.into_iter().map(|it| it.join().expect("the generator does not panic")).collect()
        });
        self.env.source(Prepared::new(shares, self.outcome.clone()))
    }

    /// The events in event time, which is in order within each share.
    fn timed_events(&self) -> Stream<'_, impl Pipe<Out = Owned<Event>, Time = EventTime> + use<>> {
        self.events()
            .with_timestamps(|event: &Event| event.timestamp() as i64, Watermarks::monotonous().never_idle())
    }

    /// The job's end: what all results come to.
    fn sum<P: Pipe<Out = Owned<u64>>>(&self, checksums: Stream<'_, P>) {
        let end = self.outcome.clone();
        let sums = checksums.fold_at_end(0u64, |sum, part| *sum = sum.wrapping_add(part));
        sums.sink(callback(move |sum| end.end(sum)));
    }
}

/// The events `index`, `index + stride` and so on, below the number of records.
fn events(args: &Args, index: usize, stride: usize) -> Vec<Event> {
    let config = NexmarkConfig {
        num_event_generators: 1,
        first_rate: args.rate as usize,
        next_rate: args.rate as usize,
        base_time: BEGIN_MS,
        ..NexmarkConfig::default()
    };
    let generator = EventGenerator::new(config).with_offset(index as u64).with_step(stride as u64);
    let share = args.records.saturating_sub(index as u64).div_ceil(stride as u64);
    generator.take(share as usize).collect()
}
