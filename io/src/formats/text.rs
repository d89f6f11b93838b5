//! Text in UTF-8.

use std::fmt::Display;
use std::io::Write;

use slotflow_runtime::error::Cause;
use slotflow_runtime::{Borrowed, Family};

use super::{Decode, Encode};

/// Text in UTF-8: lent where it is read, and whatever has a `Display` where it is written.
///
/// ```
/// # use slotflow::prelude::*;
/// use slotflow::io::formats::{decode, text};
///
/// let env = Environment::with(Config::default());
/// let words = Collected::new();
/// let payloads = env.source(from_iterator([&b"to"[..], b"be"]));
/// payloads.then("decode", decode(text())).map(|word: &str| word.to_uppercase()).sink(words.sink());
/// env.run("words")?;
/// assert_eq!(words.take(), ["TO", "BE"]);
/// # Ok::<(), Error>(())
/// ```
pub fn text() -> Text {
    Text
}

/// See [`text`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Text;

impl Decode for Text {
    type Item = Borrowed<str>;

    #[inline]
    fn decode<'s>(&mut self, payload: &'s [u8]) -> Result<&'s str, Cause> {
        Ok(std::str::from_utf8(payload)?)
    }
}

impl<F: Family> Encode<F> for Text
where
    for<'s> F::Of<'s>: Display,
{
    #[inline]
    fn encode(&mut self, record: F::Of<'_>, into: &mut Vec<u8>) -> Result<(), Cause> {
        Ok(write!(into, "{record}")?)
    }
}
