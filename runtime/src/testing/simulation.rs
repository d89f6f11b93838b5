//! The simulation driver: a whole job in one thread, in an order drawn from a seed.
//!
//! It builds the cores, mailboxes, parks and rings that threads would use and calls the same
//! [`Core::turn`]; only the order of the turns and the time are made up. So a seed replays a
//! run exactly, and what a test of threads finds once in a million runs is found here in a few.
//!
//! # What it watches
//!
//! 1. A core that said "sleep" is turned again only when somebody woke it or its time has come, as a
//!    thread would be. So a lost wake-up shows as a job that stands still.
//! 2. Now and then a core that sleeps without a time is looked at anyway. If there was something to
//!    do, a wake-up was lost, even if a later one would have hidden it.
//! 3. The job must end within a bounded number of turns, and every core must be idle after it.
//!
//! A turn is a whole round of a core, so what two threads can do to each other inside of one (the
//! order of two reads in a ring, the two fences of a park) is for loom and the stress tests.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use crate::config::{self, Config};
use crate::edge::partition::random_below;
use crate::install::Installer;
use crate::job::{Assembled, Phase, assemble, finish, tick};
use crate::plan::Plan;
use crate::slot::{Command, Core, CoreTurn, Park, Pulse, Waker, settings};
use crate::{Clock, Ending, Error, IoCores, JobReport, Result};

/// Turns after which a job that has not ended counts as stuck (jobs of a few thousand records take
/// a hundredth of it).
const TURNS_MAX: u64 = 1_000_000;

/// What a turn takes where each slot has a core: about what a step of 1,024 records does.
const TURN_NS: u64 = 10_000;

/// How a job is simulated; any two runs with equal settings are the same run.
///
/// ```
/// use slotflow_runtime::testing::simulation::Simulation;
///
/// let simulation = Simulation::seed(7).drain_at(100);
/// # let _ = simulation;
/// ```
#[derive(Clone, Debug)]
pub struct Simulation {
    seed: u64,
    turns_max: u64,
    leave: Option<(u64, Phase)>,
    core_per_slot: bool,
}

impl From<u64> for Simulation {
    fn from(seed: u64) -> Simulation {
        Simulation::seed(seed)
    }
}

/// What a simulated job came to.
#[derive(Clone, Debug)]
pub struct SimReport {
    /// As the job's handle would have reported it; its time is the simulation's.
    pub job: JobReport,
    /// How many turns it took.
    pub turns: u64,
    /// Stands for the whole course of the run: who was turned when, and what that came to.
    pub trace: u64,
}

impl Simulation {
    /// A run of which everything is decided by `seed`, until the job ends by itself.
    pub fn seed(seed: u64) -> Simulation {
        Simulation { seed, turns_max: TURNS_MAX, leave: None, core_per_slot: false }
    }

    /// Drains the job after this many turns.
    #[must_use]
    pub fn drain_at(self, turn: u64) -> Simulation {
        Simulation { leave: Some((turn, Phase::Draining)), ..self }
    }

    /// Stops the job after this many turns.
    #[must_use]
    pub fn stop_at(self, turn: u64) -> Simulation {
        Simulation { leave: Some((turn, Phase::Stopping)), ..self }
    }

    /// Aborts the job after this many turns.
    #[must_use]
    pub fn abort_at(self, turn: u64) -> Simulation {
        Simulation { leave: Some((turn, Phase::Aborting)), ..self }
    }

    /// After how many turns a job that has not ended counts as stuck (default 1,000,000).
    #[must_use]
    pub fn turns_max(self, turns: u64) -> Simulation {
        Simulation { turns_max: turns, ..self }
    }

    /// Gives each slot a core of its own, and lets time pass as if all of them turned at once and nobody was kept off a
    /// CPU: for counting what turns cost, some of which is by the clock. By default the seed draws all of that.
    #[must_use]
    pub fn core_per_slot(self) -> Simulation {
        Simulation { core_per_slot: true, ..self }
    }

    /// Which core has each of so many slots, and how many cores there are.
    fn cores(&self, slots: usize, random: &mut Random) -> (usize, Vec<usize>) {
        if self.core_per_slot {
            return (slots.max(1), (0..slots).collect());
        }
        let count = 1 + random.below(slots.max(1));
        (count, (0..slots).map(|_| random.below(count)).collect())
    }

