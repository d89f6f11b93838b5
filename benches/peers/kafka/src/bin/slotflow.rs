//! slotflow in the race: the job as a user would write it, on the public API.

use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use peers_kafka::line::Line;
use peers_kafka::meter::Meter;
use peers_kafka::stop::Stop;
use peers_kafka::words::{Words, no_such_workload};
use slotflow::io::kafka::{KafkaSink, KafkaSource, Keyed, Message, Messages};
use slotflow::prelude::*;
use slotflow::runtime::Cloned;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often it is asked whether the job is to end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a drain may take.
const DEADLINE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("warn").init();
    let words = Words::of_process();
    let outcome = match words.text("workload") {
        "map" => map(&words),
        "source" | "drain" => source(&words),
        "sink" => sink(&words),
        _ => no_such_workload(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Kafka, upper case, Kafka: until it is told to end.
fn map(words: &Words) -> Result<()> {
    let (env, stop) = (environment(words)?, Stop::listen());
    env.source(from_kafka(words)).then("uppercase", Cloned(Uppercase)).sink(to_kafka(words));
    let job = env.start("race")?;
    while !stop.is_said() && !job.ends_within(LOOK_EVERY) {}
    job.drain(DEADLINE).map(drop)
}

/// Only reads.
fn source(words: &Words) -> Result<()> {
    let (env, (told, done)) = (environment(words)?, mpsc::channel());
    let mut meter = Meter::of(words);
    let see = move |message: Message<'_>| {
        if let Some(line) = meter.see(message.key()) {
            drop(told.send(line));
        }
    };
    env.source(from_kafka(words)).sink(callback(see));
    let job = env.start("source")?;
    if let Ok(line) = done.recv() {
        println!("{line}");
    }
    job.abort().map(drop)
}

/// Only writes.
fn sink(words: &Words) -> Result<()> {
    let env = environment(words)?;
    env.source(generate(words.number("records"), |i| Line::new(i, i))).sink(to_kafka(words));
    env.run("sink").map(drop)
}

fn environment(words: &Words) -> Result<Environment> {
    let mut config = Config::default();
    config.job.commit_interval_ms = words.number("commit.interval.ms");
    Ok(Environment::with(config.with_environment()?))
}

fn from_kafka(words: &Words) -> KafkaSource {
    let source =
        KafkaSource::new(words.text("brokers")).topic(words.text("input")).group(words.text("group"));
    words.settings("consumer").fold(source, |source, (name, value)| source.setting(name, value))
}

/// The sink has every replica's acknowledgement and an idempotent producer by itself, and takes no setting for it.
fn to_kafka(words: &Words) -> KafkaSink {
    let own = |name: &str| name == "acks" || name == "enable.idempotence";
    let sink = KafkaSink::new(words.text("brokers")).topic(words.text("output"));
    words
        .settings("producer")
        .filter(|(name, _)| !own(name))
        .fold(sink, |sink, (name, value)| sink.setting(name, value))
}

/// A record that is lent for a step: the key as it lies in the fetch buffer, the text in the step's arena.
struct Lines;

impl Family for Lines {
    type Of<'s> = Keyed<&'s [u8], &'s [u8]>;
}

#[derive(Clone)]
struct Uppercase;

impl Operator<Messages> for Uppercase {
    type Out = Lines;

    #[inline(always)]
    fn process<'s>(&mut self, record: Message<'s>, ctx: &mut Context<'s>, out: &mut impl Output<Lines>) {
        let text = record.payload();
        let payload = ctx.arena().slice_with(text.len(), |i| text[i].to_ascii_uppercase());
        out.push(Keyed { key: record.key().unwrap_or_default(), payload }, ctx);
    }
}
