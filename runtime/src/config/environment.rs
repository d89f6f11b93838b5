//! `SLOTFLOW_*` variables: each setting of the configuration under its section and name.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use toml::Value;

use super::{Config, OperatorConfig};
use crate::error::{Error, Problem, Result};
use crate::machine::Cpus;

const PREFIX: &str = "SLOTFLOW_";

/// Puts a value into its field.
type Set = fn(&mut Config, Value) -> std::result::Result<(), toml::de::Error>;

macro_rules! settings {
    ($($section:ident: $($key:ident)+;)+) => {
        [$($((concat!(stringify!($section), "_", stringify!($key)), |config, value| {
            put(&mut config.$section.$key, value)
        })),+),+]
    };
}

/// What the environment can set, in the order of the struct.
const SETTINGS: &[(&str, Set)] = &settings! {
    job: parallelism max_parallelism commit_interval_ms best_effort leave_timeout_ms;
    slots: count cores idle spin_us overcommit driver pin stall_ms chaining;
    edges: capacity budget_bytes overflow_bytes;
    step: budget_us min_records;
    io: cores;
    state: budget_bytes;
};

impl Config {
    /// Applies the process's `SLOTFLOW_*` variables over what is set: `SLOTFLOW_SLOTS_IDLE=spin` is `idle =
    /// "spin"` under `[slots]`. Lists of CPUs are written as the kernel does (`SLOTFLOW_SLOTS_CORES=0-3,8`),
    /// operators as a TOML table: `SLOTFLOW_OPERATORS='{ "kafka sink" = { parallelism = 2 } }'`.
    ///
    /// # Errors
    /// One plan error with all variables that name no setting or hold a wrong value.
    pub fn with_environment(self) -> Result<Self> {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        self.with_variables(std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))))
    }

    /// As [`with_environment`](Config::with_environment), from any pairs of name and value. Names that do not
    /// begin with `SLOTFLOW_` are somebody else's.
    ///
    /// # Errors
    /// As [`with_environment`](Config::with_environment).
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let ours = variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX));
        // Sorted, so that the same environment always gives the same message.
        let ours: BTreeMap<String, String> = ours.collect();
        let problems: Vec<_> =
            ours.iter().filter_map(|(name, value)| self.apply(name, value).err()).collect();
        if problems.is_empty() { Ok(self) } else { Err(Error::plan(problems)) }
    }

    fn apply(&mut self, name: &str, value: &str) -> std::result::Result<(), Problem> {
        let key = &name[PREFIX.len()..];
        let set = setter(key).ok_or_else(|| unknown(name))?;
        set(self, read(key, value)).map_err(|error| Problem::new(name, error.message(), remedy(key)))
    }
}

fn setter(key: &str) -> Option<Set> {
    if key == "OPERATORS" {
        return Some(put_operators);
    }
    SETTINGS.iter().find(|(known, _)| known.to_uppercase() == key).map(|(_, set)| *set)
}

/// A TOML value where it is one (numbers, true, lists), else a bare word; CPUs also in the kernel's notation.
fn read(key: &str, value: &str) -> Value {
    let cpus = key.ends_with("_CORES").then(|| Cpus::parse(value)).flatten();
    match cpus {
        Some(cpus) => Value::Array(cpus.iter().map(|cpu| Value::Integer(cpu as i64)).collect()),
        None => value.parse().unwrap_or_else(|_| Value::String(value.into())),
    }
}

fn put<T: DeserializeOwned>(field: &mut T, value: Value) -> std::result::Result<(), toml::de::Error> {
    *field = value.try_into()?;
    Ok(())
}

/// Each setting that a table names replaces its own; the others stay.
fn put_operators(config: &mut Config, value: Value) -> std::result::Result<(), toml::de::Error> {
    let operators: BTreeMap<String, OperatorConfig> = value.try_into()?;
    for (name, new) in operators {
        let old = config.operators.entry(name).or_default();
        old.parallelism = new.parallelism.or(old.parallelism);
        old.slot_sharing_group = new.slot_sharing_group.or(old.slot_sharing_group.take());
        old.cores = new.cores.or(old.cores.take());
    }
    Ok(())
}

fn remedy(key: &str) -> &'static str {
    match key {
        "OPERATORS" => "write a TOML table such as { \"kafka sink\" = { parallelism = 2 } }",
        "SLOTS_CORES" | "IO_CORES" => "write CPU numbers such as 0-3,8",
        _ => "correct or unset it",
    }
}

