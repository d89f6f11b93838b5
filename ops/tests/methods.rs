//! Every method of a stream behind every other one, and jobs of random methods, against a naive model.
//!
//! Jobs are put together at run time, with a `boxed` behind each step, and run in the simulation. Those methods
//! for which code depends on what is in front of them stand behind each other without it, too.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

#[path = "methods/functions.rs"]
mod functions;
#[path = "methods/model.rs"]
mod model;
#[path = "methods/pairs.rs"]
mod pairs;
#[path = "methods/step.rs"]
mod step;

use std::fs;
use std::path::Path;

use model::Model;
use proptest::prelude::*;
use slotflow::io::Collected;
use slotflow_ops::Environment;
use slotflow_runtime::Config;
use step::{BoxedStream, Described, Record, STEPS, Step, records};

/// What a job runs with.
#[derive(Clone, Copy, Debug)]
struct Setting {
    /// The sources' parallelism.
    sources: usize,
    /// The job's.
    job: usize,
    capacity: usize,
    chaining: bool,
    seed: u64,
}

impl Setting {
    fn new(sources: usize, job: usize) -> Setting {
        Setting { sources, job, capacity: 16, chaining: true, seed: 7 }
    }

    fn environment(&self) -> Environment {
        let mut env = Environment::with(Config::default()).parallelism(self.job);
        env.config_mut().edges.capacity = Some(self.capacity);
        env.config_mut().slots.chaining = self.chaining;
        env
    }
}

fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_unstable();
    records
}

/// Runs what `describe` puts behind a source, and compares with the model of the steps that it stands for.
fn check(
    setting: Setting,
    steps: &[&Step],
    describe: impl for<'env> FnOnce(&mut Described<'env>, BoxedStream<'env, Record>) -> BoxedStream<'env, Record>,
) -> Result<(), String> {
    let env = setting.environment();
    let (arrived, aside) = (Collected::new(), Collected::new());
    let mut described = Described { env: &env, aside: aside.clone(), sources: setting.sources, uids: 0 };
    let stream = describe(&mut described, records(&env, setting.sources));
    let placed = stream.map_with(|subtask| {
        let index = subtask.index;
        move |record| (index, record)
    });
    placed.sink(arrived.sink());
    let mut model = Model::new(setting.sources, setting.job);
    steps.iter().for_each(|step| (step.model)(&mut model));
    let place = model.end();
    match env.simulate("methods", setting.seed) {
        Ok(_) => {}
        Err(error) if model.refusable && error.to_string().contains("is keyed by source partition") => {
            return Ok(());
        }
        Err(error) => return Err(error.to_string()),
    }
    let arrived = arrived.take();
    let given = sorted(arrived.iter().map(|it| it.1).collect());
    let expected = sorted(std::mem::take(&mut model.records));
    if given != expected {
        return Err(format!(
            "{} records instead of {}: {given:?}, not {expected:?}",
            given.len(),
            expected.len()
        ));
    }
    if sorted(aside.take()) != sorted(std::mem::take(&mut model.aside)) {
        return Err("other records are aside".into());
    }
    if !place.holds(&arrived, &model) {
        return Err(format!("the records are not where they belong, {place:?}: {arrived:?}"));
    }
    Ok(())
}

/// Runs the steps one behind the other.
fn check_steps(setting: Setting, steps: &[&Step]) -> Result<(), String> {
    let outcome = check(setting, steps, |described, stream| {
        steps.iter().fold(stream, |stream, step| (step.describe)(described, stream))
    });
    outcome.map_err(|wrong| told(setting, steps, &wrong))
}

fn told(setting: Setting, steps: &[&Step], wrong: &str) -> String {
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    format!("{}, {setting:?}: {wrong}", names.join(" | "))
}

/// All of them, so that a mistake shows its pattern.
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} are wrong\n{}", wrong.len(), wrong.join("\n"));
}

fn settings() -> [Setting; 4] {
    [Setting::new(2, 3), Setting::new(3, 3), Setting::new(3, 2), Setting::new(1, 1)]
}

/// Where methods are that these steps cannot have: of what is no stream, and windows and joins, which give records by
/// their time, of which the model knows nothing (ops/tests/windows.rs has one that does).
const APART: [&str; 6] = ["environment.rs", "join", "settings.rs", "sink.rs", "state", "window"];

