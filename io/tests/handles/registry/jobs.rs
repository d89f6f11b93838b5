//! Jobs that ask the registry for the schemas of their payloads.

use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;
use slotflow::io::formats::{
    Malformed, avro_confluent, decode, decode_or_skip, decode_to_result, protobuf_confluent,
};
use slotflow::prelude::*;

use super::{Server, missing, schema};
use crate::folder::environment;

const FIRST: &str =
    r#"{"type": "record", "name": "Trade", "fields": [{"name": "symbol", "type": "string"}]}"#;
const SECOND: &str = r#"{"type": "record", "name": "Trade", "fields": [
    {"name": "price", "type": "int"}, {"name": "symbol", "type": "string"}]}"#;

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Trade {
    symbol: String,
    #[serde(default)]
    price: i64,
}

/// Knows two versions of a schema, one of another type, and one that is none.
fn server() -> Server {
    Server::start(|line| match line {
        "GET /schemas/ids/1" => schema(FIRST, ""),
        "GET /schemas/ids/2" => schema(&SECOND.replace('\n', ""), r#", "schemaType": "AVRO""#),
        "GET /schemas/ids/3" => schema("{}", r#", "schemaType": "JSON""#),
        "GET /schemas/ids/4" => schema("syntax = \"proto3\";", r#", "schemaType": "PROTOBUF""#),
        "GET /schemas/ids/5" => schema(r#"{"type": "unheard of"}"#, ""),
        "GET /schemas/ids/6" => (503, String::new()),
        _ => missing(),
    })
}

fn payload(id: u8, body: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, id], body].concat()
}

fn lent(payloads: Vec<Vec<u8>>) -> Vec<&'static [u8]> {
    payloads.into_iter().map(|payload| &*payload.leak()).collect()
}

/// The names of trades 0 to 9, in order, with prices where their version has one.
fn mixed() -> (Vec<Vec<u8>>, Vec<Trade>) {
    let one = |n: u8| {
        let (name, second) = (b'0' + n, n % 3 == 2);
        let payload = if second { payload(2, &[n << 1, 2, name]) } else { payload(1, &[2, name]) };
        let price = if second { i64::from(n) } else { 0 };
        (payload, Trade { symbol: char::from(name).into(), price })
    };
    (0..10).map(one).unzip()
}

#[test]
fn payloads_of_several_schemas_are_read_each_with_its_own_and_in_order() {
    let (server, (payloads, trades)) = (server(), mixed());
    let (env, read) = (environment(), Collected::new());
    env.source(from_iterator(lent(payloads)))
        .then("avro", decode(avro_confluent::<Trade>(&server.client())))
        .sink(read.sink());
    env.run("trades").unwrap();
    assert_eq!(read.take(), trades);
    assert_eq!(server.lines(), ["GET /schemas/ids/1", "GET /schemas/ids/2"], "once each");
}

#[test]
fn what_the_registry_does_not_know_or_calls_otherwise_is_malformed_with_its_reason() {
    let server = server();
    let payloads = vec![
        payload(1, b"\x02a"),
        payload(9, b"\x02b"),
        payload(3, b"{}"),
        b"\x00\x00".to_vec(),
        payload(1, b"\x08b"),
        payload(1, b"\x02b\x00"),
        payload(9, b"\x02b"),
        b"{\"symbol\": 1}".to_vec(),
        payload(1, b"\x02c"),
    ];
    let reasons = [
        "the schema registry knows no schema 9",
        "schema 3 is JSON, not AVRO",
        "2 bytes are too short for Confluent's wire format, which begins with 5",
        "Unexpected end of slice while deserializing",
        "1 bytes are left behind it: it was written with another schema",
        "the schema registry knows no schema 9",
        "it is not in Confluent's wire format: its first byte is 123, not 0",
    ];
    let (env, read, letters) = (environment(), Collected::new(), Collected::new());
    let (trades, bad) = env
        .source(from_iterator(lent(payloads.clone())))
        .then("avro", decode_to_result(avro_confluent::<Trade>(&server.client())))
        .try_map_split(|result| result);
    trades.map(|trade| trade.symbol).sink(read.sink());
    bad.map(|bad: Malformed| bad.error).sink(letters.sink());
    env.run("trades").unwrap();
    assert_eq!(
        (read.take(), letters.take()),
        (vec!["a".into(), "c".into()], reasons.map(String::from).to_vec())
    );
    assert_eq!(server.lines(), [1, 9, 3].map(|id| format!("GET /schemas/ids/{id}")), "nobody is asked twice");

    let (env, read) = (environment(), Collected::new());
    env.source(from_iterator(lent(payloads)))
        .then("avro", decode_or_skip(avro_confluent::<Trade>(&server.client())))
        .sink(read.sink());
    let job = env.start("trades").unwrap();
    assert!(job.ends_within(Duration::from_secs(60)));
    assert_eq!((job.metrics().dropped(), read.take().len()), (7, 2));
}

#[test]
fn a_job_whose_registry_does_not_answer_can_be_left_and_is_drained_behind_the_answer() {
    let (let_go, held) = mpsc::channel::<()>();
    let (arrived, asked) = mpsc::channel();
    let server = Server::start(move |_| {
        arrived.send(()).unwrap();
        let _gone = held.recv();
        schema(FIRST, "")
    });
    let start = || {
        let (env, read) = (environment(), Collected::new());
        env.source(from_iterator(std::iter::repeat(&*payload(1, b"\x02a").leak())))
            .then("avro", decode(avro_confluent::<Trade>(&server.client())))
            .sink(read.sink());
        let job = env.start("trades").unwrap();
        asked.recv().unwrap();
        (job, read)
    };
    let (job, read) = start();
    let report = job.abort().unwrap();
    assert!(report.unfinished.is_empty() && read.take().is_empty(), "{report:?}");
    let_go.send(()).unwrap();

    let (job, read) = start();
    // The answer takes longer than the order to drain.
    let_go.send(()).unwrap();
    let report = job.drain(Duration::from_secs(60)).unwrap();
    assert!(report.unfinished.is_empty() && report.records > 0, "{report:?}");
    assert_eq!(read.take().len() as u64, report.records, "all that was taken in");
}

#[test]
fn subtasks_share_an_answer_and_a_job_that_waits_for_it_names_the_registry_and_counts_what_it_leaves() {
    let (let_go, held) = mpsc::channel::<()>();
    let server = Server::start(move |_| {
        let _gone = held.recv();
        schema(FIRST, "")
    });
    // Goes before the server, or that would wait for it when the test fails.
    let let_go = let_go;
    let start = |payloads: usize| {
        let (env, read) = (environment(), Collected::new());
        env.source(from_iterator(std::iter::repeat_n(&*payload(1, b"\x02a").leak(), payloads)))
            .rebalance()
            .then("avro", decode(avro_confluent::<Trade>(&server.client())))
            .parallelism(4)
            .sink(read.sink());
        (env.start("trades").unwrap(), read)
    };
    let (job, _read) = start(usize::MAX);
    let waits = format!("waits for schema registry http://{} with ", server.address);
    // It cannot end meanwhile, and a reason that is not found within a minute never is.
    let named = (0..6_000).any(|_| {
        assert!(!job.ends_within(Duration::from_millis(10)));
        job.why_slow().contains(&waits)
    });
    assert!(named, "{}", job.why_slow());
    let report = job.drain(Duration::from_millis(1)).unwrap();
    let held: Vec<_> =
        report.left.iter().filter(|left| left.operator == "avro" && left.records > 0).collect();
    assert!(!held.is_empty(), "{report}");

    let (job, read) = start(1_000);
    drop(let_go);
    let report = job.wait().unwrap();
    assert_eq!((read.take().len(), report.left), (1_000, Vec::new()));
    assert_eq!(server.lines(), ["GET /schemas/ids/1"; 2], "once for each client");
}

#[test]
fn what_is_not_the_payloads_fault_fails_the_job_however_malformed_ones_are_treated() {
    let server = server();
    let failed = |id| {
        let env = environment();
        env.source(from_iterator(lent(vec![payload(1, b"\x02a"), payload(id, b"\x02a")])))
            .then("avro", decode_or_skip(avro_confluent::<Trade>(&server.client())))
            .sink(callback(|_| ()));
        env.run("trades").unwrap_err().to_string()
    };
    let away = failed(6);
    assert!(away.starts_with("operator \"avro\", subtask 0: schema registry http://127.0.0.1:"), "{away}");
    assert!(away.contains("does not answer, asked 1 times: 503 Service Unavailable"), "{away}");
    let unreadable = failed(5);
    assert!(unreadable.contains("schema 5 of the schema registry cannot be read as Avro"), "{unreadable}");
}

#[test]
fn a_schema_is_read_with_all_that_it_uses() {
    let server = Server::start(|line| match line {
        "GET /schemas/ids/1" => schema(
            r#"{"type": "record", "name": "Pair", "namespace": "a", "fields": [
                {"name": "left", "type": "Leg"}, {"name": "right", "type": ["null", "b.Money"]}]}"#
                .replace('\n', "")
                .as_str(),
            r#", "references": [{"name": "b.Money", "subject": "money", "version": 1},
                {"name": "a.Leg", "subject": "leg", "version": 4}]"#,
        ),
        "GET /subjects/leg/versions/4" => schema(
            r#"{"type": "record", "name": "Leg", "namespace": "a", "fields": [{"name": "paid", "type": "b.Money"}]}"#,
            r#", "id": 3, "version": 4, "references": [{"name": "b.Money", "subject": "money", "version": 1}]"#,
        ),
        "GET /subjects/money/versions/1" => schema(
            r#"{"type": "record", "name": "Money", "namespace": "b", "fields": [{"name": "cents", "type": "int"}]}"#,
            r#", "id": 2, "version": 1"#,
        ),
        "GET /schemas/ids/2" => {
            schema("\"c.Lost\"", r#", "references": [{"name": "c.Lost", "subject": "lost", "version": 1}]"#)
        }
        "GET /schemas/ids/3" => {
            schema("\"c.Loop\"", r#", "references": [{"name": "c.Loop", "subject": "loop", "version": 1}]"#)
        }
        "GET /subjects/loop/versions/1" => schema("[\"null\", \"c.Loop\"]", r#", "id": 3, "version": 1"#),
        _ => missing(),
    });
    #[derive(Clone, Debug, PartialEq, Deserialize)]
    struct Money {
        cents: i32,
    }
    #[derive(Clone, Debug, PartialEq, Deserialize)]
    struct Leg {
        paid: Money,
    }
    #[derive(Clone, Debug, PartialEq, Deserialize)]
    struct Pair {
        left: Leg,
        right: Option<Money>,
    }
    let read = |id| {
        let (env, read) = (environment(), Collected::new());
        env.source(from_iterator(lent(vec![payload(id, b"\x06\x02\x0a")])))
            .then("avro", decode(avro_confluent::<Pair>(&server.client())))
            .sink(read.sink());
        env.run("pairs").map(|_| read.take())
    };
    let pair = Pair { left: Leg { paid: Money { cents: 3 } }, right: Some(Money { cents: 5 }) };
    assert_eq!(read(1).unwrap(), [pair]);
    let lost = read(2).unwrap_err().to_string();
    assert!(lost.contains("has no version 1 of subject \"lost\"; register it again"), "{lost}");
    let endless = read(3).unwrap_err().to_string();
    assert!(endless.contains("schema 3 of the schema registry cannot be read as Avro"), "{endless}");
}

/// The subject `n` has a record in which the record of subject `n + 1` stands, within so many arrays; where they end,
/// `last` says.
fn chain_of_schemas(last: usize, arrays: usize) -> Server {
    Server::start(move |line| {
        let number = line.split('/').nth(2).and_then(|part| part.parse::<usize>().ok()).unwrap_or(0);
        let next = number + 1;
        let innermost = if number < last { format!(r#""a.N{next}""#) } else { r#""int""#.into() };
        let array = |items, _| format!(r#"{{"type": "array", "items": {items}}}"#);
        let field = (0..arrays).fold(innermost, array);
        let text = format!(
            r#"{{"type": "record", "name": "a.N{number}", "fields": [{{"name": "x", "type": {field}}}]}}"#
        );
        let reference = format!(r#"{{"name": "a.N{next}", "subject": "{next}", "version": 1}}"#);
        let references = if number < last { reference } else { String::new() };
        schema(&text, &format!(r#", "id": 1, "version": 1, "references": [{references}]"#))
    })
}

#[test]
fn schemas_that_use_ever_new_ones_fail_the_job_and_no_stack_overflows() {
    let refused = [
        (44, 0, "cannot be read as Avro"),
        (70, 0, "is nested more than 128 deep with those that it uses"),
        (100, 90, "is nested more than 128 deep with those that it uses"),
        (usize::MAX, 0, "uses more than 1000 others"),
    ];
    for (last, arrays, reason) in refused {
        let (server, env) = (chain_of_schemas(last, arrays), environment());
        env.source(from_iterator(lent(vec![payload(1, b"\x02")])))
            .then("avro", decode(avro_confluent::<Trade>(&server.client())))
            .sink(callback(|_| ()));
        let error = env.run("endless").unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn messages_whose_id_the_registry_does_not_know_are_malformed_if_it_is_asked() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Order {
        #[prost(uint64, tag = "1")]
        price: u64,
    }
    let server = server();
    let (env, read) = (environment(), Collected::new());
    let format = protobuf_confluent::<Order>([0]).known_to(&server.client());
    let payloads = [(4, &b"\x00\x08\x05"[..]), (9, b"\x00\x08\x05"), (1, b"\x00\x08\x05"), (4, b"\x02\x02")];
    env.source(from_iterator(lent(payloads.map(|(id, body)| payload(id, body)).to_vec())))
        .then("protobuf", decode_to_result(format))
        .map(|result| result.map(|order| order.price).map_err(|bad| bad.error))
        .sink(read.sink());
    env.run("orders").unwrap();
    let expected = [
        Ok(5),
        Err("the schema registry knows no schema 9".to_owned()),
        Err("schema 1 is AVRO, not PROTOBUF".to_owned()),
        Err("it is message [1] of its schema's file, not [0]".to_owned()),
    ];
    assert_eq!(read.take(), expected);
}

#[cfg(feature = "kafka")]
#[test]
fn what_has_waited_is_still_named_by_topic_partition_and_offset() {
    use slotflow::io::kafka::MockKafka;
    use slotflow::runtime::IoCores;

    let (server, kafka) = (server(), MockKafka::start(&IoCores::default()).unwrap());
    kafka.create_topic("trades", 1).unwrap();
    let payloads = [payload(1, b"\x02a"), payload(9, b"\x02b"), payload(2, b"\x02\x02c")];
    let texts = payloads.map(|payload| (0, String::from_utf8(payload).unwrap()));
    kafka.fill("trades", texts).unwrap();
    let env = environment();
    env.source(kafka.source().topic("trades").no_commit().bounded())
        .then("avro", decode(avro_confluent::<Trade>(&server.client())))
        .sink(callback(|_| ()));
    let error = env.run("trades").unwrap_err().to_string();
    assert_eq!(
        error,
        "operator \"avro\", subtask 0: bad record in trades-0 at offset 1: the schema registry knows no schema 9"
    );
}
