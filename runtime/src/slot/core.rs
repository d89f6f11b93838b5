//! One core: the slots it owns and the round over their subtasks.
//!
//! A core is a plain state machine. A driver calls [`Core::turn`] again and again and does what the
//! answer says; the glommio driver, the thread driver and the simulation all call the same code.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::command::{Command, Deployment};
use super::pace::Pace;
use super::park::{Park, Waker};
use super::pulse::Pulse;
use super::seated::Seated;
use super::watch::Watch;
use crate::metrics::{SlotMeter, Spent};
use crate::subtask::Step;
use crate::{Clock, Error};

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
    /// Somebody waits for room.
    blocked: bool,
    due_ns: u64,
}

/// What a glance has shown.
enum Glance {
    /// A round would find nothing.
    Quiet,
    /// It might. The time, if that was looked at.
    Look(Option<u64>),
}

/// How many glances may follow one another before a whole round looks at everything: commands, barriers, the
/// job's end. A glance takes some ten nanoseconds, so these wait for less than a microsecond (a guess).
const GLANCES: u32 = 32;

/// A core and what it steps.
pub struct Core {
    /// One for each slot it owns; what the core does, all of them do.
    meters: Vec<Arc<SlotMeter>>,
    subtasks: Vec<Seated>,
    mailbox: Receiver<Command>,
    park: Arc<Park>,
    pulse: Arc<Pulse>,
    watch: Watch,
    settings: CoreSettings,
    /// The other cores that its subtasks' edges lead to.
    neighbours: Vec<Waker>,
    /// Whether some of them are those of a subtask that has left.
    neighbours_left: bool,
    idle_since_ns: u64,
    /// Nobody has anything to do until something arrives in a ring, or until this time of the clock.
    quiet_until_ns: Option<u64>,
    glances: u32,
    /// For how many turns nobody has looked into the mailbox.
    uncalled: u32,
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
            watch: Watch::new(clock),
            settings,
            neighbours: Vec::new(),
            neighbours_left: false,
            idle_since_ns: 0,
            quiet_until_ns: None,
            glances: 0,
            uncalled: 0,
            spent_on: Spent::Spinning,
            leaving: false,
        }
    }

    /// Where the core sleeps.
    pub fn park(&self) -> &Arc<Park> {
        &self.park
    }

    /// One round over the subtasks, or a glance that shows that there is no need, and what to do next.
    pub fn turn(&mut self) -> CoreTurn {
        let seen_ns = match self.glance() {
            Glance::Quiet => return CoreTurn::Again,
            Glance::Look(now_ns) => now_ns,
        };
        // What a glance has seen comes first, unless the commands have waited for long enough.
        self.uncalled += 1;
        let called = (self.glances == 0 || self.uncalled >= GLANCES) && self.read_mailbox();
        // The factories of a job that has come meanwhile may have taken any time.
        let round = self.round(seen_ns.filter(|_| !called));
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

    /// Whether a glance is enough to see that a round would find nothing. A round costs a clock, meters and a
    /// look at everything; a record that arrives meanwhile would wait for all of that.
    #[inline]
    fn glance(&mut self) -> Glance {
        let Some(until_ns) = self.quiet_until_ns else { return Glance::Look(None) };
        if self.glances == GLANCES {
            self.glances = 0;
            return Glance::Look(None);
        }
        self.glances += 1;
        let ready = self.subtasks.iter().any(|seated| seated.subtask.ready());
        let now_ns = (!ready && until_ns != u64::MAX).then(|| self.watch.now_ns());
        if !ready && now_ns.is_none_or(|now_ns| now_ns < until_ns) {
            return Glance::Quiet;
        }
        self.quiet_until_ns = None;
        Glance::Look(now_ns)
    }

    /// Spins for a while before sleeping.
    fn rest(&mut self, spin_ns: u64, due_ns: u64) -> CoreTurn {
        let now_ns = self.watch.now_ns();
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
        let round = self.round(None);
        let found = called || round.progressed;
        if found {
            self.idle_since_ns = 0;
        }
        if found || round.due_ns <= self.watch.now_ns() {
            self.park.cancel();
            self.wake_neighbours();
            return CoreTurn::Again;
        }
        // Whoever turns a sleeping core wants a whole round.
        self.quiet_until_ns = None;
        self.meters.iter().for_each(|meter| meter.set_asleep(true));
        CoreTurn::Sleep(round.due_ns)
    }

    /// The driver has slept, from `since_ns` on. If there is nothing to do the core sleeps on at once, and spins only
    /// behind something that it did: a subtask that wants to be asked now and then does not cost `spin_us` each time.
    pub fn woke(&mut self, since_ns: u64) {
        self.park.cancel();
        let now_ns = self.watch.now_ns();
        self.book(since_ns);
        self.spent_on = Spent::Parked;
        self.book(now_ns);
        self.meters.iter().for_each(|meter| meter.set_asleep(false));
    }

    /// The time, as the core's watch has it.
    pub fn now_ns(&mut self) -> u64 {
        self.watch.now_ns()
    }

    /// Who is seated here and how their last steps went, for those who ask why nothing moves.
    pub fn describe(&self) -> String {
        let seats: Vec<String> = self.subtasks.iter().map(|seated| seated.describe(&self.pulse)).collect();
        if seats.is_empty() { "empty".into() } else { seats.join("; ") }
    }

    fn wake_neighbours(&mut self) {
        if matches!(self.settings.idle, Idle::Park(_)) {
            Waker::wake_all(&self.neighbours);
        }
        if self.neighbours_left {
            self.refresh_neighbours();
        }
    }

    /// Takes what the pool has sent. `true` if there was anything.
    fn read_mailbox(&mut self) -> bool {
        self.uncalled = 0;
        let mut called = false;
        while let Ok(command) = self.mailbox.try_recv() {
            called = true;
            match command {
                Command::Deploy(deployments) => {
                    // What came before the subtasks is not theirs.
                    let now_ns = self.watch.now_ns();
                    self.book(now_ns);
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
        let label =
            self.pulse.register(slot, format!("slot {slot}, operator \"{operator}\", subtask {index}"));
        let now_ns = self.watch.now_ns();
        // The user's factories run in there: one that does not return is named, and a panic of theirs is their job's,
        // not the core's.
        self.pulse.stepping(label, now_ns);
        let built = Error::caught(build);
        self.pulse.rested();
        let subtask = match built {
            Ok(subtask) => subtask,
            Err(error) => {
                self.pulse.forget(label);
                job.fail(error.at(&operator, index));
                return job.subtask_gone();
            }
        };
        self.seat_changed(slot, true);
        self.subtasks.push(Seated {
            label,
            operator,
            index,
            job,
            slot,
            depth,
            subtask,
            meter,
            pace: Pace::new(self.settings.budget_ns, self.settings.min_records),
            neighbours,
            ready_since_ns: 0,
        });
    }

    fn refresh_neighbours(&mut self) {
        self.neighbours_left = false;
        self.neighbours.clear();
        let own = Waker::new(self.park.clone());
        for waker in self.subtasks.iter().flat_map(|seated| &seated.neighbours) {
            let known = self.neighbours.iter().any(|other| other.same_core(waker));
            if !known && !waker.same_core(&own) {
                self.neighbours.push(waker.clone());
            }
        }
    }

    /// Steps every subtask once, the deepest first. Whoever has just looked at the clock says what it said: what is
    /// due waits for each look.
    fn round(&mut self, seen_ns: Option<u64>) -> Round {
        let mut now_ns = seen_ns.unwrap_or_else(|| self.watch.now_ns());
        self.book(now_ns);
        let mut round = Round { progressed: false, blocked: false, due_ns: u64::MAX };
        let mut index = 0;
        while index < self.subtasks.len() {
            let seated = &mut self.subtasks[index];
            if seated.job.is_over() {
                self.remove(index);
                round.progressed = true;
                continue;
            }
            self.pulse.stepping(seated.label, now_ns);
            match seated.step(&mut now_ns, &mut self.watch) {
                Step::Progress(_) => round.progressed = true,
                Step::Idle(due_ns) => round.due_ns = round.due_ns.min(due_ns),
                Step::Blocked(due_ns) => {
                    round.blocked = true;
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
        self.spent_on = match (round.progressed, round.blocked) {
            (true, _) => Spent::Useful,
            (false, true) => Spent::Blocked,
            (false, false) => Spent::Spinning,
        };
        // Between two yields there is time for a whole round, and an empty core waits for commands alone.
        let glances = self.spent_on == Spent::Spinning
            && self.settings.idle != Idle::Yield
            && !self.subtasks.is_empty();
        self.quiet_until_ns = glances.then_some(round.due_ns);
        self.glances = 0;
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

    /// Drops a subtask. Its neighbours must see the ends of its rings, so they are woken once more, after this
    /// round, and then no longer.
    fn remove(&mut self, index: usize) {
        self.neighbours_left = true;
        let mut seated = self.subtasks.remove(index);
        let (job, operator, subtask) = (seated.job.clone(), seated.operator.clone(), seated.index);
        self.seat_changed(seated.slot, false);
        let (label, now_ns) = (seated.label, self.watch.now_ns());
        // The user's destructors run in there: one that does not return is named, and a panic of theirs must not take
        // the core along.
        self.pulse.stepping(label, now_ns);
        let gone = Error::caught(move || seated.subtask.leave());
        self.pulse.forget(label);
        gone.unwrap_or_else(|error| job.fail(error.at(&operator, subtask)));
        job.subtask_gone();
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

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
