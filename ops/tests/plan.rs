//! Plans: the arithmetic of subtasks and slots, and the text of everything that can be wrong before a start.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use slotflow::io::{Collected, callback, from_iterator, generate};
use slotflow_ops::{CountTrigger, Environment, Session, Ttl, Tumbling, Watermarks};
use slotflow_runtime::plan::Plan;
use slotflow_runtime::{
    Config, Context, Error, Output, Owned, Polled, Result, Sink, SinkWriter, Slots, Source, SourceReader,
    SplitId, Splits, SubtaskContext, Untimed,
};

/// How the three operators of the seed's example are kept apart.
#[derive(Clone, Copy, PartialEq)]
enum Apart {
    No,
    Unchained,
    Groups,
}

/// Three operators at parallelism 4: a source, a map and a sink.
fn three(env: &Environment, apart: Apart, sums: &Collected<u64>) {
    let source = env.source(generate(1_000, |i| i));
    match apart {
        Apart::No => drop(source.map(|i| i * 2).sink(sums.sink())),
        Apart::Unchained => drop(source.map(|i| i * 2).disable_chaining().sink(sums.sink())),
        Apart::Groups => {
            let mapped = source.map(|i| i * 2).slot_sharing_group("maps");
            drop(mapped.sink(sums.sink()).slot_sharing_group("sinks"));
        }
    }
}

fn env(toml: &str) -> Environment {
    Environment::with(Config::from_toml(toml).unwrap())
}

fn planned(apart: Apart) -> Plan {
    let env = env("[job]\nparallelism = 4");
    three(&env, apart, &Collected::new());
    env.plan().unwrap()
}

fn sizes(plan: &Plan) -> [usize; 3] {
    [plan.chains.len(), plan.subtasks(), plan.slots]
}

#[test]
fn three_chained_operators_at_parallelism_4_are_4_subtasks() {
    assert_eq!(sizes(&planned(Apart::No)), [1, 4, 4]);
}

#[test]
fn unchained_they_are_12_subtasks_in_4_slots_that_they_share() {
    assert_eq!(sizes(&planned(Apart::Unchained)), [3, 12, 4]);
}

#[test]
fn three_slot_sharing_groups_need_12_slots() {
    assert_eq!(sizes(&planned(Apart::Groups)), [3, 12, 12]);
}

#[test]
fn an_operator_has_its_own_parallelism() {
    let env = env("[job]\nparallelism = 4");
    env.source(generate(10, |i| i)).map(|i| i).sink(callback(|_: u64| {})).parallelism(2);
    assert_eq!(sizes(&env.plan().unwrap()), [2, 6, 4]);
}

#[test]
fn too_few_slots_say_how_many_and_why() {
    let env = env("[job]\nparallelism = 4\n[slots]\ncount = 10");
    three(&env, Apart::Groups, &Collected::new());
    assert_eq!(
        env.plan().unwrap_err().to_string(),
        "slots.count: is 10, but the job needs 12 slots: 4 for group \"default\", 4 for group \"maps\", 4 for group \
         \"sinks\"; set it to 12, lower the parallelism, or set slots.overcommit = \"pack\""
    );
}

fn result(toml: &str, apart: Apart) -> Vec<u64> {
    let (env, sums) = (env(toml), Collected::new());
    three(&env, apart, &sums);
    env.run("three").unwrap();
    let mut sums = sums.take();
    sums.sort_unstable();
    sums
}

#[test]
fn packed_into_fewer_slots_a_job_gives_the_same() {
    let doubled: Vec<u64> = (0..1_000).map(|i| i * 2).collect();
    let packed = "[job]\nparallelism = 4\n[slots]\ncount = 3\novercommit = \"pack\"";
    assert_eq!(result(packed, Apart::Groups), doubled);
    assert_eq!(result("[job]\nparallelism = 4", Apart::Unchained), doubled);
}

