//! The commit rule, as a state machine.
//!
//! 1. Every interval the coordinator asks for barrier `k`, or at once where a committer is waited for. Each source
//!    injects it between two records and reports the offsets at which it reads on.
//! 2. The barrier travels behind everything read before it, and no ring or operator lets it overtake.
//! 3. A sink says "arrived `k`" once everything before `k` has been acknowledged by the outside.
//! 4. When every sink has said so, each source's offsets of `k` are committed. So an offset is never
//!    committed before the records in front of it have arrived: at-least-once.
//! 5. A source that has ended reports its last offsets; they are committed when every subtask is
//!    done, which a sink only is once all it wrote has been acknowledged.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::control::{Arrivals, JobControl, Phase, Report};
use crate::{Committer, Error, Offsets, Result};

/// At most this many barriers may be under way; more would only queue behind a slow sink.
const BARRIERS_UNDER_WAY: u64 = 4;

/// One source subtask's side of the rule.
struct SourceSide {
    committer: Option<Box<dyn Committer>>,
    reported: VecDeque<(u64, Offsets)>,
    last: Option<Offsets>,
}

/// Decides when barriers are asked for and which offsets are committed.
pub struct Coordinator {
    control: Arc<JobControl>,
    inbox: Receiver<Report>,
    sources: Vec<SourceSide>,
    sinks: Vec<Arc<Arrivals>>,
    interval_ns: u64,
    requested_ns: u64,
    committed: u64,
}

impl Coordinator {
    /// A coordinator over the committers of the source subtasks, by number, and the sinks' arrivals.
    pub fn new(
        control: Arc<JobControl>,
        inbox: Receiver<Report>,
        committers: Vec<Option<Box<dyn Committer>>>,
        sinks: Vec<Arc<Arrivals>>,
        interval_ns: u64,
    ) -> Coordinator {
        let side = |committer| SourceSide { committer, reported: VecDeque::new(), last: None };
        let sources = committers.into_iter().map(side).collect();
        Coordinator { control, inbox, sources, sinks, interval_ns, requested_ns: 0, committed: 0 }
    }

    /// Whether any source has somewhere to commit; without one no barrier is ever asked for.
    pub fn commits(&self) -> bool {
        self.sources.iter().any(|source| source.committer.is_some())
    }

    /// The last barrier whose offsets are committed.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Looks what has arrived, commits it, and asks for the next barrier when it is due. An aborted job
    /// commits nothing more.
    pub fn tick(&mut self, now_ns: u64) -> Result<()> {
        if self.control.phase() == Phase::Aborting {
            return Ok(());
        }
        self.commit_arrived()?;
        let under_way = self.control.requested_barrier().saturating_sub(self.committed);
        // One that is under way may be too old for who waits: the next one follows it.
        let awaited = under_way == 0 && self.is_awaited();
        let due = awaited || now_ns >= self.requested_ns + self.interval_ns;
        let running = self.control.phase() == Phase::Running;
        if self.commits() && due && under_way < BARRIERS_UNDER_WAY && running {
            self.requested_ns = now_ns;
            self.control.request_barrier(self.control.requested_barrier() + 1);
        }
        Ok(())
    }

    fn is_awaited(&self) -> bool {
        self.sources.iter().flat_map(|source| &source.committer).any(|committer| committer.is_awaited())
    }

    /// The job is over. Commits what has arrived; after a clean end, the last offsets too. Every committer is asked,
    /// and has the last word, whatever becomes of the others.
    ///
    /// # Errors
    /// The first one; the others are in the log.
    pub fn close(&mut self, clean: bool) -> Result<()> {
        self.collect();
        let committed = if clean { self.commit_last() } else { self.commit_arrived() };
        let finished = self.each(|source| source.ask(|committer| committer.finish()));
        self.first([committed, finished])
    }

    fn commit_last(&mut self) -> Result<()> {
        self.each(|source| {
            let last = source.last.take().or_else(|| source.reported.pop_back().map(|(_, offsets)| offsets));
            source.commit(last)
        })
    }

