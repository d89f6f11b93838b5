//! The pool of slots: it belongs to the host and outlives jobs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::command::Command;
use super::core::{Core, CoreSettings, Idle};
use super::driver::{self, Drive};
use super::park::{Park, Waker};
use super::pulse::Pulse;
use super::watchdog::Watchdog;
use crate::config::{Config, DriverChoice, MOST_SLOTS};
use crate::error::Problem;
use crate::job::SlotMetrics;
use crate::machine::{Cpus, Driver, Placement, Probe};
use crate::metrics::{SlotMeter, SlotTimes, Stall};
use crate::plan::Plan;
use crate::{Clock, Error, IoCores, Result};

/// How long the pool waits for its threads when it is dropped; a closure that never returns cannot
/// be stopped, and must not keep the host from leaving.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A core thread, seen from outside.
pub(super) struct CoreThread {
    pub(super) cpu: Option<usize>,
    mailbox: Sender<Command>,
    pub(super) waker: Waker,
    pulse: Arc<Pulse>,
    gone: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A slot, seen from outside.
pub(super) struct Seat {
    pub(super) core: usize,
    meter: Arc<SlotMeter>,
    /// The job that has it.
    pub(super) job: Option<String>,
}

/// A pool of slots. Clones are the same pool; it ends with the last of them.
#[derive(Clone)]
pub struct Slots(pub(super) Arc<Pool>);

pub(super) struct Pool {
    pub(super) cores: Vec<CoreThread>,
    seats: Mutex<Vec<Seat>>,
    placement: Placement,
    clock: Clock,
    io: IoCores,
    _watchdog: Watchdog,
}

impl Slots {
    /// A pool of `config.slots.count` slots, or of one for each core it may use.
    ///
    /// # Errors
    /// Everything about the configuration and the machine that speaks against it, with remedies.
    pub fn new(config: &Config) -> Result<Slots> {
        let probe = Probe::run(Path::new("/"));
        // Before so many slots are counted out.
        Slots::consistent(config, &probe)?;
        let count = config
            .slots
            .count
            .unwrap_or_else(|| config.slots.cores.as_ref().map_or(probe.topology.allowed.len(), Vec::len));
        Slots::with(config, &probe, &vec![None; count])
    }

    /// A pool that is just what `plan` needs.
    ///
    /// # Errors
    /// As [`new`](Slots::new).
    pub fn for_plan(plan: &Plan, config: &Config, probe: &Probe) -> Result<Slots> {
        Slots::with(config, probe, &wanted(plan, config))
    }

    /// Where [`for_plan`](Slots::for_plan) would put its slots; nothing starts.
    ///
    /// # Errors
    /// As [`new`](Slots::new), but for the limits of drivers.
    pub fn placement_for(plan: &Plan, config: &Config, probe: &Probe) -> Result<Placement> {
        // Nothing starts, so no driver has to.
        let mut config = config.clone();
        config.slots.driver = DriverChoice::Auto;
        Slots::place(&config, probe, &wanted(plan, &config))
    }

    /// All that the machine has against a pool for `plan`, which may be a plan that is refused itself.
    pub fn problems_for(plan: &Plan, config: &Config, probe: &Probe) -> Vec<Problem> {
        Placement::problems(probe, config, &wanted(plan, config))
    }

    fn place(config: &Config, probe: &Probe, slots: &[Option<Cpus>]) -> Result<Placement> {
        Slots::consistent(config, probe)?;
        let problems = Placement::problems(probe, config, slots);
        if !problems.is_empty() {
            return Err(Error::plan(problems));
        }
        Placement::choose(probe, config, slots).map_err(Error::plan)
    }

    /// Refuses a configuration that contradicts itself or the machine.
    fn consistent(config: &Config, probe: &Probe) -> Result<()> {
        let mut problems = config.check();
        if problems.is_empty() {
            return Ok(());
        }
        problems.extend(Placement::problems(probe, config, &[]));
        Err(Error::plan(problems))
    }

    /// A pool with a slot for each entry of `slots`: the CPUs that it may use, if that matters.
    pub(crate) fn with(config: &Config, probe: &Probe, slots: &[Option<Cpus>]) -> Result<Slots> {
        let placement = Slots::place(config, probe, slots)?;
        let (driver, reason) = probe.driver(placement.threads.len(), config.slots.driver);
        if let Some(reason) = reason {
            tracing::warn!("the thread driver serves instead of glommio: {reason}");
        }
        placement.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Slots::start(placement, config, driver)
    }

    fn start(placement: Placement, config: &Config, driver: Driver) -> Result<Slots> {
        let (clock, drive) = (Clock::system(), Drive::new(driver));
        let settings = settings(config, placement.idle);
        let io = IoCores::on(placement.io.clone());
        let mut cores: Vec<CoreThread> = Vec::new();
        let mut seats: Vec<Option<Seat>> = Vec::new();
        let began_ns = clock.now_ns();
        for (core, thread) in placement.threads.iter().enumerate() {
            let meters: Vec<Arc<SlotMeter>> =
                thread.slots.iter().map(|slot| Arc::new(SlotMeter::of(*slot, began_ns))).collect();
            for (slot, meter) in thread.slots.iter().zip(&meters) {
                seats.resize_with(seats.len().max(slot + 1), || None);
                seats[*slot] = Some(Seat { core, meter: meter.clone(), job: None });
            }
            cores.push(CoreThread::start(core, thread.cpu, meters, &clock, settings, &drive)?);
        }
        let watched = cores.iter().map(|core| (core.pulse.clone(), core.waker.clone())).collect();
        let stall = Duration::from_millis(config.slots.stall_ms);
        let watchdog = Watchdog::start(watched, clock.clone(), stall, &io)?;
        let seats = Mutex::new(seats.into_iter().flatten().collect());
        Ok(Slots(Arc::new(Pool { cores, seats, placement, clock, io, _watchdog: watchdog })))
    }

