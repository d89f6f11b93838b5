//! Drivers: what calls a core's turns. All of them call the same code and give the same results.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{Builder, JoinHandle};

use super::core::Core;
use super::{Pulse, thread};
use crate::io_cores::no_thread;
use crate::machine::{Driver, affinity};
use crate::{Error, Result};

/// What drives the cores of one pool; its clones are for the same pool.
#[derive(Clone)]
#[cfg_attr(not(feature = "glommio"), allow(dead_code, reason = "without glommio nobody can be refused"))]
pub struct Drive {
    driver: Driver,
    /// Whether somebody has said that glommio refuses.
    said: Arc<AtomicBool>,
}

impl Drive {
    /// For a pool that has not started yet.
    pub fn new(driver: Driver) -> Drive {
        Drive { driver, said: Arc::default() }
    }

    /// Once a pool is enough: what refuses one core refuses the others, too.
    #[cfg(feature = "glommio")]
    fn warn(&self, error: &Error) {
        // Orders nothing, it only matters who is the first.
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!("the thread driver serves instead: {error}");
        }
    }
}

/// Starts a core's thread and waits until it is pinned. The thread makes its core, whose subtasks
/// never leave it, and turns it until it exits.
pub fn start(
    make: impl FnOnce() -> Core + Send + 'static,
    number: usize,
    cpu: Option<usize>,
    drive: Drive,
    pulse: Arc<Pulse>,
    gone: Arc<AtomicBool>,
) -> Result<JoinHandle<()>> {
    let (ready, handshake) = channel();
    let gone = Gone(gone);
    let run = move || {
        let pinned = cpu.map_or(Ok(()), affinity::pin_current_thread);
        let go = pinned.is_ok();
        // The starter waits for this word, so somebody is there to hear it.
        let _heard = ready.send(pinned);
        if go {
            pulse.enter_thread();
            turn(make(), &drive, &pulse);
        }
        drop(gone);
    };
    let thread = Builder::new().name(format!("slotflow-core-{number}")).spawn(run).map_err(no_thread)?;
    match handshake.recv() {
        Ok(pinned) => pinned.map(|()| thread),
        Err(_) => Err(Error::bug("a core's thread ended before it began")),
    }
}

/// Says that the thread has gone, however it goes.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(feature = "glommio")]
fn turn(core: Core, drive: &Drive, pulse: &Arc<Pulse>) {
    if drive.driver == Driver::Thread {
        return thread::run(core);
    }
    if let Err(refused) = super::glommio::run(core, pulse) {
        let (core, error) = *refused;
        drive.warn(&error);
        thread::run(core);
    }
}

#[cfg(not(feature = "glommio"))]
fn turn(core: Core, _: &Drive, _: &Arc<Pulse>) {
    thread::run(core);
}
