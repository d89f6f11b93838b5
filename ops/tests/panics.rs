//! Panics outside a step: in a factory, in a destructor, in a committer. The job fails and says why; the
//! core and the other jobs on it go on.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use slotflow::io::{Collected, callback, generate};
use slotflow_ops::Environment;
use slotflow_runtime::{
    Committer, Config, Context, Offsets, Output, Owned, Place, Polled, Result, Slots, Source, SourceReader,
    SplitId, Splits, SubtaskContext, Untimed,
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
    assert_eq!(error, "operator \"generate\", subtask 0: panicked: cracked");
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
