//! How long does a record take through a job that had nothing to do for a while, by idle policy? Claims nothing about
//! jobs that are busy.
//!
//! From the host's thread through one subtask and back, after a pause of 1 ms. The host's thread waits for the answer
//! as every host's does, so its own wake-up counts, too.

mod common;

use std::thread::sleep;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, SamplingMode};
use slotflow::io::{Egress, Ingress, egress, ingress};
use slotflow::prelude::*;
use slotflow::runtime::config::Idle;

/// Far more than `slots.spin_us`, so that a core that may sleep does.
const PAUSE: Duration = Duration::from_millis(1);

/// For how long an answer is waited for before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// A job that sends back what it is given.
struct Echo {
    requests: Ingress<u64>,
    answers: Egress<u64>,
    _job: Job,
}

impl Echo {
    fn start(idle: Idle) -> Echo {
        let mut env = Environment::new().expect("the SLOTFLOW_* variables are right");
        env.config_mut().slots.idle = idle;
        let ((requests, source), (answers, sink)) = (ingress(16), egress(16));
        env.source(source).sink(sink);
        Echo { requests, answers, _job: env.start("echo").expect("there is a slot") }
    }

    /// The time of one record.
    fn call(&mut self) -> Duration {
        sleep(PAUSE);
        let began = Instant::now();
        self.requests.try_push(1).expect("nothing else is under way");
        self.answers.recv(PATIENCE).expect("it comes back");
        began.elapsed()
    }
}

fn main() {
    let mut criterion = common::criterion();
    let mut group = criterion.benchmark_group("wake");
    group.sampling_mode(SamplingMode::Flat);
    for (name, idle) in [("spin", Idle::Spin), ("yield", Idle::Yield), ("park", Idle::Park)] {
        let mut echo = Echo::start(idle);
        group.bench_function(BenchmarkId::new("idle", name), |bencher| {
            bencher.iter_custom(|iterations| (0..iterations).map(|_| echo.call()).sum());
        });
    }
    group.finish();
    criterion.final_summary();
}
