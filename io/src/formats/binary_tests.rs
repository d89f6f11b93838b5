//! Avro and Protocol Buffers against payloads that are golden, malformed, random and mutated.

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message;
use serde::{Deserialize, Serialize};
use slotflow_runtime::{Borrowed, Owned};

use super::tests::{decoded, encoded};
use super::*;

const TRADE: &str = r#"{"type": "record", "name": "Trade", "fields": [
    {"name": "symbol", "type": "string"},
    {"name": "price", "type": "long"},
    {"name": "venue", "type": ["null", "string"]},
    {"name": "side", "type": {"type": "enum", "name": "Side", "symbols": ["Buy", "Sell"]}},
    {"name": "fills", "type": {"type": "array", "items": "int"}},
    {"name": "tags", "type": {"type": "map", "values": "double"}}]}"#;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Side {
    Buy,
    Sell,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Trade {
    symbol: String,
    price: i64,
    venue: Option<String>,
    side: Side,
    fills: Vec<i32>,
    tags: BTreeMap<String, f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Order {
    #[prost(string, tag = "1")]
    symbol: String,
    #[prost(sint64, optional, tag = "2")]
    price: Option<i64>,
    #[prost(message, repeated, tag = "3")]
    legs: Vec<Order>,
}

fn trade() -> Trade {
    Trade {
        symbol: "ABC".into(),
        price: 64,
        venue: Some("X".into()),
        side: Side::Sell,
        fills: vec![1, -1],
        tags: [("t".to_owned(), 0.5)].into(),
    }
}

fn order() -> Order {
    let leg = Order { symbol: "leg".into(), price: None, legs: Vec::new() };
    Order { symbol: "ABC".into(), price: Some(-2), legs: vec![leg] }
}

/// A payload with one byte changed, or cut.
fn mutated(payload: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    (0..payload.len(), any::<u8>(), any::<bool>()).prop_map(move |(at, byte, cut)| {
        let mut payload = payload.clone();
        payload[at] = byte;
        payload.truncate(if cut { at } else { payload.len() });
        payload
    })
}

#[test]
fn avro_is_what_its_specification_shows() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Test {
        a: i64,
        b: String,
    }
    let schema = r#"{"type": "record", "name": "test", "fields": [
        {"name": "a", "type": "long"}, {"name": "b", "type": "string"}]}"#;
    let test = || avro::<Test>(schema).unwrap();
    let record = || Test { a: 27, b: "foo".into() };
    assert_eq!(encoded::<Owned<Test>, _>(test(), record()), b"\x36\x06foo");
    assert_eq!(decoded(test(), b"\x36\x06foo"), Ok(record()));
    for (number, bytes) in [(0, &b"\x00"[..]), (-1, b"\x01"), (-64, b"\x7f"), (64, b"\x80\x01")] {
        assert_eq!(encoded::<Owned<i64>, _>(avro::<i64>(r#""long""#).unwrap(), number), bytes);
    }
    let payload =
        b"\x06ABC\x80\x01\x02\x02X\x02\x04\x02\x01\x00\x02\x02t\x00\x00\x00\x00\x00\x00\xe0\x3f\x00";
    assert_eq!(decoded(avro::<Trade>(TRADE).unwrap(), payload), Ok(trade()));
    // A block of which the writer has said how long it is, as Java's does.
    let blocks =
        decoded(avro::<Vec<i64>>(r#"{"type": "array", "items": "long"}"#).unwrap(), b"\x03\x04\x06\x36\x00");
    assert_eq!(blocks, Ok(vec![3, 27]));
}

#[test]
fn what_was_written_is_resolved_to_what_is_read() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Less {
        /// Written as a long, read as wider.
        price: i128,
        #[serde(alias = "symbol")]
        name: String,
        #[serde(default = "seven")]
        added: u8,
    }
    fn seven() -> u8 {
        7
    }
    let payload = encoded::<Owned<Trade>, _>(avro::<Trade>(TRADE).unwrap(), trade());
    let less = decoded(avro::<Less>(TRADE).unwrap(), &payload);
    assert_eq!(less, Ok(Less { price: 64, name: "ABC".into(), added: 7 }));
    let mut lent = avro_lent::<Borrowed<str>>(r#""string""#).unwrap();
    let payload = b"\x06foo";
    let word = lent.decode(payload).unwrap();
    assert_eq!((word, word.as_ptr()), ("foo", payload[1..].as_ptr()), "it is not copied");
}

#[test]
fn avro_says_what_is_malformed() {
    let error = |payload: &[u8]| decoded(avro::<Trade>(TRADE).unwrap(), payload).unwrap_err();
    assert!(error(b"").contains("EOF"), "{}", error(b""));
    assert!(error(b"\x06AB").contains("Unexpected end of slice"), "{}", error(b"\x06AB"));
    assert!(error(b"\x06ABC\x80\x01\x04").contains("discriminant"), "{}", error(b"\x06ABC\x80\x01\x04"));
    let longs = || avro::<i64>(r#""long""#).unwrap();
    let left = "3 bytes are left behind it: it was written with another schema";
    assert_eq!(decoded(longs(), b"\x06foo").unwrap_err(), left);
    let nulls = avro::<Vec<()>>(r#"{"type": "array", "items": "null"}"#).unwrap();
    let many = decoded(nulls, b"\x90\x4e\x00").unwrap_err();
    assert!(many.contains("max sequence size"), "three bytes ask for 5,000 items: {many}");
    let error = avro::<i64>("{").map(drop).unwrap_err().to_string();
    assert!(error.starts_with("this Avro schema cannot be read: "), "{error}");
}

#[test]
fn what_is_nested_too_deep_is_malformed() {
    #[derive(Debug, Deserialize)]
    struct List {
        #[serde(rename = "next")]
        _next: Option<Box<List>>,
    }
    let schema =
        r#"{"type": "record", "name": "List", "fields": [{"name": "next", "type": ["null", "List"]}]}"#;
    let depth = |depth| decoded(avro::<List>(schema).unwrap(), &[vec![2; depth], vec![0]].concat());
    assert!(depth(20).is_ok());
    assert!(depth(1_000_000).unwrap_err().contains("recursivity limit"));
    // A message in a message in a message: each has the field 3, of the length of what is left.
    let nested = (0..200).fold(Vec::new(), |inner: Vec<u8>, _| {
        let mut message = vec![0x1a];
        prost::encoding::encode_varint(inner.len() as u64, &mut message);
        [message, inner].concat()
    });
    assert!(decoded(protobuf::<Order>(), &nested).unwrap_err().contains("recursion limit"));
}

#[test]
fn protobuf_is_what_its_documentation_shows() {
    #[derive(Clone, PartialEq, Message)]
    struct Test {
        #[prost(int32, tag = "1")]
        a: i32,
        #[prost(string, tag = "2")]
        b: String,
    }
    let record = Test { a: 150, b: "testing".into() };
    let payload = b"\x08\x96\x01\x12\x07testing";
    assert_eq!(encoded::<Owned<Test>, _>(protobuf::<Test>(), record.clone()), payload);
    assert_eq!(decoded(protobuf::<Test>(), payload), Ok(record));
    let error = decoded(protobuf::<Test>(), b"\x12\x07test").unwrap_err();
    assert!(error.contains("buffer underflow"), "{error}");
}

#[test]
fn confluent_s_header_is_written_and_read() {
    let payload = encoded::<Owned<Order>, _>(protobuf::<Order>().schema_id(7, [1, 0]), order());
    assert_eq!(payload[..8], *b"\x00\x00\x00\x00\x07\x04\x02\x00");
    assert_eq!(decoded(protobuf_confluent::<Order>([1, 0]), &payload), Ok(order()));
    let other = decoded(protobuf_confluent::<Order>([0]), &payload).unwrap_err();
    assert_eq!(other, "it is message [1, 0] of its schema's file, not [0]");
    let first = b"\x00\x00\x00\x00\x07\x02\x00\x0a\x01A";
    let read = decoded(protobuf_confluent::<Order>([]), first).map(|order| order.symbol);
    assert_eq!(read, Ok("A".into()), "a single 0 in full");
    assert!(decoded(protobuf_confluent::<Order>([0]), b"\x01").unwrap_err().contains("too short"));
    let payload = encoded::<Owned<i64>, _>(avro::<i64>(r#""long""#).unwrap().schema_id(258), 64);
    assert_eq!(payload, b"\x00\x00\x00\x01\x02\x80\x01");
}

proptest! {
    #[test]
    fn random_and_mutated_bytes_are_a_record_or_an_error_and_never_a_panic(
        random: Vec<u8>,
        avro_payload in mutated(encoded::<Owned<Trade>, _>(avro::<Trade>(TRADE).unwrap(), trade())),
        protobuf_payload in mutated(encoded::<Owned<Order>, _>(protobuf::<Order>().schema_id(7, [1, 2]), order())),
    ) {
        for payload in [&random, &avro_payload] {
            let _ = decoded(avro::<Trade>(TRADE).unwrap(), payload);
            let _ = decoded(avro::<Option<i8>>(r#"["null", "long"]"#).unwrap(), payload);
        }
        for payload in [&random, &protobuf_payload] {
            let _ = decoded(protobuf::<Order>(), payload);
            let _ = decoded(protobuf_confluent::<Order>([1, 2]), payload);
        }
    }

    #[test]
    fn what_is_written_is_read_again(
        symbol: String, price: i64, venue: Option<String>, fills: Vec<i32>, buy: bool,
        tags in prop::collection::btree_map(any::<String>(), -1e9..1e9, 0..4),
    ) {
        let side = if buy { Side::Buy } else { Side::Sell };
        let order = Order { symbol: symbol.clone(), price: Some(price), legs: vec![order()] };
        let trade = Trade { symbol, price, venue, side, fills, tags };
        let payload = encoded::<Owned<Trade>, _>(avro::<Trade>(TRADE).unwrap(), trade.clone());
        prop_assert_eq!(decoded(avro::<Trade>(TRADE).unwrap(), &payload), Ok(trade));
        let payload = encoded::<Owned<Order>, _>(protobuf::<Order>(), order.clone());
        prop_assert_eq!(decoded(protobuf::<Order>(), &payload), Ok(order));
    }
}

#[test]
fn a_schema_that_is_nested_too_deep_is_refused_and_no_stack_overflows() {
    for depth in [200, 100_000] {
        let arrays = (0..depth).map(|_| r#"{"type": "array", "items": "#);
        let schema = arrays.collect::<String>() + r#""int""# + &"}".repeat(depth);
        let refused = avro::<i64>(&schema).err().unwrap().to_string();
        assert!(refused.contains("recursion limit exceeded"), "{refused}");
    }
}