    /// Does it for every source, whatever comes of it for the others.
    fn each(&mut self, mut act: impl FnMut(&mut SourceSide) -> Result<()>) -> Result<()> {
        let outcomes: Vec<Result<()>> = self.sources.iter_mut().map(&mut act).collect();
        self.first(outcomes)
    }

    /// The first error is the job's; the others are told in the log.
    fn first(&self, outcomes: impl IntoIterator<Item = Result<()>>) -> Result<()> {
        let mut errors = outcomes.into_iter().filter_map(Result::err);
        let first = errors.next();
        errors.for_each(|other| {
            tracing::error!(job = self.control.name, "another commit has failed, too: {other}");
        });
        first.map_or(Ok(()), Err)
    }

    fn collect(&mut self) {
        while let Ok(report) = self.inbox.try_recv() {
            let source = &mut self.sources[report.source];
            match report.barrier {
                Some(barrier) => source.reported.push_back((barrier, report.offsets)),
                None => source.last = Some(report.offsets),
            }
        }
    }

    fn commit_arrived(&mut self) -> Result<()> {
        // The arrivals first: whatever arrived was reported before, so no report can be missing.
        let Some(arrived) = self.sinks.iter().map(|sink| sink.value()).min() else { return Ok(()) };
        self.collect();
        if arrived <= self.committed {
            return Ok(());
        }
        self.each(|source| {
            let offsets = source.take_up_to(arrived);
            source.commit(offsets)
        })?;
        self.committed = arrived;
        Ok(())
    }
}

impl SourceSide {
    /// The newest offsets at or before barrier `arrived`.
    fn take_up_to(&mut self, arrived: u64) -> Option<Offsets> {
        let mut newest = None;
        while self.reported.front().is_some_and(|(barrier, _)| *barrier <= arrived) {
            newest = self.reported.pop_front().map(|(_, offsets)| offsets);
        }
        newest
    }

    fn commit(&mut self, offsets: Option<Offsets>) -> Result<()> {
        match offsets {
            Some(offsets) if !offsets.is_empty() => self.ask(|committer| committer.commit(&offsets)),
            _ => Ok(()),
        }
    }

