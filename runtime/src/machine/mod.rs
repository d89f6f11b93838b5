//! The machine that a host runs on: what it has, what it lets this process do, and where slots go on it.
//!
//! Everything is read from a given root, `/` in production, so that tests build the machines they need.
//! [`Probe`] reads it once before the first job; [`Placement`] then chooses a core for each slot;
//! [`affinity`] pins threads and proves it. Only Linux says all of it; elsewhere the probe sees CPUs alike
//! and no limits, and nothing is pinned.

pub mod affinity;
mod cgroup;
mod cpus;
mod cycles;
#[cfg(test)]
pub(crate) mod fixture;
mod placement;
mod prefetch;
mod probe;
mod sys;
mod topology;

use std::path::Path;

pub use cgroup::Cgroup;
pub use cpus::Cpus;
pub(crate) use cycles::{cycles, cycles_are_even};
pub use placement::{CoreThread, Placement};
pub use prefetch::{CACHE_LINE, prefetch, prefetch_whole};
pub use probe::{Driver, Probe};
pub(crate) use sys::terminal_size;
pub use topology::{Crossing, Topology};

/// A file's text below `root` without the last newline; `None` where it is absent or not readable, as many
/// are in containers.
fn read(root: &Path, path: &str) -> Option<String> {
    let text = std::fs::read_to_string(root.join(path)).ok()?;
    Some(text.trim().to_owned())
}

/// The value after `key:` in a text of such lines (`/proc/self/status`).
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(key)?.strip_prefix(':').map(str::trim);
    text.lines().find_map(value)
}
