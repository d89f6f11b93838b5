//! The configuration of a host: one struct, with the same names in code, environment and TOML.
//!
//! Code wins over the environment, the environment over TOML. That is the order in which they are applied,
//! each over what is there already:
//!
//! ```
//! use slotflow_runtime::config::{Config, Idle};
//!
//! # fn main() -> slotflow_runtime::error::Result<()> {
//! let mut config = Config::from_toml("[slots]\nidle = \"park\"\nspin_us = 20")?.with_environment()?;
//! config.slots.idle = Idle::Spin;
//! assert_eq!(config.slots.spin_us, 20);
//! assert!(config.check().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! Reading refuses what it cannot understand: an unknown key or a wrong value with its line and a caret, an
//! unknown `SLOTFLOW_` variable with the nearest known one. [`Config::check`] then lists what contradicts
//! itself; the start of a job calls it.

mod check;
mod environment;
mod sections;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub(crate) use check::{MOST_KEY_GROUPS, MOST_SLOTS};
pub use sections::{EdgesConfig, IoConfig, JobConfig, OperatorConfig, SlotsConfig, StateConfig, StepConfig};
pub use words::{DriverChoice, Idle, Overcommit, Pin};

use crate::error::{Error, Problem, Result};

/// Everything that a host can set, with defaults for all of it.
///
/// A host makes one before its first job, on any thread, and hands it down; nothing reads it while records
/// flow. Its [`Display`](fmt::Display) is TOML, so that a host can print what is in force and read it back.
///
/// ```
/// use slotflow_runtime::config::Config;
///
/// let config = Config::from_toml("[operators.\"kafka sink\"]\nparallelism = 2")?;
/// assert_eq!(config.operators["kafka sink"].parallelism, Some(2));
/// assert_eq!(Config::from_toml(&config.to_string())?, config);
/// # Ok::<(), slotflow_runtime::error::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[job]`: what holds for a whole job.
    pub job: JobConfig,
    /// `[slots]`: the pool of slots, its cores and how they wait.
    pub slots: SlotsConfig,
    /// `[edges]`: the rings between slots.
    pub edges: EdgesConfig,
    /// `[step]`: how long a subtask may keep its slot.
    pub step: StepConfig,
    /// `[io]`: where the threads of connectors run.
    pub io: IoConfig,
    /// `[state]`: how much operators may keep.
    pub state: StateConfig,
    /// `[operators."NAME"]`: settings of the chain whose first operator has this name.
    pub operators: BTreeMap<String, OperatorConfig>,
}

impl Config {
    /// Reads TOML over the defaults.
    ///
    /// # Errors
    /// A plan error with line and caret for anything that is no TOML, no setting or no fitting value.
    pub fn from_toml(text: &str) -> Result<Self> {
        parse(text, "configuration")
    }

    /// Reads a TOML file over the defaults.
    ///
    /// # Errors
    /// As [`from_toml`](Config::from_toml), under the file's name; and a file that cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|cause| {
            Error::from(Problem::new(
                &name,
                format!("cannot be read: {cause}"),
                "check the path and its permissions",
            ))
        })?;
        parse(&text, &name)
    }
}

fn parse(text: &str, subject: &str) -> Result<Config> {
    toml::from_str(text).map_err(|error| {
        let what = error.to_string();
        Problem::new(subject, what.trim_end(), "correct or remove it").into()
    })
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match toml::to_string(self) {
            Ok(text) => f.write_str(&text),
            // Numbers from code may be larger than TOML's; a host that prints them must not panic.
            Err(_) => fmt::Debug::fmt(self, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(toml: &str) -> String {
        Config::from_toml(toml).unwrap_err().to_string()
    }

    #[test]
    fn nothing_set_is_the_default() {
        assert_eq!(Config::from_toml("").unwrap(), Config::default());
        assert!(Config::default().check().is_empty());
    }

    #[test]
    fn every_setting_can_be_written() {
        let text = r#"
[job]
parallelism = 4
max_parallelism = 128
commit_interval_ms = 250
best_effort = true
leave_timeout_ms = 100

[slots]
count = 4
cores = [0, 2]
idle = "yield"
spin_us = 10
overcommit = "pack"
driver = "thread"
pin = true
stall_ms = 20
chaining = false

[edges]
capacity = 256
budget_bytes = 1048576
overflow_bytes = 65536

[step]
budget_us = 20
min_records = 512

[io]
cores = [1]

[state]
budget_bytes = 1073741824

[operators."kafka sink"]
parallelism = 2
slot_sharing_group = "sinks"
cores = [2]
"#;
        let config = Config::from_toml(text).unwrap();
        assert_eq!(config.to_string().trim(), text.trim());
        assert_eq!(config.check(), []);
    }

    #[test]
    fn an_unknown_key_is_shown_with_line_and_caret() {
        let text = refused("[slots]\ncuont = 3\n");
        assert_eq!(text, include_str!("golden/unknown_key.txt").trim_end());
    }

    #[test]
    fn a_wrong_word_is_shown_with_line_and_caret() {
        let text = refused("[slots]\nidle = \"sleep\"\n");
        assert_eq!(text, include_str!("golden/wrong_word.txt").trim_end());
    }

    #[test]
    fn a_wrong_type_is_shown_with_line_and_caret() {
        let texts =
            ["[slots]\npin = 1\n", "[operators.sink]\nparallelism = -2\n", "[step]\nbudget_us = \"30\"\n"];
        let texts = texts.map(refused).join("\n\n");
        assert_eq!(texts, include_str!("golden/wrong_type.txt").trim_end());
    }

    #[test]
    fn broken_toml_is_shown_with_line_and_caret() {
        let text = refused("[slots\ncount = 3\n");
        assert_eq!(text, include_str!("golden/broken_toml.txt").trim_end());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::from_file("/no/such/job.toml").unwrap_err();
        assert_eq!(
            error.to_string(),
            "/no/such/job.toml: cannot be read: No such file or directory (os error 2); \
             check the path and its permissions"
        );
    }

    #[test]
    fn numbers_beyond_toml_still_print() {
        let mut config = Config::default();
        config.edges.budget_bytes = usize::MAX;
        assert!(config.to_string().contains("18446744073709551615"));
    }
}