fn unknown(name: &str) -> Problem {
    let known = SETTINGS.iter().map(|(key, _)| key.to_uppercase()).chain(["OPERATORS".into()]);
    let known = known.map(|key| format!("{PREFIX}{key}"));
    let nearest = known.min_by_key(|known| distance(name, known)).unwrap_or_default();
    Problem::new(name, "is no setting", format!("write {nearest} if you mean that, or unset it"))
}

/// Levenshtein's: how many letters to insert, remove or replace.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Idle, Pin};

    fn with(config: Config, variables: &[(&str, &str)]) -> Result<Config> {
        config.with_variables(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())))
    }

    #[test]
    fn environment_wins_over_toml_and_leaves_the_rest() {
        let toml = Config::from_toml("[slots]\nidle = \"yield\"\nspin_us = 7\n").unwrap();
        let config = with(toml, &[("SLOTFLOW_SLOTS_IDLE", "spin"), ("SLOTFLOW_SLOTS_PIN", "false")]).unwrap();
        assert_eq!((config.slots.idle, config.slots.spin_us, config.slots.pin), (Idle::Spin, 7, Pin::Never));
    }

    #[test]
    fn cpus_are_written_as_the_kernel_does_or_as_a_list() {
        for (text, cores) in [("0-2,8", vec![0, 1, 2, 8]), ("1", vec![1]), ("[3, 1]", vec![3, 1])] {
            let config = with(Config::default(), &[("SLOTFLOW_IO_CORES", text)]).unwrap();
            assert_eq!(config.io.cores, Some(cores));
        }
    }

    #[test]
    fn operators_are_a_table_and_keep_what_it_does_not_name() {
        let set = "parallelism = 1\nslot_sharing_group = \"a\"\ncores = [3]";
        let toml = Config::from_toml(&format!("[operators.sink]\n{set}\n[operators.map]\n{set}\n")).unwrap();
        let table = r#"{ sink = { parallelism = 2 }, map = { slot_sharing_group = "b", cores = [4] } }"#;
        let config = with(toml, &[("SLOTFLOW_OPERATORS", table)]).unwrap();
        let shown = |name: &str| {
            let OperatorConfig { parallelism, slot_sharing_group, cores } = config.operators[name].clone();
            (parallelism.unwrap(), slot_sharing_group.unwrap(), cores.unwrap())
        };
        assert_eq!(shown("sink"), (2, "a".into(), vec![3]));
        assert_eq!(shown("map"), (1, "b".into(), vec![4]));
    }

    #[test]
    fn every_setting_of_the_struct_has_its_variable() {
        let mut config = Config::default();
        config.slots.count = Some(1);
        config.slots.cores = Some(vec![0]);
        config.edges.capacity = Some(1);
        config.io.cores = Some(vec![0]);
        config.state.budget_bytes = Some(1);
        let tables = toml::Table::try_from(&config).unwrap();
        let keys = tables.iter().flat_map(|(section, keys)| {
            keys.as_table().unwrap().keys().map(move |key| format!("{section}_{key}"))
        });
        let mut known: Vec<_> = SETTINGS.iter().map(|(key, _)| key.to_string()).collect();
        known.sort();
        let mut keys: Vec<_> = keys.collect();
        keys.sort();
        assert_eq!(keys, known);
    }

    #[test]
    fn every_wrong_variable_is_named_at_once() {
        let variables = [
            ("SLOTFLOW_SLOT_CORES", "0"),
            ("SLOTFLOW_SLOTS_COUNT", "two"),
            ("SLOTFLOW_SLOTS_CORES", "0-x"),
            ("SLOTFLOW_SLOTS_IDLE", "sleep"),
            ("SLOTFLOW_OPERATORS", "sink"),
            ("PATH", "/bin"),
        ];
        let error = with(Config::default(), &variables).unwrap_err();
        assert_eq!(error.to_string(), include_str!("golden/environment.txt").trim_end());
    }

    #[test]
    fn an_empty_environment_changes_nothing() {
        assert_eq!(with(Config::default(), &[("HOME", "/")]).unwrap(), Config::default());
    }

    #[test]
    fn distance_counts_letters() {
        assert_eq!([distance("", "ab"), distance("slot", "slots"), distance("abc", "axd")], [2, 1, 2]);
    }
}
