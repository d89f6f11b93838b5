//! How far event time had come where a record was written, in a header of it: so event time crosses a topic.

use std::hash::{BuildHasher, Hasher, RandomState};

use slotflow_runtime::Timestamp;

use super::header::Header;
use super::record::IntoKafka;

/// The header's name. Its value: the producer and its watermark, 8 bytes each, the most significant first.
pub(super) const NAME: &str = "slotflow-watermark";

/// What a producer says of event time with each record.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    producer: u64,
}

impl Marks {
    /// Those of a new producer, which nobody takes for another one.
    pub fn new() -> Marks {
        // Seeded anew for each, by the system.
        Marks { producer: RandomState::new().build_hasher().finish() }
    }

    /// A record with the header.
    pub fn on<'a, R>(self, record: &'a R, watermark: Timestamp) -> Marked<'a, R> {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&self.producer.to_be_bytes());
        value[8..].copy_from_slice(&watermark.to_be_bytes());
        Marked { record, value }
    }
}

/// What a header says.
pub(super) fn read(value: &[u8]) -> Option<(u64, Timestamp)> {
    let (producer, watermark) = value.split_first_chunk::<8>()?;
    let watermark: [u8; 8] = watermark.try_into().ok()?;
    Some((u64::from_be_bytes(*producer), Timestamp::from_be_bytes(watermark)))
}

/// A record that says how far event time had come.
pub(super) struct Marked<'a, R> {
    record: &'a R,
    value: [u8; 16],
}

impl<R: IntoKafka> IntoKafka for Marked<'_, R> {
    fn payload(&self) -> &[u8] {
        self.record.payload()
    }

    fn key(&self) -> Option<&[u8]> {
        self.record.key()
    }

    fn partition(&self) -> Option<u32> {
        self.record.partition()
    }

    fn is_tombstone(&self) -> bool {
        self.record.is_tombstone()
    }

    fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        self.record.headers().chain([Header { name: NAME, value: Some(&self.value) }])
    }

    fn timestamp_ms(&self) -> Option<i64> {
        self.record.timestamp_ms()
    }

    fn topic(&self) -> Option<&str> {
        self.record.topic()
    }
}

#[cfg(test)]
mod tests {
    use super::super::KafkaRecord;
    use super::*;

    #[test]
    fn a_marked_record_is_itself_and_says_how_far_its_producer_was() {
        let record =
            KafkaRecord::new("line").key("k").header("a", "b").partition(3).timestamp_ms(7).topic("t");
        let marks = Marks { producer: u64::MAX - 1 };
        let marked = KafkaRecord::copy_of(&marks.on(&record, -5));
        let plain = marked.headers().filter(|header| header.name != NAME).count();
        let mark = marked.headers().find(|header| header.name == NAME).and_then(|header| read(header.value?));
        assert_eq!((plain, mark), (1, Some((u64::MAX - 1, -5))));
        let rest = |it: &KafkaRecord| {
            let key = IntoKafka::key(it).map(<[u8]>::to_vec);
            (key, IntoKafka::partition(it), IntoKafka::timestamp_ms(it))
        };
        assert_eq!(rest(&marked), rest(&record));
        assert_eq!(
            (marked.payload(), IntoKafka::topic(&marked), marked.is_tombstone()),
            (&b"line"[..], Some("t"), false)
        );
    }

    #[test]
    fn what_somebody_else_has_written_there_says_nothing() {
        assert_eq!([read(b""), read(b"1234567"), read(&[0; 15]), read(&[0; 17])], [None; 4]);
        assert_eq!(read(&[0; 16]), Some((0, 0)));
    }

    #[test]
    fn two_producers_are_not_taken_for_one() {
        assert_ne!(Marks::new().producer, Marks::new().producer);
    }
}
