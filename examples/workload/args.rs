//! The command line that every contestant has.

use slotflow::prelude::*;
use slotflow::runtime::config::Idle;

/// What there is to be run.
pub const WORKLOADS: &str = "there are chain, keyed, window, sliding, latency, and of Nexmark q0, q1, q2, q3, q4, q5, \
                             q7, q8, q9, q11, q12";

/// A key is a number of 32 bits.
const MAX_KEYS: u64 = 1 << 32;

/// What to run.
pub struct Args {
    pub workload: String,
    pub records: u64,
    pub parallelism: usize,
    pub keys: u64,
    /// Records a second for `latency`; events a second of event time for Nexmark.
    pub rate: u64,
    pub warmup_s: f64,
    pub batch: usize,
    pub variant: String,
    pub cores: Option<Vec<usize>>,
    pub idle: Idle,
    /// Whether the checksum is to be compared with that of plain loops.
    pub verify: bool,
}

impl Args {
    /// Reads the command line.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
        let mut args = Args {
            workload: String::new(),
            records: 10_000_000,
            parallelism: 1,
            keys: 100_000,
            rate: 100_000,
            warmup_s: 2.0,
            batch: 0,
            variant: String::new(),
            cores: None,
            idle: Idle::Spin,
            verify: false,
        };
        while let Some(flag) = words.next() {
            let value = words.next().ok_or(format!("{flag} needs a value"))?;
            args.set(&flag, &value).map_err(|why| format!("{flag} {value}: {why}"))?;
        }
        if args.workload.is_empty() {
            return Err(format!("--workload is missing; {WORKLOADS}"));
        }
        args.check()?;
        Ok(args)
    }

    /// Numbers that no job could be made of.
    fn check(&self) -> Result<(), String> {
        if !(1..=MAX_KEYS).contains(&self.keys) {
            return Err(format!("--keys {}: from 1 to {MAX_KEYS}, since a key has 32 bits", self.keys));
        }
        if self.rate == 0 {
            return Err("--rate 0: at least 1 a second".into());
        }
        Ok(())
    }

    /// Whether a word is one of the variant's, which have `+` between them.
    pub fn has(&self, word: &str) -> bool {
        self.variant.split('+').any(|it| it == word)
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        match flag {
            "--workload" => self.workload = value.into(),
            "--records" => self.records = number(value)?,
            "--parallelism" => self.parallelism = number(value)?,
            "--keys" => self.keys = number(value)?,
            "--rate" => self.rate = number(value)?,
            "--warmup" => self.warmup_s = number(value)?,
            "--batch" => self.batch = number(value)?,
            "--variant" => self.variant = value.into(),
            "--cores" => self.cores = Some(value.split(',').map(number).collect::<Result<_, _>>()?),
            "--verify" => self.verify = value == "yes",
            "--idle" => {
                self.idle = match value {
                    "spin" => Idle::Spin,
                    "yield" => Idle::Yield,
                    "park" => Idle::Park,
                    _ => return Err("there are spin, yield and park".into()),
                }
            }
            _ => return Err("no such argument".into()),
        }
        Ok(())
    }

    /// An environment with what was asked for: pinned slots on the cores named, or on the first ones.
    pub fn environment(&self, slots: usize) -> Result<Environment> {
        let mut env = Environment::new()?.parallelism(self.parallelism);
        let config = env.config_mut();
        config.slots.idle = self.idle;
        config.slots.cores = Some(self.cores.clone().unwrap_or_else(|| first_cores(slots)));
        config.slots.count = Some(slots);
        if self.batch > 0 {
            config.step.min_records = self.batch;
            config.step.budget_us = 1;
        }
        Ok(env)
    }
}

/// As many of the machine's cores as there are slots, if it has that many.
fn first_cores(slots: usize) -> Vec<usize> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    (0..slots.min(cores)).collect()
}

fn number<N: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<N, String> {
    text.replace('_', "").parse().map_err(|error: N::Err| error.to_string())
}
