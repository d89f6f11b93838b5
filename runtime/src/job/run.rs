//! Starting a job, and the thread that looks after it.

use std::sync::Arc;
use std::time::Duration;

use super::control::{JobControl, Phase};
use super::coordinator::Coordinator;
use super::handle::{Job, Parts};
use crate::config::Config;
use crate::install::{Installed, Installer};
use crate::plan::Plan;
use crate::slot::{Deployment, Slots, Waker};
use crate::{Clock, Error, IoCores, Result};

/// How often the job's thread looks for arrivals while sources commit (a guess: a hundredth of the
/// default commit interval).
const TICK: Duration = Duration::from_millis(10);

/// How often it looks after a job that commits nothing; it is woken when something changes.
const REST: Duration = Duration::from_secs(1);

/// A job whose subtasks are made but not yet on their slots; the same for threads and simulation.
pub(crate) struct Assembled {
    /// What its subtasks share.
    pub control: Arc<JobControl>,
    /// Who commits for it.
    pub coordinator: Coordinator,
    /// The subtasks on their way; slot numbers are the job's own.
    pub deployments: Vec<Deployment>,
    /// The meters.
    pub installed: Installed,
}

/// Installs a plan's pipelines for slots that have these wakers, on a host with these I/O cores and
/// this clock.
pub(crate) fn assemble(
    name: &str,
    plan: &Plan,
    config: &Config,
    wakers: Vec<Waker>,
    (io, clock): (IoCores, Clock),
    install: impl FnOnce(&mut Installer<'_>) -> Result<()>,
) -> Result<Assembled> {
    let (control, inbox) = JobControl::new(name, plan.subtasks());
    let mut installer = Installer::new(plan, config, control.clone(), wakers.clone(), io, clock);
    // What connectors do when they are dropped runs in there, too, on the host's thread.
    Error::caught(|| install(&mut installer))?;
    let mut installed = installer.finish();
    complete(plan, &installed)?;
    control.set_wakers(wakers);
    plan.warnings.iter().for_each(|warning| tracing::warn!(job = name, "{warning}"));
    let deployments = std::mem::take(&mut installed.deployments);
    let committers = std::mem::take(&mut installed.committers);
    let arrivals = installed.arrivals.clone();
    let interval_ns = config.job.commit_interval_ms * 1_000_000;
    let coordinator = Coordinator::new(control.clone(), inbox, committers, arrivals, interval_ns);
    Ok(Assembled { control, coordinator, deployments, installed })
}

/// A job waits for all its subtasks: were one missing, it would do so for ever.
fn complete(plan: &Plan, installed: &Installed) -> Result<()> {
    let (made, planned) = (installed.deployments.len(), plan.subtasks());
    let missing = || Error::bug(format!("{made} subtasks were made of the {planned} that were planned"));
    (made == planned).then_some(()).ok_or_else(missing)
}

/// Installs a plan's pipelines on `slots` and starts the job. `install` is called once, on this
/// thread; nothing runs yet when it fails, or when the job's own thread cannot be made.
pub fn start(
    name: &str,
    plan: Plan,
    config: &Config,
    slots: &Slots,
    install: impl FnOnce(&mut Installer<'_>) -> Result<()>,
) -> Result<Job> {
    let thread = format!("slotflow-job-{name}");
    start_with(name, plan, config, slots, install, |keeper| slots.io_cores().spawn(&thread, keeper).map(drop))
}

/// What the job's own thread does.
type Keeper = Box<dyn FnOnce() + Send>;

/// As [`start`], with `spawn` making the job's own thread.
fn start_with(
    name: &str,
    plan: Plan,
    config: &Config,
    slots: &Slots,
    install: impl FnOnce(&mut Installer<'_>) -> Result<()>,
    spawn: impl FnOnce(Keeper) -> Result<()>,
) -> Result<Job> {
    let lease = slots.lease(name, &plan.slot_cpus())?;
    let (io, clock) = (slots.io_cores().clone(), slots.clock().clone());
    let assembled = assemble(name, &plan, config, lease.wakers(), (io, clock.clone()), install)?;
    let Assembled { control, coordinator, deployments, installed } = assembled;
    let leave_timeout = Duration::from_millis(config.job.leave_timeout_ms);
    let (plan, seats) = (Arc::new(plan), lease.slots().to_vec());
    let parts = Parts { plan, installed, slots: slots.clone(), lease: seats, leave_timeout };
    let job = Job::new(control.clone(), parts, clock.clone());
    let kept = control.clone();
    let keeper = move || {
        // Here and not before: without this thread nobody would look after the subtasks.
        lease.deploy(deployments);
        look_after(&kept, coordinator, &clock);
        drop(lease);
        kept.close();
    };
    // Without its thread nothing of the job is left, and its handle has nothing to wait for.
    spawn(Box::new(keeper)).inspect_err(|_| control.close())?;
    Ok(job)
}

/// Commits what arrives until every subtask is gone, then what is left to commit.
fn look_after(control: &Arc<JobControl>, mut coordinator: Coordinator, clock: &Clock) {
    let pause = if coordinator.commits() { TICK } else { REST };
    while control.remaining() > 0 {
        tick(control, &mut coordinator, clock.now_ns());
        control.wait(pause);
    }
    finish(control, coordinator);
}

/// One look of the job's thread; a commit that fails stops the job.
pub(crate) fn tick(control: &JobControl, coordinator: &mut Coordinator, now_ns: u64) {
    guarded(control, || coordinator.tick(now_ns));
}

/// Every subtask is gone: commits what is left to commit.
pub(crate) fn finish(control: &JobControl, mut coordinator: Coordinator) {
    let clean = control.phase() <= Phase::Draining && !control.has_failed();
    // Takes the coordinator along: the committers' destructors run in there, too.
    guarded(control, move || match control.phase() {
        Phase::Aborting => Ok(()),
        _ => coordinator.close(clean),
    });
}

/// Runs what calls committers. Their errors are the job's, and so are panics of their destructors; the job's thread
/// has to go on, or nobody would learn of its end.
fn guarded(control: &JobControl, commit: impl FnOnce() -> Result<()>) {
    if let Err(error) = Error::caught(commit) {
        control.fail(error);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::edge::inlet::Inlet;
    use crate::edge::{Outlet, Spread};
    use crate::plan::{Graph, Role};
    use crate::{Downstream, Owned, SubtaskContext, Untimed};

    /// Notes that a slot has built it.
    #[derive(Clone, Default)]
    struct Built(Arc<AtomicBool>);

    impl Downstream<Owned<u64>> for Built {
        type Consumer = Outlet<u64, Untimed, Spread>;
        fn build(self, _: &SubtaskContext) -> Result<Self::Consumer> {
            self.0.store(true, Ordering::Relaxed);
            Err(Error::user("built"))
        }
    }

    /// Starts a job of one subtask on a pool of one slot, its own thread made by `spawn`.
    fn start_on(slots: &Slots, built: &Built, spawn: impl FnOnce(Keeper) -> Result<()>) -> Result<Job> {
        let mut graph = Graph::default();
        // A handle that waited for a job that never ran would do so for an hour.
        let config = Config::from_toml("[job]\nleave_timeout_ms = 3600000")?;
        let (source, sink) = (graph.add("in", Role::Source), graph.add("out", Role::Sink));
        graph.connect(source, sink);
        let install = |installer: &mut Installer<'_>| {
            let head = Inlet::<u64, Untimed>::new(Vec::new());
            installer.spawn(source, installer.context(source, 0), head, built.clone());
            Ok(())
        };
        start_with("job", Plan::new(graph, &config)?, &config, slots, install, spawn)
    }

    #[test]
    fn a_job_with_a_subtask_missing_is_refused_and_not_waited_for() {
        let mut graph = Graph::default();
        let config = Config::from_toml("[slots]\ncount = 1").unwrap();
        let (source, sink) = (graph.add("in", Role::Source), graph.add("out", Role::Sink));
        graph.connect(source, sink);
        let slots = Slots::new(&config).unwrap();
        let error =
            start("job", Plan::new(graph, &config).unwrap(), &config, &slots, |_| Ok(())).unwrap_err();
        let said = "a bug in slotflow: 0 subtasks were made of the 1 that were planned; please report it";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn a_job_whose_own_thread_cannot_be_made_never_runs_and_gives_its_slots_back() {
        let config = Config::from_toml("[slots]\ncount = 1").unwrap();
        let (slots, built) = (Slots::new(&config).unwrap(), Built::default());
        let refuse = |_: Keeper| Err(Error::world("no thread", "raise the limit"));
        let error = start_on(&slots, &built, refuse).unwrap_err();
        assert_eq!(error.to_string(), "no thread; raise the limit");
        // The next job gets the slot, and its core would have seen the first one's subtask before.
        let next = Built::default();
        let job = start_on(&slots, &next, |keeper| slots.io_cores().spawn("keeper", keeper).map(drop));
        assert_eq!(job.unwrap().wait().unwrap_err().to_string(), "operator \"in\", subtask 0: built");
        assert!(next.0.load(Ordering::Relaxed) && !built.0.load(Ordering::Relaxed));
    }
}
