//! The least of many values that change one at a time: a tournament.
//!
//! Each value is a leaf, each place above keeps the lesser of the two below it, and the one at the top has won. A
//! change is played up until a place stays as it was, so with 500 partitions it costs at most nine comparisons, and
//! mostly one or two.

use crate::Timestamp;
use crate::time::MAX_TIMESTAMP;

/// The least of many timestamps.
///
/// ```
/// use slotflow_runtime::Minimum;
///
/// let mut least = Minimum::new(3, 0);
/// least.set(0, 7);
/// least.set(1, 5);
/// assert_eq!(least.value(), 0);
/// least.set(2, 9);
/// assert_eq!(least.value(), 5);
/// ```
#[derive(Clone, Debug)]
pub struct Minimum {
    /// The winner of places `2i` and `2i + 1` stands at `i`, the leaves in the upper half; place 0 is not used.
    places: Vec<Timestamp>,
}

impl Minimum {
    /// The least of `count` values, all of which begin as `value`.
    pub fn new(count: usize, value: Timestamp) -> Minimum {
        Minimum { places: vec![value; 2 * count] }
    }

    /// The least of all; the greatest there is of none.
    #[inline]
    pub fn value(&self) -> Timestamp {
        self.places.get(1).copied().unwrap_or(MAX_TIMESTAMP)
    }

    /// Changes one value.
    ///
    /// # Panics
    /// If there is no such index.
    #[inline]
    pub fn set(&mut self, index: usize, value: Timestamp) {
        let mut place = self.places.len() / 2 + index;
        self.places[place] = value;
        while place > 1 {
            let winner = self.places[place].min(self.places[place ^ 1]);
            place /= 2;
            if std::mem::replace(&mut self.places[place], winner) == winner {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::partition::random_below;

    #[test]
    fn it_is_the_least_after_each_change() {
        let mut seed = 7;
        for count in (1..40).chain([64, 100, 500]) {
            let (mut tree, mut values) = (Minimum::new(count, 0), vec![0; count]);
            for _ in 0..400 {
                let index = random_below(&mut seed, count);
                // Few values, so that many are equal, and now and then the greatest, as of one that is idle.
                let value = match random_below(&mut seed, 20) {
                    0 => MAX_TIMESTAMP,
                    value => value as i64 - 10,
                };
                tree.set(index, value);
                values[index] = value;
                assert_eq!(Some(tree.value()), values.iter().copied().min(), "of {count}");
            }
        }
    }

    #[test]
    fn nothing_holds_nobody_up() {
        assert_eq!(Minimum::new(0, 0).value(), MAX_TIMESTAMP);
    }
}
