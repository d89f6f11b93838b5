//! What a sink of files is told.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use slotflow_runtime::{Error, Family, Guarantee, Result, Sink, SubtaskContext};

use super::rolling::{Rolling, Target, refused};
use crate::frames::{FrameWriter, Framing};

/// A file is finished when it has this size unless it is said otherwise (a guess: large enough to be worth a file).
const ROLL_BYTES: u64 = 128 << 20;

/// A file is finished after this time unless it is said otherwise (a guess: offsets are committed no sooner).
const ROLL_AFTER: Duration = Duration::from_secs(10);

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
    folder: PathBuf,
    prefix: String,
    suffix: Option<String>,
    framing: Framing,
    roll_bytes: u64,
    roll_after: Duration,
    fsync: bool,
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
        FileSink {
            folder: folder.into(),
            prefix: prefix.into(),
            suffix: None,
            framing,
            roll_bytes: ROLL_BYTES,
            roll_after: ROLL_AFTER,
            fsync: true,
        }
    }

    /// What names end in, behind a dot; by default nothing.
    #[must_use]
    pub fn suffix(mut self, suffix: impl Into<String>) -> Self {
        self.suffix = Some(suffix.into());
        self
    }

    /// A file that has at least this many bytes is finished (default 128 MiB).
    #[must_use]
    pub fn roll_bytes(mut self, bytes: u64) -> Self {
        self.roll_bytes = bytes;
        self
    }

    /// A file that was begun so long ago is finished (default 10 s).
    #[must_use]
    pub fn roll_after(mut self, time: Duration) -> Self {
        self.roll_after = time;
        self
    }

    /// Leaves it to the system when finished files are on the disk: records that were acknowledged can be lost when the
    /// machine fails, and the sink's guarantee is best effort. By default a file and its name are durable first.
    #[must_use]
    pub fn without_fsync(mut self) -> Self {
        self.fsync = false;
        self
    }

    fn target(&self, subtask: usize) -> Target {
        Target {
            folder: self.folder.clone(),
            stem: format!("{}-{subtask}", self.prefix),
            suffix: self.suffix.as_ref().map_or(String::new(), |suffix| format!(".{suffix}")),
            roll_bytes: self.roll_bytes,
            roll_after: self.roll_after,
            fsync: self.fsync,
        }
    }
}

impl<F: Family> Sink<F> for FileSink
where
    for<'s> F::Of<'s>: AsRef<[u8]>,
{
    type Writer = FrameWriter;

    fn describe(&self) -> String {
        format!("files({})", self.folder.join(&self.prefix).display())
    }

    fn guarantee(&self) -> Guarantee {
        if self.fsync { Guarantee::AtLeastOnce } else { Guarantee::BestEffort }
    }

    fn settings(&self) -> Vec<String> {
        let rolling = format!("a new file after {} bytes or {:?}", self.roll_bytes, self.roll_after);
        vec![self.framing.to_string(), rolling]
    }

    /// Makes the folder, and a file in it that goes again.
    fn check(&mut self) -> Result<()> {
        if self.prefix.is_empty() || self.prefix.contains(['/', '\0']) {
            let what = format!("{:?} cannot begin the name of a file", self.prefix);
            return Err(Error::world(what, "give FileSink a prefix without a slash"));
        }
        if let Some(suffix) = self.suffix.as_ref().filter(|suffix| suffix.contains(['/', '\0'])) {
            let what = format!("{suffix:?} cannot end the name of a file");
            return Err(Error::world(what, "give FileSink a suffix without a slash"));
        }
        // No subtask's name, of whatever prefix: what is under way there must not be written over.
        let probe = self.folder.join(format!(".{}.probe", self.prefix));
        let made = fs::create_dir_all(&self.folder).and_then(|()| File::create(&probe));
        let gone = made.and_then(|_| fs::remove_file(&probe));
        gone.map_err(|error| refused(&self.folder, &error))
    }

    fn open(&mut self, subtask: &SubtaskContext) -> Result<FrameWriter> {
        let target = self.target(subtask.index);
        let (writer, orders, progress) = FrameWriter::new(self.framing, subtask);
        let rolling = Rolling::new(target, orders, progress)?;
        subtask.io.spawn("slotflow-files", move || rolling.run())?;
        Ok(writer)
    }
}
