//! How long does it take to read a file of lines, and how much of the CPUs, through io_uring and by plain calls?
//!
//!   cargo bench --bench files            1.5 GB below target/tmp, five turns; as root also from the disk
//!   cargo bench --bench files -- --test  a little of it, to see that it runs
//!
//! No criterion: the cache has to be emptied in front of each run from the disk, and CPU time is what is looked for.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use slotflow::io::files::FileSource;
use slotflow::io::frames::Frame;
use slotflow::prelude::*;

/// The kernel's ticks of CPU time, which are the same everywhere.
const TICKS_PER_S: f64 = 100.0;

/// Writes a file of lines of 100 bytes.
fn write(path: &Path, lines: u64) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for line in 0..lines {
        writeln!(file, "{line:099}")?;
    }
    // What is not on the disk stays in the cache when that is emptied.
    file.into_inner()?.sync_all()
}

/// What this process has used of all CPUs, in seconds.
fn cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in front of the bracket may hold spaces.
    let numbers = stat.rsplit(')').next().unwrap_or("").split_whitespace();
    numbers.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_S
}

/// Counts the lines, and tells seconds and CPU seconds.
fn read(name: &str, source: FileSource, lines: u64) -> Result<()> {
    let (env, counts) = (Environment::with(Config::default()), Collected::new());
    let mut count = 0;
    let counted = env.source(source).map(move |_: Frame<'_>| {
        count += 1;
        count
    });
    counted.filter(move |count| *count == lines).sink(counts.sink());
    let (began, before) = (Instant::now(), cpu_s());
    env.run("files")?;
    println!("  {name:<9} {:.3} s, of CPUs {:.2} s", began.elapsed().as_secs_f64(), cpu_s() - before);
    assert_eq!(counts.take(), [lines]);
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let test = std::env::args().any(|argument| argument == "--test");
    let (lines, turns) = if test { (100_000, 1) } else { (15_000_000, 5) };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lines");
    write(&path, lines)?;
    let source = || FileSource::lines(path.display().to_string());
    let may_empty = fs::write("/proc/sys/vm/drop_caches", "1").is_ok();
    for from_disk in [false, true].into_iter().filter(|from_disk| may_empty || !from_disk) {
        read("to warm up", source(), lines)?;
        println!("{}", if from_disk { "from the disk" } else { "from the cache" });
        for _ in 0..turns {
            for (name, source) in [("plain", source().without_io_uring()), ("io_uring", source())] {
                if from_disk {
                    fs::write("/proc/sys/vm/drop_caches", "1")?;
                }
                read(name, source, lines)?;
            }
        }
    }
    fs::remove_file(&path)?;
    Ok(())
}
