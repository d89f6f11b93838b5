//! A format that is not ready for a payload holds its subtask up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use slotflow::io::formats::{Decode, decode, decode_or_skip};
use slotflow::prelude::*;
use slotflow::runtime::SubtaskContext;
use slotflow::runtime::error::Cause;
use slotflow::runtime::slot::Waker;

use super::folder::environment;

const PAYLOADS: [&str; 4] = ["0", "1", "x", "3"];

/// Digits, for which it is ready when it was asked so often.
#[derive(Clone)]
struct NotYet {
    ready_after: usize,
    waker: Waker,
    asked: Arc<AtomicUsize>,
    /// How many payloads the source has given, now and whenever it was not ready.
    given: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<usize>>>,
}

impl NotYet {
    fn after(ready_after: usize) -> NotYet {
        let (asked, given, seen) = (Arc::default(), Arc::default(), Arc::default());
        NotYet { ready_after, waker: Waker::default(), asked, given, seen }
    }

    /// Payloads without an end in sight, counted as they are given.
    fn payloads(&self, count: usize) -> impl Iterator<Item = &'static str> + Send + 'static {
        let given = self.given.clone();
        (0..count).map(move |n| {
            given.fetch_add(1, Ordering::Relaxed);
            PAYLOADS[n % PAYLOADS.len()]
        })
    }
}

impl Decode for NotYet {
    type Item = Owned<u64>;

    fn decode(&mut self, payload: &[u8]) -> Result<u64, Cause> {
        Ok(std::str::from_utf8(payload)?.parse()?)
    }

    fn open(&mut self, subtask: &SubtaskContext) {
        self.waker = subtask.waker.clone();
    }

    fn ready(&mut self, _: &[u8]) -> Result<bool> {
        if self.asked.fetch_add(1, Ordering::Relaxed) >= self.ready_after {
            return Ok(true);
        }
        self.seen.lock().unwrap().push(self.given.load(Ordering::Relaxed));
        self.waker.wake();
        Ok(false)
    }
}

#[test]
fn its_subtask_takes_no_input_and_nothing_is_lost_or_overtaken() {
    let (env, digits, format) = (environment(), Collected::new(), NotYet::after(20));
    let payloads = format.payloads(100_000);
    env.source(from_iterator(payloads)).then("decode", decode_or_skip(format.clone())).sink(digits.sink());
    env.run("digits").unwrap();
    let expected = (0..100_000).map(|n| n % 4).filter(|n| *n != 2);
    assert!(digits.take().into_iter().eq(expected));
    let seen = format.seen.lock().unwrap().clone();
    assert!(seen[1] < 10_000, "one step, and not all that there is: {seen:?}");
    assert_eq!(seen[1..], vec![seen[1]; 19][..], "nothing comes while it waits");
}

#[test]
fn a_format_that_cannot_get_what_it_needs_fails_the_job() {
    #[derive(Clone)]
    struct Never;
    impl Decode for Never {
        type Item = Owned<u64>;
        fn decode(&mut self, _: &[u8]) -> Result<u64, Cause> {
            Ok(7)
        }
        fn ready(&mut self, payload: &[u8]) -> Result<bool> {
            if payload == b"x" { Err(Error::world("nobody answers", "start somebody")) } else { Ok(true) }
        }
    }
    let (env, format) = (environment(), NotYet::after(0));
    env.source(from_iterator(format.payloads(4))).then("decode", decode(Never)).sink(callback(|_| ()));
    let error = env.run("digits").unwrap_err().to_string();
    assert_eq!(error, "operator \"decode\", subtask 0: nobody answers; start somebody");
}
