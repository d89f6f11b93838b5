//! A sink of files on a disk that fails, and that forgets in a crash what nobody has made durable.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use slotflow::prelude::{Config, Environment};
use slotflow_runtime::{
    Committer, Context, Offsets, Output, Owned, Polled, Result, Source, SourceReader, SplitId, Splits,
    SubtaskContext, Untimed,
};

use super::FileSink;
use super::file_system::{FileSystem, Stored};

/// How many lines there are.
const LINES: i64 = 60;

/// How many come in a step.
const AT_ONCE: i64 = 5;

/// A file takes two steps, of lines of seven bytes, unless the second waits for the first to be committed.
const FILE_BYTES: u64 = 36;
const FILE_AGE: Duration = Duration::from_millis(10);

/// How far reading may be ahead of what is committed: a file. So there are commits in front of each fault.
const AHEAD: i64 = 2 * AT_ONCE;

/// What fails, and how many times it goes well before.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Never,
    Create(u64),
    /// Behind so many bytes.
    NoSpace(u64),
    Sync(u64),
    Rename(u64),
    SyncFolder(u64),
}

/// The disk under a folder. Whatever it writes it writes shortly.
#[derive(Debug)]
struct Faulty {
    fault: Fault,
    /// How often it was asked for what is to fail, or how many bytes were written.
    asked: Arc<AtomicU64>,
    /// How many bytes of each file are durable, by the name it has.
    durable: Mutex<Vec<(PathBuf, Arc<AtomicU64>)>>,
    /// Files whose new name is not durable, with the old one.
    renamed: Mutex<Vec<(PathBuf, PathBuf)>>,
}

impl Faulty {
    fn new(fault: Fault) -> Arc<Faulty> {
        let (durable, renamed) = (Mutex::default(), Mutex::default());
        Arc::new(Faulty { fault, asked: Arc::default(), durable, renamed })
    }

    /// What becomes of this call, if it is of the kind that fails.
    fn ask(&self, times: Option<u64>, errno: i32) -> io::Result<()> {
        let fails = times.is_some_and(|times| self.asked.fetch_add(1, Relaxed) >= times);
        if fails { Err(io::Error::from_raw_os_error(errno)) } else { Ok(()) }
    }

    /// The power fails: the bytes that were not durable are gone.
    fn crash(&self) {
        for (path, durable) in &*self.durable.lock().unwrap() {
            File::options().write(true).open(path).unwrap().set_len(durable.load(Relaxed)).unwrap();
        }
    }

    /// And so are the names, which another disk may have had time for.
    fn crash_without_names(&self) {
        self.crash();
        for (from, to) in self.renamed.lock().unwrap().iter().rev() {
            fs::rename(to, from).unwrap();
        }
    }
}

