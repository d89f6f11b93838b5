//! Tests of a core.

use super::*;
use crate::job::JobControl;
use crate::slot::command::BuildSubtask;
use crate::subtask::{Subtask, Turn};
use std::sync::mpsc::{Sender, channel};

/// A subtask that has ended.
struct Ended;

impl Subtask for Ended {
    fn step(&mut self, _: Turn) -> Step {
        Step::Done
    }
}

/// Is always due, and tells the time of its steps.
struct Due(Sender<u64>);

impl Subtask for Due {
    fn step(&mut self, turn: Turn) -> Step {
        self.0.send(turn.now_ns).expect("the test listens as long as the core turns");
        Step::Idle(1)
    }

    fn ready(&self) -> bool {
        false
    }
}

/// Ends at once, and looks around when it leaves.
struct Looks<F: FnMut()>(F);

impl<F: FnMut()> Subtask for Looks<F> {
    fn step(&mut self, _: Turn) -> Step {
        Step::Done
    }

    fn leave(&mut self) -> crate::Result<()> {
        (self.0)();
        Ok(())
    }
}

/// Has nothing to do, and wants to be asked now and then.
struct Waits;

impl Subtask for Waits {
    fn step(&mut self, turn: Turn) -> Step {
        Step::Idle(turn.now_ns + 1_000_000)
    }

    fn ready(&self) -> bool {
        false
    }
}

/// Has something to do whenever it is asked twice at one time: in the last look before its core sleeps.
struct LastMoment {
    asked_ns: u64,
    did: Sender<u64>,
}

impl Subtask for LastMoment {
    fn step(&mut self, turn: Turn) -> Step {
        if std::mem::replace(&mut self.asked_ns, turn.now_ns) < turn.now_ns {
            return Step::Idle(turn.now_ns + 1);
        }
        self.did.send(turn.now_ns).expect("the test listens as long as the core turns");
        Step::Progress(1)
    }

    fn ready(&self) -> bool {
        false
    }
}

fn deployment(build: BuildSubtask) -> Deployment {
    Deployment {
        job: JobControl::new("job", 1).0,
        slot: 0,
        depth: 0,
        operator: "test".into(),
        index: 0,
        build,
        meter: Arc::default(),
        neighbours: Vec::new(),
    }
}

fn core(inbox: Receiver<Command>, clock: Clock) -> Core {
    let settings = CoreSettings { idle: Idle::Park(0), budget_ns: 1, min_records: 1 };
    Core::new(Vec::new(), inbox, Arc::default(), Arc::default(), clock, settings)
}

#[test]
fn neighbours_are_woken_once_more_when_a_subtask_leaves_and_then_forgotten() {
    let (mailbox, inbox) = channel();
    let mut core = core(inbox, Clock::manual());
    let neighbour = Arc::new(Park::default());
    neighbour.prepare();
    let ends = deployment(Box::new(|| Ok(Box::new(Ended))));
    let ends = Deployment { neighbours: vec![Waker::new(neighbour.clone())], ..ends };
    mailbox.send(Command::Deploy(vec![ends])).unwrap();
    assert_eq!(core.turn(), CoreTurn::Again);
    assert!(!neighbour.is_asleep(), "it has to see the ends of its rings");
    assert!(core.neighbours.is_empty());
}

#[test]
fn who_is_woken_for_nothing_does_not_spin() {
    let (mailbox, inbox) = channel();
    let clock = Clock::manual();
    let mut core = core(inbox, clock.clone());
    core.settings.idle = Idle::Park(1_000);
    mailbox.send(Command::Deploy(vec![deployment(Box::new(|| Ok(Box::new(Waits))))])).unwrap();
    let mut turns = 0;
    while let CoreTurn::Again = core.turn() {
        clock.advance(100);
        turns += 1;
    }
    assert!(turns > 10, "it spins behind what it did: {turns}");
    let since_ns = clock.now_ns();
    clock.advance(1_000_000);
    core.woke(since_ns);
    assert_eq!(core.turn(), CoreTurn::Sleep(clock.now_ns() + 1_000_000));
}

#[test]
fn who_finds_something_in_the_last_look_spins_behind_it() {
    let (mailbox, inbox) = channel();
    let (clock, (did, done)) = (Clock::manual(), channel());
    let mut core = core(inbox, clock.clone());
    core.settings.idle = Idle::Park(1_000);
    let last_moment = LastMoment { asked_ns: 0, did };
    mailbox.send(Command::Deploy(vec![deployment(Box::new(|| Ok(Box::new(last_moment))))])).unwrap();
    for _ in 0..100 {
        assert_eq!(core.turn(), CoreTurn::Again);
        clock.advance(100);
    }
    let times: Vec<u64> = done.try_iter().collect();
    assert!(times.len() > 2 && times.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{times:?}");
}

#[test]
fn factories_and_destructors_are_announced_while_they_run_and_no_longer() {
    let (mailbox, inbox) = channel();
    let (clock, (tell, told)) = (Clock::manual(), channel());
    let mut core = core(inbox, clock.clone());
    let pulse = core.pulse.clone();
    let (seen, late) = (pulse.clone(), clock.clone());
    let look = move || {
        late.advance(5);
        let running = seen.running(late.now_ns());
        tell.send(running.map(|it| (it.who.to_string(), it.took_ns))).expect("the test listens");
    };
    let refuses = look.clone();
    let refused = deployment(Box::new(move || {
        refuses();
        Err(Error::user("no"))
    }));
    let built = deployment(Box::new(move || {
        look();
        Ok(Box::new(Looks(look)))
    }));
    for (deployment, looks) in [(refused, 1), (built, 2)] {
        mailbox.send(Command::Deploy(vec![deployment])).unwrap();
        core.turn();
        let named = Some(("slot 0, operator \"test\", subtask 0".to_owned(), 5));
        assert_eq!(told.try_iter().collect::<Vec<_>>(), vec![named; looks]);
        assert!(pulse.running(clock.now_ns()).is_none());
        assert_eq!(&*pulse.label(0), "somebody", "its number is free");
    }
}

#[test]
fn what_is_built_between_a_glance_and_its_round_is_not_stepped_in_the_past() {
    let (mailbox, inbox) = channel();
    let (clock, (tell, told)) = (Clock::manual(), channel());
    let mut core = core(inbox, clock.clone());
    let first = tell.clone();
    let first = deployment(Box::new(|| Ok(Box::new(Due(first)))));
    mailbox.send(Command::Deploy(vec![first])).unwrap();
    core.turn();
    let late = clock.clone();
    let takes_long = deployment(Box::new(move || {
        late.advance(1_000);
        Ok(Box::new(Due(tell)))
    }));
    mailbox.send(Command::Deploy(vec![takes_long])).unwrap();
    for _ in 0..2 * GLANCES {
        assert_eq!(core.turn(), CoreTurn::Again);
    }
    let times: Vec<u64> = told.try_iter().collect();
    let before = times.iter().filter(|now_ns| **now_ns == 1).count();
    assert_eq!((before, core.subtasks.len()), (GLANCES as usize, 2), "{times:?}");
}
