//! Which file a name stands for: another one may take it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

/// Tells a file from another that has taken its name, also after a restart: so without its device, whose number may
/// be another one then. The time of its birth stands beside its number, which the next file may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub number: u64,
    /// Since the Unix epoch; 0 where the file system does not tell it.
    pub born_ns: u64,
}

impl Identity {
    pub fn of(file: &Metadata) -> Identity {
        let born = file.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Identity { number: file.ino(), born_ns: born.map_or(0, |since| since.as_nanos() as u64) }
    }
}
