//! What must not change the result of a job: parallelism, rings, chains, batches, and what steps its slots.

#![allow(dead_code, reason = "each test binary uses its part")]

use proptest::prelude::*;
use slotflow::prelude::*;
use slotflow_runtime::Cloned;
use slotflow_runtime::config::DriverChoice;
use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::testing::WatermarkChecker;

/// How a job is run.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The sources' parallelism.
    pub from: usize,
    /// The job's.
    pub to: usize,
    /// Of each ring, in records.
    pub capacity: usize,
    pub chaining: bool,
    /// How many records a step takes in at least.
    pub batch: usize,
    pub driver: Driver,
}

/// What steps the slots.
#[derive(Clone, Copy, Debug)]
pub enum Driver {
    Threads,
    /// glommio, where the machine lets it.
    Glommio,
    /// The simulation, in the order that this seed draws.
    Simulation(u64),
}

/// Any of them; most jobs are simulated, which costs no threads.
pub fn setting() -> impl Strategy<Value = Setting> {
    let driver = prop_oneof![
        1 => Just(Driver::Threads),
        1 => Just(Driver::Glommio),
        2 => any::<u64>().prop_map(Driver::Simulation),
    ];
    let batch = prop::sample::select(vec![1, 3, 64, 1024]);
    (1..=4usize, 1..=4usize, 0..=6u32, any::<bool>(), batch, driver).prop_map(
        |(from, to, exponent, chaining, batch, driver)| Setting {
            from,
            to,
            capacity: 1 << exponent,
            chaining,
            batch,
            driver,
        },
    )
}

/// 256 cases, or as many as `PROPTEST_CASES` says.
pub fn cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// Fewer than 256 cases, for jobs that take longer; or as many as `PROPTEST_CASES` says.
pub fn fewer_cases(cases: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => self::cases(),
        None => ProptestConfig { cases, ..self::cases() },
    }
}

/// The stream behind a guard that fails the job at a record which comes behind the watermark of its time.
pub fn checked<P: Pipe>(stream: Stream<'_, P>) -> Stream<'_, Then<P, Cloned<WatermarkChecker>>> {
    stream.then("checker", Cloned(WatermarkChecker::default()))
}

impl Setting {
    pub fn environment(&self) -> Environment {
        let mut env = Environment::with(Config::default()).parallelism(self.to);
        let config = env.config_mut();
        config.edges.capacity = Some(self.capacity);
        config.slots.chaining = self.chaining;
        config.step.min_records = self.batch;
        config.slots.driver = match self.driver {
            Driver::Threads | Driver::Simulation(_) => DriverChoice::Thread,
            Driver::Glommio => DriverChoice::Auto,
        };
        env
    }

    /// Runs a job to its end.
    pub fn run(&self, env: &Environment, name: &str) {
        match self.driver {
            Driver::Threads | Driver::Glommio => env.run(name).map(drop),
            Driver::Simulation(seed) => env.simulate(name, seed).map(drop),
        }
        .unwrap_or_else(|error| panic!("{self:?}: {error}"));
    }
}

/// The records of a test spread over `sources` streams of one job, each with event time and watermarks of its own,
/// and joined again. Records are in disorder of at most 10 ms in the order given, so those of a part are, too.
pub fn timed<'env, T: Clone + Send + Sync + 'static>(
    env: &'env Environment,
    setting: &Setting,
    sources: usize,
    records: &[T],
    time: fn(&T) -> i64,
) -> BoxedStream<'env, T, slotflow_runtime::EventTime> {
    let stream = |source: usize| {
        let part: Vec<T> = records.iter().skip(source).step_by(sources).cloned().collect();
        let lag = Watermarks::bounded_out_of_orderness(std::time::Duration::from_millis(10));
        let count = part.len() as u64;
        let part = env.source(generate(count, move |n| part[n as usize].clone()));
        part.with_timestamps(time, lag).parallelism(setting.from).boxed()
    };
    checked((1..sources).fold(stream(0), |all, source| all.union(stream(source)).boxed())).boxed()
}
