//! The main job: Kafka -> uppercase -> Kafka.
//!
//! run:
//!
//! Without arguments it starts a broker inside the process (librdkafka's mock cluster), fills a topic
//! of 8 partitions with 100,000 lines, runs the job, and checks that every line arrived exactly once.
//! With `--brokers HOST:PORT --input T --output T --group G` it runs against a Kafka of yours until
//! Ctrl-C, or with `--bounded` up to the end of the topic.

mod args;
mod demo;

use std::io::{IsTerminal, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use slotflow::io::kafka::{KafkaSink, KafkaSource, Message};
use slotflow::prelude::*;

use args::Args;

/// How long a drain may take before what is left is cut off.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// Exit code 1 and the reason on the standard error for whatever fails.
pub fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("warn").init();
    let outcome = Args::parse(std::env::args().skip(1)).and_then(|args| {
        let outcome = if args.brokers.is_some() { on_brokers(&args) } else { demo::run(&args) };
        outcome.map_err(|error| error.to_string())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Describes the job. The line is built in the step's arena, where it costs no allocation; it is
/// copied into `Bytes` because it crosses an edge: the sink has half of the job's parallelism.
fn describe(env: &mut Environment, source: KafkaSource, sink: KafkaSink) {
    let sink_parallelism = env.config_mut().job.parallelism.div_ceil(2);
    env.source(source)
        .name("lines")
        .map_in(uppercase)
        .name("uppercase")
        .map(Bytes::copy_from_slice)
        .sink(sink)
        .name("LINES")
        .parallelism(sink_parallelism);
}

fn uppercase<'s>(line: Message<'s>, arena: &'s Arena) -> &'s [u8] {
    let text = line.payload();
    arena.slice_with(text.len(), |i| text[i].to_ascii_uppercase())
}

/// Runs the job on a Kafka of the user's.
fn on_brokers(args: &Args) -> Result<()> {
    let mut env = args.environment()?;
    let brokers = args.brokers.as_deref().unwrap_or_default();
    let source = KafkaSource::new(brokers).topic(&args.input).group(&args.group);
    let source = if args.bounded { source.bounded() } else { source };
    let sink = KafkaSink::new(brokers).topic(&args.output);
    describe(&mut env, source, sink);
    println!("{}", env.explain()?);
    let job = env.start("uppercase")?;
    let interrupted = watch(&job, || false);
    println!("{}", end(job, args.bounded && !interrupted)?);
    Ok(())
}

/// Shows the job live until it ends, Ctrl-C is pressed, or `done` says so; whether it was Ctrl-C.
fn watch(job: &Job, done: impl Fn() -> bool) -> bool {
    let interrupted = interrupted();
    let terminal = stdout().is_terminal();
    let every = Duration::from_millis(500);
    let shown =
        job.view().every(every).show_until(&mut stdout(), terminal, || interrupted.load(Relaxed) || done());
    if let Err(error) = shown {
        eprintln!("the view has nobody to look at it: {error}");
    }
    interrupted.load(Relaxed)
}

/// A job that reads to an end of its own is waited for, any other is drained.
fn end(job: Job, by_itself: bool) -> Result<JobReport> {
    if by_itself { job.wait() } else { job.drain(DRAIN_DEADLINE) }
}

/// Set by the first Ctrl-C. The second one ends the process at once.
fn interrupted() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let pressed = flag.clone();
    let heard = ctrlc::set_handler(move || {
        if pressed.swap(true, Relaxed) {
            std::process::exit(130);
        }
    });
    if let Err(error) = heard {
        eprintln!("Ctrl-C will not drain the job: {error}");
    }
    flag
}
