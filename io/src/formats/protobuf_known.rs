//! Protocol Buffers whose ids the registry has to know.

use prost::Message;
use slotflow_runtime::error::Cause;
use slotflow_runtime::{Owned, Result, SubtaskContext};

use super::{Decode, ProtobufConfluent, split_schema_id};
use crate::schema_registry::{Known, Refused, Schema, SchemaRegistry, SchemaType, Verdict};

impl<M> ProtobufConfluent<M> {
    /// Takes those messages for malformed, too, whose id the registry does not know, or knows as no schema of Protocol
    /// Buffers. A payload with an id that was not seen yet waits for the registry's answer; see
    /// [`schema_registry`](crate::schema_registry).
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # use prost::Message;
    /// use slotflow::io::formats::{decode, protobuf_confluent};
    /// use slotflow::io::schema_registry::SchemaRegistry;
    /// # use std::io::{Read, Write};
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let url = format!("http://{}", listener.local_addr()?);
    /// # std::thread::spawn(move || for mut stream in listener.incoming().flatten() {
    /// #     let _request = stream.read(&mut [0; 4096]);
    /// #     let body = r#"{"id": 7, "schemaType": "PROTOBUF", "schema": ""}"#;
    /// #     let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    /// #     let _gone = stream.write_all((head + body).as_bytes());
    /// # });
    ///
    /// # #[derive(Clone, PartialEq, Message)]
    /// # struct Trade {
    /// #     #[prost(uint64, tag = "1")]
    /// #     price: u64,
    /// # }
    /// let registry = SchemaRegistry::new(url);
    /// let env = Environment::with(Config::default());
    /// let prices = Collected::new();
    /// env.source(from_iterator([&b"\x00\x00\x00\x00\x07\x00\x08\x96\x01"[..]]))
    ///     .then("decode", decode(protobuf_confluent::<Trade>([0]).known_to(&registry)))
    ///     .map(|trade| trade.price)
    ///     .sink(prices.sink());
    /// env.run("prices")?;
    /// assert_eq!(prices.take(), [150]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn known_to(self, registry: &SchemaRegistry) -> ProtobufKnown<M> {
        ProtobufKnown { format: self, known: Known::new(registry, prepare) }
    }
}

/// See [`ProtobufConfluent::known_to`].
pub struct ProtobufKnown<M> {
    format: ProtobufConfluent<M>,
    known: Known<()>,
}

impl<M> Clone for ProtobufKnown<M> {
    fn clone(&self) -> Self {
        ProtobufKnown { format: self.format.clone(), known: self.known.clone() }
    }
}

impl<M: Message + Default + 'static> Decode for ProtobufKnown<M> {
    type Item = Owned<M>;

    #[inline]
    fn decode(&mut self, payload: &[u8]) -> Result<M, Cause> {
        let (id, _) = split_schema_id(payload)?;
        self.known.find(id)?;
        self.format.decode(payload)
    }

    fn open(&mut self, subtask: &SubtaskContext) {
        self.known.open(subtask);
    }

    #[inline]
    fn ready(&mut self, payload: &[u8]) -> Result<bool> {
        // What has no id is malformed whatever the registry says.
        split_schema_id(payload).map_or(Ok(true), |(id, _)| self.known.ready(id))
    }

    fn waits_for(&self) -> String {
        self.known.whom()
    }
}

/// The message brings its own fields, so that its type is all that is asked for.
fn prepare(_: &SchemaRegistry, id: u32, schema: Schema) -> Result<Verdict<()>> {
    let refused = || Refused::because(format!("schema {id} is {}, not PROTOBUF", schema.schema_type));
    Ok((schema.schema_type == SchemaType::Protobuf).then_some(()).ok_or_else(refused))
}
