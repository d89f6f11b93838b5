//! What a sink of files asks of the file system: behind a trait, so that tests can hand in one that fails.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::positions::sync_folder;

/// Where finished files and the one in the making are.
pub(super) trait Store: Debug + Send + Sync + 'static {
    /// A file that is empty, whatever there was.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Stored>>;

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in the folder of `path` durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// A file in the making. What is written need not be on the disk before it is made durable.
pub(super) trait Stored: Write + Send {
    fn sync(&self) -> io::Result<()>;
}

/// The file system of the machine.
#[derive(Debug)]
pub(super) struct Disk;

impl Store for Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Stored>> {
        Ok(Box::new(File::create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        sync_folder(path)
    }
}

impl Stored for File {
    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}
