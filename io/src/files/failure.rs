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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slotflow_runtime::{Owned, Sink, Source};

    use super::super::destination::refused;
    use super::super::positions::{broken, cannot};
    use super::super::rolling::in_use;
    use super::super::{FileSink, FileSource, Unfinished};
    use super::*;

    #[test]
    fn every_failure_has_its_golden_text() {
        let (path, denied) = (Path::new("/in/a.txt"), io::Error::from(io::ErrorKind::PermissionDenied));
        let texts = [
            unreadable(path, &denied),
            unlisted("/in/*.txt", &denied),
            shortened(path, 10, 7),
            replaced(path),
            broken(Path::new("/state/positions"), 3),
            cannot("written", Path::new("/state/positions"), &denied),
            refused(Path::new("/out"), &denied),
            in_use(Path::new("/out/.a-0.lock")),
        ];
        let texts: String = texts.iter().map(|error| format!("{error}\n")).collect();
        assert_eq!(texts, include_str!("golden/failures.txt"));
    }

    /// What a source or a sink has against its own settings, and against paths that are not there.
    #[test]
    fn every_contradiction_has_its_golden_text() {
        let (lines, frames) = (|| FileSource::lines("/in/a"), || FileSource::length_delimited("/in/a"));
        let soon = Duration::from_secs(1);
        let sources = [
            FileSource::lines("/nowhere/*.txt"),
            lines().ranges_of(0),
            lines().ranges_of(9).watch_every(soon),
            lines().watch_every(soon).unfinished(Unfinished::Fail),
            frames().ranges_of(9).skip_lines(1),
        ];
        let of_sources = sources.map(|mut source| source.splits().unwrap_err().to_string());
        let sinks = [
            FileSink::lines("/out", ""),
            FileSink::lines("/out", "a/b"),
            FileSink::lines("/out", "a").suffix("/"),
            FileSink::lines("/dev/null/out", "a"),
        ];
        let of_sinks = sinks.map(|mut sink| Sink::<Owned<String>>::check(&mut sink).unwrap_err().to_string());
        let texts: Vec<String> = of_sources.into_iter().chain(of_sinks).collect();
        assert_eq!(texts.join("\n") + "\n", include_str!("golden/contradictions.txt"));
    }
}
