//! Every example runs, with the arguments that it names itself.
//!
//! `//! run: ARGUMENTS` among the comment lines at an example's top is a run; several such lines are several runs, an
//! empty one is a run without arguments. Examples run as cargo has built them, which it does for `cargo test` and
//! `cargo test --workspace`; `scripts/examples` runs them in release, and those that name a feature with `//! with:`,
//! which cargo has not built here.
#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use slotflow::io::kafka::MockKafka;
use slotflow::runtime::IoCores;

/// A run takes seconds; this only keeps one that hangs from doing so for ever.
const HANGS_S: &str = "300";

/// An example's name and where its source begins.
fn examples() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut examples = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        match path.extension() {
            Some(rust) if rust == "rs" => examples.push((name, path)),
            _ if path.join("main.rs").exists() => examples.push((name, path.join("main.rs"))),
            _ => {}
        }
    }
    examples.sort();
    examples
}

/// The arguments of each run.
fn runs(source: &str) -> Vec<Vec<&str>> {
    let top = source.lines().take_while(|line| line.starts_with("//"));
    top.filter_map(|line| line.strip_prefix("//! run:"))
        .map(|line| line.split_whitespace().collect())
        .collect()
}

/// Whether an example needs a feature that no test needs.
fn needs_more(source: &str) -> bool {
    source.lines().take_while(|line| line.starts_with("//")).any(|line| line.starts_with("//! with:"))
}

/// Where cargo has put an example: beside the folder of this test.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(
        built.exists(),
        "the example {name} is not at {}; cargo test --workspace builds it, and so does cargo build --examples \
         (with the profile and the target of this test)",
        built.display()
    );
    built
}

fn run(name: &str, arguments: &[&str]) {
    let mut command = Command::new("timeout");
    let output = command.arg(HANGS_S).arg(built(name)).args(arguments).stdin(Stdio::null()).output().unwrap();
    let said = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    assert!(
        output.status.success(),
        "example {name} {}: {} (124 is: not done within {HANGS_S} s)\n{}{}",
        arguments.join(" "),
        output.status,
        said(&output.stdout),
        said(&output.stderr)
    );
}

#[test]
fn every_example_runs() {
    let examples = examples();
    assert!(!examples.is_empty(), "the examples are somewhere else");
    for (name, path) in &examples {
        let source = fs::read_to_string(path).unwrap();
        let runs = runs(&source);
        assert!(!runs.is_empty(), "{}: no line '//! run: ARGUMENTS' at its top", path.display());
        let here = runs.iter().filter(|_| !needs_more(&source));
        here.for_each(|arguments| run(name, arguments));
    }
}

/// The topics of `scale_out`, each of one partition.
fn payments() -> MockKafka {
    let kafka = MockKafka::start(&IoCores::default()).unwrap();
    let topics = ["payments", "payments-by-user", "payments-seen"];
    topics.iter().for_each(|topic| kafka.create_topic(topic, 1).unwrap());
    kafka
}

/// Runs `scale_out` with these payments until so many have been seen, and ends it by a signal; what it says then.
fn scale_out_until(kafka: &MockKafka, payments: Range<u32>, seen: usize, signal: &str) -> Vec<String> {
    let mut command = Command::new("timeout");
    command.arg("--foreground").arg(HANGS_S).arg(built("scale_out")).args(["--brokers", kafka.bootstrap()]);
    let mut example = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(example.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(said.next().unwrap(), "reads payments until Ctrl-C; start another one");
    kafka.fill("payments", payments.map(|n| (0, format!("user{n} {n} {n}")))).unwrap();
    while kafka.read("payments-seen").unwrap().concat().len() < seen {
        assert_eq!(example.try_wait().unwrap(), None, "it reads until it is ended");
    }
    assert!(Command::new("kill").args([signal, &example.id().to_string()]).status().unwrap().success());
    let said = said.collect();
    assert_eq!(example.wait().unwrap().code(), Some(0), "{said:?}");
    said
}

/// What becomes of a payment.
fn line(n: u32) -> Vec<u8> {
    format!("USER{n} {n} {n}").into_bytes()
}

#[test]
fn scale_out_drains_at_ctrl_c_and_at_sigterm_and_exits_with_0() {
    let kafka = payments();
    // The first time in the middle of it.
    for (payments, seen, signal) in [(0..500, 1, "-INT"), (500..900, 900, "-TERM")] {
        let said = scale_out_until(&kafka, payments, seen, signal);
        for (stage, said) in ["one", "two"].iter().zip(&said) {
            assert!(said.starts_with(&format!("job \"stage {stage}\" drained after ")), "{said}");
        }
        assert_eq!(said.len(), 2);
    }
    let seen = kafka.read("payments-seen").unwrap().concat();
    assert_eq!(seen.len(), 900, "what was read is written and committed, and not read again");
    let seen: BTreeSet<Vec<u8>> = seen.into_iter().map(|it| it.payload.to_vec()).collect();
    assert_eq!(seen, (0..900).map(line).collect());
}

#[test]
fn runs_are_read_from_the_comment_at_the_top_only() {
    let source = "//! An example.\n//!\n//! run: --fast 1_000\n//! run:\n\nfn main() {}\n//! run: never\n";
    assert_eq!(runs(source), [vec!["--fast", "1_000"], vec![]]);
}
