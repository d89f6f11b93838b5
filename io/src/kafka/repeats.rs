//! Says the same thing only now and then: while brokers are away, each client tells of it again and again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was said is not said again for this long, by whatever client (a guess: a line a client at every start of an
/// outage was thirty lines).
const QUIET: Duration = Duration::from_secs(10);

/// How many different lines are remembered; beyond that the oldest is forgotten, and may be said again.
const MOST: usize = 64;

static SAID: Mutex<Repeats> = Mutex::new(Repeats(Vec::new()));

/// Whether to say this, and if so, how often it was left out since the last time.
pub(super) fn worth_saying(text: &str) -> Option<usize> {
    SAID.lock().unwrap_or_else(PoisonError::into_inner).worth_saying(text, Instant::now())
}

/// What was said not long ago.
struct Repeats(Vec<Said>);

struct Said {
    what: String,
    since: Instant,
    left_out: usize,
}

impl Repeats {
    fn worth_saying(&mut self, text: &str, now: Instant) -> Option<usize> {
        let what = what_is_said(text);
        if let Some(said) = self.0.iter_mut().find(|said| said.what == what) {
            if now.duration_since(said.since) < QUIET {
                said.left_out += 1;
                return None;
            }
            said.since = now;
            return Some(std::mem::take(&mut said.left_out));
        }
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(Said { what: what.into(), since: now, left_out: 0 });
        Some(0)
    }
}

/// The part of a line that does not change: without the thread in front, and how long it took behind.
fn what_is_said(text: &str) -> &str {
    let text =
        text.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")).map_or(text, |(_, rest)| rest);
    text.split_once(" (after ").map_or(text, |(what, _)| what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_clients_say_is_said_once_and_counted() {
        let (mut repeats, now) = (Repeats(Vec::new()), Instant::now());
        let line =
            |client: u32| format!("[thrd:b{client}]: b:9092: refused (after {client}ms in state CONNECT)");
        assert_eq!(repeats.worth_saying(&line(0), now), Some(0));
        assert!((1..30).all(|client| repeats.worth_saying(&line(client), now).is_none()));
        assert_eq!(repeats.worth_saying("something else", now), Some(0));
        assert_eq!(repeats.worth_saying(&line(1), now + QUIET), Some(29));
        assert_eq!(repeats.worth_saying(&line(1), now + 2 * QUIET), Some(0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut repeats, now) = (Repeats(Vec::new()), Instant::now());
        (0..1_000).for_each(|n| assert_eq!(repeats.worth_saying(&n.to_string(), now), Some(0)));
        assert_eq!(repeats.0.len(), MOST);
    }
}
