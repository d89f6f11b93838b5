//! What still happens after an operator or a sink has failed: nothing, in its own subtask.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::sync::{Arc, Mutex};

use slotflow::io::{Collected, generate};
use slotflow_ops::Environment;
use slotflow_runtime::{
    Cloned, Config, Context, Error, Flow, Operator, Output, Owned, Result, Sink, SinkWriter, SubtaskContext,
};

/// Far fewer than a step takes in, so that the failure is in the middle of one.
const FAILS_AT: u64 = 5;

/// Notes what it sees, and fails at [`FAILS_AT`], after which it would go on.
#[derive(Clone, Default)]
struct Fails(Arc<Mutex<Vec<u64>>>);

impl Operator<Owned<u64>> for Fails {
    type Out = Owned<u64>;
    fn process<'s>(&mut self, i: u64, ctx: &mut Context<'s>, out: &mut impl Output<Owned<u64>>) {
        self.0.lock().unwrap().push(i);
        if i == FAILS_AT {
            ctx.fail(Error::user("enough"));
        }
        out.push(i, ctx);
    }
}

fn env() -> Environment {
    Environment::with(Config::default())
}

#[test]
fn nothing_is_processed_or_written_after_an_operator_has_failed() {
    let (env, before, behind) = (env(), Fails::default(), FullDisk::default());
    let seen = before.0.clone();
    env.source(generate(1_000, |i| i)).then("fails", Cloned(before)).map(|i| i).sink(behind.clone());
    let error = env.run("fails").unwrap_err().to_string();
    assert_eq!(error, "operator \"fails\", subtask 0: enough");
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(*behind.0.lock().unwrap(), [0, 1, 2, 3, 4]);
}

/// Notes what it writes, and fails at [`FAILS_AT`].
#[derive(Clone, Default)]
struct FullDisk(Arc<Mutex<Vec<u64>>>);

impl Sink<Owned<u64>> for FullDisk {
    type Writer = FullDisk;
    fn describe(&self) -> String {
        "disk".into()
    }
    fn open(&mut self, _: &SubtaskContext) -> Result<FullDisk> {
        Ok(self.clone())
    }
}

impl SinkWriter<Owned<u64>> for FullDisk {
    fn write<'s>(&mut self, i: u64, ctx: &mut Context<'s>) {
        match i {
            FAILS_AT => ctx.fail(Error::world("the disk is full", "make room")),
            _ => self.0.lock().unwrap().push(i),
        }
    }
}

#[test]
fn a_sink_that_has_failed_writes_nothing_more() {
    let (env, disk) = (env(), FullDisk::default());
    env.source(generate(1_000, |i| i)).sink(disk.clone());
    let error = env.run("full").unwrap_err().to_string();
    assert_eq!(error, "operator \"disk\", subtask 0: the disk is full; make room");
    assert_eq!(*disk.0.lock().unwrap(), [0, 1, 2, 3, 4]);
}

/// Fails at the end of the input; or says that it was asked behind one that has failed.
#[derive(Clone)]
struct AtTheEnd {
    fails: bool,
    asked: Arc<Mutex<u32>>,
}

impl Operator<Owned<u64>> for AtTheEnd {
    type Out = Owned<u64>;
    fn process<'s>(&mut self, i: u64, ctx: &mut Context<'s>, out: &mut impl Output<Owned<u64>>) {
        out.push(i, ctx);
    }
    fn end<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<Owned<u64>>) -> Flow {
        *self.asked.lock().unwrap() += 1;
        if self.fails {
            ctx.fail(Error::user("no end"));
        }
        Flow::Done
    }
}

#[test]
fn an_end_that_fails_goes_no_further() {
    let (env, asked) = (env(), Arc::<Mutex<u32>>::default());
    let at_the_end = |fails| Cloned(AtTheEnd { fails, asked: asked.clone() });
    let ends = env.source(generate(10, |i| i)).then("ends", at_the_end(true));
    ends.then("behind", at_the_end(false)).sink(Collected::new().sink());
    let error = env.run("ends").unwrap_err().to_string();
    assert_eq!(error, "operator \"ends\", subtask 0: no end");
    assert_eq!(*asked.lock().unwrap(), 1);
}