    /// Runs a job as [`job::start`](crate::job::start) would, on the calling thread, until it has
    /// ended. Idle cores park without spinning; everything else is as `config` says. Sources must
    /// not wait for other threads: what pauses says until when.
    ///
    /// # Errors
    /// What made the job fail, as from its handle; or a bug: a lost wake-up, a standstill, a job that
    /// does not end, a core that does not get idle. Bugs name the seed and say who is where.
    pub fn run(
        self,
        name: &str,
        plan: &Plan,
        config: &Config,
        install: impl FnOnce(&mut Installer<'_>) -> Result<()>,
    ) -> Result<SimReport> {
        let mut random = Random(self.seed);
        let clock = Clock::manual();
        let (count, core_of) = self.cores(plan.slots, &mut random);
        let cores: Vec<SimCore> = (0..count).map(|_| SimCore::new(&clock, config)).collect();
        let wakers = core_of.iter().map(|core| Waker::new(cores[*core].core.park().clone())).collect();
        let here = (IoCores::default(), clock.clone());
        let mut job = assemble(name, plan, config, wakers, here, install)?;
        for deployment in std::mem::take(&mut job.deployments) {
            cores[core_of[deployment.slot]].send(Command::Deploy(vec![deployment]));
        }
        let mut run = Run { settings: self, random, clock, cores, job, turns: 0, trace: 0, left: None };
        run.until_the_end()?;
        run.report(plan)
    }
}

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        random_below(&mut self.0, bound)
    }

    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// A core without a thread.
struct SimCore {
    core: Core,
    mailbox: Sender<Command>,
    /// Since when and until when it sleeps.
    sleep: Option<(u64, u64)>,
}

impl SimCore {
    fn new(clock: &Clock, config: &Config) -> SimCore {
        let (mailbox, inbox) = channel();
        let (park, pulse) = (Arc::new(Park::default()), Arc::new(Pulse::default()));
        let mut settings = settings(config, config::Idle::Park);
        // Without spinning, "again" means that there was something to do.
        settings.idle = crate::slot::Idle::Park(0);
        let core = Core::new(vec![Arc::default()], inbox, park, pulse, clock.clone(), settings);
        SimCore { core, mailbox, sleep: None }
    }

    fn send(&self, command: Command) {
        // The receiver is the core beside it.
        let _here = self.mailbox.send(command);
    }

    /// Until when it sleeps, unless somebody has woken it.
    fn asleep_until(&self) -> Option<u64> {
        self.sleep.filter(|_| self.core.park().is_asleep()).map(|(_, until_ns)| until_ns)
    }

    fn turn(&mut self, now_ns: u64) -> CoreTurn {
        let answer = self.core.turn();
        self.sleep = match answer {
            CoreTurn::Sleep(until_ns) => Some((now_ns, until_ns)),
            _ => None,
        };
        answer
    }
}

/// A run under way.
struct Run {
    settings: Simulation,
    random: Random,
    clock: Clock,
    cores: Vec<SimCore>,
    job: Assembled,
    turns: u64,
    trace: u64,
    /// How the job was asked to leave.
    left: Option<Phase>,
}

impl Run {
    fn until_the_end(&mut self) -> Result<()> {
        while self.job.control.remaining() > 0 {
            if self.turns >= self.settings.turns_max {
                return Err(self.bug("the job has not ended after so many turns"));
            }
            self.turns += 1;
            self.leave_if_due();
            self.pass_time();
            if self.random.one_in(8) {
                tick(&self.job.control, &mut self.job.coordinator, self.clock.now_ns());
            }
            let index = self.random.below(self.cores.len());
            self.visit(index)?;
        }
        Ok(())
    }

    fn leave_if_due(&mut self) {
        if let Some((turn, phase)) = self.settings.leave
            && self.left.is_none()
            && turn <= self.turns
        {
            self.left = Some(phase);
            self.job.control.advance(phase);
        }
    }

    /// Mostly as long as a step takes, sometimes as long as the system keeps a thread off its CPU.
    fn pass_time(&mut self) {
        if self.settings.core_per_slot {
            return self.clock.advance(TURN_NS.div_ceil(self.cores.len() as u64));
        }
        let most_ns = if self.random.one_in(8) { 500_000 } else { 2_000 };
        let by_ns = self.random.below(most_ns);
        self.clock.advance(by_ns as u64);
    }

