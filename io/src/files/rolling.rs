//! The thread that writes the files of one sink subtask.
//!
//! A file has its name only when it is finished and durable, and what is in it has arrived only then. A barrier that
//! comes while a file is open waits for that; without one, everything in front of it has arrived.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use slotflow_runtime::{Error, Result};

use super::destination::refused;
use super::file_system::{FileSystem, Stored};
use super::lock::{LEAVE_TIMEOUT, lock};
use crate::frames::{Order, Progress};

/// Where files go, and when one is finished.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub folder: PathBuf,
    /// The prefix and the subtask.
    pub stem: String,
    /// With its dot, or nothing.
    pub suffix: String,
    pub roll_bytes: u64,
    pub roll_after: Duration,
    pub fsync: bool,
    pub disk: Arc<dyn FileSystem>,
}

impl Target {
    fn hidden(&self) -> PathBuf {
        self.folder.join(format!(".{}.part", self.stem))
    }

    fn finished(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{}-{number:06}{}", self.stem, self.suffix))
    }

    /// Makes sure that nobody else writes these files: waits so long for whoever is still leaving.
    fn lock(&self, timeout: Duration) -> Result<Lock> {
        let path = self.folder.join(format!(".{}.lock", self.stem));
        let locked = lock(&path, timeout).map_err(|error| refused(&self.folder, &error))?;
        locked.map(Lock).ok_or_else(|| in_use(&path))
    }

    /// One more than the largest number there is, or was: a file that has been taken away must not get a namesake,
    /// which would take its place wherever it went.
    fn next_number(&self, lock: &Lock) -> io::Result<u64> {
        let mut next = lock.last()?.saturating_add(1);
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            next = next.max(self.number(&name.to_string_lossy()).map_or(0, |number| number + 1));
        }
        Ok(next)
    }

    fn number(&self, name: &str) -> Option<u64> {
        let rest = name.strip_prefix(&self.stem)?.strip_prefix('-')?;
        rest.split('.').next()?.parse().ok()
    }
}

/// Held as long as files are written. The number of the last file stands in it.
#[derive(Debug)]
struct Lock(File);

impl Lock {
    /// The last number that was noted; 0 before the first.
    fn last(&self) -> io::Result<u64> {
        let mut text = Vec::new();
        (&self.0).read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).trim().parse().unwrap_or(0))
    }

    /// Notes the number of a file that is about to get its name. All are of one length, so each is written over whole.
    fn note(&self, number: u64) -> io::Result<()> {
        self.0.write_all_at(format!("{number:020}\n").as_bytes(), 0)
    }
}

pub(super) fn in_use(lock: &Path) -> Error {
    let what = format!("another job writes the same files: it holds {}", lock.display());
    Error::world(what, "stop it, or give the sink another folder or prefix")
}

/// What files are made of.
pub(super) trait Shape: Send + 'static {
    /// What is written at once.
    type Block;
    /// A file that is not finished.
    type Making;

    /// Begins a file with its first block.
    fn begin(&self, file: Box<dyn Stored>, first: Self::Block) -> io::Result<Self::Making>;

    fn write(&self, making: &mut Self::Making, block: Self::Block) -> io::Result<()>;

    /// How large it is, as far as is known.
    fn bytes(&self, making: &Self::Making) -> u64;

    /// Writes what is still missing.
    fn finish(&self, making: Self::Making) -> io::Result<Box<dyn Stored>>;
}

/// Bytes, as they are.
pub(super) struct AsIs;

impl Shape for AsIs {
    type Block = Vec<u8>;
    type Making = (Box<dyn Stored>, u64);

    fn begin(&self, file: Box<dyn Stored>, first: Vec<u8>) -> io::Result<Self::Making> {
        let mut making = (file, 0);
        self.write(&mut making, first)?;
        Ok(making)
    }

    fn write(&self, (file, bytes): &mut Self::Making, block: Vec<u8>) -> io::Result<()> {
        file.write_all(&block)?;
        *bytes += block.len() as u64;
        Ok(())
    }

