//! Starting a job, and the thread that looks after it.

use std::sync::Arc;
use std::time::Duration;

use super::control::{JobControl, Phase};
use super::coordinator::Coordinator;
use super::handle::{Job, Parts};
use crate::config::Config;
use crate::install::Installer;
use crate::plan::Plan;
use crate::slot::Slots;
use crate::{Clock, Result};

/// How often the job's thread looks for arrivals while sources commit (a guess: a hundredth of the
/// default commit interval).
const TICK: Duration = Duration::from_millis(10);

/// How often it looks after a job that commits nothing; it is woken when something changes.
const REST: Duration = Duration::from_secs(1);

/// Installs a plan's pipelines on `slots` and starts the job. `install` is called once, on this
/// thread; nothing runs yet when it fails.
pub fn start(
    name: &str,
    plan: Plan,
    config: &Config,
    slots: &Slots,
    install: impl FnOnce(&mut Installer<'_>) -> Result<()>,
) -> Result<Job> {
    let lease = slots.lease(name, &plan.slot_cpus())?;
    let (control, inbox) = JobControl::new(name, plan.subtasks());
    let wakers = lease.wakers();
    let (io, clock) = (slots.io_cores().clone(), slots.clock().clone());
    let mut installer = Installer::new(&plan, config, control.clone(), wakers.clone(), io, clock.clone());
    install(&mut installer)?;
    let mut installed = installer.finish();
    control.set_wakers(wakers);
    plan.warnings.iter().for_each(|warning| tracing::warn!(job = name, "{warning}"));
    let deployments = std::mem::take(&mut installed.deployments);
    let committers = std::mem::take(&mut installed.committers);
    let arrivals = installed.arrivals.clone();
    let interval_ns = config.job.commit_interval_ms * 1_000_000;
    let coordinator = Coordinator::new(control.clone(), inbox, committers, arrivals, interval_ns);
    let leave_timeout = Duration::from_millis(config.job.leave_timeout_ms);
    let (plan, seats) = (Arc::new(plan), lease.slots().to_vec());
    let parts = Parts { plan, installed, slots: slots.clone(), lease: seats, leave_timeout };
    let job = Job::new(control.clone(), parts, clock.clone());
    lease.deploy(deployments);
    let keeper = move || {
        look_after(&control, coordinator, &clock);
        drop(lease);
        control.close();
    };
    slots.io_cores().spawn(&format!("slotflow-job-{name}"), keeper)?;
    Ok(job)
}

/// Commits what arrives until every subtask is gone, then what is left to commit.
fn look_after(control: &Arc<JobControl>, mut coordinator: Coordinator, clock: &Clock) {
    let pause = if coordinator.commits() { TICK } else { REST };
    while control.remaining() > 0 {
        if let Err(error) = coordinator.tick(clock.now_ns()) {
            control.fail(error);
        }
        control.wait(pause);
    }
    let clean = control.phase() <= Phase::Draining && !control.has_failed();
    let closed = match control.phase() {
        Phase::Aborting => Ok(()),
        _ => coordinator.close(clean),
    };
    if let Err(error) = closed {
        control.fail(error);
    }
}
