//! Where a sink's files go, what they are called, and when one is finished.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use slotflow_runtime::{Error, Guarantee, Result};

use super::file_system::{Disk, FileSystem};
use super::rolling::Target;

/// A file is finished when it has this size unless it is said otherwise (a guess: large enough to be worth a file).
const ROLL_BYTES: u64 = 128 << 20;

/// A file is finished after this time unless it is said otherwise (a guess: offsets are committed no sooner).
const ROLL_AFTER: Duration = Duration::from_secs(10);

/// What every sink of files is told.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub folder: PathBuf,
    pub prefix: String,
    pub suffix: Option<String>,
    pub roll_bytes: u64,
    pub roll_after: Duration,
    pub fsync: bool,
    pub disk: Arc<dyn FileSystem>,
}

impl Destination {
    pub fn new(folder: impl Into<PathBuf>, prefix: impl Into<String>) -> Destination {
        let (folder, prefix) = (folder.into(), prefix.into());
        Destination {
            folder,
            prefix,
            suffix: None,
            roll_bytes: ROLL_BYTES,
            roll_after: ROLL_AFTER,
            fsync: true,
            disk: Arc::new(Disk),
        }
    }

    pub fn target(&self, subtask: usize) -> Target {
        Target {
            folder: self.folder.clone(),
            stem: format!("{}-{subtask}", self.prefix),
            suffix: self.suffix.as_ref().map_or(String::new(), |suffix| format!(".{suffix}")),
            roll_bytes: self.roll_bytes,
            roll_after: self.roll_after,
            fsync: self.fsync,
            disk: self.disk.clone(),
        }
    }

    /// A word for plans and errors, behind that of the format.
    pub fn describe(&self, format: &str) -> String {
        format!("{format}({})", self.folder.join(&self.prefix).display())
    }

    pub fn guarantee(&self) -> Guarantee {
        if self.fsync { Guarantee::AtLeastOnce } else { Guarantee::BestEffort }
    }

    pub fn setting(&self) -> String {
        format!("a new file after {} bytes or {:?}", self.roll_bytes, self.roll_after)
    }

    /// Makes the folder, and a file in it that goes again.
    pub fn check(&self) -> Result<()> {
        if self.prefix.is_empty() || self.prefix.contains(['/', '\0']) {
            let what = format!("{:?} cannot begin the name of a file", self.prefix);
            return Err(Error::world(what, "give the sink a prefix without a slash"));
        }
        if let Some(suffix) = self.suffix.as_ref().filter(|suffix| suffix.contains(['/', '\0'])) {
            let what = format!("{suffix:?} cannot end the name of a file");
            return Err(Error::world(what, "give the sink a suffix without a slash"));
        }
        // No subtask's name, of whatever prefix: what is under way there must not be written over.
        let probe = self.folder.join(format!(".{}.probe", self.prefix));
        let made = fs::create_dir_all(&self.folder).and_then(|()| File::create(&probe));
        let gone = made.and_then(|_| fs::remove_file(&probe));
        gone.map_err(|error| refused(&self.folder, &error))
    }
}

/// A folder that cannot be written.
pub(super) fn refused(folder: &Path, error: &io::Error) -> Error {
    let remedy = "name a folder that this process may write";
    Error::world(format!("the folder {} cannot be written: {error}", folder.display()), remedy)
}
