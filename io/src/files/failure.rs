//! What can be wrong with a file that is read, in words.

use std::io;
use std::path::Path;

use slotflow_runtime::Error;

pub(super) fn unreadable(path: &Path, error: &io::Error) -> Error {
    let remedy = "let this process read it, or leave it out of the source's pattern";
    Error::world(format!("{} cannot be read: {error}", path.display()), remedy)
}

pub(super) fn unlisted(pattern: &str, error: &io::Error) -> Error {
    Error::world(format!("{pattern} cannot be listed: {error}"), "let this process read the directory")
}

pub(super) fn shortened(path: &Path, known: u64, length: u64) -> Error {
    Error::world(
        format!("{} was read up to byte {known} and has {length} bytes now", path.display()),
        "files may grow and go, not shrink: write a new one instead, or remove its line from the positions",
    )
}

pub(super) fn replaced(path: &Path) -> Error {
    Error::world(
        format!("{} is another file than it was when the job started", path.display()),
        "start again, which reads it from its beginning, and let files grow or go while they are read",
    )
}
