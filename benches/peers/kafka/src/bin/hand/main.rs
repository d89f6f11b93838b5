//! The hand-written limit: one thread with a consumer and a producer of librdkafka's.
//!
//! `map` uses what is quickest: messages in batches from the consumer's queue, records by `rd_kafka_produce`. `source`
//! and `drain` have the variants `batch` and `poll`, `sink` has `raw` and `send`; the second of each is what the
//! binding for Rust offers.

mod map;
mod reader;
mod writer;

use std::time::Duration;

use peers_kafka::line::Line;
use peers_kafka::meter::Meter;
use peers_kafka::words::{Words, no_such_workload};

use reader::Reader;
use writer::Writer;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The longest wait for a message.
const PATIENCE: Duration = Duration::from_millis(10);

fn main() {
    let words = Words::of_process();
    match (words.text("workload"), words.text_or("variant", "")) {
        ("map", "") => map::run(&words),
        ("source" | "drain", "poll") => println!("{}", poll(&words)),
        ("source" | "drain", "" | "batch") => println!("{}", batches(&words)),
        ("sink", "send") => sink(&words, Writer::send),
        ("sink", "" | "raw") => sink(&words, Writer::produce),
        _ => no_such_workload(),
    }
}

fn batches(words: &Words) -> String {
    let (reader, mut meter, mut line) = (Reader::new(words), Meter::of(words), None);
    while line.is_none() {
        reader.take(PATIENCE, |message| line = line.take().or_else(|| meter.see(Some(message.key()))));
    }
    line.unwrap_or_default()
}

fn poll(words: &Words) -> String {
    let (reader, mut meter) = (Reader::new(words), Meter::of(words));
    loop {
        if let Some(line) = reader.poll(PATIENCE, |key| meter.see(key)) {
            return line;
        }
    }
}

fn sink(words: &Words, send: fn(&mut Writer, &[u8], &[u8])) {
    let mut writer = Writer::new(words);
    for Line { key, text } in (0..words.number("records")).map(|i| Line::new(i, i)) {
        send(&mut writer, &key, &text);
        writer.serve_now_and_then();
    }
    writer.flush();
}
