//! What does the engine add to what it stands on: a bare ring, a bare round trip between two cores, a bare futex? And
//! what does a job take that waits, by idle policy? Claims nothing about jobs with operators that cost something.
//!
//! `raw [ring] [hop] [wake] [share] [loaded]`; without a word, all of them. The two sides of a comparison take turns
//! in one process on the same two cores, and ratios are of neighbouring turns: a virtual machine's cores are near or
//! far from each other by the second.

mod hop;
mod loaded;
mod ring;
mod share;
mod turns;
mod wake;

use std::process::ExitCode;

type Question = (&'static str, fn());

const QUESTIONS: [Question; 5] = [
    ("ring", ring::run),
    ("hop", hop::run),
    ("wake", wake::run),
    ("share", share::run),
    ("loaded", loaded::run),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let known = |word: &String| QUESTIONS.iter().any(|(name, _)| name == word);
    if let Some(word) = words.iter().find(|word| !known(word)) {
        eprintln!("{word}: there are ring, hop, wake, share and loaded");
        return ExitCode::FAILURE;
    }
    let asked = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    QUESTIONS.iter().filter(|(name, _)| asked(name)).for_each(|(_, run)| run());
    ExitCode::SUCCESS
}