impl FileSystem for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Stored>> {
        self.ask(if let Fault::Create(times) = self.fault { Some(times) } else { None }, libc::EACCES)?;
        let (file, durable) = (File::create(path)?, Arc::new(AtomicU64::new(0)));
        self.durable.lock().unwrap().retain(|(known, _)| known != path);
        self.durable.lock().unwrap().push((path.into(), durable.clone()));
        Ok(Box::new(FaultyFile { file, durable, fault: self.fault, asked: self.asked.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(if let Fault::Rename(times) = self.fault { Some(times) } else { None }, libc::EIO)?;
        fs::rename(from, to)?;
        self.renamed.lock().unwrap().push((from.into(), to.into()));
        let mut durable = self.durable.lock().unwrap();
        durable.iter_mut().filter(|(path, _)| path == from).for_each(|(path, _)| *path = to.into());
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.ask(if let Fault::SyncFolder(times) = self.fault { Some(times) } else { None }, libc::EIO)?;
        self.renamed.lock().unwrap().clear();
        Ok(())
    }
}

struct FaultyFile {
    file: File,
    durable: Arc<AtomicU64>,
    fault: Fault,
    asked: Arc<AtomicU64>,
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let short = bytes.len().min(4);
        let Fault::NoSpace(room) = self.fault else { return self.file.write(&bytes[..short]) };
        let left = room.saturating_sub(self.asked.load(Relaxed)) as usize;
        if left == 0 {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let written = self.file.write(&bytes[..short.min(left)])?;
        self.asked.fetch_add(written as u64, Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Stored for FaultyFile {
    fn sync(&self) -> io::Result<()> {
        if let Fault::Sync(times) = self.fault
            && self.asked.fetch_add(1, Relaxed) >= times
        {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        self.durable.store(self.file.metadata()?.len(), Relaxed);
        Ok(())
    }
}

/// Lines that are numbers, from the one that is committed.
struct Numbers(Arc<AtomicI64>);

struct NumbersReader {
    next: i64,
    committed: Arc<AtomicI64>,
}

impl Source for Numbers {
    type Reader = NumbersReader;
    fn describe(&self) -> String {
        "numbers".into()
    }
    fn commits(&self) -> bool {
        true
    }
    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::Count(1))
    }
    fn open(&mut self, _: &SubtaskContext, _: &[SplitId]) -> Result<NumbersReader> {
        Ok(NumbersReader { next: self.0.load(Relaxed), committed: self.0.clone() })
    }
}

impl SourceReader for NumbersReader {
    type Item = Owned<String>;
    type Time = Untimed;
    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<String>>,
    ) -> Result<Polled> {
        let from = self.next;
        if from == LINES {
            return Ok(Polled::End);
        }
        if from >= self.committed.load(Relaxed) + AHEAD {
            return Ok(Polled::Until(ctx.now_ns() + 100_000));
        }
        self.next = LINES.min(from + AT_ONCE.min(budget as i64));
        (from..self.next).for_each(|number| out.push(line(number), ctx));
        Ok(Polled::Records((self.next - from) as usize))
    }
    fn offsets(&self) -> Offsets {
        vec![(0, self.next)]
    }
    fn committer(&mut self) -> Option<Box<dyn Committer>> {
        let committed = self.committed.clone();
        Some(Box::new(move |offsets: &Offsets| {
            offsets.iter().for_each(|(_, offset)| committed.store(*offset, Relaxed));
            Ok(())
        }))
    }
}

fn line(number: i64) -> String {
    format!("{number:06}")
}

/// Runs the job; what is wrong with it, if something is.
fn run(folder: &Path, committed: &Arc<AtomicI64>, store: Arc<Faulty>) -> Option<String> {
    let config = Config::from_toml("job = { parallelism = 1, commit_interval_ms = 1 }").unwrap();
    let mut sink = FileSink::lines(folder, "f").roll_bytes(FILE_BYTES).roll_after(FILE_AGE);
    sink.to.disk = store;
    let env = Environment::with(config);
    env.source(Numbers(committed.clone())).sink(sink).name("out");
    env.run("numbers").err().map(|error| error.to_string())
}

/// The lines of all files that have a name. Each file is whole: it ends with a line, and each of its lines is one.
fn named(folder: &Path) -> Vec<String> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = paths.filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'));
    let texts: Vec<String> = named.map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(texts.iter().all(|text| text.ends_with('\n')), "{texts:?}");
    let lines: Vec<String> = texts.iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
    assert!(lines.iter().all(|line| line.len() == 6), "{lines:?}");
    lines
}

fn missing(folder: &Path, expected: i64) -> Vec<i64> {
    let named = named(folder);
    (0..expected).filter(|number| !named.contains(&line(*number))).collect()
}

/// What the job says where this fails, and what to do about it.
fn why(fault: Fault) -> (&'static str, &'static str) {
    let mend = "mend its file system, and let this process write the folder";
    match fault {
        Fault::Create(_) => ("Permission denied", mend),
        Fault::NoSpace(_) => ("No space left on device", "make room on its file system"),
        _ => ("Input/output error", mend),
    }
}

#[test]
fn what_is_committed_outlives_a_disk_that_fails_and_the_next_start_loses_nothing() {
    let folder = std::env::temp_dir().join(format!("slotflow-{}-faults", std::process::id()));
    let hidden = folder.join(".f-0.part").display().to_string();
    let faults = [Fault::Create, Fault::NoSpace, Fault::Sync, Fault::Rename, Fault::SyncFolder];
    let faults = faults.iter().flat_map(|fault| [0, 1, 4].map(fault));
    let faults = faults.chain([Fault::NoSpace(67), Fault::NoSpace(70)]);
    let crashes = [Faulty::crash, Faulty::crash_without_names];
    for (fault, crash) in faults.flat_map(|fault| crashes.map(|crash| (fault, crash))) {
        fs::create_dir_all(&folder).unwrap();
        let (committed, store) = (Arc::default(), Faulty::new(fault));
        let error = run(&folder, &committed, store.clone()).expect("the disk failed");
        let (what, remedy) = why(fault);
        let what = format!("operator \"out\", subtask 0: {hidden} cannot be written: {what} (os error ");
        let remedy = format!("; {remedy}; what has no name yet is written again at the next start");
        assert!(error.starts_with(&what) && error.ends_with(&remedy), "{fault:?}: {error}");
        crash(&store);
        let there = committed.load(Relaxed);
        assert_eq!(missing(&folder, there), [0; 0], "{fault:?}: {there} were committed");
        assert_eq!(run(&folder, &committed, Faulty::new(Fault::Never)), None, "{fault:?}");
        assert_eq!(missing(&folder, LINES), [0; 0], "{fault:?}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
