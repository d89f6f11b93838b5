//! The command line that every contestant has.

use slotflow::prelude::*;
use slotflow::runtime::config::Idle;

/// What to run.
pub struct Args {
    pub workload: String,
    pub records: u64,
    pub parallelism: usize,
    pub keys: u64,
    pub rate: u64,
    pub warmup_s: f64,
    pub batch: usize,
    pub variant: String,
    pub cores: Option<Vec<usize>>,
    pub idle: Idle,
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
        };
        while let Some(flag) = words.next() {
            let value = words.next().ok_or(format!("{flag} needs a value"))?;
            args.set(&flag, &value).map_err(|why| format!("{flag} {value}: {why}"))?;
        }
        if args.workload.is_empty() {
            return Err("--workload is missing: chain, keyed, window, sliding or latency".into());
        }
        Ok(args)
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
