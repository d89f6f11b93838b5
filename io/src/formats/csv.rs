//! CSV, one record a payload, by serde.

use std::marker::PhantomData;

use csv::{StringRecord, WriterBuilder};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use slotflow_runtime::error::Cause;
use slotflow_runtime::{Family, Owned};

use super::{Decode, Encode};

/// What a writer buffers before it appends (a guess: most records fit, and it is made for each).
const BUFFER_BYTES: usize = 256;

/// CSV as RFC 4180 has it, one record a payload, as a record `T` of its own: a tuple, or a struct whose fields are in
/// the order of the columns unless [`columns`](Csv::columns) names those.
///
/// A line is a record, so a quoted field cannot hold a line break where payloads are lines: that is malformed, as is a
/// quote that never ends. A header is not a record: skip it where it is read
/// ([`FileSource::skip_lines`](crate::files::FileSource::skip_lines)).
///
/// ```
/// # use slotflow::prelude::*;
/// use serde::{Deserialize, Serialize};
/// use slotflow::io::formats::{csv, decode, encode};
///
/// #[derive(Serialize, Deserialize)]
/// struct Trade {
///     symbol: String,
///     price: u64,
/// }
///
/// let env = Environment::with(Config::default());
/// let lines = Collected::new();
/// env.source(from_iterator(["7,\"A,B\",x"]))
///     .then("decode", decode(csv::<Trade>().columns(["price", "symbol", "venue"])))
///     .then("encode", encode(csv::<Trade>()))
///     .map(|payload: &[u8]| String::from_utf8_lossy(payload).into_owned())
///     .sink(lines.sink());
/// env.run("swapped")?;
/// assert_eq!(lines.take(), ["\"A,B\",7"]);
/// # Ok::<(), Error>(())
/// ```
pub fn csv<T: 'static>() -> Csv<T> {
    let (fields, text, ends) = (StringRecord::new(), vec![0; BUFFER_BYTES], vec![0; 16]);
    Csv { delimiter: b',', columns: None, fields, text, ends, record: PhantomData }
}

/// See [`csv()`].
pub struct Csv<T> {
    delimiter: u8,
    columns: Option<StringRecord>,
    /// The record before, whose memory is used again.
    fields: StringRecord,
    /// The fields without their quotes, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    record: PhantomData<fn() -> T>,
}

impl<T> Clone for Csv<T> {
    fn clone(&self) -> Self {
        let Csv { delimiter, columns, fields, text, ends, .. } = self;
        let (fields, text, ends) = (fields.clone(), text.clone(), ends.clone());
        Csv { delimiter: *delimiter, columns: columns.clone(), fields, text, ends, record: PhantomData }
    }
}

impl<T> Csv<T> {
    /// The names of the columns, in order: fields of a struct are then found by name, and columns that it does not
    /// have are left out. Records are written by position all the same.
    #[must_use]
    pub fn columns<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.columns = Some(names.into_iter().collect::<Vec<_>>().into());
        self
    }

    /// What stands between fields (default `,`).
    #[must_use]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// Takes the payload apart.
    fn split(&mut self, payload: &[u8]) -> Result<(), Cause> {
        let mut reader = ReaderBuilder::new().delimiter(self.delimiter).build();
        let fields = self.read(&mut reader, payload)?;
        self.fields.clear();
        let mut begin = 0;
        for &end in &self.ends[..fields] {
            self.fields.push_field(std::str::from_utf8(&self.text[begin..end])?);
            begin = end;
        }
        Ok(())
    }

    /// Runs the parser over one record and gives how many fields it has.
    fn read(&mut self, reader: &mut Reader, payload: &[u8]) -> Result<usize, Cause> {
        let (mut input, mut written, mut fields) = (payload, 0, 0);
        // The parser takes the end of its input for the end of a quote, but a line break for a part of the field.
        let mut rest = Some(&b"\n"[..]);
        loop {
            let (text, ends) = (&mut self.text[written..], &mut self.ends[fields..]);
            let (result, read, wrote, ended) = reader.read_record(input, text, ends);
            (input, written, fields) = (&input[read..], written + wrote, fields + ended);
            match result {
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty => match rest.take() {
                    Some(line_break) => input = line_break,
                    None if written == 0 => return Err("the record is empty".into()),
                    None => return Err("a quoted field does not end in its record".into()),
                },
                ReadRecordResult::Record if input.is_empty() => return Ok(fields),
                ReadRecordResult::Record => return Err("there is more behind the end of the record".into()),
                ReadRecordResult::End => return Err("the record is empty".into()),
            }
        }
    }
}

impl<T: DeserializeOwned + 'static> Decode for Csv<T> {
    type Item = Owned<T>;

    fn decode(&mut self, payload: &[u8]) -> Result<T, Cause> {
        self.split(payload)?;
        Ok(self.fields.deserialize(self.columns.as_ref())?)
    }
}

impl<F: Family, T: 'static> Encode<F> for Csv<T>
where
    for<'s> F::Of<'s>: Serialize,
{
    fn encode(&mut self, record: F::Of<'_>, into: &mut Vec<u8>) -> Result<(), Cause> {
        let mut builder = WriterBuilder::new();
        builder.delimiter(self.delimiter).buffer_capacity(BUFFER_BYTES).has_headers(false);
        let mut writer = builder.from_writer(&mut *into);
        writer.serialize(record)?;
        writer.flush()?;
        drop(writer);
        // What ends a record is for the framing to say.
        into.pop();
        Ok(())
    }
}
