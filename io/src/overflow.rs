//! What a sink is given beyond the room it promised, kept small and bounded.
//!
//! Before each step a sink says how many records may come in. Where an operator in front of it gives many
//! for one, more reach the sink than came in, and those beyond its room have to wait in it.
//!
//! 1. While anything waits the promise is 0, so the subtask takes no input: that is the backpressure.
//! 2. How many records come for each one promised is learned, and the next promise is as much smaller. It
//!    begins small, so that the first step of an expanding operator is no worse than the later ones.
//! 3. What was promised may always wait, however large its records are: it was let in one for one. What
//!    waits beyond that is counted in bytes, and more than `edges.overflow_bytes` of it fails the job.

use slotflow_runtime::{Error, Result};

/// How many records are taken to come for one before any has (a guess: after ten steps without an
/// expansion it is forgotten).
const FIRST_EXPANSION: usize = 1024;

/// One sink subtask's promise of room, and what went beyond it.
#[derive(Debug)]
pub(crate) struct Overflow {
    budget_bytes: usize,
    /// How many records come for each one promised.
    expansion: usize,
    promised: usize,
    /// How many records have come since the promise.
    given: usize,
    /// The bytes of those that wait beyond the promise.
    beyond_bytes: usize,
}

impl Overflow {
    pub(crate) fn new(budget_bytes: usize) -> Overflow {
        Overflow { budget_bytes, expansion: FIRST_EXPANSION, promised: 0, given: 0, beyond_bytes: 0 }
    }

    /// How many records to let in where there is room for this many, which is 0 while any wait.
    pub(crate) fn promise(&mut self, room: usize) -> usize {
        let given = std::mem::take(&mut self.given);
        if given > 0 {
            self.expansion = given.div_ceil(self.promised.max(1)).max(self.expansion / 2).max(1);
        }
        if room > 0 {
            self.beyond_bytes = 0;
        }
        self.promised = room.min((room / self.expansion).max(1));
        self.promised
    }

    /// A record has come.
    #[inline]
    pub(crate) fn count(&mut self) {
        self.given += 1;
    }

    /// The record that came last has to wait and takes up this many bytes.
    ///
    /// # Errors
    /// More waits than the budget allows.
    pub(crate) fn wait(&mut self, bytes: usize) -> Result<()> {
        if self.given <= self.promised {
            return Ok(());
        }
        self.beyond_bytes += bytes;
        if self.beyond_bytes <= self.budget_bytes {
            return Ok(());
        }
        Err(Error::user(format!(
            "{} bytes wait for room in the sink, more than edges.overflow_bytes = {} allows; emit fewer \
             records for each input, or raise it",
            self.beyond_bytes, self.budget_bytes
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps that let in what is promised, of which each record becomes `expansion` ones of 10 bytes; what
    /// does not fit waits until the next step.
    fn steps(overflow: &mut Overflow, steps: usize, room: usize, expansion: usize) -> Result<usize> {
        let mut promised = 0;
        for _ in 0..steps {
            promised = overflow.promise(room);
            for record in 0..promised * expansion {
                overflow.count();
                if record >= room {
                    overflow.wait(10)?;
                }
            }
        }
        Ok(promised)
    }

    #[test]
    fn the_promise_grows_to_the_room_where_nothing_expands() {
        let mut overflow = Overflow::new(0);
        assert_eq!(overflow.promise(4_096), 4);
        assert_eq!(steps(&mut overflow, 11, 4_096, 1).unwrap(), 4_096);
        assert_eq!((overflow.promise(1), overflow.promise(0)), (1, 0));
    }

    #[test]
    fn the_promise_shrinks_to_what_fits_when_it_has_expanded() {
        let mut overflow = Overflow::new(usize::MAX);
        assert_eq!(steps(&mut overflow, 3, 4_096, 100).unwrap(), 16);
        assert_eq!(steps(&mut overflow, 9, 4_096, 100).unwrap(), 40, "4,000 for room for 4,096");
        assert_eq!(steps(&mut overflow, 20, 4_096, 1).unwrap(), 4_096, "and grows again");
    }

    #[test]
    fn what_was_promised_may_wait_whatever_its_size() {
        let mut overflow = Overflow::new(0);
        let promised = steps(&mut overflow, 12, 100, 1).unwrap();
        assert_eq!(promised, overflow.promise(100));
        for _ in 0..promised {
            overflow.count();
            overflow.wait(1 << 20).unwrap();
        }
    }

    #[test]
    fn what_waits_beyond_the_promise_is_bounded_and_the_error_names_the_setting() {
        let mut overflow = Overflow::new(100);
        assert_eq!(overflow.promise(1), 1);
        let waited = (0..100).map(|_| {
            overflow.count();
            overflow.wait(10)
        });
        let waited: Vec<Result<()>> = waited.take_while(Result::is_ok).collect();
        assert_eq!(waited.len(), 11, "the one promised and ten beyond");
        assert_eq!(
            overflow.wait(10).unwrap_err().to_string(),
            "120 bytes wait for room in the sink, more than edges.overflow_bytes = 100 allows; emit fewer \
             records for each input, or raise it"
        );
        assert_eq!(overflow.promise(1), 1, "a new promise begins anew");
        assert!((0..11).all(|_| {
            overflow.count();
            overflow.wait(10).is_ok()
        }));
    }
}