    fn bytes(&self, (_, bytes): &Self::Making) -> u64 {
        *bytes
    }

    fn finish(&self, (file, _): Self::Making) -> io::Result<Box<dyn Stored>> {
        Ok(file)
    }
}

/// Writes files, one after the other.
pub(super) struct Rolling<S: Shape> {
    target: Target,
    shape: S,
    lock: Lock,
    next: u64,
    orders: Receiver<Order<S::Block>>,
    progress: Arc<Progress>,
    open: Option<Open<S::Making>>,
    /// How many blocks were written, and the last barrier that came.
    blocks: u64,
    barrier: u64,
    closing: bool,
}

/// The file in the making.
struct Open<M> {
    making: M,
    due: Instant,
}

impl<S: Shape> Rolling<S> {
    /// # Errors
    /// The files are another job's, or the folder cannot be written.
    pub fn new(
        target: Target,
        shape: S,
        orders: Receiver<Order<S::Block>>,
        progress: Arc<Progress>,
    ) -> Result<Rolling<S>> {
        let lock = target.lock(LEAVE_TIMEOUT)?;
        let next = target.next_number(&lock).map_err(|error| refused(&target.folder, &error))?;
        let (open, blocks, barrier, closing) = (None, 0, 0, false);
        Ok(Rolling { target, shape, lock, next, orders, progress, open, blocks, barrier, closing })
    }

    /// Writes until nobody gives any more orders. What is not finished then is nobody's.
    pub fn run(mut self) {
        if let Err(error) = self.follow() {
            self.progress.fail(self.failed(&error));
        } else if self.open.is_some()
            && let Err(error) = fs::remove_file(self.target.hidden())
        {
            tracing::warn!("{} stays behind: {error}", self.target.hidden().display());
        }
    }

