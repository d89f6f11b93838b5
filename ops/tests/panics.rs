//! Panics outside a step: in a factory, in a destructor, in a committer, in a connector that is asked or opened. The
//! job fails and says why; the host, the core and the other jobs on it go on.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use slotflow::io::{Collected, callback, generate};
use slotflow_ops::Environment;
use slotflow_runtime::{
    Committer, Config, Context, Offsets, Output, Owned, Place, Polled, Result, Sink, SinkWriter, Slots,
    Source, SourceReader, SplitId, Splits, SubtaskContext, Untimed,
};

fn pool() -> Slots {
    Slots::new(&Config::from_toml("[slots]\ncount = 1").unwrap()).unwrap()
}

/// The pool's core is alive if another job runs on it to its end.
fn still_works(pool: &Slots) {
    let sums = Collected::new();
    let env = Environment::with(Config::default()).on(pool);
    env.source(generate(10, |i| i)).fold_at_end(0, |sum, i| *sum += i).sink(sums.sink());
    env.run("after").unwrap();
    assert_eq!(sums.take(), [45]);
}

#[test]
fn a_factory_that_panics_fails_its_job_only() {
    let pool = pool();
    let env = Environment::with(Config::default()).on(&pool);
    let broken = |subtask: Place<'_>| {
        assert_eq!(subtask.index, 7, "no table for subtask {}", subtask.index);
        |i: u64| i
    };
    env.source(generate(10, |i| i)).name("numbers").map_with(broken).sink(callback(|_: u64| {}));
    let error = env.run("broken").unwrap_err().to_string();
    assert!(error.starts_with("operator \"numbers\", subtask 0: panicked: "), "{error}");
    assert!(error.contains("no table for subtask 0"), "{error}");
    still_works(&pool);
}

#[test]
fn a_panic_whose_value_panics_when_it_is_dropped_fails_its_job_only() {
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            panic!("again");
        }
    }
    let pool = pool();
    let env = Environment::with(Config::default()).on(&pool);
    let broken = |i: u64| if i < 3 { i } else { std::panic::panic_any(Again) };
    env.source(generate(10, |i| i)).name("numbers").map(broken).name("broken").sink(callback(|_: u64| {}));
    assert_eq!(
        env.run("broken").unwrap_err().to_string(),
        "operator \"broken\", subtask 0: panicked: with a value that is no text"
    );
    still_works(&pool);
}

#[test]
fn a_destructor_that_panics_fails_its_job_only() {
    /// Panics where its operator is dropped, not where the description of it is.
    #[derive(Clone)]
    struct Cracked(bool);
    impl Drop for Cracked {
        fn drop(&mut self) {
            assert!(!self.0, "cracked");
        }
    }
    let pool = pool();
    let env = Environment::with(Config::default()).on(&pool);
    let made = |_: Place<'_>| {
        let cracked = Cracked(true);
        move |i: u64| {
            let whole = &cracked;
            i + u64::from(!whole.0)
        }
    };
    env.source(generate(10, |i| i)).map_with(made).sink(callback(|_: u64| {}));
    let error = env.run("cracked").unwrap_err().to_string();
    assert_eq!(error, "operator \"map\", subtask 0: panicked: cracked");
    still_works(&pool);
}

/// Ten records and a committer that panics.
struct Ten;

struct TenReader(u64);

struct Broken;

impl Source for Ten {
    type Reader = TenReader;
    fn describe(&self) -> String {
        "ten".into()
    }
    fn commits(&self) -> bool {
        true
    }
    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::Single)
    }
    fn open(&mut self, _: &SubtaskContext, _: &[SplitId]) -> Result<TenReader> {
        Ok(TenReader(0))
    }
}

