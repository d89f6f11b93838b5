//! The settings whose values are words.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a slot does while it has nothing to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// Asks again without pause: the shortest latency, a whole core for it.
    Spin,
    /// Asks again and lets the system run others between: a whole core only where nobody else wants it.
    Yield,
    /// Spins for [`spin_us`](super::SlotsConfig::spin_us), then sleeps until it is woken: 0 % when idle.
    #[default]
    Park,
}

/// What happens when a job needs more slots than there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overcommit {
    /// The job does not start, and the error says how many slots it needs and why.
    #[default]
    Refuse,
    /// Several subtasks of an operator share a slot.
    Pack,
}

/// Which driver steps the slots of a core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriverChoice {
    /// glommio where the machine lets it run, else a plain thread and one warning that says why.
    #[default]
    Auto,
    /// glommio; a machine that does not let it run is an error before the start.
    Glommio,
    /// A plain thread for each core.
    Thread,
}

/// Whether core threads are pinned to their cores; in TOML `true`, `false` or `"auto"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pin {
    /// Pins when cores are named, or when the process has its CPUs to itself (an exclusive cpuset, isolated
    /// CPUs): elsewhere another process may sit on the same core, and a pinned thread could not get out of
    /// its way.
    #[default]
    Auto,
    /// Pins always.
    Always,
    /// Leaves the placing to the system.
    Never,
}

impl Serialize for Pin {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => to.serialize_str("auto"),
            Self::Always => to.serialize_bool(true),
            Self::Never => to.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for Pin {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(PinVisitor)
    }
}

/// Written by hand because serde's untagged enums lose what they expected.
struct PinVisitor;

impl Visitor<'_> for PinVisitor {
    type Value = Pin;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or \"auto\"")
    }

    fn visit_bool<E: Error>(self, pin: bool) -> Result<Pin, E> {
        Ok(if pin { Pin::Always } else { Pin::Never })
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Pin, E> {
        match word {
            "auto" => Ok(Pin::Auto),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
        }
    }
}
