//! One core: the slots it owns and the round over their subtasks.
//!
//! A core is a plain state machine. A driver calls [`Core::turn`] again and again and does what the
//! answer says; the glommio driver, the thread driver and the simulation all call the same code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::pace::Pace;
use super::park::{Park, Waker};
use super::pulse::Pulse;
use super::seated::Seated;
use crate::job::JobControl;
use crate::metrics::{SlotMeter, Spent, SubtaskMeter};
use crate::subtask::{Step, Subtask};
use crate::{Clock, Error, Result};

/// What a slot does when its subtasks have nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Keeps asking: lowest latency, a whole core.
    Spin,
    /// Lets others run between asking: for cores that are shared.
    Yield,
    /// Asks for this many nanoseconds, then sleeps until woken.
    Park(u64),
}

/// How a core treats its subtasks; the same for all the cores of a pool.
#[derive(Clone, Copy, Debug)]
pub struct CoreSettings {
    /// What to do when idle.
    pub idle: Idle,
    /// The time a step should take, in nanoseconds.
    pub budget_ns: u64,
    /// The records a step may take before its cost is known.
    pub min_records: usize,
}

/// Makes a subtask on its slot's thread.
pub type BuildSubtask = Box<dyn FnOnce() -> Result<Box<dyn Subtask>> + Send>;

/// A subtask on its way to a slot.
pub struct Deployment {
    /// The job it belongs to.
    pub job: Arc<JobControl>,
    /// Its slot's number in the pool.
    pub slot: usize,
    /// How far downstream it is: deeper ones are stepped first.
    pub depth: usize,
    /// The operator that leads its chain, for the stall detector.
    pub operator: Arc<str>,
    /// Its number within the chain.
    pub index: usize,
    /// Makes it.
    pub build: BuildSubtask,
    /// What it is measured with.
    pub meter: Arc<SubtaskMeter>,
    /// The cores at the other ends of its edges.
    pub neighbours: Vec<Waker>,
}

/// What the pool says to a core.
pub enum Command {
    /// Steps these from now on.
    Deploy(Vec<Deployment>),
    /// Leaves once nothing is left to step.
    Exit,
}

/// What a driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoreTurn {
    /// Calls again.
    Again,
    /// Lets other threads run, then calls again.
    Yield,
    /// Sleeps in the core's park until woken, or until this time of the clock, then calls again.
    Sleep(u64),
    /// Is done.
    Exit,
}

/// The outcome of a round.
struct Round {
    progressed: bool,
    due_ns: u64,
}

/// A core and what it steps.
pub struct Core {
    /// One for each slot it owns; what the core does, all of them do.
    meters: Vec<Arc<SlotMeter>>,
    subtasks: Vec<Seated>,
    mailbox: Receiver<Command>,
    park: Arc<Park>,
    pulse: Arc<Pulse>,
    clock: Clock,
    settings: CoreSettings,
    /// The other cores that its subtasks' edges lead to.
    neighbours: Vec<Waker>,
    idle_since_ns: u64,
    /// When the last round began, and what it came to: its time is booked when the next one begins,
    /// so that a slot's shares add up.
    booked_ns: u64,
    spent_on: Spent,
    leaving: bool,
}

impl Core {
    /// A core without subtasks.
    pub fn new(
        meters: Vec<Arc<SlotMeter>>,
        mailbox: Receiver<Command>,
        park: Arc<Park>,
        pulse: Arc<Pulse>,
        clock: Clock,
        settings: CoreSettings,
    ) -> Core {
        Core {
            booked_ns: meters.first().map_or(0, |meter| meter.began_ns()),
            meters,
            subtasks: Vec::new(),
            mailbox,
            park,
            pulse,
            clock,
            settings,
            neighbours: Vec::new(),
            idle_since_ns: 0,
            spent_on: Spent::Spinning,
            leaving: false,
        }
    }

    /// Where the core sleeps.
    pub fn park(&self) -> &Arc<Park> {
        &self.park
    }

