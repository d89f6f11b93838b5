//! Whether it pays to combine records: tried now and then, and left alone where it does not.

/// How many records a trial takes at least (a guess: some steps, so that one that is cut short decides nothing).
const TRIAL: u32 = 2048;

/// How many records pass uncombined after the first trial that did not pay, and at most, as trials that fail in a row
/// double it. A trial among 64 Ki records is a thirty-second of them, and among a million one in 500.
const PAUSES: (u32, u32) = (1 << 16, 1 << 20);

/// How many records one that crosses the edge must stand for, so that combining pays: what it costs is less than the
/// second record's way over the edge and into its window (PERF.md, two phases).
const PAYS: u32 = 2;

/// Decides by how far records shrink.
#[derive(Debug)]
pub(super) struct Switch {
    /// Of the trial that is under way.
    taken: u32,
    given: u32,
    /// How many records will pass after the next trial that does not pay.
    next: u32,
}

impl Default for Switch {
    fn default() -> Self {
        Switch { taken: 0, given: 0, next: PAUSES.0 }
    }
}

impl Switch {
    /// A record is combined.
    #[inline(always)]
    pub(super) fn takes(&mut self) {
        self.taken += 1;
    }

    /// Something that was combined has crossed the edge.
    #[inline(always)]
    pub(super) fn gives(&mut self) {
        self.given += 1;
    }

    /// How many records are to pass. Asked when all that was taken has crossed, so that the two can be compared.
    #[inline(always)]
    pub(super) fn rests(&mut self) -> usize {
        if self.taken < TRIAL { 0 } else { self.judge() }
    }

    #[cold]
    fn judge(&mut self) -> usize {
        let pays = self.given <= self.taken / PAYS;
        (self.taken, self.given) = (0, 0);
        let passing = if pays { 0 } else { self.next };
        self.next = if pays { PAUSES.0 } else { (2 * self.next).min(PAUSES.1) };
        passing as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many records were taken, of which each so-manieth makes something cross the edge.
    fn taken(switch: &mut Switch, records: u32, each: u32) -> u32 {
        let (mut taken, mut passing) = (0, 0);
        for number in 0..records {
            if passing > 0 {
                passing -= 1;
                continue;
            }
            taken += 1;
            switch.takes();
            if number % each == 0 {
                switch.gives();
            }
            if number % 1024 == 1023 {
                passing = switch.rests();
            }
        }
        taken
    }

    #[test]
    fn what_shrinks_is_always_taken() {
        assert_eq!(taken(&mut Switch::default(), 1 << 22, 2), 1 << 22);
    }

    #[test]
    fn what_does_not_is_tried_less_and_less() {
        let mut switch = Switch::default();
        let first = taken(&mut switch, 1 << 18, 1);
        assert!((TRIAL..8 * TRIAL).contains(&first), "{first}");
        taken(&mut switch, 1 << 22, 1);
        let later = taken(&mut switch, 1 << 22, 1);
        assert!((TRIAL..8 * TRIAL).contains(&later), "{later} of four million");
    }

    #[test]
    fn what_begins_to_shrink_is_found_out() {
        let mut switch = Switch::default();
        taken(&mut switch, 1 << 23, 1);
        taken(&mut switch, PAUSES.1, 8);
        assert_eq!(taken(&mut switch, 1 << 16, 8), 1 << 16);
    }
}
