//! A set of CPU numbers.

use std::collections::BTreeSet;
use std::fmt;

/// The largest number of CPUs that a Linux kernel can be built for (`NR_CPUS` on x86-64): a list with greater
/// numbers is a slip, and must not be expanded in memory.
const MOST_CPUS: usize = 8192;

/// CPU numbers as the kernel counts them, in its notation: `0-3,8`.
///
/// ```
/// use slotflow_runtime::machine::Cpus;
///
/// let cpus = Cpus::parse("8,0-2").unwrap();
/// assert_eq!(cpus.to_string(), "0-2,8");
/// assert!(cpus.contains(8) && !cpus.contains(3));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cpus(BTreeSet<usize>);

impl Cpus {
    /// Reads the kernel's notation; `None` for anything else. Empty text is the empty set.
    pub fn parse(text: &str) -> Option<Self> {
        let mut cpus = BTreeSet::new();
        for part in text.trim().split(',').filter(|_| !text.trim().is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            if first > last || last >= MOST_CPUS {
                return None;
            }
            cpus.extend(first..=last);
        }
        Some(Self(cpus))
    }

    /// Whether the CPU is one of them.
    pub fn contains(&self, cpu: usize) -> bool {
        self.0.contains(&cpu)
    }

    /// The numbers, rising.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().copied()
    }

    /// The lowest one.
    pub fn first(&self) -> Option<usize> {
        self.0.first().copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are also in `other`.
    pub fn within(&self, other: &Self) -> Self {
        Self(&self.0 & &other.0)
    }

    /// Those that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// Itself, or `other` when it is empty.
    pub(crate) fn or(self, other: &Self) -> Self {
        if self.is_empty() { other.clone() } else { self }
    }
}

impl FromIterator<usize> for Cpus {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        Self(cpus.into_iter().collect())
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(f, "{comma}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_notation_is_read_and_written() {
        let texts = [("0-3,8\n", "0-3,8"), ("", ""), ("5", "5"), ("1,0,3-4, 6", "0-1,3-4,6"), ("2-2", "2")];
        for (text, written) in texts {
            assert_eq!(Cpus::parse(text).unwrap().to_string(), written);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["a", "1,", "3-1", "-1", "0-20000", "8192", "0x3"] {
            assert_eq!(Cpus::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sets_are_cut_and_joined() {
        let [a, b] = ["0-3", "2-5"].map(|text| Cpus::parse(text).unwrap());
        assert_eq!([a.within(&b).to_string(), a.without(&b).to_string()], ["2-3", "0-1"]);
        assert_eq!(a.without(&a).or(&b), b);
    }
}
