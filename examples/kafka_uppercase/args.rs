//! The command line.

use slotflow::prelude::*;

/// What to run.
pub struct Args {
    pub brokers: Option<String>,
    pub input: String,
    pub output: String,
    pub group: String,
    pub bounded: bool,
    /// How many lines the demo makes.
    pub lines: u32,
    parallelism: Option<usize>,
    config: Option<String>,
}

impl Args {
    /// Reads the command line.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
        let mut args = Args {
            brokers: None,
            input: String::new(),
            output: String::new(),
            group: "uppercase".into(),
            bounded: false,
            lines: 100_000,
            parallelism: None,
            config: None,
        };
        while let Some(flag) = words.next() {
            let mut value = || words.next().ok_or(format!("{flag} needs a value"));
            match flag.as_str() {
                "--bounded" => args.bounded = true,
                "--brokers" => args.brokers = Some(value()?),
                "--input" => args.input = value()?,
                "--output" => args.output = value()?,
                "--group" => args.group = value()?,
                "--config" => args.config = Some(value()?),
                "--lines" => args.lines = number(&flag, &value()?)?,
                "--parallelism" => args.parallelism = Some(number(&flag, &value()?)?),
                _ => return Err(format!("{flag}: no such argument; see the first lines of the example")),
            }
        }
        if args.brokers.is_some() && (args.input.is_empty() || args.output.is_empty()) {
            return Err("--brokers needs --input and --output".into());
        }
        if args.brokers.is_none() && (args.bounded || !args.input.is_empty() || !args.output.is_empty()) {
            return Err("--input, --output and --bounded need --brokers".into());
        }
        Ok(args)
    }

    /// The environment: the file's settings or a parallelism of 4, then those of `SLOTFLOW_*`, and then the
    /// command line's.
    pub fn environment(&self) -> Result<Environment> {
        let config = match &self.config {
            Some(file) => Config::from_file(file)?,
            None => with_parallelism(4),
        };
        let env = Environment::with(config.with_environment()?);
        Ok(match self.parallelism {
            Some(parallelism) => env.parallelism(parallelism),
            None => env,
        })
    }
}

fn with_parallelism(parallelism: usize) -> Config {
    let mut config = Config::default();
    config.job.parallelism = parallelism;
    config
}

fn number<N: std::str::FromStr<Err: std::fmt::Display>>(flag: &str, text: &str) -> Result<N, String> {
    text.replace('_', "").parse().map_err(|error: N::Err| format!("{flag} {text}: {error}"))
}