    /// How many slots there are.
    pub fn count(&self) -> usize {
        self.seats().len()
    }

    /// The CPU of a slot, if it is pinned.
    pub fn cpu(&self, slot: usize) -> Option<usize> {
        let core = self.seats().get(slot)?.core;
        self.0.cores[core].cpu
    }

    /// Which core steps which slot.
    pub fn placement(&self) -> &Placement {
        &self.0.placement
    }

    /// Where threads that may wait run.
    pub fn io_cores(&self) -> &IoCores {
        &self.0.io
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// How each slot has spent its time since the pool began. For the host's threads.
    pub fn metrics(&self) -> Vec<SlotMetrics> {
        (0..self.count()).map(|slot| self.slot_metrics(slot)).collect()
    }

    pub(crate) fn slot_metrics(&self, slot: usize) -> SlotMetrics {
        let seats = self.seats();
        let Seat { core, meter, .. } = &seats[slot];
        let thread = &self.0.cores[*core];
        let preempted_ns = thread.pulse.preempted_ns().unwrap_or(0);
        let times = SlotTimes { preempted_ns, ..meter.snapshot(&self.0.clock) };
        SlotMetrics::new(slot, *core, thread.cpu, times)
    }

    /// Who did not return from a step in time, on these slots.
    pub(crate) fn stalls(&self, slots: &[usize]) -> Vec<Stall> {
        let (seats, now_ns) = (self.seats(), self.0.clock.now_ns());
        let of = |slot: &usize| self.0.cores[seats[*slot].core].pulse.stalls(*slot, now_ns);
        slots.iter().flat_map(of).collect()
    }

    /// What the cores of these slots are in the middle of.
    pub(crate) fn running(&self, slots: &[usize]) -> Vec<String> {
        let now_ns = self.0.clock.now_ns();
        let mut cores: Vec<usize> = slots.iter().map(|slot| self.seats()[*slot].core).collect();
        cores.sort_unstable();
        cores.dedup();
        let running = cores.iter().filter_map(|core| self.0.cores[*core].pulse.running(now_ns));
        running.map(|step| format!("{} (for {:.1} s)", step.who, step.took_ns as f64 / 1e9)).collect()
    }

    pub(super) fn seats(&self) -> std::sync::MutexGuard<'_, Vec<Seat>> {
        self.0.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slots of a pool for `plan`: those it needs, and spare ones up to the configured count.
fn wanted(plan: &Plan, config: &Config) -> Vec<Option<Cpus>> {
    let mut slots = plan.slot_cpus();
    // More are refused, and would fill the memory here.
    let count = config.slots.count.unwrap_or(0).min(MOST_SLOTS);
    slots.resize(slots.len().max(count), None);
    slots
}

/// How the cores of a pool treat their subtasks.
pub(crate) fn settings(config: &Config, idle: crate::config::Idle) -> CoreSettings {
    let idle = match idle {
        crate::config::Idle::Spin => Idle::Spin,
        crate::config::Idle::Yield => Idle::Yield,
        crate::config::Idle::Park => Idle::Park(config.slots.spin_us * 1_000),
    };
    CoreSettings { idle, budget_ns: config.step.budget_us * 1_000, min_records: config.step.min_records }
}

impl CoreThread {
    fn start(
        number: usize,
        cpu: Option<usize>,
        seats: Vec<Arc<SlotMeter>>,
        clock: &Clock,
        settings: CoreSettings,
        drive: &Drive,
    ) -> Result<CoreThread> {
        let (mailbox, inbox) = channel();
        let (park, pulse) = (Arc::new(Park::default()), Arc::new(Pulse::default()));
        let (bed, sign, clock) = (park.clone(), pulse.clone(), clock.clone());
        let core = move || Core::new(seats, inbox, bed, sign, clock, settings);
        let gone = Arc::new(AtomicBool::new(false));
        let thread = driver::start(core, number, cpu, drive.clone(), pulse.clone(), gone.clone())?;
        Ok(CoreThread { cpu, mailbox, waker: Waker::new(park), pulse, gone, thread: Some(thread) })
    }

    pub(super) fn send(&self, command: Command) {
        // A core leaves only when told to, and nothing is sent after that.
        let _left = self.mailbox.send(command);
        self.waker.wake();
    }
}

/// A core whose pool never came to be, because a later one could not start, is told to leave as well.
impl Drop for CoreThread {
    fn drop(&mut self) {
        self.send(Command::Exit);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.cores.iter().for_each(|core| core.send(Command::Exit));
        let deadline = Instant::now() + LEAVE_TIMEOUT;
        for core in &mut self.cores {
            while !core.gone.load(Ordering::Acquire) && Instant::now() < deadline {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            let Some(thread) = core.thread.take().filter(|_| core.gone.load(Ordering::Acquire)) else {
                tracing::error!("a core's thread is left behind: a closure on it does not return");
                continue;
            };
            if thread.join().is_err() {
                tracing::error!("a core's thread panicked outside any subtask; please report this");
            }
        }
    }
}