    fn follow(&mut self) -> io::Result<()> {
        loop {
            match self.order() {
                Ok(order) => self.carry_out(order)?,
                Err(RecvTimeoutError::Timeout) => {
                    self.finish()?;
                    self.say();
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn carry_out(&mut self, order: Order<S::Block>) -> io::Result<()> {
        match order {
            Order::Write(block) => self.write(block)?,
            Order::Barrier(barrier) => self.barrier = barrier,
            Order::Close => self.closing = true,
        }
        if self.closing || self.is_due() {
            self.finish()?;
        }
        self.say();
        Ok(())
    }

    /// The file is large enough or old enough. Its age counts here, too: under load there is always another order, and
    /// the wait for one never ends.
    fn is_due(&self) -> bool {
        self.open.as_ref().is_some_and(|open| {
            self.shape.bytes(&open.making) >= self.target.roll_bytes || open.due <= Instant::now()
        })
    }

    /// Tells the slot what has arrived, or that there is room.
    fn say(&self) {
        match self.open {
            Some(_) => self.progress.wake(),
            None => self.progress.arrive(self.blocks, self.barrier),
        }
    }

    fn order(&self) -> std::result::Result<Order<S::Block>, RecvTimeoutError> {
        match &self.open {
            Some(open) => self.orders.recv_timeout(open.due.saturating_duration_since(Instant::now())),
            None => self.orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn write(&mut self, block: S::Block) -> io::Result<()> {
        match &mut self.open {
            Some(open) => self.shape.write(&mut open.making, block)?,
            None => self.open = Some(self.begin(block)?),
        }
        self.blocks += 1;
        Ok(())
    }

    fn begin(&self, first: S::Block) -> io::Result<Open<S::Making>> {
        // A year is for ever, and can be added to a clock.
        let after = self.target.roll_after.min(Duration::from_secs(365 * 24 * 3600));
        let making = self.shape.begin(self.target.disk.create(&self.target.hidden())?, first)?;
        Ok(Open { making, due: Instant::now() + after })
    }

    /// Gives the file its name.
    fn finish(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let (file, name) = (self.shape.finish(open.making)?, self.target.finished(self.next));
        self.lock.note(self.next)?;
        if self.target.fsync {
            self.lock.0.sync_data()?;
            file.sync()?;
        }
        self.target.disk.rename(&self.target.hidden(), &name)?;
        if self.target.fsync {
            self.target.disk.sync_folder(&name)?;
        }
        self.next += 1;
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> Error {
        let remedy = match error.kind() {
            io::ErrorKind::InvalidData => "mend what makes its records",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on its file system",
            _ => "mend its file system, and let this process write the folder",
        };
        Error::world(
            format!("{} cannot be written: {error}", self.target.hidden().display()),
            format!("{remedy}; what has no name yet is written again at the next start"),
        )
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::subtask;

    use super::super::file_system::Disk;
    use super::*;
    use crate::frames::{FrameWriter, Framing};

    /// A folder of a test's own.
    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn rolling(test: &str) -> (Folder, Rolling<AsIs>, Arc<Progress>) {
        let folder = std::env::temp_dir().join(format!("slotflow-{}-{test}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (stem, suffix, roll_after) = ("f-0".into(), ".txt".into(), Duration::from_secs(3_600));
        let (folder, roll_bytes, fsync, disk) = (Folder(folder), 4, true, Arc::new(Disk));
        let target = Target { folder: folder.0.clone(), stem, suffix, roll_bytes, roll_after, fsync, disk };
        let (_, orders, progress) = FrameWriter::new(Framing::lines(), &subtask());
        (folder, Rolling::new(target, AsIs, orders, progress.clone()).unwrap(), progress)
    }

    #[test]
    fn what_has_no_name_has_not_arrived_and_neither_has_its_barrier() {
        let (folder, mut rolling, progress) = rolling("arrives");
        rolling.carry_out(Order::Barrier(1)).unwrap();
        assert_eq!(progress.arrived(), (0, 1), "nothing is in front of it");
        rolling.carry_out(Order::Write(b"a\n".into())).unwrap();
        rolling.carry_out(Order::Barrier(2)).unwrap();
        assert_eq!(progress.arrived(), (0, 1));
        rolling.carry_out(Order::Write(b"b\n".into())).unwrap();
        assert_eq!(progress.arrived(), (2, 2));
        assert_eq!(fs::read(folder.0.join("f-0-000001.txt")).unwrap(), b"a\nb\n");
        rolling.carry_out(Order::Write(b"c\n".into())).unwrap();
        rolling.carry_out(Order::Close).unwrap();
        assert_eq!(progress.arrived(), (3, 2), "nobody waits for a file to be full at the end");
        rolling.carry_out(Order::Write(b"d\n".into())).unwrap();
        assert_eq!(progress.arrived(), (4, 2));
        let error = rolling.target.lock(Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("another job writes the same files"), "{error}");
        let target = rolling.target.clone();
        drop(rolling);
        target.lock(Duration::ZERO).unwrap();
    }

    #[test]
    fn a_file_that_was_taken_away_gets_no_namesake() {
        let (folder, mut rolling, progress) = rolling("namesakes");
        for next in 2..4 {
            rolling.carry_out(Order::Write(b"long\n".into())).unwrap();
            assert_eq!(rolling.next, next);
        }
        fs::remove_file(folder.0.join("f-0-000002.txt")).unwrap();
        let target = rolling.target.clone();
        drop(rolling);
        let (_, orders) = std::sync::mpsc::sync_channel(1);
        assert_eq!(Rolling::new(target.clone(), AsIs, orders, progress).unwrap().next, 3);
        // Without what is in the lock, such as that of an older version, the names there are count.
        fs::write(folder.0.join(".f-0.lock"), "").unwrap();
        assert_eq!(target.next_number(&target.lock(Duration::ZERO).unwrap()).unwrap(), 2);
    }

    #[test]
    fn an_old_file_is_finished_though_orders_never_cease() {
        let (_folder, mut rolling, progress) = rolling("ages");
        (rolling.target.roll_bytes, rolling.target.roll_after) = (u64::MAX, Duration::ZERO);
        rolling.carry_out(Order::Write(b"a\n".into())).unwrap();
        assert_eq!(progress.arrived(), (1, 0));
    }
}
