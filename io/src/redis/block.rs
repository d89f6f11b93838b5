//! What a reading thread makes of the server's answers: blocks of entries, which a slot can lend and drop at once.

use std::sync::Arc;

use ::redis::Value;
use slotflow_runtime::{Offset, SplitId};

use super::entry::{Entry, EntryId};

/// An entry as an answer has it; one that is pending and was deleted meanwhile has no fields.
#[derive(Debug, PartialEq)]
pub(super) struct Answered {
    pub id: EntryId,
    pub fields: Option<Vec<Value>>,
}

/// The streams of an answer to XREADGROUP with their entries, or `None` where it is none.
pub(super) fn by_stream(answer: Value) -> Option<Vec<(Vec<u8>, Vec<Answered>)>> {
    let streams = match answer {
        Value::Nil => return Some(Vec::new()),
        Value::Array(streams) => streams,
        _ => return None,
    };
    let stream = |stream| match <[Value; 2]>::try_from(array(stream)?).ok()? {
        [Value::BulkString(name), entries] => Some((name, answered(entries)?)),
        _ => None,
    };
    streams.into_iter().map(stream).collect()
}

/// The entries of an answer to XAUTOCLAIM, and where to go on: at 0-0 it is over.
pub(super) fn claimed(answer: Value) -> Option<(EntryId, Vec<Answered>)> {
    let mut parts = array(answer)?.into_iter();
    Some((id(parts.next()?)?, answered(parts.next()?)?))
}

fn answered(entries: Value) -> Option<Vec<Answered>> {
    // Redis 6.2 has nothing at all in the place of a deleted one.
    let there = array(entries)?.into_iter().filter(|entry| *entry != Value::Nil);
    let entry = |entry| match <[Value; 2]>::try_from(array(entry)?).ok()? {
        [first, Value::Nil] => Some(Answered { id: id(first)?, fields: None }),
        [first, fields] => Some(Answered { id: id(first)?, fields: Some(array(fields)?) }),
    };
    there.map(entry).collect()
}

fn array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn id(value: Value) -> Option<EntryId> {
    match value {
        Value::BulkString(bytes) => EntryId::read(&bytes),
        _ => None,
    }
}

/// Entries of one stream, as they were read.
#[derive(Debug)]
pub(super) struct Block {
    pub split: SplitId,
    pub stream: Arc<str>,
    /// The number of the first.
    pub first: Offset,
    /// Names and values, one behind the other.
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// The id of each entry, and behind which of `ends` it is over.
    entries: Vec<(EntryId, usize)>,
}

impl Block {
    pub fn empty() -> Block {
        Block::new(0, "".into())
    }

    pub fn new(split: SplitId, stream: Arc<str>) -> Block {
        Block { split, stream, first: 0, bytes: Vec::new(), ends: Vec::new(), entries: Vec::new() }
    }

    /// Adds an entry; `None` if these are no fields.
    pub fn add(&mut self, id: EntryId, fields: &[Value]) -> Option<()> {
        for part in fields.as_chunks::<2>().0.as_flattened() {
            let Value::BulkString(part) = part else { return None };
            self.bytes.extend_from_slice(part);
            self.ends.push(self.bytes.len());
        }
        self.entries.push((id, self.ends.len()));
        Some(())
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn ids(&self) -> impl ExactSizeIterator<Item = EntryId> {
        self.entries.iter().map(|entry| entry.0)
    }

    #[inline]
    pub fn entry(&self, index: usize) -> Entry<'_> {
        let (id, end) = self.entries[index];
        let from = index.checked_sub(1).map_or(0, |before| self.entries[before].1);
        let begin = from.checked_sub(1).map_or(0, |before| self.ends[before]);
        Entry { stream: &self.stream, id, bytes: &self.bytes, begin, ends: &self.ends[from..end] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn array(values: impl IntoIterator<Item = Value>) -> Value {
        Value::Array(values.into_iter().collect())
    }

    fn words(text: &str) -> Vec<Value> {
        text.split_whitespace().map(bulk).collect()
    }

    #[test]
    fn entries_lend_their_fields_in_order_and_names_may_come_twice() {
        let mut block = Block::new(7, "orders".into());
        for (ms, fields) in [(1, "a 1 b 22 a 333"), (2, ""), (3, "c x")] {
            block.add(EntryId { ms, seq: 0 }, &words(fields)).unwrap();
        }
        let fields = |index: usize| -> Vec<(&[u8], &[u8])> { block.entry(index).fields().collect() };
        assert_eq!(fields(0), [(&b"a"[..], &b"1"[..]), (b"b", b"22"), (b"a", b"333")]);
        assert_eq!((fields(1), fields(2)), (vec![], vec![(&b"c"[..], &b"x"[..])]));
        let first = block.entry(0);
        assert_eq!((first.field("a"), first.field("z")), (Some(&b"1"[..]), None));
        assert_eq!(first.text("b").unwrap(), "22");
        let error = block.entry(2).text("b").unwrap_err().to_string();
        assert!(error.contains("orders, entry 3-0") && error.contains("no field \"b\""), "{error}");
        assert_eq!(first.to_owned_entry().fields.len(), 3);
        assert!(block.add(EntryId::default(), &[Value::Int(1), Value::Nil]).is_none());
    }

    #[test]
    fn answers_are_read_and_what_is_none_is_told_from_them() {
        let entry = |id: &str| array([bulk(id), array(words("a 1"))]);
        let gone = array([bulk("2-0"), Value::Nil]);
        let answer = array([array([bulk("orders"), array([entry("1-0"), gone])])]);
        let read = by_stream(answer).unwrap();
        let expected = vec![
            Answered { id: EntryId { ms: 1, seq: 0 }, fields: Some(words("a 1")) },
            Answered { id: EntryId { ms: 2, seq: 0 }, fields: None },
        ];
        assert_eq!(read, [(b"orders".to_vec(), expected)]);
        assert_eq!(by_stream(Value::Nil), Some(vec![]));
        let (next, entries) = claimed(array([bulk("0-0"), array([Value::Nil, entry("1-0")])])).unwrap();
        assert_eq!((next, entries.len()), (EntryId::default(), 1));
        for nonsense in [Value::Okay, array([Value::Int(1)]), array([array([bulk("a")])])] {
            assert_eq!((by_stream(nonsense.clone()), claimed(nonsense)), (None, None));
        }
    }
}
