//! The first record after a pause: to a bare thread that sleeps in a futex and back, and through a job, by idle policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{JoinHandle, current, park, sleep, spawn};
use std::time::{Duration, Instant};

use slotflow::io::{Egress, Ingress, egress, ingress};
use slotflow::prelude::*;
use slotflow::runtime::config::Idle;

use crate::turns::turns;

/// Pauses, and how many answers are taken after each.
const PAUSES: [(Duration, usize); 2] = [(Duration::from_millis(1), 1000), (Duration::from_secs(1), 15)];

const PATIENCE: Duration = Duration::from_secs(60);

pub fn run() {
    println!("\nwake\n| idle | pause | bare futex, us | ours | of bare |\n|---|---|---|---|---|");
    for (name, idle) in [("spin", Idle::Spin), ("yield", Idle::Yield), ("park", Idle::Park)] {
        for (pause, count) in PAUSES {
            let (mut sleeper, mut job) = (Sleeper::new(), Echo::new(idle));
            let [bare, ours, ratio] =
                turns(count, || after(pause, || sleeper.call()), || after(pause, || job.call()));
            println!("| {name} | {pause:?} | {bare} | {ours} | {ratio} |");
        }
    }
}

/// How many microseconds a call takes after a pause.
fn after(pause: Duration, call: impl FnOnce()) -> f64 {
    sleep(pause);
    let began = Instant::now();
    call();
    began.elapsed().as_nanos() as f64 / 1e3
}

/// A thread that sleeps until it is asked: `std`'s `park`, which is a futex here.
struct Sleeper {
    asked: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    leaves: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sleeper {
    fn new() -> Sleeper {
        let (asked, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (leaves, host) = (Arc::new(AtomicBool::new(false)), current());
        let (question, answer, leave) = (asked.clone(), answered.clone(), leaves.clone());
        let thread = spawn(move || {
            while !leave.load(SeqCst) {
                let asked = question.load(SeqCst);
                if answer.swap(asked, SeqCst) != asked {
                    host.unpark();
                } else {
                    park();
                }
            }
        });
        Sleeper { asked, answered, leaves, thread: Some(thread) }
    }

    fn call(&mut self) {
        let question = self.asked.fetch_add(1, SeqCst) + 1;
        self.thread.iter().for_each(|thread| thread.thread().unpark());
        while self.answered.load(SeqCst) < question {
            park();
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.leaves.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            thread.join().expect("it does not panic");
        }
    }
}

/// A job that sends back what it is given.
struct Echo {
    requests: Ingress<u64>,
    answers: Egress<u64>,
    _job: Job,
}

impl Echo {
    fn new(idle: Idle) -> Echo {
        let mut env = Environment::new().expect("the SLOTFLOW_* variables are right");
        env.config_mut().slots.idle = idle;
        let ((requests, source), (answers, sink)) = (ingress(16), egress(16));
        env.source(source).sink(sink);
        Echo { requests, answers, _job: env.start("echo").expect("there is a slot") }
    }

    fn call(&mut self) {
        self.requests.try_push(1).expect("nothing else is under way");
        self.answers.recv(PATIENCE).expect("it comes back");
    }
}