    /// Turns a core if it is awake.
    fn visit(&mut self, index: usize) -> Result<()> {
        let now_ns = self.clock.now_ns();
        match self.cores[index].asleep_until() {
            Some(u64::MAX) if self.random.one_in(4) => return self.probe(index),
            Some(until_ns) if until_ns > now_ns => return self.all_asleep(),
            _ => {}
        }
        if let Some((since_ns, _)) = self.cores[index].sleep.take() {
            self.cores[index].core.woke(since_ns);
        }
        let answer = self.cores[index].turn(now_ns);
        self.note(index, answer);
        Ok(())
    }

    /// Looks whether a core that nobody woke has something to do.
    fn probe(&mut self, index: usize) -> Result<()> {
        let now_ns = self.clock.now_ns();
        match self.cores[index].turn(now_ns) {
            CoreTurn::Sleep(_) => self.all_asleep(),
            _ => Err(self.bug(&format!("core {index} slept with work at hand: a wake-up was lost"))),
        }
    }

    /// Moves on to the time at which the next core wakes, if all sleep.
    fn all_asleep(&mut self) -> Result<()> {
        let sleeps = self.cores.iter().map(|core| core.asleep_until().unwrap_or(0));
        let first_ns = sleeps.min().unwrap_or(0);
        if first_ns < u64::MAX {
            self.clock.advance(first_ns.saturating_sub(self.clock.now_ns()));
            return Ok(());
        }
        match &mut self.settings.leave {
            Some((turn, _)) if self.left.is_none() => *turn = self.turns,
            _ => return Err(self.bug("every core sleeps and nobody will wake one")),
        }
        Ok(())
    }

    fn note(&mut self, index: usize, answer: CoreTurn) {
        let said = match answer {
            CoreTurn::Again => 1,
            CoreTurn::Yield => 2,
            CoreTurn::Sleep(until_ns) => until_ns.max(4),
            CoreTurn::Exit => 3,
        };
        for word in [index as u64, said, self.clock.now_ns()] {
            // Any odd constant serves: FNV's prime.
            self.trace = (self.trace ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23);
        }
    }

    fn report(mut self, plan: &Plan) -> Result<SimReport> {
        self.dismiss()?;
        let took = Duration::from_nanos(self.clock.now_ns());
        let Run { job: Assembled { control, coordinator, installed, .. }, turns, trace, left, .. } = self;
        finish(&control, coordinator);
        if let Some(error) = control.take_failure() {
            return Err(error);
        }
        let ending = match left {
            None | Some(Phase::Running) => Ending::Finished,
            Some(Phase::Draining) => Ending::Drained,
            Some(Phase::Stopping) => Ending::Stopped,
            Some(Phase::Aborting) => Ending::Aborted,
        };
        let sources = installed.subtasks.iter().filter(|subtask| plan.chains[subtask.chain].depth == 0);
        let records = sources.map(|subtask| subtask.meter.records.value()).sum();
        let job = JobReport {
            job: control.name.clone(),
            ending,
            took,
            records,
            unfinished: Vec::new(),
            left: Vec::new(),
        };
        Ok(SimReport { job, turns, trace })
    }

    /// Tells the cores to leave: the first turn reads it, a second one may say it.
    fn dismiss(&mut self) -> Result<()> {
        for core in &mut self.cores {
            core.send(Command::Exit);
        }
        for index in 0..self.cores.len() {
            let left = (0..3).any(|_| self.cores[index].core.turn() == CoreTurn::Exit);
            if !left {
                return Err(self.bug(&format!("core {index} does not get idle after the job")));
            }
        }
        Ok(())
    }

    fn bug(&self, what: &str) -> Error {
        let mut text = format!("simulation with seed {}, turn {}: {what}", self.settings.seed, self.turns);
        for (index, core) in self.cores.iter().enumerate() {
            let state = match core.asleep_until() {
                None => "awake".into(),
                Some(u64::MAX) => "asleep".into(),
                Some(until_ns) => format!("asleep until {until_ns} ns"),
            };
            text += &format!("\n  core {index} ({state}): {}", core.core.describe());
        }
        Error::bug(text)
    }
}
