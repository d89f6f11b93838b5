//! Marbles: a stream's records and what comes between them, as a line of text.

use crate::{MIN_TIMESTAMP, Timestamp};

/// A record that can be written as a word of a line of marbles.
///
/// Numbers, `bool`, `char` and `String` are written as they display, a pair as `first:second`.
pub trait Marble: Sized + 'static {
    /// Reads the record; `None` if the word is none.
    fn read(word: &str) -> Option<Self>;
    /// Writes the record; no spaces, and none of `|`, `~`, `#`, `!`, `@`.
    fn show(&self) -> String;
}

macro_rules! words {
    ($($word:ty)*) => {$(
        impl Marble for $word {
            fn read(word: &str) -> Option<Self> {
                word.parse().ok()
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
words!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char String);

impl<A: Marble, B: Marble> Marble for (A, B) {
    fn read(word: &str) -> Option<Self> {
        let (first, second) = word.split_once(':')?;
        Some((A::read(first)?, B::read(second)?))
    }
    fn show(&self) -> String {
        format!("{}:{}", self.0.show(), self.1.show())
    }
}

/// One element of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element<'l> {
    /// A record's word and its event time.
    Record(&'l str, Timestamp),
    /// Event time has reached this.
    Watermark(Timestamp),
    /// Processing time has reached this.
    Tick(Timestamp),
    /// The input has truly ended.
    End,
    /// The job is drained.
    Drained,
}

/// Takes a line apart.
///
/// # Panics
/// On a word that is none: this is for tests.
pub(super) fn elements(line: &str) -> Vec<Element<'_>> {
    line.split_whitespace().map(element).collect()
}

fn element(word: &str) -> Element<'_> {
    match word {
        "#" => return Element::End,
        "#drain" => return Element::Drained,
        _ => {}
    }
    if let Some(time) = word.strip_prefix('|') {
        return Element::Watermark(timestamp(word, time));
    }
    if let Some(time) = word.strip_prefix('~') {
        return Element::Tick(timestamp(word, time));
    }
    match word.split_once('@') {
        Some((record, time)) => Element::Record(record, timestamp(word, time)),
        None => Element::Record(word, MIN_TIMESTAMP),
    }
}

fn timestamp(word: &str, time: &str) -> Timestamp {
    time.parse().unwrap_or_else(|_| panic!("the marble \"{word}\" has no time in milliseconds"))
}

/// Writes a record with its event time, if it has one.
pub(super) fn show<T: Marble>(record: &T, timestamp: Timestamp) -> String {
    match timestamp {
        MIN_TIMESTAMP => record.show(),
        timestamp => format!("{}@{timestamp}", record.show()),
    }
}
