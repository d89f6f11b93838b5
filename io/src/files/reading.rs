//! The thread that reads the files of one subtask, one after the other.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use slotflow_runtime::SplitId;

use super::failure::{replaced, shortened, unreadable};
use super::identity::Identity;
use super::input::{Input, Opened};
use super::pattern;
use super::positions::Store;
use super::source::Unfinished;
use super::splits::{FileSplit, FileSplits};
use super::turns::{Stop, Turns};
use crate::frames::{Block, Cutter, Framing, Piece};

/// What one thread reads, and how.
pub(super) struct Reading {
    pub framing: Framing,
    pub unfinished: Unfinished,
    pub splits: FileSplits,
    /// Which subtask it reads for, of how many.
    pub subtask: (usize, usize),
    pub watch: Option<Watch>,
    pub turns: Turns<Block>,
    /// Where positions are stored, if they are.
    pub store: Option<Store>,
    /// Split by split, how far it is; kept while files may grow.
    pub cutters: HashMap<SplitId, Cutter>,
    /// Whether files are read ahead through io_uring where that is allowed.
    pub ahead: bool,
    /// Hangs up when the reader is gone.
    pub pause: Receiver<Infallible>,
}

/// What is looked for while the job runs.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub patterns: Vec<String>,
    pub every: Duration,
    pub header: u64,
}

impl Reading {
    /// Reads until there is nothing more, or nobody who wants it.
    pub fn run(mut self) {
        let mut input = if self.ahead { Input::ahead() } else { Input::plain() };
        let outcome =
            if self.watch.is_some() { self.read_and_watch(&mut input) } else { self.read_once(&mut input) };
        self.turns.end(outcome);
    }

    fn read_once(&mut self, input: &mut Input) -> Result<(), Stop> {
        for (split, of) in self.splits.of(self.subtask.0, self.subtask.1) {
            let opened = File::open(&of.path).and_then(|file| Ok((file.metadata()?, file)));
            let (metadata, file) = opened.map_err(|error| unreadable(&of.path, &error))?;
            // A part of what was there at the start is none of another file.
            if of.range.begin > 0 && of.identity != Some(Identity::of(&metadata)) {
                return Err(replaced(&of.path).into());
            }
            let mut file = input.open(file, metadata.len().min(of.range.end));
            let mut cutter = self.begin(split, of);
            self.read(split, &mut cutter, &mut file, u64::MAX)?;
            self.finish(&mut cutter)?;
        }
        Ok(self.turns.leave()?)
    }

    /// Files that grow are read on, those that come are read, those that go are forgotten.
    fn read_and_watch(&mut self, input: &mut Input) -> Result<(), Stop> {
        loop {
            for (split, of) in self.splits.of(self.subtask.0, self.subtask.1) {
                self.look(split, of, input)?;
            }
            self.turns.leave()?;
            let Some(Watch { patterns, every, header }) = self.watch.clone() else { return Ok(()) };
            if self.pause.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
                return Err(Stop::Gone);
            }
            for pattern in &patterns {
                self.splits.add_new(pattern::listed(pattern)?, header);
            }
        }
    }

    /// Reads what has come to a file. What comes meanwhile waits for the next look, or a file that grows and grows
    /// would keep the others from being read.
    fn look(&mut self, split: SplitId, of: FileSplit, input: &mut Input) -> Result<(), Stop> {
        let opened = File::open(&of.path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.forget(split, &of.path),
            opened => opened.map_err(|error| unreadable(&of.path, &error))?,
        };
        if !self.splits.is_still(split, Identity::of(&metadata)) {
            return self.forget(split, &of.path);
        }
        let length = metadata.len();
        let known = self.cutters.get(&split).map_or(of.range.begin, Cutter::read_to);
        if length < known {
            return Err(shortened(&of.path, known, length).into());
        }
        if length == known {
            return Ok(());
        }
        let mut cutter = match self.cutters.remove(&split) {
            Some(cutter) => cutter,
            None => self.begin(split, of),
        };
        self.read(split, &mut cutter, &mut input.open(file, length), length)?;
        cutter.shrink();
        self.cutters.insert(split, cutter);
        Ok(())
    }

    /// The file is gone; another of its name is a new one.
    fn forget(&mut self, split: SplitId, path: &Path) -> Result<(), Stop> {
        self.splits.forget(split);
        self.store.iter().for_each(|store| store.forget(path));
        let half = self.cutters.remove(&split).map_or(0, |cutter| cutter.half());
        if half > 0 {
            tracing::warn!("{} is gone, and with it the rest of a frame of {half} bytes", path.display());
        }
        Ok(self.turns.give(Piece::Forget(split))?)
    }

    fn begin(&self, split: SplitId, of: FileSplit) -> Cutter {
        Cutter::new(self.framing, split, of.origin, of.range)
    }

    /// Reads a file to its end, to about its length of before, or to where another split begins.
    fn read(
        &mut self,
        split: SplitId,
        cutter: &mut Cutter,
        file: &mut Opened<'_>,
        to: u64,
    ) -> Result<(), Stop> {
        self.turns.come(split)?;
        let origin = cutter.origin().to_owned();
        let failed = |error: io::Error| unreadable(Path::new(&origin), &error);
        while !cutter.ended() && cutter.read_to() < to && file.read(cutter).map_err(failed)? > 0 {
            while let Some(block) = cutter.take()? {
                self.turns.give(Piece::Block(block))?;
            }
        }
        Ok(())
    }

    /// What is left at the end of a file is half a frame.
    fn finish(&self, cutter: &mut Cutter) -> Result<(), Stop> {
        if cutter.half() == 0 || cutter.ended() {
            return Ok(());
        }
        match self.unfinished {
            Unfinished::Leave => {}
            Unfinished::Fail => return Err(cutter.torn().into()),
            Unfinished::Record => {
                let half = cutter.take_half().map(Piece::Block);
                half.map_or(Ok(()), |half| self.turns.give(half))?;
            }
        }
        Ok(())
    }
}