#[test]
fn a_job_is_packed_into_the_pool_of_its_host() {
    let slots = Slots::new(&Config::from_toml("[slots]\ncount = 2").unwrap()).unwrap();
    let env = env("[job]\nparallelism = 4\n[slots]\novercommit = \"pack\"").on(&slots);
    let sums = Collected::new();
    three(&env, Apart::Unchained, &sums);
    env.run("packed").unwrap();
    assert_eq!(sums.take().len(), 1_000);
}

/// Checks that a plan knows which streams keep state.
macro_rules! keep_state {
    ($keeps:literal: |$numbers:ident| $($stream:expr;)*) => {$({
        let env = env("");
        let monotonous = Watermarks::monotonous();
        let $numbers = env.source(generate(1, |i| i)).with_timestamps(|i: &u64| *i as i64, monotonous);
        $stream.sink(callback(|_| {}));
        let operators = env.plan().unwrap().graph.operators;
        assert_eq!(operators.iter().any(|operator| operator.stateful), $keeps, stringify!($stream));
    })*};
}

#[test]
fn a_plan_knows_what_keeps_state() {
    let (second, seconds) = (Duration::from_secs(1), || Tumbling::of(Duration::from_secs(1)));
    keep_state!(true: |numbers|
        numbers.fold_at_end(0, |sum, i| *sum += i);
        numbers.key_by(|i| *i).fold_at_end(0, |sum, i| *sum += i);
        numbers.key_by(|i| *i).fold(0, |sum, i| *sum += i);
        numbers.key_by(|i| *i).reduce(|sum, i| sum + i);
        numbers.key_by(|i| *i).map_with_state(|_: &mut u64, i| i);
        numbers.key_by(|i| *i).count_window(2).reduce(|a, b| a.max(b));
        numbers.key_by(|i| *i).window(seconds()).reduce(|a, b| a + b);
        numbers.key_by(|i| *i).window(Session::with_gap(second)).reduce(|a, b| a + b);
        numbers.key_by(|i| *i).window(seconds()).trigger(CountTrigger::of(2)).reduce(|a, b| a + b);
        numbers.key_by(|i| *i).distinct(Ttl::processing_time(second));
        numbers.key_by(|i| *i).throttle(1, second);
        numbers.key_by(|i| *i).top(1, |i| *i);
    );
    keep_state!(false: |numbers|
        numbers.map(|i| i + 1);
        numbers.filter(|i| *i > 1).rebalance().map(|i| i).parallelism(2);
    );
}

#[test]
fn a_sink_that_somebody_holds_keeps_its_job_from_starting() {
    let env = env("");
    let held = env.source(generate(10, |i| i)).sink(callback(|_: u64| {})).name("out");
    let held = held.parallelism(2);
    assert_eq!(
        env.start("held").unwrap_err().to_string(),
        "operator \"out\": has not joined the job; let go of what .sink(..) returned before the start"
    );
    drop(held);
    assert_eq!(env.run("let go").unwrap().records, 10);
}

/// The text of what is wrong with a job.
fn refused(toml: &str, describe: impl FnOnce(&Environment)) -> String {
    let env = env(toml);
    describe(&env);
    let (planned, started) = (env.explain().map(|_| ()), env.start("refused").map(|_| ()));
    let text = |result: Result<(), Error>| result.unwrap_err().to_string();
    let (planned, started) = (text(planned), text(started));
    assert_eq!(planned, started, "explain and start must refuse alike");
    started
}

#[test]
fn an_empty_job_is_refused() {
    assert_eq!(
        refused("", |_| {}),
        "job: has no operators; describe at least one source and one sink before run"
    );
}

#[test]
fn a_stream_without_a_sink_is_refused() {
    let text = refused("", |env| drop(env.source(generate(1, |i| i)).map(|i| i).name("lost")));
    assert_eq!(text, "operator \"lost\": leads to no sink; end the stream with .sink(...)");
}

