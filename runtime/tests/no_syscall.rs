//! Once it is warm, the engine makes no system call for a record.
//!
//! The kernel itself watches: seccomp's strict mode ends a thread at its first system call, but for `read`, `write`
//! and `exit`. A simulated job runs on such a thread, from the moment its source is warm until it has made the
//! watched records. There is no way back from the strict mode, so the thread then exits in the middle of the job.
//! Entering it is `unsafe`, and so is that exit.

#![allow(unsafe_code)]
#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

mod numbers;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use numbers::Watch;

const STARTED: u8 = 0;
const STRICT: u8 = 1;
/// The kernel has no seccomp, or somebody forbids it.
const REFUSED: u8 = 2;
const THROUGH: u8 = 3;

/// What the thread has come to, which it can say without a system call.
#[derive(Clone, Default)]
struct Strict {
    state: Arc<AtomicU8>,
    thread: Arc<AtomicI32>,
}

impl Watch for Strict {
    fn begin(&mut self) {
        if self.state.load(Ordering::SeqCst) != STARTED {
            return;
        }
        // SAFETY: takes no pointers. It concerns the calling thread alone, which the test has made for it.
        let refused = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) } != 0;
        self.state.store(if refused { REFUSED } else { STRICT }, Ordering::SeqCst);
    }

    fn end(&mut self) {
        if self.state.load(Ordering::SeqCst) == STRICT {
            self.state.store(THROUGH, Ordering::SeqCst);
            // SAFETY: ends the calling thread alone. Nobody joins it, and what it owns is never freed.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
    }
}

/// Runs the job on a thread of its own and waits until that is gone.
fn watched(parallelism: usize, seed: u64, also: impl FnMut() + Clone + Send + 'static) -> u8 {
    let strict = Strict::default();
    let (state, own) = (strict.state.clone(), strict.thread.clone());
    let job = thread::spawn(move || {
        // SAFETY: takes nothing and cannot fail.
        strict.thread.store(unsafe { libc::gettid() }, Ordering::SeqCst);
        numbers::run(parallelism, seed, Also(strict, also));
    });
    while own.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    let task = format!("/proc/self/task/{}", own.load(Ordering::SeqCst));
    while Path::new(&task).exists() {
        thread::park_timeout(Duration::from_millis(1));
    }
    // A thread that exits by itself never says to its handle that it is done.
    drop(job);
    state.load(Ordering::SeqCst)
}

/// Does something when the watched records begin: nothing, or what must be noticed.
#[derive(Clone)]
struct Also<F>(Strict, F);

impl<F: FnMut() + Clone + Send + 'static> Watch for Also<F> {
    fn begin(&mut self) {
        self.0.begin();
        (self.1)();
    }

    fn end(&mut self) {
        self.0.end();
    }
}

#[test]
fn a_warm_engine_makes_no_system_call_for_a_record() {
    for (parallelism, seed) in [(1, 1), (2, 0), (2, 1), (2, 2)] {
        match watched(parallelism, seed, || {}) {
            REFUSED => return println!("left out: this kernel or container has no seccomp"),
            state => assert_eq!(state, THROUGH, "the engine made a system call at parallelism {parallelism}"),
        }
    }
}

#[test]
fn a_system_call_would_be_noticed() {
    match watched(1, 1, thread::yield_now) {
        REFUSED => println!("left out: this kernel or container has no seccomp"),
        state => assert_eq!(state, STRICT, "the thread went on"),
    }
}
