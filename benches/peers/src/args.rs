//! The command line that every contestant has, slotflow's runner among them.

use std::fmt::Display;
use std::process::exit;
use std::str::FromStr;

/// What to run.
#[derive(Clone, Debug)]
pub struct Args {
    pub workload: String,
    pub records: u64,
    pub parallelism: usize,
    /// Of `keyed`.
    pub keys: u64,
    /// Records a second for `latency`; events a second of event time for Nexmark.
    pub rate: u64,
    /// Of `latency`: so many seconds in the beginning do not count.
    pub warmup_s: f64,
    /// Each contestant's own; 0 leaves it to the contestant.
    pub batch: usize,
    /// One word, or several with `+` between them.
    pub variant: String,
}

impl Args {
    /// Reads the command line; what is wrong with it ends the process.
    pub fn parse() -> Args {
        let mut args = Args {
            workload: String::new(),
            records: 10_000_000,
            parallelism: 1,
            keys: 100_000,
            rate: 100_000,
            warmup_s: 2.0,
            batch: 0,
            variant: String::new(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(flag) = words.next() {
            let value = words.next().unwrap_or_else(|| fail(&format!("{flag} needs a value")));
            args.set(&flag, &value);
        }
        if args.workload.is_empty() || args.parallelism == 0 || args.keys == 0 || args.rate == 0 {
            fail("--workload is needed; parallelism, keys and rate are at least 1");
        }
        args
    }

    fn set(&mut self, flag: &str, value: &str) {
        match flag {
            "--workload" => self.workload = value.into(),
            "--records" => self.records = number(flag, value),
            "--parallelism" => self.parallelism = number(flag, value),
            "--keys" => self.keys = number(flag, value),
            "--rate" => self.rate = number(flag, value),
            "--warmup" => self.warmup_s = number(flag, value),
            "--batch" => self.batch = number(flag, value),
            "--variant" => self.variant = value.into(),
            // Only slotflow is told these; contestants spin and take the first cores.
            "--cores" | "--idle" => {}
            _ => fail(&format!("no such argument: {flag}")),
        }
    }

    /// Whether a word is one of the variant's.
    pub fn has(&self, word: &str) -> bool {
        self.variant.split('+').any(|it| it == word)
    }

    /// The batch that was asked for, or else the contestant's own.
    pub fn batch_or(&self, own: usize) -> usize {
        if self.batch == 0 { own } else { self.batch }
    }
}

/// Says that this contestant does not have the workload.
pub fn no_such_workload() -> ! {
    eprintln!("no such workload here");
    exit(3)
}

fn number<N: FromStr<Err: Display>>(flag: &str, value: &str) -> N {
    value.replace('_', "").parse().unwrap_or_else(|error| fail(&format!("{flag} {value}: {error}")))
}

fn fail(why: &str) -> ! {
    eprintln!("{why}");
    exit(2)
}
