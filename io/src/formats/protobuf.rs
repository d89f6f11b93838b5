//! Protocol Buffers, by prost.

use std::marker::PhantomData;

use prost::Message;
use slotflow_runtime::error::Cause;
use slotflow_runtime::{Family, Owned};

use super::confluent::{self, WithSchemaId, split_schema_id};
use super::{Decode, Encode, message_indexes};

/// Protocol Buffers, one message a payload, as a message `M` of prost's. To read messages behind the ids of Confluent's
/// clients see [`protobuf_confluent`]; to write such ids see [`schema_id`](Protobuf::schema_id).
///
/// ```
/// # use slotflow::prelude::*;
/// use prost::Message;
/// use slotflow::io::formats::{decode, encode, protobuf};
///
/// #[derive(Clone, PartialEq, Message)]
/// struct Trade {
///     #[prost(string, tag = "1")]
///     symbol: String,
///     #[prost(uint64, tag = "2")]
///     price: u64,
/// }
///
/// let env = Environment::with(Config::default());
/// let doubled = Collected::new();
/// env.source(from_iterator([&b"\x0a\x01A\x10\x03"[..]]))
///     .then("decode", decode(protobuf::<Trade>()))
///     .map(|trade| Trade { price: trade.price * 2, ..trade })
///     .then("encode", encode(protobuf::<Trade>()))
///     .map(|payload: &[u8]| payload.to_vec())
///     .sink(doubled.sink());
/// env.run("doubled")?;
/// assert_eq!(doubled.take(), [b"\x0a\x01A\x10\x06"]);
/// # Ok::<(), Error>(())
/// ```
pub fn protobuf<M: 'static>() -> Protobuf<M> {
    Protobuf(PhantomData)
}

/// See [`protobuf`].
pub struct Protobuf<M>(PhantomData<fn() -> M>);

impl<M> Clone for Protobuf<M> {
    fn clone(&self) -> Self {
        Protobuf(PhantomData)
    }
}

impl<M> Protobuf<M> {
    /// Writes Confluent's header in front of each payload: the id that the registry has given the schema, which
    /// `SchemaRegistry::register` tells, and which message of the schema's file `M` is. `[0]` is the first one, and
    /// `[0, 1]` the second that is nested in it.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # use prost::Message;
    /// use slotflow::io::formats::{encode, protobuf};
    ///
    /// # #[derive(Clone, PartialEq, Message)]
    /// # struct Trade {
    /// #     #[prost(uint64, tag = "1")]
    /// #     price: u64,
    /// # }
    /// let env = Environment::with(Config::default());
    /// let payloads = Collected::new();
    /// env.source(from_iterator([Trade { price: 150 }]))
    ///     .then("encode", encode(protobuf::<Trade>().schema_id(7, [0])))
    ///     .map(|payload: &[u8]| payload.to_vec())
    ///     .sink(payloads.sink());
    /// env.run("trades")?;
    /// assert_eq!(payloads.take(), [b"\x00\x00\x00\x00\x07\x00\x08\x96\x01"]);
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn schema_id(self, id: u32, indexes: impl Into<Vec<i64>>) -> WithSchemaId<Self> {
        let mut header = confluent::header(id);
        message_indexes::put(&indexes.into(), &mut header);
        WithSchemaId::new(header, self)
    }
}

impl<M: Message + Default + 'static> Decode for Protobuf<M> {
    type Item = Owned<M>;

    #[inline]
    fn decode(&mut self, payload: &[u8]) -> Result<M, Cause> {
        Ok(M::decode(payload)?)
    }
}

impl<F: Family, M: 'static> Encode<F> for Protobuf<M>
where
    for<'s> F::Of<'s>: Message,
{
    #[inline]
    fn encode(&mut self, record: F::Of<'_>, into: &mut Vec<u8>) -> Result<(), Cause> {
        Ok(record.encode(into)?)
    }
}

/// Messages `M` in Confluent's wire format; `indexes` say which message of the schema's file `M` is, as for
/// [`Protobuf::schema_id`]. One that says it is another message is malformed. Which version of the schema it was
/// written with does not matter, as a message says itself which fields it has: no registry is asked, unless `known_to`
/// names one.
///
/// ```
/// # use slotflow::prelude::*;
/// # use prost::Message;
/// use slotflow::io::formats::{decode, protobuf_confluent};
///
/// # #[derive(Clone, PartialEq, Message)]
/// # struct Trade {
/// #     #[prost(uint64, tag = "1")]
/// #     price: u64,
/// # }
/// let env = Environment::with(Config::default());
/// let prices = Collected::new();
/// env.source(from_iterator([&b"\x00\x00\x00\x00\x07\x00\x08\x96\x01"[..]]))
///     .then("decode", decode(protobuf_confluent::<Trade>([0])))
///     .map(|trade| trade.price)
///     .sink(prices.sink());
/// env.run("prices")?;
/// assert_eq!(prices.take(), [150]);
/// # Ok::<(), Error>(())
/// ```
pub fn protobuf_confluent<M: 'static>(indexes: impl Into<Vec<i64>>) -> ProtobufConfluent<M> {
    let mut written = Vec::new();
    message_indexes::put(&indexes.into(), &mut written);
    ProtobufConfluent { indexes: written, message: PhantomData }
}

/// See [`protobuf_confluent`].
pub struct ProtobufConfluent<M> {
    /// The message indexes as they are written.
    indexes: Vec<u8>,
    message: PhantomData<fn() -> M>,
}

impl<M> Clone for ProtobufConfluent<M> {
    fn clone(&self) -> Self {
        ProtobufConfluent { indexes: self.indexes.clone(), message: PhantomData }
    }
}

impl<M> ProtobufConfluent<M> {
    /// The body, if it is that of the right message.
    #[inline]
    fn body<'s>(&self, payload: &'s [u8]) -> Result<&'s [u8], Cause> {
        let (_, rest) = split_schema_id(payload)?;
        rest.strip_prefix(&self.indexes[..]).map_or_else(|| self.body_of_other_indexes(rest), Ok)
    }

    /// Indexes that are not written as they should be may be the right ones all the same: a single 0 in full.
    #[cold]
    fn body_of_other_indexes<'s>(&self, rest: &'s [u8]) -> Result<&'s [u8], Cause> {
        let (indexes, body) = message_indexes::split(rest)?;
        let (wanted, _) = message_indexes::split(&self.indexes)?;
        if indexes == wanted {
            Ok(body)
        } else {
            Err(format!("it is message {indexes:?} of its schema's file, not {wanted:?}").into())
        }
    }
}

impl<M: Message + Default + 'static> Decode for ProtobufConfluent<M> {
    type Item = Owned<M>;

    #[inline]
    fn decode(&mut self, payload: &[u8]) -> Result<M, Cause> {
        Ok(M::decode(self.body(payload)?)?)
    }
}
