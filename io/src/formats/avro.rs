//! Avro, by serde.

use std::io::BufRead;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};
use serde_avro_fast::ser::SerializerConfig;
use serde_avro_fast::{Schema, to_datum};
use slotflow_runtime::error::{Cause, Error};
use slotflow_runtime::{Family, Owned};

use super::confluent::{self, WithSchemaId};
use super::{Decode, Encode};

/// So many items a list may have however short its payload is; beyond that it needs a byte for each (a guess). Items
/// of no length, nulls, would else let five bytes ask for years of work.
const ITEMS_WITHOUT_BYTES: usize = 1024;

/// Avro in its binary encoding, one datum a payload, as a record `T` of its own. `schema` is the one that payloads were
/// written with and are written with, as JSON. To read them by the ids that Confluent's clients put in front of them
/// see `avro_confluent`; to write such ids see [`schema_id`](Avro::schema_id).
///
/// What was written is resolved to `T` as serde does it, by the names of fields: those that `T` does not have are
/// passed over, those that were not written need `#[serde(default)]`, aliases are `#[serde(alias = "..")]`, numbers may
/// become wider, and a union with `null` is an `Option`. Bytes left behind the datum make it malformed: it was written
/// with another schema.
///
/// ```
/// # use slotflow::prelude::*;
/// use serde::{Deserialize, Serialize};
/// use slotflow::io::formats::{avro, decode, encode};
///
/// #[derive(Serialize, Deserialize)]
/// struct Trade {
///     symbol: String,
///     price: i64,
/// }
///
/// let trades = r#"{"type": "record", "name": "Trade", "fields": [
///     {"name": "symbol", "type": "string"}, {"name": "price", "type": "long"}]}"#;
/// let env = Environment::with(Config::default());
/// let doubled = Collected::new();
/// env.source(from_iterator([&b"\x02A\x06"[..]]))
///     .then("decode", decode(avro::<Trade>(trades)?))
///     .map(|trade| Trade { price: trade.price * 2, ..trade })
///     .then("encode", encode(avro::<Trade>(trades)?))
///     .map(|payload: &[u8]| payload.to_vec())
///     .sink(doubled.sink());
/// env.run("doubled")?;
/// assert_eq!(doubled.take(), [b"\x02A\x0c"]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// The schema is none.
pub fn avro<T: 'static>(schema: &str) -> Result<Avro<Owned<T>>, Error> {
    avro_lent(schema)
}

/// Avro as records that borrow from the payload, named by their [`Family`]: text and bytes are not copied.
///
/// ```
/// # use slotflow::prelude::*;
/// use slotflow::io::formats::{avro_lent, decode};
///
/// let env = Environment::with(Config::default());
/// let lengths = Collected::new();
/// env.source(from_iterator([&b"\x06foo"[..]]))
///     .then("decode", decode(avro_lent::<Borrowed<str>>(r#""string""#)?))
///     .map(|word: &str| word.len())
///     .sink(lengths.sink());
/// env.run("lengths")?;
/// assert_eq!(lengths.take(), [3]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// The schema is none.
pub fn avro_lent<F: Family>(schema: &str) -> Result<Avro<F>, Error> {
    let parsed: Result<Schema, _> = schema.parse();
    let schema = parsed.map_err(|error| Error::user(format!("this Avro schema cannot be read: {error}")))?;
    Ok(Avro { schema: Arc::new(schema), record: PhantomData })
}

/// See [`avro`] and [`avro_lent`].
pub struct Avro<F> {
    schema: Arc<Schema>,
    record: PhantomData<fn() -> F>,
}

impl<F> Clone for Avro<F> {
    fn clone(&self) -> Self {
        Avro { schema: self.schema.clone(), record: PhantomData }
    }
}

impl<F> Avro<F> {
    /// Writes Confluent's header in front of each payload, with the id that the registry has given its schema:
    /// `SchemaRegistry::register` tells it.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// use slotflow::io::formats::{avro, encode};
    ///
    /// let env = Environment::with(Config::default());
    /// let payloads = Collected::new();
    /// env.source(from_iterator([64_i64]))
    ///     .then("encode", encode(avro::<i64>(r#""long""#)?.schema_id(7)))
    ///     .map(|payload: &[u8]| payload.to_vec())
    ///     .sink(payloads.sink());
    /// env.run("numbers")?;
    /// assert_eq!(payloads.take(), [b"\x00\x00\x00\x00\x07\x80\x01"]);
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn schema_id(self, id: u32) -> WithSchemaId<Self> {
        WithSchemaId::new(confluent::header(id), self)
    }
}

impl<F: Family> Decode for Avro<F>
where
    for<'s> F::Of<'s>: Deserialize<'s>,
{
    type Item = F;

    #[inline]
    fn decode<'s>(&mut self, payload: &'s [u8]) -> Result<F::Of<'s>, Cause> {
        read(&self.schema, payload)
    }
}

impl<F: Family, T> Encode<F> for Avro<T>
where
    T: 'static,
    for<'s> F::Of<'s>: Serialize,
{
    #[inline]
    fn encode(&mut self, record: F::Of<'_>, into: &mut Vec<u8>) -> Result<(), Cause> {
        to_datum(&record, into, &mut SerializerConfig::new(&self.schema))?;
        Ok(())
    }
}

/// Reads what was written with `schema`, all of it.
pub(super) fn read<'de, T: Deserialize<'de>>(schema: &Schema, body: &'de [u8]) -> Result<T, Cause> {
    let mut config = DeserializerConfig::new(schema);
    config.max_seq_size = body.len().max(ITEMS_WITHOUT_BYTES);
    let mut state = DeserializerState::with_config(SliceRead::new(body), config);
    let record = T::deserialize(state.deserializer())?;
    match state.into_reader().fill_buf()?.len() {
        0 => Ok(record),
        left => Err(format!("{left} bytes are left behind it: it was written with another schema").into()),
    }
}
