//! How long to wait before the next attempt.

use std::time::{Duration, Instant};

/// The pause behind the first failure (a guess: a far end that restarts is back in less than a second).
const FIRST: Duration = Duration::from_millis(50);

/// The longest pause (a guess: an outage costs little, and its end is noticed soon).
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double, up to a bound.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    /// When it failed first since it has worked.
    since: Option<Instant>,
    give_up_after: Option<Duration>,
}

impl Backoff {
    pub fn new(give_up_after: Option<Duration>) -> Backoff {
        Backoff { next: FIRST, since: None, give_up_after }
    }

    /// It has worked.
    pub fn reset(&mut self) {
        (self.next, self.since) = (FIRST, None);
    }

    /// What was connected has stood for so long without a word: it has worked if that is longer than any pause.
    pub fn stood(&mut self, stood: Duration) {
        if stood > LONGEST {
            self.reset();
        }
    }

    /// The pause behind a failure of `now`, or `None` once it has failed for as long as is waited: attempts take time,
    /// too.
    pub fn pause(&mut self, now: Instant) -> Option<Duration> {
        let failing = now.saturating_duration_since(*self.since.get_or_insert(now));
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

    #[test]
    fn pauses_double_up_to_a_bound() {
        let (mut endless, now) = (Backoff::new(None), Instant::now());
        let pauses: Vec<u128> =
            (0..9).map_while(|_| endless.pause(now)).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    }

    #[test]
    fn who_gives_up_counts_pauses_and_attempts_since_the_first_failure() {
        let (mut patient, began) = (Backoff::new(Some(ms(120))), Instant::now());
        let mut pause = |at| patient.pause(began + ms(at));
        assert_eq!((pause(0), pause(80), pause(120)), (Some(FIRST), Some(ms(40)), None));
        patient.reset();
        assert_eq!(patient.pause(began + ms(500)), Some(FIRST));
        assert_eq!(patient.pause(began + ms(9_000)), None, "an attempt took longer than all of it");
        assert_eq!(Backoff::new(Some(Duration::ZERO)).pause(began), None);
    }

    #[test]
    fn a_silent_connection_that_has_stood_has_worked() {
        for (stood, then) in [(ms(100), None), (LONGEST + ms(1), Some(FIRST))] {
            let (mut patient, began) = (Backoff::new(Some(ms(120))), Instant::now());
            assert_eq!(patient.pause(began), Some(FIRST));
            patient.stood(stood);
            assert_eq!(patient.pause(began + ms(350_000)), then);
        }
    }
}
