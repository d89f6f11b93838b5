//! How long to wait before the next attempt.

use std::time::Duration;

use slotflow_runtime::Clock;

/// The pause behind the first failure (a guess: a far end that restarts is back in less than a second).
const FIRST: Duration = Duration::from_millis(50);

/// The longest pause (a guess: an outage costs little, and its end is noticed soon).
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double, up to a bound.
pub(crate) struct Backoff {
    clock: Clock,
    next: Duration,
    /// When it failed first since it has worked.
    since_ns: Option<u64>,
    give_up_after: Option<Duration>,
}

impl Backoff {
    pub fn new(give_up_after: Option<Duration>, clock: Clock) -> Backoff {
        Backoff { clock, next: FIRST, since_ns: None, give_up_after }
    }

    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// It has worked.
    pub fn reset(&mut self) {
        (self.next, self.since_ns) = (FIRST, None);
    }

    /// What was connected then has stood until now, without a word: it has worked if that is longer than any pause.
    pub fn stood(&mut self, since_ns: u64) {
        if Duration::from_nanos(self.now_ns() - since_ns) > LONGEST {
            self.reset();
        }
    }

    /// The pause behind a failure, or `None` once it has failed for as long as is waited: attempts take time, too.
    pub fn pause(&mut self) -> Option<Duration> {
        let now_ns = self.now_ns();
        let failing = Duration::from_nanos(now_ns - *self.since_ns.get_or_insert(now_ns));
        let left = self.give_up_after.map_or(Duration::MAX, |most| most.saturating_sub(failing));
        let pause = self.next.min(left);
        self.next = (self.next * 2).min(LONGEST);
        (!left.is_zero()).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Pauses at these times of a clock of their own.
    fn patient(give_up_after: Option<Duration>) -> (Backoff, impl Fn(u64)) {
        let clock = Clock::manual();
        let began_ns = clock.now_ns();
        let moved = clock.clone();
        let at = move |ms: u64| moved.advance(began_ns + ms * 1_000_000 - moved.now_ns());
        (Backoff::new(give_up_after, clock), at)
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let (mut endless, _) = patient(None);
        let pauses: Vec<u128> =
            (0..9).map_while(|_| endless.pause()).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    }

    #[test]
    fn who_gives_up_counts_pauses_and_attempts_since_the_first_failure() {
        let (mut backoff, at) = patient(Some(ms(120)));
        let mut pause_at = |ms| {
            at(ms);
            backoff.pause()
        };
        assert_eq!((pause_at(0), pause_at(80), pause_at(120)), (Some(FIRST), Some(ms(40)), None));
        backoff.reset();
        at(500);
        assert_eq!(backoff.pause(), Some(FIRST));
        at(9_000);
        assert_eq!(backoff.pause(), None, "an attempt took longer than all of it");
        assert_eq!(patient(Some(Duration::ZERO)).0.pause(), None);
    }

    #[test]
    fn a_silent_connection_that_has_stood_has_worked() {
        for (stood, then) in [(100, None), (5_001, Some(FIRST))] {
            let (mut backoff, at) = patient(Some(ms(120)));
            assert_eq!(backoff.pause(), Some(FIRST));
            let made_ns = backoff.now_ns();
            at(stood);
            backoff.stood(made_ns);
            at(350_000);
            assert_eq!(backoff.pause(), then);
        }
    }
}