/// The sources of this crate's methods, without those apart.
fn sources(folder: &Path) -> Vec<String> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if APART.iter().any(|apart| path.ends_with(apart)) {
            continue;
        }
        if path.is_dir() {
            sources.extend(self::sources(&path));
        } else {
            sources.push(fs::read_to_string(path).unwrap());
        }
    }
    sources
}

/// Windows and joins by time have jobs of their own (`ops/tests/windows.rs`, their modules): behind a step that gives
/// its records at the end, after the last watermark, all of them would be late.
const BY_TIME: [&str; 9] = [
    "count_window",
    "window",
    "allowed_lateness",
    "aggregate_split",
    "process",
    "offset_ms",
    "co_group",
    "join",
    "interval_join",
];

#[test]
fn every_method_is_among_the_steps() {
    let steps = include_str!("methods/step.rs");
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let lines: Vec<&str> = sources.iter().flat_map(|source| source.lines()).collect();
    let takes_a_stream = |lines: &[&str]| lines[0].contains("(self") || lines[1].trim() == "self,";
    let methods = lines.windows(2).filter(|lines| takes_a_stream(lines));
    let methods = methods.filter_map(|lines| lines[0].strip_prefix("    pub fn ")?.split(['<', '(']).next());
    // It ends in sinks, so nothing can be behind it.
    let methods: Vec<&str> = methods.filter(|name| *name != "tee_with" && !BY_TIME.contains(name)).collect();
    assert!(methods.len() > 40, "they are written otherwise: {methods:?}");
    let missing: Vec<_> = methods.iter().filter(|name| !steps.contains(&format!(".{name}("))).collect();
    assert!(missing.is_empty(), "give ops/tests/methods/step.rs a step for {missing:?}");
}

/// The settings of the pair of these steps. Each pair has one of them, so that each step stands in front and behind in
/// all of them; with `METHODS=all` each pair has all, which takes four times as long.
fn settings_of(first: usize, second: usize) -> Vec<Setting> {
    let settings = settings();
    let all = std::env::var_os("METHODS").is_some_and(|which| which == "all");
    if all { settings.into() } else { vec![settings[(first + second) % settings.len()]] }
}

#[test]
fn every_method_works_behind_every_other() {
    let mut wrong = Vec::new();
    for (first, before) in STEPS.iter().enumerate() {
        for (second, behind) in STEPS.iter().enumerate() {
            let outcomes =
                settings_of(first, second).into_iter().map(|it| check_steps(it, &[before, behind]));
            wrong.extend(outcomes.filter_map(Result::err));
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_method_that_cuts_works_directly_behind_every_other() {
    let named = |name| STEPS.iter().find(|step| step.name == name).unwrap();
    let mut wrong = Vec::new();
    for setting in settings() {
        for pair in pairs::pairs() {
            let steps = pair.names.map(named);
            let outcome = check(setting, &steps, |_, stream| (pair.describe)(stream));
            wrong.extend(outcome.err().map(|error| told(setting, &steps, &error)));
        }
    }
    assert_none(&wrong);
}

/// The records that a random job may come to; the methods that copy them would make millions.
const RECORDS_MAX: usize = 3_000;

/// As many of the drawn steps as keep the job small.
fn small(setting: Setting, drawn: &[usize]) -> Vec<&'static Step> {
    let mut model = Model::new(setting.sources, setting.job);
    let steps = drawn.iter().map(|index| &STEPS[*index]);
    let grows = |step: &&Step| {
        (step.model)(&mut model);
        model.records.len() <= RECORDS_MAX
    };
    steps.take_while(grows).collect()
}

/// 400 cases, or as many as `PROPTEST_CASES` says.
fn cases() -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES");
    let cases = asked.map_or(400, |_| ProptestConfig::default().cases);
    ProptestConfig { failure_persistence: None, cases, ..ProptestConfig::default() }
}

prop_compose! {
    fn setting()(
        sources in 1..=4usize, job in 1..=4usize, exponent in 0..=6u32, chaining in any::<bool>(), seed in any::<u64>(),
    ) -> Setting {
        Setting { sources, job, capacity: 1 << exponent, chaining, seed }
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn random_methods_in_a_row_do_what_each_does(
        setting in setting(), drawn in prop::collection::vec(0..STEPS.len(), 0..8),
    ) {
        let outcome = check_steps(setting, &small(setting, &drawn));
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }
}