    /// One round over the subtasks, and what to do next.
    pub fn turn(&mut self) -> CoreTurn {
        let called = self.read_mailbox();
        let round = self.round();
        if round.progressed || called {
            self.idle_since_ns = 0;
            self.wake_neighbours();
            return CoreTurn::Again;
        }
        if self.subtasks.is_empty() {
            return if self.leaving { CoreTurn::Exit } else { self.fall_asleep() };
        }
        match self.settings.idle {
            Idle::Spin => CoreTurn::Again,
            Idle::Yield => CoreTurn::Yield,
            Idle::Park(spin_ns) => self.rest(spin_ns, round.due_ns),
        }
    }

    /// Spins for a while before sleeping.
    fn rest(&mut self, spin_ns: u64, due_ns: u64) -> CoreTurn {
        let now_ns = self.clock.now_ns();
        if self.idle_since_ns == 0 {
            self.idle_since_ns = now_ns;
        }
        if now_ns < self.idle_since_ns + spin_ns || due_ns <= now_ns {
            return CoreTurn::Again;
        }
        self.fall_asleep()
    }

    /// Announces the sleep, looks once more, and sleeps only if there is still nothing (`park`).
    fn fall_asleep(&mut self) -> CoreTurn {
        self.park.prepare();
        let called = self.read_mailbox();
        let round = self.round();
        if called || round.progressed || round.due_ns <= self.clock.now_ns() {
            self.park.cancel();
            self.wake_neighbours();
            return CoreTurn::Again;
        }
        self.meters.iter().for_each(|meter| meter.set_asleep(true));
        CoreTurn::Sleep(round.due_ns)
    }

    /// The driver has slept, from `since_ns` on.
    pub fn woke(&mut self, since_ns: u64) {
        self.park.cancel();
        self.idle_since_ns = 0;
        let now_ns = self.clock.now_ns();
        self.book(since_ns);
        self.spent_on = Spent::Parked;
        self.book(now_ns);
        self.meters.iter().for_each(|meter| meter.set_asleep(false));
    }

    /// The core's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Who is seated here and how their last steps went, for those who ask why nothing moves.
    pub fn describe(&self) -> String {
        let seats: Vec<String> = self.subtasks.iter().map(|seated| seated.describe(&self.pulse)).collect();
        if seats.is_empty() { "empty".into() } else { seats.join("; ") }
    }

    fn wake_neighbours(&self) {
        if matches!(self.settings.idle, Idle::Park(_)) {
            Waker::wake_all(&self.neighbours);
        }
    }

    /// Takes what the pool has sent. `true` if there was anything.
    fn read_mailbox(&mut self) -> bool {
        let mut called = false;
        while let Ok(command) = self.mailbox.try_recv() {
            called = true;
            match command {
                Command::Deploy(deployments) => {
                    // What came before the subtasks is not theirs.
                    self.book(self.clock.now_ns());
                    deployments.into_iter().for_each(|it| self.seat(it));
                }
                Command::Exit => self.leaving = true,
            }
        }
        if called {
            self.subtasks.sort_by_key(|seated| std::cmp::Reverse(seated.depth));
            self.refresh_neighbours();
        }
        called
    }

    fn seat(&mut self, deployment: Deployment) {
        let Deployment { job, slot, depth, operator, index, build, meter, neighbours } = deployment;
        // The user's factories run in there, and a panic of theirs is their job's, not the core's.
        let built = catch_unwind(AssertUnwindSafe(build));
        let subtask = match built.unwrap_or_else(|panic| Err(Error::panicked(&*panic))) {
            Ok(subtask) => subtask,
            Err(error) => {
                job.fail(error.at(&operator, index));
                return job.subtask_gone();
            }
        };
        self.seat_changed(slot, true);
        let who = format!("slot {slot}, operator \"{operator}\", subtask {index}");
        self.subtasks.push(Seated {
            label: self.pulse.register(slot, who),
            operator,
            index,
            job,
            slot,
            depth,
            subtask,
            meter,
            pace: Pace::new(self.settings.budget_ns, self.settings.min_records),
            neighbours,
            blocked_since_ns: 0,
            ready_since_ns: 0,
        });
    }

