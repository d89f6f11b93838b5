//! What a sink asks of the file system for the files that it writes: behind a trait, so that tests can hand in one that
//! fails. What it keeps beside them, its lock and what is left of an earlier start, is the machine's own in any case.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::positions::sync_folder;

/// Where finished files and the one in the making are.
pub(super) trait FileSystem: Debug + Send + Sync + 'static {
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

impl FileSystem for Disk {
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