#[test]
fn a_uid_stands_for_one_operator() {
    let text = refused("", |env| {
        let source = env.source(generate(1, |i| i)).uid("a");
        source.map(|i| i).sink(callback(|_: u64| {})).uid("a");
    });
    assert_eq!(
        text,
        "operator \"callback\": has the uid \"a\" of operator \"generate\"; give each operator a uid of its own"
    );
}

#[test]
fn parallelism_is_bounded_by_the_key_groups_and_by_one() {
    let over = refused("[job]\nmax_parallelism = 8", |env| {
        env.source(generate(1, |i| i)).map(|i| i).parallelism(9).sink(callback(|_: u64| {}));
    });
    assert_eq!(
        over,
        "operator \"map\": has parallelism 9, more than the max parallelism 8; lower it, or raise max_parallelism \
         (fixed for the life of stored state)"
    );
    let none = refused("", |env| {
        env.source(generate(1, |i| i)).map(|i| i).parallelism(0).sink(callback(|_: u64| {}));
    });
    assert_eq!(none, "operator \"map\": has parallelism 0; give it at least 1");
}

#[test]
fn a_parallelism_that_nobody_can_count_is_refused_in_several_groups_and_on_named_cores() {
    let toml = "[operators.generate]\ncores = [0]\n[operators.map]\ncores = [1]";
    let text = refused(toml, |env| {
        let numbers = env.source(generate(1, |i| i)).parallelism(usize::MAX).slot_sharing_group("a");
        let mapped = numbers.map(|i| i).parallelism(usize::MAX).slot_sharing_group("b");
        mapped.sink(callback(|_: u64| {})).slot_sharing_group("c");
    });
    let lines: Vec<&str> = text.lines().collect();
    for (line, operator) in [(1, "generate"), (2, "map")] {
        let expected = format!("  - operator \"{operator}\": has parallelism {}, more than", usize::MAX);
        assert!(lines[line].starts_with(&expected), "{text}");
    }
}

#[test]
fn more_slots_than_can_be_meant_are_refused_by_the_job_and_by_the_pool() {
    let toml = "[slots]\ncount = 9223372036854775807";
    let expected = "slots.count: is 9223372036854775807, more than can be meant; give at most 32768";
    assert_eq!(refused(toml, |env| three(env, Apart::No, &Collected::new())), expected);
    let pool = Slots::new(&Config::from_toml(toml).unwrap()).map(|slots| slots.count());
    assert_eq!(pool.unwrap_err().to_string(), expected);
}

#[test]
fn the_longest_times_of_the_configuration_are_lived_with() {
    let toml = "[job]\ncommit_interval_ms = 31536000000\nleave_timeout_ms = 31536000000\n[slots]\n\
                spin_us = 31536000000000\nstall_ms = 31536000000\n[step]\nbudget_us = 31535999999";
    let doubled: Vec<u64> = (0..1_000).map(|i| i * 2).collect();
    assert_eq!(result(toml, Apart::Unchained), doubled);
}

#[test]
fn a_stream_of_another_environment_is_refused_by_both() {
    let other = env("");
    let text = refused("", |env| {
        let (here, there) = (env.source(generate(1, |i| i)), other.source(generate(1, |i| i)));
        here.union(there).sink(callback(|_: u64| {}));
    });
    assert_eq!(
        text,
        "union: joins a stream of another environment; begin all streams of a job with .source(..) of one environment"
    );
    let text = other.plan().unwrap_err().to_string();
    assert_eq!(text, "operator \"generate\": leads to no sink; end the stream with .sink(...)");
}

#[test]
fn a_wrong_parallelism_of_the_job_is_one_problem() {
    let text = refused("[job]\nparallelism = 0", |env| three(env, Apart::Groups, &Collected::new()));
    assert_eq!(text, "job.parallelism: is 0; give at least 1 or leave it out");
}

