//! Formats against payloads that are good, malformed, and random.

use proptest::prelude::*;
use slotflow_runtime::testing::Harness;
use slotflow_runtime::{Family, Owned};

use super::*;

type Row = (String, Option<u32>);

pub(super) fn decoded<D: Decode<Item = Owned<T>>, T: 'static>(
    mut format: D,
    payload: &[u8],
) -> Result<T, String> {
    format.decode(payload).map_err(|error| error.to_string())
}

pub(super) fn encoded<F: Family, E: Encode<F>>(mut format: E, record: F::Of<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    format.encode(record, &mut payload).expect("it has a form");
    payload
}

#[test]
fn csv_says_what_is_malformed() {
    let error = |payload: &str| decoded(csv::<Row>(), payload.as_bytes()).unwrap_err();
    assert_eq!(decoded(csv::<Row>(), b"a,\r"), Ok(("a".into(), None)));
    assert_eq!(error("\"a,1"), "a quoted field does not end in its record");
    assert_eq!(error("a\"b,\"1"), "a quoted field does not end in its record");
    assert_eq!(decoded(csv::<Row>(), b"5\" pipe,1"), Ok(("5\" pipe".into(), Some(1))));
    assert_eq!((error(""), error("\n")), ("the record is empty".into(), "the record is empty".into()));
    assert_eq!(error("a,1\nb,2"), "there is more behind the end of the record");
    assert!(error("a,x").contains("invalid digit found in string"), "{}", error("a,x"));
    assert!(error("a").contains("invalid length 1"), "{}", error("a"));
}

#[test]
fn a_csv_record_larger_than_any_buffer_comes_through() {
    let long = "x\"".repeat(5_000);
    let payload = encoded::<Owned<(String, u32)>, _>(csv::<()>().delimiter(b';'), (long.clone(), 7));
    assert_eq!(decoded(csv::<(String, u32)>().delimiter(b';'), &payload), Ok((long, 7)));
    let wide: Vec<u32> = (0..1_000).collect();
    let payload = encoded::<Owned<Vec<u32>>, _>(csv::<()>(), wide.clone());
    assert_eq!(decoded(csv::<Vec<u32>>(), &payload), Ok(wide));
}

#[test]
fn what_is_malformed_fails_is_skipped_or_goes_on_as_a_result() {
    let payloads = ["1", "x", "3"];
    let mut failing = Harness::new(decode(json::<u32>())).unwrap();
    failing.push(payloads[0]).unwrap();
    let error = failing.push(payloads[1]).unwrap_err().to_string();
    assert_eq!(
        error,
        "operator \"test\", subtask 0: bad record in memory at offset 0: expected value at line 1 column 1"
    );

    let mut skipping = Harness::new(decode_or_skip(json::<u32>())).unwrap();
    payloads.iter().for_each(|payload| skipping.push(*payload).unwrap());
    assert_eq!(skipping.take(), [1, 3]);
    assert_eq!(skipping.measured().dropped("malformed"), 1);

    let mut keeping = Harness::new(decode_to_result(json::<u32>())).unwrap();
    payloads.iter().for_each(|payload| keeping.push(*payload).unwrap());
    let results: Vec<Result<u32, Malformed>> = keeping.take();
    assert_eq!(results[1].as_ref().unwrap_err().payload, "x");
    assert_eq!((results[0].clone(), results[2].clone()), (Ok(1), Ok(3)));
}

proptest! {
    #[test]
    fn random_bytes_are_a_record_or_an_error_and_never_a_panic(payload: Vec<u8>) {
        let text_of = std::str::from_utf8(&payload);
        prop_assert_eq!(text().decode(&payload).ok(), text_of.ok());
        prop_assert_eq!(raw().decode(&payload).unwrap(), &payload[..]);
        let _ = decoded(csv::<Row>(), &payload);
        let _ = decoded(csv::<Vec<String>>().columns(["a", "b"]), &payload);
        let _ = decoded(json::<serde_json::Value>(), &payload);
        let _ = decoded(json::<Row>(), &payload);
    }

    #[test]
    fn what_is_written_is_read_again(word: String, number: Option<u32>) {
        let row = (word, number);
        let payload = encoded::<Owned<Row>, _>(csv::<Row>(), row.clone());
        prop_assert_eq!(decoded(csv::<Row>(), &payload), Ok(row.clone()));
        let payload = encoded::<Owned<Row>, _>(json::<Row>(), row.clone());
        prop_assert_eq!(decoded(json::<Row>(), &payload), Ok(row));
    }
}
