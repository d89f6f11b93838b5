//! Counts what is left out, and says when that is worth a warning.

/// The reason why an operator leaves out what comes behind the watermark, in the job's metrics.
pub(crate) const LATE: &str = "late";

/// How many records were left out. A warning is due at the first, at every doubling, and at the end of the input, so
/// that bad input cannot flood the log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    count: u64,
    ended: bool,
}

impl Tally {
    /// So many more; the count, if a warning is due.
    #[cold]
    pub(crate) fn add(&mut self, records: u64) -> Option<u64> {
        let before = self.count;
        self.count += records;
        (before.checked_ilog2() < self.count.checked_ilog2()).then_some(self.count)
    }

    /// The input has ended: how many there were, said once and only if there were any.
    pub(crate) fn end(&mut self) -> Option<u64> {
        let first = !std::mem::replace(&mut self.ended, true);
        (first && self.count > 0).then_some(self.count)
    }

    /// How many there are so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_each_doubling_and_the_end_are_said() {
        let mut tally = Tally::default();
        let said: Vec<u64> = (0..100).filter_map(|_| tally.add(1)).collect();
        assert_eq!(said, [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(
            [tally.add(27), tally.add(1), tally.add(300)],
            [None, Some(128), Some(428)],
            "or what passes one"
        );
        assert_eq!([tally.end(), tally.end()], [Some(428), None], "the end is said once");
        assert_eq!(tally.count(), 428, "and what was counted stays");
        assert_eq!(Tally::default().end(), None, "there was nothing");
    }
}