impl SourceReader for TenReader {
    type Item = Owned<u64>;
    type Time = Untimed;
    fn poll<'s>(
        &'s mut self,
        _: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<u64>>,
    ) -> Result<Polled> {
        if self.0 == 10 {
            return Ok(Polled::End);
        }
        out.push(self.0, ctx);
        self.0 += 1;
        Ok(Polled::Records(1))
    }
    fn offsets(&self) -> Offsets {
        vec![(0, self.0 as i64)]
    }
    fn committer(&mut self) -> Option<Box<dyn Committer>> {
        Some(Box::new(Broken))
    }
}

impl Committer for Broken {
    fn commit(&mut self, offsets: &Offsets) -> Result<()> {
        panic!("no room for {offsets:?}")
    }
}

#[test]
fn a_committer_that_panics_fails_the_job_instead_of_keeping_it_waiting() {
    let pool = pool();
    let env = Environment::with(Config::default()).on(&pool);
    env.source(Ten).sink(callback(|_: u64| {}));
    let error = env.run("ten").unwrap_err().to_string();
    assert_eq!(error, "panicked: no room for [(0, 10)]");
    still_works(&pool);
}

/// A source or a sink with a call that panics, by its name.
#[derive(Clone)]
struct Panics(&'static str);

impl Panics {
    fn at(&self, call: &str) {
        assert!(self.0 != call, "in {call}");
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.at("drop");
    }
}

impl Source for Panics {
    type Reader = Panics;
    fn describe(&self) -> String {
        "connector".into()
    }
    fn splits(&mut self) -> Result<Splits> {
        self.at("splits");
        Ok(Splits::Single)
    }
    fn open(&mut self, _: &SubtaskContext, _: &[SplitId]) -> Result<Panics> {
        self.at("open");
        Ok(Panics(if self.0 == "drop" { "" } else { self.0 }))
    }
}

impl SourceReader for Panics {
    type Item = Owned<u64>;
    type Time = Untimed;
    fn poll<'s>(
        &'s mut self,
        _: usize,
        _: &mut Context<'s>,
        _: &mut impl Output<Owned<u64>>,
    ) -> Result<Polled> {
        Ok(Polled::End)
    }
    fn committer(&mut self) -> Option<Box<dyn Committer>> {
        self.at("committer");
        None
    }
}

impl Sink<Owned<u64>> for Panics {
    type Writer = Panics;
    fn describe(&self) -> String {
        "connector".into()
    }
    fn check(&mut self) -> Result<()> {
        self.at("check");
        Ok(())
    }
    fn open(&mut self, _: &SubtaskContext) -> Result<Panics> {
        self.at("open");
        Ok(self.clone())
    }
}

impl SinkWriter<Owned<u64>> for Panics {
    fn write<'s>(&mut self, _: u64, _: &mut Context<'s>) {}
}

/// What a job says that was described like this.
fn told(pool: &Slots, describe: impl FnOnce(&Environment)) -> String {
    let env = Environment::with(Config::default()).on(pool);
    describe(&env);
    env.run("told").unwrap_err().to_string()
}

#[test]
fn a_connector_that_panics_before_the_start_is_named_and_the_host_goes_on() {
    let pool = pool();
    for (call, place) in [("splits", ""), ("open", ", subtask 0"), ("committer", ", subtask 0")] {
        let source = |env: &Environment| drop(env.source(Panics(call)).sink(callback(|_: u64| {})));
        let text = told(&pool, source);
        assert!(text.starts_with(&format!("operator \"connector\"{place}: panicked: in {call}")), "{text}");
    }
    for (call, place) in [("check", ""), ("open", ", subtask 0")] {
        let sink = |env: &Environment| drop(env.source(generate(1, |i| i)).sink(Panics(call)));
        let text = told(&pool, sink);
        assert!(text.starts_with(&format!("operator \"connector\"{place}: panicked: in {call}")), "{text}");
    }
    let cracked = |env: &Environment| drop(env.source(Panics("drop")).sink(callback(|_: u64| {})));
    assert_eq!(told(&pool, cracked), "panicked: in drop");
    still_works(&pool);
}