    /// Asks the committer, if there is one. A panic is its error, and it is not asked again: nobody knows what it
    /// has done.
    fn ask(&mut self, ask: impl FnOnce(&mut dyn Committer) -> Result<()>) -> Result<()> {
        let Some(mut committer) = self.committer.take() else { return Ok(()) };
        let asked = catch_unwind(AssertUnwindSafe(|| ask(&mut *committer)));
        let outcome = asked.map_err(Error::panicked)?;
        self.committer = Some(committer);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Commits(Arc<Mutex<Vec<Offsets>>>);

    impl Committer for Commits {
        fn commit(&mut self, offsets: &Offsets) -> Result<()> {
            self.0.lock().unwrap().push(offsets.clone());
            Ok(())
        }

        fn finish(&mut self) -> Result<()> {
            self.commit(&Offsets::new())
        }
    }

    /// A source that has reported barriers 1 and 2, and a sink at which barrier 1 has arrived.
    fn one_of_two() -> (Arc<JobControl>, Coordinator, Arc<Mutex<Vec<Offsets>>>) {
        let (control, inbox) = JobControl::new("test", 2);
        let (commits, sink) = (Arc::default(), Arc::new(Arrivals::default()));
        let committer: Box<dyn Committer> = Box::new(Commits(Arc::clone(&commits)));
        let coordinator =
            Coordinator::new(control.clone(), inbox, vec![Some(committer)], vec![sink.clone()], 1);
        control.report_offsets(0, 1, vec![(0, 10)]);
        control.report_offsets(0, 2, vec![(0, 20)]);
        sink.set(1);
        (control, coordinator, commits)
    }

    #[test]
    fn what_has_arrived_is_committed_and_no_more() {
        let (_control, mut coordinator, commits) = one_of_two();
        coordinator.tick(1).unwrap();
        coordinator.tick(2).unwrap();
        assert_eq!(*commits.lock().unwrap(), [[(0, 10)]]);
    }

    /// Somebody always waits for it.
    struct Awaited;

    impl Committer for Awaited {
        fn commit(&mut self, _: &Offsets) -> Result<()> {
            Ok(())
        }

        fn is_awaited(&self) -> bool {
            true
        }
    }

    #[test]
    fn what_is_waited_for_has_a_barrier_at_once_and_another_behind_it() {
        let (control, inbox) = JobControl::new("test", 1);
        let (sink, committer) =
            (Arc::new(Arrivals::default()), Some(Box::new(Awaited) as Box<dyn Committer>));
        let committers = vec![committer];
        let mut coordinator =
            Coordinator::new(control.clone(), inbox, committers, vec![sink.clone()], u64::MAX / 2);
        let mut asked = |arrived| {
            sink.set(arrived);
            (0..3).for_each(|now_ns| coordinator.tick(now_ns).unwrap());
            control.requested_barrier()
        };
        assert_eq!([asked(0), asked(1), asked(1)], [1, 2, 2], "one at a time");
    }

    #[test]
    fn a_stopped_job_commits_what_has_arrived() {
        let (_control, mut coordinator, commits) = one_of_two();
        coordinator.close(false).unwrap();
        assert_eq!(*commits.lock().unwrap(), [vec![(0, 10)], vec![]], "the committer has the last word");
    }

    #[test]
    fn a_job_that_ends_well_commits_everything_and_then_finishes() {
        let (control, mut coordinator, commits) = one_of_two();
        control.report_end(0, vec![(0, 25)]);
        coordinator.close(true).unwrap();
        assert_eq!(*commits.lock().unwrap(), [vec![(0, 25)], vec![]]);
    }

    #[test]
    fn an_aborted_job_commits_nothing_more() {
        let (control, mut coordinator, commits) = one_of_two();
        control.advance(Phase::Aborting);
        coordinator.tick(1).unwrap();
        assert!(commits.lock().unwrap().is_empty());
    }

    /// Fails or panics at every call.
    struct Broken {
        panics: bool,
        asked: Arc<Mutex<u32>>,
    }

    impl Committer for Broken {
        fn commit(&mut self, _: &Offsets) -> Result<()> {
            *self.asked.lock().unwrap() += 1;
            assert!(!self.panics, "planned panic");
            Err(Error::world("no commit", "try later"))
        }
    }

    /// Three sources, of which the first two cannot commit; what is told, and what the third has committed.
    fn one_of_three(clean: bool) -> (String, Vec<Offsets>, u32) {
        let (control, inbox) = JobControl::new("test", 3);
        let (commits, asked) = (Arc::<Mutex<Vec<Offsets>>>::default(), Arc::<Mutex<u32>>::default());
        let broken = |panics| -> Option<Box<dyn Committer>> {
            Some(Box::new(Broken { panics, asked: asked.clone() }))
        };
        let works: Option<Box<dyn Committer>> = Some(Box::new(Commits(commits.clone())));
        let (sink, committers) = (Arc::new(Arrivals::default()), vec![broken(false), broken(true), works]);
        sink.set(1);
        let mut coordinator = Coordinator::new(control.clone(), inbox, committers, vec![sink], 1);
        for source in 0..3 {
            control.report_offsets(source, 1, vec![(0, 10)]);
            control.report_end(source, vec![(0, 25)]);
        }
        let told = coordinator.close(clean).unwrap_err().to_string();
        let (commits, asked) = (commits.lock().unwrap().clone(), *asked.lock().unwrap());
        (told, commits, asked)
    }

    #[test]
    fn a_committer_that_fails_or_panics_keeps_no_other_from_its_commit() {
        for (clean, offset) in [(true, 25), (false, 10)] {
            let (told, commits, asked) = one_of_three(clean);
            assert_eq!(told, "no commit; try later", "the first error counts");
            assert_eq!(commits, [vec![(0, offset)], vec![]], "the third has the last word, too");
            assert_eq!(asked, 2);
        }
    }
}
