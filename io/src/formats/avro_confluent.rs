//! Avro in Confluent's wire format: each payload with the schema that its id names.

use std::marker::PhantomData;

use serde::Deserialize;
use serde_avro_fast::Schema as AvroSchema;
use slotflow_runtime::error::Cause;
use slotflow_runtime::{Error, Family, Owned, Result, SubtaskContext};

use super::{Decode, avro, split_schema_id};
use crate::schema_registry::{Known, Refused, Schema, SchemaRegistry, SchemaType, Verdict};

/// Avro in Confluent's wire format, as a record `T` of its own: each payload is read with the schema that it was
/// written with, which the registry has by its id, and resolved to `T` as [`avro`](super::avro()) says. So versions of
/// a schema may be mixed.
///
/// A payload with an id that is not known yet waits, with all behind it, until the registry has answered; the subtask
/// takes no input meanwhile. An id that the registry does not know, or that is no Avro schema's, is malformed. A
/// registry that is away fails the job. See [`schema_registry`](crate::schema_registry).
///
/// ```
/// # use slotflow::prelude::*;
/// use slotflow::io::formats::{avro_confluent, decode};
/// use slotflow::io::schema_registry::SchemaRegistry;
/// # use std::io::{Read, Write};
/// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// # let url = format!("http://{}", listener.local_addr()?);
/// # std::thread::spawn(move || for mut stream in listener.incoming().flatten() {
/// #     let _request = stream.read(&mut [0; 4096]);
/// #     let body = r#"{"id": 7, "schema": "\"long\""}"#;
/// #     let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
/// #     let _gone = stream.write_all((head + body).as_bytes());
/// # });
///
/// let registry = SchemaRegistry::new(url);
/// let env = Environment::with(Config::default());
/// let prices = Collected::new();
/// env.source(from_iterator([&b"\x00\x00\x00\x00\x07\x80\x01"[..]]))
///     .then("decode", decode(avro_confluent::<i64>(&registry)))
///     .sink(prices.sink());
/// env.run("prices")?;
/// assert_eq!(prices.take(), [64]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn avro_confluent<T: 'static>(registry: &SchemaRegistry) -> AvroConfluent<Owned<T>> {
    avro_confluent_lent(registry)
}

/// As [`avro_confluent`], as records that borrow from the payload, named by their [`Family`]. See
/// [`avro_lent`](super::avro_lent).
pub fn avro_confluent_lent<F: Family>(registry: &SchemaRegistry) -> AvroConfluent<F> {
    AvroConfluent { known: Known::new(registry, prepare), record: PhantomData }
}

/// See [`avro_confluent`] and [`avro_confluent_lent`].
pub struct AvroConfluent<F> {
    known: Known<AvroSchema>,
    record: PhantomData<fn() -> F>,
}

impl<F> Clone for AvroConfluent<F> {
    fn clone(&self) -> Self {
        AvroConfluent { known: self.known.clone(), record: PhantomData }
    }
}

impl<F: Family> Decode for AvroConfluent<F>
where
    for<'s> F::Of<'s>: Deserialize<'s>,
{
    type Item = F;

    #[inline]
    fn decode<'s>(&mut self, payload: &'s [u8]) -> Result<F::Of<'s>, Cause> {
        let (id, body) = split_schema_id(payload)?;
        avro::read(self.known.find(id)?, body)
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

/// Nobody's payloads are malformed because this build cannot read their schema, so that fails the job.
fn prepare(registry: &SchemaRegistry, id: u32, schema: Schema) -> Result<Verdict<AvroSchema>> {
    if schema.schema_type != SchemaType::Avro {
        let reason = format!("schema {id} is {}, not AVRO", schema.schema_type);
        return Ok(Err(Refused::because(reason)));
    }
    let schema = registry.whole(schema)?;
    schema.parse().map(Ok).map_err(|error| {
        let what = format!("schema {id} of the schema registry cannot be read as Avro: {error}");
        Error::world(what, "mend the schema, or read its payloads with a format of your own")
    })
}
