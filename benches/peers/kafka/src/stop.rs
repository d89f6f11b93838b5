//! How a contestant that has no end hears that the race is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether the process has been told to end.
#[derive(Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens for the signals that end a process, in place of being ended by them.
    pub fn listen() -> Stop {
        let stop = Stop(Arc::new(AtomicBool::new(false)));
        let heard = stop.clone();
        ctrlc::set_handler(move || heard.0.store(true, Relaxed)).expect("nobody else listens for signals");
        stop
    }

    pub fn is_said(&self) -> bool {
        self.0.load(Relaxed)
    }
}