#[test]
fn the_configuration_names_heads_of_chains() {
    let toml = "[operators.snik]\nparallelism = 2\n[operators.double]\nparallelism = 2";
    let text = refused(toml, |env| {
        let mapped = env.source(generate(1, |i| i)).name("numbers").map(|i| i * 2).name("double");
        mapped.rebalance().map(|i| i).name("next").sink(callback(|_: u64| {})).name("sink");
    });
    assert_eq!(
        text,
        "2 problems before the start\n  - operators.\"double\": names an operator in the middle of the chain of \
         \"numbers\"; name that one, or call .start_new_chain() on this one\n  - operators.\"snik\": names no operator \
         of this job; name the head of a chain: \"numbers\", \"next\""
    );
}

#[test]
fn a_name_that_two_operators_have_cannot_be_configured() {
    let text = refused("[operators.map]\nparallelism = 2", |env| {
        let mapped = env.source(generate(1, |i| i)).rebalance().map(|i| i);
        mapped.rebalance().map(|i| i).sink(callback(|_: u64| {}));
    });
    assert_eq!(text, "operators.\"map\": names 2 operators; give them different names with .name(...)");
}

#[test]
fn an_unknown_core_is_refused_together_with_the_job_s_problems() {
    let text = refused("[slots]\ncores = [9999]\n[operators.generate]\ncores = [9999]", |env| {
        env.source(generate(1, |i| i)).parallelism(0).sink(callback(|_: u64| {}));
    });
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..2],
        ["3 problems before the start", "  - operator \"generate\": has parallelism 0; give it at least 1"]
    );
    assert!(lines[2].starts_with("  - slots.cores: names core 9999; this process may run on "), "{text}");
    let operator = "  - operators.\"generate\".cores: names core 9999; this process may run on ";
    assert!(lines[3].starts_with(operator), "{text}");
}

#[test]
fn chains_that_share_a_slot_must_share_its_core() {
    let toml = "[slots]\npin = true\n[operators.generate]\ncores = [0]\n[operators.map]\ncores = [1]";
    let env = env(toml);
    env.source(generate(1, |i| i)).map(|i| i).start_new_chain().sink(callback(|_: u64| {}));
    assert_eq!(
        env.plan().unwrap_err().to_string(),
        "operator \"map\": shares slots with operator \"generate\", which may use other cores; name the same cores \
         for both, or give one a slot sharing group of its own"
    );
}

#[test]
fn a_source_that_one_subtask_reads_has_parallelism_1() {
    let text = refused("", |env| {
        env.source(from_iterator([1, 2])).parallelism(2).sink(callback(|_: i32| {}));
    });
    assert_eq!(
        text,
        "operator \"from_iterator\": has parallelism 2, but only one subtask can read it; leave it at 1 and call \
         .rebalance() behind it"
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let toml = "[job]\nmax_parallelism = 4\n[edges]\ncapacity = 3\n[slots]\ncount = 1\n[operators.nobody]\n";
    let text = refused(toml, |env| {
        let mapped = env.source(from_iterator([1, 2])).uid("x").parallelism(2).map(|i| i).uid("x");
        mapped.parallelism(5).sink(callback(|_: i32| {}));
        drop(env.source(generate(1, |i| i)).name("lost"));
    });
    assert_eq!(text, include_str!("golden/all_problems.txt").trim_end());
}

/// A source and a sink whose other side is away.
struct Away(&'static str);

fn away(what: &str) -> Error {
    Error::world(format!("{what} is away"), "start it")
}

impl Source for Away {
    type Reader = Never;
    fn describe(&self) -> String {
        self.0.into()
    }
    fn splits(&mut self) -> Result<Splits> {
        Err(away(self.0))
    }
    fn open(&mut self, _: &SubtaskContext, _: &[SplitId]) -> Result<Never> {
        Err(Error::bug("a source that is away was opened"))
    }
}

impl Sink<Owned<u64>> for Away {
    type Writer = Never;
    fn describe(&self) -> String {
        self.0.into()
    }
    fn check(&mut self) -> Result<()> {
        Err(away(self.0))
    }
    fn open(&mut self, _: &SubtaskContext) -> Result<Never> {
        Err(Error::bug("a sink that is away was opened"))
    }
}

/// What is never made.
enum Never {}

impl SourceReader for Never {
    type Item = Owned<u64>;
    type Time = Untimed;
    fn poll<'s>(
        &'s mut self,
        _: usize,
        _: &mut Context<'s>,
        _: &mut impl Output<Owned<u64>>,
    ) -> Result<Polled> {
        match *self {}
    }
}

impl SinkWriter<Owned<u64>> for Never {
    fn write<'s>(&mut self, _: u64, _: &mut Context<'s>) {
        match *self {}
    }
}

