//! What does a record cost as a job grows in one direction: slots, rings, operators, keys, windows, partitions? Claims
//! nothing about caches: `scripts/scaling` counts instructions of jobs in the simulation, with a core for each slot.
//!
//! `scaling QUESTION SIZE COUNT` runs one job of this size in the simulation and says how many turns of its cores it
//! took; with `threads` behind that it runs on real ones and says how long it took. `merge`, `align` and `rest` step
//! one subtask by hand. `memory SIZE` is in a process of its own what the engine takes.

#[path = "../common/job_time.rs"]
mod job_time;
mod jobs;
mod memory;
#[path = "../common/merging.rs"]
mod merging;
mod partitions;

use std::process::ExitCode;

use jobs::Runner;
use merging::Merging;

/// What can grow, and the job in which it does.
type Question = (&'static str, fn(&Runner, usize, u64));

const QUESTIONS: [Question; 10] = [
    ("slots", jobs::slots),
    ("square", jobs::square),
    ("fanout", jobs::fanout),
    ("fanin", jobs::fanin),
    ("fused", jobs::fused),
    ("boxed", jobs::boxed),
    ("cut", jobs::cut),
    ("keys", jobs::keys),
    ("windows", jobs::windows),
    ("partitions", partitions::run),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match told(&words) {
        Some(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        None => {
            let names: Vec<&str> = QUESTIONS.iter().map(|(name, _)| *name).collect();
            eprintln!(
                "scaling QUESTION SIZE COUNT [threads], of {}, merge, align, rest; or scaling memory SIZE",
                names.join(", ")
            );
            ExitCode::FAILURE
        }
    }
}

/// Runs what the words say; none if they say nothing.
fn told(words: &[&str]) -> Option<String> {
    match words {
        // What `cargo bench` and `cargo test --benches` say: a look at each question.
        [] => Some(all()),
        ["memory", size] => Some(memory::line(size.parse().ok()?)),
        [question, size, count] => job_or_step(question, size.parse().ok()?, count.parse().ok()?, false),
        [question, size, count, "threads"] => {
            job_or_step(question, size.parse().ok()?, count.parse().ok()?, true)
        }
        _ => None,
    }
}

fn job_or_step(question: &str, size: usize, count: u64, threads: bool) -> Option<String> {
    let step: fn(&mut Merging) = match question {
        "merge" => Merging::advance,
        "align" => Merging::align,
        "rest" => Merging::rest,
        _ => return job(question, size, count, threads),
    };
    let mut merging = Merging::new(size);
    (0..count).for_each(|_| step(&mut merging));
    Some(format!("{{\"question\":\"{question}\",\"size\":{size},\"steps\":{count}}}"))
}

fn job(question: &str, size: usize, records: u64, threads: bool) -> Option<String> {
    let (_, run) = QUESTIONS.iter().find(|(name, _)| *name == question)?;
    let runner = Runner::new(threads);
    run(&runner, size, records);
    let (turns, seconds) = (runner.turns(), runner.took().as_secs_f64());
    Some(format!(
        "{{\"question\":\"{question}\",\"size\":{size},\"records\":{records},\"turns\":{turns},\
         \"seconds\":{seconds:.6}}}"
    ))
}

/// Each question once, small: that it can be answered.
fn all() -> String {
    let lines = QUESTIONS.iter().filter_map(|(question, _)| job(question, 2, 10_000, false));
    lines.collect::<Vec<_>>().join("\n")
}
