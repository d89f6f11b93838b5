//! The job on a broker inside the process, with its result checked.

use std::time::{Duration, Instant};

use slotflow::io::kafka::MockKafka;
use slotflow::prelude::*;
use slotflow::runtime::IoCores;
use slotflow::runtime::metrics::Latencies;

use super::args::Args;
use super::{describe, end, watch};

const PARTITIONS: u32 = 8;

/// Fills a topic, runs the job, drains it and reads the result back.
pub fn run(args: &Args) -> Result<()> {
    let kafka = MockKafka::start(&IoCores::default())?;
    println!("no --brokers: using librdkafka's mock cluster at {}", kafka.bootstrap());
    kafka.create_topic("lines", PARTITIONS)?;
    kafka.create_topic("LINES", PARTITIONS)?;
    kafka.fill("lines", (0..args.lines).map(|i| (i % PARTITIONS, line(i))))?;

    let mut env = args.environment()?;
    let sink = kafka.sink().topic("LINES");
    let acknowledged = sink.ack_latency();
    describe(&mut env, kafka.source().topic("lines").group(&args.group), sink);
    println!("{}", env.explain()?);

    let began = Instant::now();
    let job = env.start("uppercase")?;
    let interrupted = watch(&job, || job.metrics().records_in() >= u64::from(args.lines));
    let read_in = began.elapsed();
    let handed_over = job.metrics().latency;
    println!("{}", end(job, false)?);
    if interrupted {
        println!("interrupted: not all lines were read, so the result is not verified");
        return Ok(());
    }
    report(args.lines, read_in, &handed_over, &acknowledged.since_dequeue());
    verify(&kafka, args.lines)
}

fn line(i: u32) -> String {
    format!("line {i} of the demo")
}

fn report(lines: u32, took: Duration, handed_over: &Latencies, acknowledged: &Latencies) {
    let rate = f64::from(lines) / took.as_secs_f64();
    println!("{lines} lines in {:.2} s: {rate:.0} lines/s (start of the job included)", took.as_secs_f64());
    let show = |name: &str, latencies: &Latencies| {
        let [p50, p99] = [0.5, 0.99].map(|q| latencies.quantile_ns(q) as f64 / 1000.0);
        println!("{name}: p50 below {p50:.1} us, p99 below {p99:.1} us ({} samples)", latencies.count());
    };
    show("slot dequeue to producer enqueue", handed_over);
    show("slot dequeue to acknowledgement (by the mock: no claim about a broker)", acknowledged);
}

/// Every line must be in the output once, in upper case.
fn verify(kafka: &MockKafka, lines: u32) -> Result<()> {
    let mut seen = vec![0u32; lines as usize];
    let mut strange = 0;
    for message in kafka.read("LINES")?.into_iter().flatten() {
        match number_of(&message.payload).and_then(|number| seen.get_mut(number as usize)) {
            Some(count) => *count += 1,
            None => strange += 1,
        }
    }
    let missing = seen.iter().filter(|count| **count == 0).count();
    let doubled = seen.iter().filter(|count| **count > 1).count();
    if missing + doubled + strange > 0 {
        let what = format!("{missing} lines are missing, {doubled} doubled, {strange} not made by this job");
        return Err(Error::bug(what));
    }
    println!("verified: all {lines} lines arrived exactly once");
    Ok(())
}

/// The number of an output line, if it is what the job makes of that number's input line.
fn number_of(payload: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(payload).ok()?;
    let number = text.split(' ').nth(1)?.parse().ok()?;
    (text == line(number).to_uppercase()).then_some(number)
}
