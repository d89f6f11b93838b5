//! The pool of slots: it belongs to the host, outlives jobs, and leases its slots to them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::core::{Command, Core, CoreSettings, Deployment, Idle, SlotSeat};
use super::driver::{self, DriverKind};
use super::park::{Park, Waker};
use super::pulse::Pulse;
use super::watchdog::Watchdog;
use crate::config::Config;
use crate::error::Problem;
use crate::metrics::SlotMeter;
use crate::{Clock, Error, IoCores, Result};

/// How long the pool waits for its threads when it is dropped; a closure that never returns cannot
/// be stopped, and must not keep the host from leaving.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the slots of a pool are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// For each core thread: its CPU if it is pinned, and how many slots it owns.
    pub cores: Vec<(Option<usize>, usize)>,
}

/// A core thread, seen from outside.
struct CoreThread {
    cpu: Option<usize>,
    mailbox: Sender<Command>,
    waker: Waker,
    pulse: Arc<Pulse>,
    gone: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A slot, seen from outside.
struct Seat {
    core: usize,
    meter: Arc<SlotMeter>,
    /// The job that has it.
    job: Option<String>,
}

/// A pool of slots. Clones are the same pool; it ends with the last of them.
#[derive(Clone)]
pub struct Slots(Arc<Pool>);

struct Pool {
    cores: Vec<CoreThread>,
    seats: Mutex<Vec<Seat>>,
    clock: Clock,
    io: IoCores,
    _watchdog: Watchdog,
}

impl Slots {
    /// Starts the core threads of `layout`.
    pub fn start(layout: &Layout, config: &Config, kind: DriverKind, io: IoCores) -> Result<Slots> {
        let clock = Clock::system();
        let settings = settings(config);
        let mut cores: Vec<CoreThread> = Vec::new();
        let mut seats = Vec::new();
        for (number, (cpu, slots)) in layout.cores.iter().enumerate() {
            let mut own = Vec::new();
            for _ in 0..*slots {
                let meter = Arc::new(SlotMeter::default());
                own.push(SlotSeat { number: seats.len(), meter: meter.clone() });
                seats.push(Seat { core: number, meter, job: None });
            }
            cores.push(CoreThread::start(number, *cpu, own, &clock, settings, kind)?);
        }
        let pulses = cores.iter().map(|core| (core.pulse.clone(), core.waker.clone())).collect();
        let stall = Duration::from_millis(config.slots.stall_ms);
        let watchdog = Watchdog::start(pulses, clock.clone(), stall, &io)?;
        Ok(Slots(Arc::new(Pool { cores, seats: Mutex::new(seats), clock, io, _watchdog: watchdog })))
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

    /// Where threads that may wait run.
    pub fn io_cores(&self) -> &IoCores {
        &self.0.io
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn meter(&self, slot: usize) -> (Arc<SlotMeter>, u64) {
        let seats = self.seats();
        let seat = &seats[slot];
        (seat.meter.clone(), self.0.cores[seat.core].pulse.preempted_ns().unwrap_or(0))
    }

    /// What the cores of these slots are in the middle of.
    pub(crate) fn running(&self, slots: &[usize]) -> Vec<String> {
        let now_ns = self.0.clock.now_ns();
        let mut cores: Vec<usize> = slots.iter().map(|slot| self.seats()[*slot].core).collect();
        cores.dedup();
        let running = cores.iter().filter_map(|core| self.0.cores[*core].pulse.running(now_ns));
        running.map(|(who, ns)| format!("{who} (for {:.1} s)", ns as f64 / 1e9)).collect()
    }

    /// Leases `needed` slots to a job.
    ///
    /// # Errors
    /// A plan error that says how many are free and who has the others.
    pub(crate) fn lease(&self, job: &str, needed: usize) -> Result<Lease> {
        let mut seats = self.seats();
        let free: Vec<usize> = (0..seats.len()).filter(|slot| seats[*slot].job.is_none()).collect();
        if free.len() < needed {
            return Err(Error::plan(vec![too_few(&seats, job, needed, free.len())]));
        }
        let slots = free[..needed].to_vec();
        slots.iter().for_each(|slot| seats[*slot].job = Some(job.into()));
        drop(seats);
        Ok(Lease { pool: self.clone(), slots })
    }

    fn seats(&self) -> std::sync::MutexGuard<'_, Vec<Seat>> {
        self.0.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_few(seats: &[Seat], job: &str, needed: usize, free: usize) -> Problem {
    let mut holders: Vec<&String> = seats.iter().filter_map(|seat| seat.job.as_ref()).collect();
    holders.dedup();
    let shares: Vec<String> = holders
        .iter()
        .map(|holder| {
            let count = seats.iter().filter(|seat| seat.job.as_ref() == Some(holder)).count();
            format!("{count} by job \"{holder}\"")
        })
        .collect();
    let held = if shares.is_empty() { String::new() } else { format!("; held: {}", shares.join(", ")) };
    let what = format!("needs {needed} slots, but {free} of the pool's {} are free{held}", seats.len());
    Problem::new(format!("job \"{job}\""), what, "make a larger pool (slots.count), or wait for the other job")
}

fn settings(config: &Config) -> CoreSettings {
    let idle = match config.slots.idle {
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
        seats: Vec<SlotSeat>,
        clock: &Clock,
        settings: CoreSettings,
        kind: DriverKind,
    ) -> Result<CoreThread> {
        let (mailbox, inbox) = channel();
        let (park, pulse) = (Arc::new(Park::default()), Arc::new(Pulse::default()));
        let core = Core::new(seats, inbox, park.clone(), pulse.clone(), clock.clone(), settings);
        let gone = Arc::new(AtomicBool::new(false));
        let thread = driver::start(core, number, cpu, kind, pulse.clone(), gone.clone())?;
        Ok(CoreThread { cpu, mailbox, waker: Waker::new(park), pulse, gone, thread: Some(thread) })
    }

    fn send(&self, command: Command) {
        // A core leaves only when told to, and nothing is sent after that.
        let _left = self.mailbox.send(command);
        self.waker.wake();
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

/// Slots that a job has; they are free again when this is dropped.
pub(crate) struct Lease {
    pool: Slots,
    slots: Vec<usize>,
}

impl Lease {
    /// The pool's numbers of the slots.
    pub(crate) fn slots(&self) -> &[usize] {
        &self.slots
    }

    /// What wakes the core of each slot.
    pub(crate) fn wakers(&self) -> Vec<Waker> {
        let seats = self.pool.seats();
        self.slots.iter().map(|slot| self.pool.0.cores[seats[*slot].core].waker.clone()).collect()
    }

    /// Sends the subtasks to their slots; their slot numbers are the job's own until here.
    pub(crate) fn deploy(&self, deployments: Vec<Deployment>) {
        let mut of_core: Vec<Vec<Deployment>> = self.pool.0.cores.iter().map(|_| Vec::new()).collect();
        for mut deployment in deployments {
            deployment.slot = self.slots[deployment.slot];
            let core = self.pool.seats()[deployment.slot].core;
            of_core[core].push(deployment);
        }
        for (core, deployments) in self.pool.0.cores.iter().zip(of_core) {
            if !deployments.is_empty() {
                core.send(Command::Deploy(deployments));
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut seats = self.pool.seats();
        self.slots.iter().for_each(|slot| seats[*slot].job = None);
    }
}
