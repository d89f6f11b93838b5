//! The records: a key of 8 bytes and a text of 100, of which the first 20 are a number.

use std::hash::{DefaultHasher, Hasher};

use slotflow::io::kafka::IntoKafka;

/// Bytes of a text.
pub const TEXT: usize = 100;

/// Decimal digits of the number in front.
const DIGITS: usize = 20;

/// The letters behind the number begin anywhere in the first alphabet of these.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\
                         abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";

/// An odd number near 2^64 divided by the golden ratio: keys of neighbours are far apart, and no two are equal.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// A record of the input.
#[derive(Clone, Copy)]
pub struct Line {
    pub key: [u8; 8],
    pub text: [u8; TEXT],
}

impl Line {
    /// Record `i`, with a number in front of its letters.
    pub fn new(i: u64, mut number: u64) -> Line {
        let (key, mut text) = (i.wrapping_mul(SPREAD).to_be_bytes(), [0; TEXT]);
        for digit in text[..DIGITS].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        let begin = (i % 26) as usize;
        text[DIGITS..].copy_from_slice(&LETTERS[begin..begin + TEXT - DIGITS]);
        Line { key, text }
    }
}

impl IntoKafka for Line {
    fn payload(&self) -> &[u8] {
        &self.text
    }

    fn key(&self) -> Option<&[u8]> {
        Some(&self.key)
    }
}

/// The number in front of a text, if there is one.
pub fn number_of(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.get(..DIGITS)?).ok()?.parse().ok()
}

/// A record's part of the checksum, which is the wrapping sum of all.
pub fn checksum(key: &[u8], text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.write(text);
    hasher.finish()
}

/// The checksum of the first records, in upper case or as they are.
pub fn checksum_of(records: u64, upper: bool) -> u64 {
    let parts = (0..records).map(|i| {
        let Line { key, text } = Line::new(i, i);
        checksum(&key, &if upper { text.to_ascii_uppercase() } else { text.to_vec() })
    });
    parts.fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_number_and_its_own_key() {
        let lines = (0..100).map(|i| Line::new(i, u64::MAX - i)).collect::<Vec<_>>();
        for (i, line) in (0..).zip(&lines) {
            assert_eq!(number_of(&line.text), Some(u64::MAX - i));
            assert!(line.text[DIGITS..].iter().all(u8::is_ascii_lowercase));
        }
        let keys: std::collections::HashSet<_> = lines.iter().map(|line| line.key).collect();
        assert_eq!(keys.len(), lines.len());
    }

    #[test]
    fn a_checksum_depends_on_each_record_and_not_on_their_order() {
        let part = |i| checksum(&Line::new(i, i).key, &Line::new(i, i).text);
        assert_eq!(checksum_of(3, false), part(2).wrapping_add(part(0)).wrapping_add(part(1)));
        assert_ne!(checksum_of(3, false), checksum_of(3, true));
        assert_ne!(checksum_of(3, false), checksum_of(2, false).wrapping_add(part(1)));
    }
}