#[test]
fn whatever_is_away_is_told_with_everything_else() {
    let text = refused("[edges]\ncapacity = 3\n[slots]\ncount = 1", |env| {
        env.source(Away("left")).uid("x").parallelism(2).sink(callback(|_: u64| {})).uid("x");
        env.source(Away("right")).name("the other").sink(Away("out"));
        env.source(generate(1, |i| i))
            .tee_with(|main| main.sink(Away("first")), |side| side.sink(Away("second")));
    });
    assert_eq!(text, include_str!("golden/away.txt").trim_end());
}

#[test]
fn one_source_that_is_away_is_named() {
    let text = refused("", |env| drop(env.source(Away("left")).name("orders").sink(callback(|_: u64| {}))));
    assert_eq!(text, "operator \"orders\": left is away; start it");
}

/// Counts how often it is asked.
struct Asked(Arc<AtomicUsize>);

impl Sink<Owned<u64>> for Asked {
    type Writer = Written;
    fn describe(&self) -> String {
        "asked".into()
    }
    fn check(&mut self) -> Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    fn open(&mut self, _: &SubtaskContext) -> Result<Written> {
        Ok(Written)
    }
}

struct Written;

impl SinkWriter<Owned<u64>> for Written {
    fn write<'s>(&mut self, _: u64, _: &mut Context<'s>) {}
}

#[test]
fn a_sink_that_has_answered_is_not_asked_again() {
    let (asked, env) = (Arc::<AtomicUsize>::default(), env(""));
    env.source(generate(1, |i| i)).sink(Asked(asked.clone()));
    env.explain().unwrap();
    env.run("asked").unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// A source or a sink that answers when another one has been asked, too.
struct Waits {
    asked: Sender<()>,
    other: Receiver<()>,
}

impl Waits {
    fn two() -> (Waits, Waits) {
        let ((asked, other), (asked_too, other_too)) = (channel(), channel());
        (Waits { asked, other: other_too }, Waits { asked: asked_too, other })
    }

    fn answer(&self) -> Result<()> {
        self.asked.send(()).map_err(|_| away("other"))?;
        self.other.recv_timeout(Duration::from_secs(60)).map_err(|_| away("other"))
    }
}

impl Source for Waits {
    type Reader = Never;
    fn describe(&self) -> String {
        "waits".into()
    }
    fn splits(&mut self) -> Result<Splits> {
        self.answer()?;
        Ok(Splits::Count(1))
    }
    fn open(&mut self, _: &SubtaskContext, _: &[SplitId]) -> Result<Never> {
        Err(Error::bug("nobody starts this job"))
    }
}

impl Sink<Owned<u64>> for Waits {
    type Writer = Never;
    fn describe(&self) -> String {
        "waits".into()
    }
    fn check(&mut self) -> Result<()> {
        self.answer()
    }
    fn open(&mut self, _: &SubtaskContext) -> Result<Never> {
        Err(Error::bug("nobody starts this job"))
    }
}

#[test]
fn connectors_are_asked_side_by_side() {
    let ((source, other), (before, behind), (first, second)) = (Waits::two(), Waits::two(), Waits::two());
    let env = env("");
    env.source(source).sink(callback(|_: u64| {}));
    env.source(other).sink(callback(|_: u64| {}));
    env.source(before).sink(behind);
    env.source(generate(1, |i| i)).tee_with(|main| main.sink(first), |side| side.sink(second));
    assert_eq!(env.plan().unwrap().graph.operators[0].splits, Some(Splits::Count(1)));
}
