//! The words of a folder of text files, counted, as CSV files of another folder.
//!
//! Writes some texts, reads all that fit `*.txt` in ranges, so that two subtasks share the largest, counts the words,
//! writes the counts as CSV, reads those again, and checks them against a count by hand.
//!
//! run: 2000

// An example prints its result.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use slotflow::io::files::{FileSink, FileSource};
use slotflow::io::formats::{csv, decode, decode_or_skip, encode, text};
use slotflow::prelude::*;

const TEXT: &str = "the quick brown fox jumps over the lazy dog\nand the dog sleeps on\n";

/// A row of the result.
#[derive(Serialize, Deserialize)]
struct WordCount {
    word: String,
    count: u64,
}

fn pattern(folder: &Path, pattern: &str) -> String {
    folder.join(pattern).display().to_string()
}

/// Texts of several lengths, one with a line that is no text; gives how often each word is in them.
fn write_texts(folder: &Path, repeats: usize) -> std::io::Result<BTreeMap<String, u64>> {
    fs::write(folder.join("long.txt"), TEXT.repeat(repeats))?;
    fs::write(folder.join("short.txt"), TEXT.trim_end())?;
    fs::write(folder.join("broken.txt"), [TEXT.as_bytes(), b"\xff\xfe\n"].concat())?;
    let mut counts = BTreeMap::new();
    for word in TEXT.split_whitespace() {
        *counts.entry(word.to_owned()).or_default() += repeats as u64 + 2;
    }
    Ok(counts)
}

/// Reads texts, counts words, writes counts.
fn count(input: &Path, output: &Path) -> Result<()> {
    let env = Environment::with(Config::default());
    env.source(FileSource::lines(pattern(input, "*.txt")).ranges_of(32 * 1024))
        .parallelism(2)
        .then("text", decode_or_skip(text()))
        .flat_map(|line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .key_by(|word: &String| word.clone())
        .fold_at_end(0, |count, _| *count += 1)
        .map(|(word, count)| WordCount { word, count })
        .then("csv", encode(csv::<WordCount>()))
        .sink(FileSink::lines(output, "words").suffix("csv"));
    println!("{}", env.run("count")?);
    Ok(())
}

/// Reads the counts again.
fn read_counts(output: &Path) -> Result<BTreeMap<String, u64>> {
    let env = Environment::with(Config::default());
    let counts = Collected::new();
    env.source(FileSource::lines(pattern(output, "words-*.csv")))
        .then("csv", decode(csv::<WordCount>()))
        .map(|row| (row.word, row.count))
        .sink(counts.sink());
    env.run("read")?;
    Ok(counts.take().into_iter().collect())
}

fn main() -> Result<(), Box<dyn Error>> {
    let repeats: usize = std::env::args().nth(1).map_or(Ok(2_000), |repeats| repeats.parse())?;
    let folder = std::env::temp_dir().join(format!("slotflow-wordcount-{}", std::process::id()));
    let (input, output) = (folder.join("in"), folder.join("out"));
    fs::create_dir_all(&input)?;
    let expected = write_texts(&input, repeats)?;
    count(&input, &output)?;
    let counts = read_counts(&output)?;
    fs::remove_dir_all(&folder)?;
    if counts != expected {
        return Err(format!("{counts:?} is not {expected:?}").into());
    }
    println!("verified: {} words, the most frequent {:?}", counts.len(), counts.iter().max_by_key(|it| it.1));
    Ok(())
}
