//! What does a turn of a core cost that finds nothing to do? Claims nothing about how a subtask finds that
//! out: the steps are empty.
//!
//! So this is the own bookkeeping of a round, for each idle subtask.

mod common;

use std::hint::black_box;
use std::sync::mpsc::channel;
use std::sync::{Arc, mpsc::Sender};

use criterion::BenchmarkId;
use slotflow::runtime::Clock;
use slotflow::runtime::job::JobControl;
use slotflow::runtime::metrics::SlotMeter;
use slotflow::runtime::slot::{Command, Core, CoreSettings, CoreTurn, Deployment, Idle};
use slotflow::runtime::subtask::{Step, Subtask, Turn};

/// A subtask that waits to be woken.
struct Resting;

impl Subtask for Resting {
    fn step(&mut self, turn: Turn) -> Step {
        black_box(turn);
        Step::Idle(u64::MAX)
    }
}

/// A core that spins over idle subtasks, and what must live as long.
struct IdleCore {
    core: Core,
    _mailbox: Sender<Command>,
}

impl IdleCore {
    fn new(subtasks: usize) -> IdleCore {
        let (mailbox, inbox) = channel();
        let clock = Clock::system();
        let meters = vec![Arc::new(SlotMeter::of(0, clock.now_ns()))];
        let settings = CoreSettings { idle: Idle::Spin, budget_ns: 30_000, min_records: 1024 };
        let core = Core::new(meters, inbox, Arc::default(), Arc::default(), clock, settings);
        let (job, _reports) = JobControl::new("resting", subtasks);
        let deployments = (0..subtasks).map(|index| resting(&job, index)).collect();
        mailbox.send(Command::Deploy(deployments)).expect("the core has the other end");
        IdleCore { core, _mailbox: mailbox }
    }
}

fn resting(job: &Arc<JobControl>, index: usize) -> Deployment {
    Deployment {
        job: job.clone(),
        slot: 0,
        depth: 0,
        operator: "resting".into(),
        index,
        build: Box::new(|| Ok(Box::new(Resting))),
        meter: Arc::default(),
        neighbours: Vec::new(),
    }
}

fn main() {
    let mut criterion = common::criterion();
    let mut group = criterion.benchmark_group("slot_step");
    for subtasks in [1, 8, 64, 512] {
        let mut idle = IdleCore::new(subtasks);
        assert_eq!(idle.core.turn(), CoreTurn::Again, "the first turn seats them");
        group.bench_function(BenchmarkId::new("idle subtasks", subtasks), |bencher| {
            bencher.iter(|| black_box(idle.core.turn()));
        });
    }
    group.finish();
    criterion.final_summary();
}
