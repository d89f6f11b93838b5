//! Confluent's message indexes: which message of its schema's file a payload is.
//!
//! They are a path: the second message that is nested in the first is 0 and 1. They are varints with a zigzag, their
//! number first, and those of the first message of all are written as a single 0.

use slotflow_runtime::error::Cause;

/// No file nests messages deeper (a bound, so that a number out of thin air costs nothing).
const MOST_INDEXES: i64 = 100;

/// Takes the message indexes off what is behind the header.
pub(super) fn split(rest: &[u8]) -> Result<(Vec<i64>, &[u8]), Cause> {
    let (count, mut rest) = varint(rest)?;
    if !(0..=MOST_INDEXES).contains(&count) {
        return Err(format!("{count} message indexes: there can be 0 to {MOST_INDEXES}").into());
    }
    let mut indexes = Vec::new();
    for _ in 0..count {
        let (index, behind) = varint(rest)?;
        indexes.push(index);
        rest = behind;
    }
    Ok((if indexes.is_empty() { vec![0] } else { indexes }, rest))
}

/// Appends message indexes.
pub(super) fn put(indexes: &[i64], into: &mut Vec<u8>) {
    if matches!(indexes, [] | [0]) {
        return into.push(0);
    }
    put_varint(indexes.len() as i64, into);
    indexes.iter().for_each(|index| put_varint(*index, into));
}

fn varint(bytes: &[u8]) -> Result<(i64, &[u8]), Cause> {
    let mut value = 0;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if place == 9 && bits > 1 {
            break;
        }
        value |= bits << (7 * place);
        if byte & 0x80 == 0 {
            let zigzag = (value >> 1) as i64 ^ -((value & 1) as i64);
            return Ok((zigzag, &bytes[place + 1..]));
        }
    }
    Err("the message indexes in front of it are cut short, or none".into())
}

fn put_varint(value: i64, into: &mut Vec<u8>) {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    while left >= 0x80 {
        into.push(left as u8 | 0x80);
        left >>= 7;
    }
    into.push(left as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(indexes: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(indexes, &mut bytes);
        bytes
    }

    fn refused(bytes: &[u8]) -> String {
        split(bytes).unwrap_err().to_string()
    }

    /// The vectors are those of confluent-kafka-python (tests/schema_registry/test_proto.py).
    #[test]
    fn they_are_those_of_confluent_s_own_clients() {
        let vectors: [(&[i64], &[u8]); 5] = [
            (&[0], b"\x00"),
            (&[1], b"\x02\x02"),
            (&[127, 8, 9], b"\x06\xfe\x01\x10\x12"),
            (&[128], b"\x02\x80\x02"),
            (&[i64::MAX], b"\x02\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ];
        for (indexes, bytes) in vectors {
            assert_eq!(bytes_of(indexes), bytes);
            assert_eq!(split(bytes).unwrap(), (indexes.to_vec(), &b""[..]));
        }
        assert_eq!(split(b"\x02\x00rest").unwrap(), (vec![0], &b"rest"[..]), "in full");
        assert_eq!(bytes_of(&[]), b"\x00", "none are those of the first message");
    }

    #[test]
    fn what_is_none_is_refused_with_a_reason() {
        for bytes in [&b""[..], b"\x80", b"\x04\x00", b"\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"] {
            assert_eq!(refused(bytes), "the message indexes in front of it are cut short, or none");
        }
        assert_eq!(refused(&bytes_of(&[0; 101])), "101 message indexes: there can be 0 to 100");
        assert_eq!(refused(b"\x01"), "-1 message indexes: there can be 0 to 100");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(indexes in prop::collection::vec(any::<i64>(), 1..9), body: Vec<u8>) {
            let mut bytes = bytes_of(&indexes);
            bytes.extend(&body);
            prop_assert_eq!(split(&bytes).unwrap(), (indexes, &body[..]));
        }

        #[test]
        fn random_bytes_are_no_panic(bytes: Vec<u8>) {
            let _ = split(&bytes);
        }
    }
}
