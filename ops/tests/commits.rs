//! The job's own thread in the middle of a commit, and what the handle says about it.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::sync::mpsc::{Receiver, Sender, channel};

use slotflow::io::callback;
use slotflow_ops::Environment;
use slotflow_runtime::{
    Committer, Config, Context, Offsets, Output, Owned, Polled, Result, Source, SourceReader, SplitId,
    Splits, SubtaskContext, Untimed,
};

/// The outside's side of a commit: hears that it is asked, and answers when it likes.
struct Outside {
    asked: Receiver<()>,
    answer: Sender<()>,
}

/// The job's side. Also a source of nothing, and its reader.
struct Slow {
    asked: Sender<()>,
    answer: Receiver<()>,
}

struct Nothing(Option<Slow>);

fn slow() -> (Outside, Nothing) {
    let ((asks, asked), (answer, answers)) = (channel(), channel());
    (Outside { asked, answer }, Nothing(Some(Slow { asked: asks, answer: answers })))
}

impl Source for Nothing {
    type Reader = Nothing;
    fn describe(&self) -> String {
        "nothing".into()
    }
    fn commits(&self) -> bool {
        true
    }
    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::Single)
    }
    fn open(&mut self, _: &SubtaskContext, _: &[SplitId]) -> Result<Nothing> {
        Ok(Nothing(self.0.take()))
    }
}

impl SourceReader for Nothing {
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
        Some(Box::new(self.0.take()?))
    }
}

impl Committer for Slow {
    fn commit(&mut self, _: &Offsets) -> Result<()> {
        Ok(())
    }
    fn finish(&mut self) -> Result<()> {
        self.asked.send(()).unwrap();
        self.answer.recv().unwrap();
        Ok(())
    }
}

#[test]
fn a_commit_that_is_under_way_is_in_the_report() {
    let env = Environment::with(Config::from_toml("[job]\nleave_timeout_ms = 1").unwrap());
    let (outside, source) = slow();
    env.source(source).sink(callback(|_: u64| {}));
    let job = env.start("slow").unwrap();
    // Asked only once every subtask is gone.
    outside.asked.recv().unwrap();
    let report = job.stop().unwrap();
    assert_eq!(report.unfinished, ["a commit that is still under way"]);
    assert!(report.to_string().ends_with("; not done: a commit that is still under way"), "{report}");
    outside.answer.send(()).unwrap();
}

#[test]
fn a_commit_that_was_answered_is_not() {
    let env = Environment::with(Config::default());
    let (outside, source) = slow();
    env.source(source).sink(callback(|_: u64| {}));
    let job = env.start("slow\0but sure").unwrap();
    outside.asked.recv().unwrap();
    outside.answer.send(()).unwrap();
    assert!(job.wait().unwrap().unfinished.is_empty());
}
