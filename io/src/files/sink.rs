//! What a sink of files is told.

use std::path::PathBuf;

use slotflow_runtime::{Family, Guarantee, Result, Sink, SubtaskContext};

use super::alike::rolled_alike;
use super::destination::Destination;
use super::rolling::{AsIs, Rolling};
use crate::frames::{FrameWriter, Framing};

/// Writes records that are bytes into files of a folder, as lines or behind their length; a format makes bytes of
/// others (see [`encode`](crate::formats::encode)).
///
/// A file is written under a hidden name, `.PREFIX-SUBTASK.part`, and gets its own, `PREFIX-SUBTASK-NUMBER.SUFFIX`,
/// when it is finished: when it is large enough or old enough, and at the end of a job or its drain. So whatever has
/// such a name is whole and does not change any more. Numbers rise, and none is used again when its file has been moved
/// away, as long as the folder keeps `.PREFIX-SUBTASK.lock`, where the last one stands.
///
/// At least once: a record has arrived when its file has its name, and that is durable unless
/// [`without_fsync`](FileSink::without_fsync) was said. Offsets are therefore committed as often as files are finished.
/// What a job that was stopped or killed had not finished is read and written again; its hidden file is written over.
/// One job at a time may use a folder and prefix: `.PREFIX-SUBTASK.lock` sees to that.
///
/// ```
/// # use slotflow::prelude::*;
/// use slotflow::io::files::FileSink;
///
/// # let folder = std::env::temp_dir().join(format!("slotflow-sink-doc-{}", std::process::id()));
/// let env = Environment::with(Config::default());
/// env.source(from_iterator(["to be", "or not"])).sink(FileSink::lines(&folder, "words").suffix("txt"));
/// env.run("words")?;
/// assert_eq!(std::fs::read_to_string(folder.join("words-0-000001.txt"))?, "to be\nor not\n");
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FileSink {
    pub(super) to: Destination,
    framing: Framing,
}

impl FileSink {
    /// Lines in files of `folder`, which is made if it is not there, whose names begin with `prefix`.
    pub fn lines(folder: impl Into<PathBuf>, prefix: impl Into<String>) -> FileSink {
        FileSink::framed(folder, prefix, Framing::lines())
    }

    /// Frames behind their length.
    pub fn length_delimited(folder: impl Into<PathBuf>, prefix: impl Into<String>) -> FileSink {
        FileSink::framed(folder, prefix, Framing::length_delimited())
    }

    /// Frames with a [`Framing`] of its own.
    pub fn framed(folder: impl Into<PathBuf>, prefix: impl Into<String>, framing: Framing) -> FileSink {
        FileSink { to: Destination::new(folder, prefix), framing }
    }

    /// What names end in, behind a dot; by default nothing.
    #[must_use]
    pub fn suffix(mut self, suffix: impl Into<String>) -> Self {
        self.to.suffix = Some(suffix.into());
        self
    }

    rolled_alike!();
}

impl<F: Family> Sink<F> for FileSink
where
    for<'s> F::Of<'s>: AsRef<[u8]>,
{
    type Writer = FrameWriter;

    fn describe(&self) -> String {
        self.to.describe("files")
    }

    fn guarantee(&self) -> Guarantee {
        self.to.guarantee()
    }

    fn settings(&self) -> Vec<String> {
        vec![self.framing.to_string(), self.to.setting()]
    }

    fn check(&mut self) -> Result<()> {
        self.to.check()
    }

    fn open(&mut self, subtask: &SubtaskContext) -> Result<FrameWriter> {
        let (writer, orders, progress) = FrameWriter::new(self.framing, subtask);
        let rolling = Rolling::new(self.to.target(subtask.index), AsIs, orders, progress)?;
        subtask.io.spawn("slotflow-files", move || rolling.run())?;
        Ok(writer)
    }
}
