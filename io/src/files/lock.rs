//! Files that say that somebody uses what is beside them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long a thread of a job that was stopped may take to leave (a guess: it writes a block, or makes a file durable).
pub(crate) const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Locks a file as long as what it gives is kept; the system lets go of it when the process ends. Waits so long for
/// whoever is still leaving, and gives `None` if somebody stays.
pub(crate) fn lock(path: &Path, timeout: Duration) -> io::Result<Option<File>> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let until = Instant::now() + timeout;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                let path = path.display();
                tracing::warn!("{path} cannot be locked, so nobody sees whether two jobs use it: {error}");
                return Ok(Some(file));
            }
        }
    }
}
