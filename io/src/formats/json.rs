//! JSON, by serde.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use slotflow_runtime::error::Cause;
use slotflow_runtime::{Family, Owned};

use super::{Decode, Encode};

/// JSON, one value a payload, as a record `T` of its own.
///
/// ```
/// # use slotflow::prelude::*;
/// use serde::{Deserialize, Serialize};
/// use slotflow::io::formats::{decode, encode, json, text};
///
/// #[derive(Serialize, Deserialize)]
/// struct Trade {
///     symbol: String,
///     price: u64,
/// }
///
/// let env = Environment::with(Config::default());
/// let doubled = Collected::new();
/// env.source(from_iterator([r#"{"symbol": "A", "price": 3}"#]))
///     .then("decode", decode(json::<Trade>()))
///     .map(|trade| Trade { price: trade.price * 2, ..trade })
///     .then("encode", encode(json::<Trade>()))
///     .map(|payload: &[u8]| String::from_utf8_lossy(payload).into_owned())
///     .sink(doubled.sink());
/// env.run("doubled")?;
/// assert_eq!(doubled.take(), [r#"{"symbol":"A","price":6}"#]);
/// # Ok::<(), Error>(())
/// ```
pub fn json<T>() -> Json<Owned<T>>
where
    T: 'static,
{
    Json(PhantomData)
}

/// JSON as records that borrow from the payload, named by their [`Family`]: no text is copied that has no escapes.
///
/// ```
/// # use slotflow::prelude::*;
/// use serde::Deserialize;
/// use slotflow::io::formats::{decode, json_lent};
///
/// #[derive(Deserialize)]
/// struct Trade<'s> {
///     symbol: &'s str,
///     price: u64,
/// }
/// struct Trades;
/// impl Family for Trades {
///     type Of<'s> = Trade<'s>;
/// }
///
/// let env = Environment::with(Config::default());
/// let lengths = Collected::new();
/// env.source(from_iterator([r#"{"symbol": "ABC", "price": 3}"#]))
///     .then("decode", decode(json_lent::<Trades>()))
///     .map(|trade: Trade<'_>| (trade.symbol.len(), trade.price))
///     .sink(lengths.sink());
/// env.run("lengths")?;
/// assert_eq!(lengths.take(), [(3, 3)]);
/// # Ok::<(), Error>(())
/// ```
pub fn json_lent<F: Family>() -> Json<F> {
    Json(PhantomData)
}

/// See [`json`] and [`json_lent`].
pub struct Json<F>(PhantomData<fn() -> F>);

impl<F> Clone for Json<F> {
    fn clone(&self) -> Self {
        Json(PhantomData)
    }
}

impl<F: Family> Decode for Json<F>
where
    for<'s> F::Of<'s>: Deserialize<'s>,
{
    type Item = F;

    #[inline]
    fn decode<'s>(&mut self, payload: &'s [u8]) -> Result<F::Of<'s>, Cause> {
        Ok(serde_json::from_slice(payload)?)
    }
}

impl<F: Family> Encode<F> for Json<F>
where
    for<'s> F::Of<'s>: Serialize,
{
    #[inline]
    fn encode(&mut self, record: F::Of<'_>, into: &mut Vec<u8>) -> Result<(), Cause> {
        Ok(serde_json::to_writer(into, &record)?)
    }
}
