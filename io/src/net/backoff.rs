//! How long to wait before the next attempt.

use std::time::Duration;

/// The pause behind the first failure (a guess: a far end that restarts is back in less than a second).
const FIRST: Duration = Duration::from_millis(50);

/// The longest pause (a guess: an outage costs little, and its end is noticed soon).
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double, up to a bound.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    waited: Duration,
    give_up_after: Option<Duration>,
}

impl Backoff {
    pub fn new(give_up_after: Option<Duration>) -> Backoff {
        Backoff { next: FIRST, waited: Duration::ZERO, give_up_after }
    }

    /// It has worked.
    pub fn reset(&mut self) {
        (self.next, self.waited) = (FIRST, Duration::ZERO);
    }

    /// The next pause, or `None` once all of them have been longer than is waited for.
    pub fn pause(&mut self) -> Option<Duration> {
        if self.give_up_after.is_some_and(|most| self.waited >= most) {
            return None;
        }
        let left = self.give_up_after.map_or(Duration::MAX, |most| most - self.waited);
        let pause = self.next.min(left);
        self.waited += pause;
        self.next = (self.next * 2).min(LONGEST);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_all_of_them_are_what_is_waited_for() {
        let mut endless = Backoff::new(None);
        let pauses: Vec<u128> =
            (0..9).map_while(|_| endless.pause()).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        let mut patient = Backoff::new(Some(Duration::from_millis(120)));
        assert_eq!((patient.pause(), patient.pause()), (Some(FIRST), Some(Duration::from_millis(70))));
        assert_eq!(patient.pause(), None);
        patient.reset();
        assert_eq!(patient.pause(), Some(FIRST));
    }
}