    fn refresh_neighbours(&mut self) {
        self.neighbours.clear();
        let own = Waker::new(self.park.clone());
        for waker in self.subtasks.iter().flat_map(|seated| &seated.neighbours) {
            let known = self.neighbours.iter().any(|other| other.same_core(waker));
            if !known && !waker.same_core(&own) {
                self.neighbours.push(waker.clone());
            }
        }
    }

    /// Steps every subtask once, the deepest first.
    fn round(&mut self) -> Round {
        let mut now_ns = self.clock.now_ns();
        self.book(now_ns);
        let mut round = Round { progressed: false, due_ns: u64::MAX };
        let mut blocked = false;
        let mut index = 0;
        while index < self.subtasks.len() {
            let seated = &mut self.subtasks[index];
            if seated.job.is_over() {
                self.remove(index);
                round.progressed = true;
                continue;
            }
            self.pulse.stepping(seated.label, now_ns);
            match seated.step(&mut now_ns, &self.clock) {
                Step::Progress(_) => round.progressed = true,
                Step::Idle(due_ns) => round.due_ns = round.due_ns.min(due_ns),
                Step::Blocked(due_ns) => {
                    blocked = true;
                    round.due_ns = round.due_ns.min(due_ns);
                }
                Step::Done => {
                    self.remove(index);
                    round.progressed = true;
                    continue;
                }
                Step::Failed(error) => {
                    // A job that is over already loses its rings one by one, and that is no failure.
                    if !seated.job.is_over() {
                        seated.job.fail(error);
                    }
                    continue;
                }
            }
            index += 1;
        }
        self.pulse.rested();
        self.spent_on = match (round.progressed, blocked) {
            (true, _) => Spent::Useful,
            (false, true) => Spent::Blocked,
            (false, false) => Spent::Spinning,
        };
        round
    }

    /// Books the time since the last round began.
    fn book(&mut self, now_ns: u64) {
        let took_ns = if self.booked_ns == 0 { 0 } else { now_ns.saturating_sub(self.booked_ns) };
        self.meters.iter().for_each(|meter| meter.book(self.spent_on, took_ns));
        self.booked_ns = now_ns;
    }

    fn seat_changed(&self, slot: usize, arrived: bool) {
        let meter = self.meters.iter().find(|meter| meter.slot() == slot);
        meter.inspect(|meter| meter.seat(arrived));
    }

    /// Drops a subtask. Its neighbours must see the ends of its rings, so they are woken by the
    /// round that follows.
    fn remove(&mut self, index: usize) {
        let seated = self.subtasks.remove(index);
        let (job, operator, subtask) = (seated.job.clone(), seated.operator.clone(), seated.index);
        self.seat_changed(seated.slot, false);
        self.pulse.forget(seated.label);
        // The user's destructors run in there; a panic of theirs must not take the core along.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(seated))) {
            job.fail(Error::panicked(&*panic).at(&operator, subtask));
        }
        job.subtask_gone();
    }
}

#[cfg(all(test, loom))]
mod loom_core {
    use super::*;
    use std::sync::mpsc::channel;

    /// A real core that sleeps when it may, and a pool that tells it to leave at any moment. The
    /// mailbox is no part of the model: it is only looked at between two steps of it.
    #[test]
    fn loom_a_command_is_seen_before_the_core_sleeps() {
        loom::model(|| {
            let (mailbox, inbox) = channel();
            let park = Arc::new(Park::default());
            let waker = Waker::new(park.clone());
            let settings = CoreSettings { idle: Idle::Park(0), budget_ns: 1, min_records: 1 };
            let clock = Clock::manual();
            let mut core = Core::new(Vec::new(), inbox, park.clone(), Arc::default(), clock, settings);
            let pool = loom::thread::spawn(move || {
                mailbox.send(Command::Exit).unwrap();
                waker.wake();
            });
            loop {
                match core.turn() {
                    CoreTurn::Sleep(_) => {
                        park.sleep(None);
                        core.woke(1);
                    }
                    CoreTurn::Exit => break,
                    _ => {}
                }
            }
            pool.join().unwrap();
        });
    }
}
