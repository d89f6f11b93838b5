//! The referee of the race: makes the topics, says when an output is complete, checks it, and measures latency.
//!
//! `do=make topic=T partitions=8`, `do=drop topic=T`, `do=wait topic=T records=N`, `do=check topic=T records=N
//! upper=true`, `do=latency input=I output=O rate=R warmup=S seconds=S`; always `brokers=HOST:PORT`.

mod check;
mod latency;
mod parts;
mod topics;

use peers_kafka::words::{Words, fail};

fn main() {
    let words = Words::of_process();
    let done = match words.text("do") {
        "make" => topics::make(&words),
        "drop" => topics::drop(&words),
        "wait" => topics::wait(&words),
        "check" => check::run(&words),
        "latency" => latency::run(&words),
        other => fail(&format!("do={other}: not what a referee does")),
    };
    done.unwrap_or_else(|error| fail(&error.to_string()));
}
