//! The error matrix: whatever a broker answers to a request, the job goes on or says why not, and nothing is lost.
//!
//! Each run takes a sample that moves through the matrix by the minute; `KAFKA_FAULTS=all` takes all of it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::{SystemTime, UNIX_EPOCH};

use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Native};
use slotflow::io::kafka::{Message, MockKafka};
use slotflow::prelude::*;
use slotflow::runtime::IoCores;

const APIS: [Api; 7] = [
    Api::Produce,
    Api::Fetch,
    Api::ListOffsets,
    Api::OffsetCommit,
    Api::OffsetFetch,
    Api::FindCoordinator,
    Api::InitProducerId,
];

const ERRORS: [Native; 16] = [
    Native::RD_KAFKA_RESP_ERR_UNKNOWN,
    Native::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
    Native::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    Native::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    Native::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    Native::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    Native::RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
    Native::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
    Native::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
    Native::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
    Native::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    Native::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    Native::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
    Native::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    Native::RD_KAFKA_RESP_ERR_INVALID_MSG,
    Native::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
];

/// The error comes as the first answer, or behind two good ones.
const GOOD: [usize; 2] = [0, 2];

/// How many cases a run takes.
const SAMPLE: usize = 8;

type Case = (Api, Native, usize);

fn matrix() -> Vec<Case> {
    let with = |api| ERRORS.iter().flat_map(move |error| GOOD.map(|good| (api, *error, good)));
    APIS.into_iter().flat_map(with).collect()
}

/// Cases far apart, others in each minute.
fn sample() -> Vec<Case> {
    let all = matrix();
    if std::env::var("KAFKA_FAULTS").is_ok_and(|which| which == "all") {
        return all;
    }
    let minute = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as usize / 60;
    let stride = all.len() / SAMPLE;
    (0..SAMPLE).map(|n| all[(n * stride + minute) % all.len()]).collect()
}

/// Runs a job from one topic to the other, to the end of what is there.
fn uppercase(kafka: &MockKafka) -> Result<JobReport> {
    let env = Environment::new()?;
    let lines = env.source(kafka.source().topic("words").group("g").bounded()).parallelism(2);
    lines.map(|line: Message<'_>| line.payload().to_ascii_uppercase()).sink(kafka.sink().topic("WORDS"));
    env.run("uppercase")
}

/// Runs the job until it ends well, at most five times: an error that is told is one a new start gets over.
fn survives((api, error, good): Case) {
    let kafka = MockKafka::start(&IoCores::default()).unwrap();
    kafka.create_topic("words", 4).unwrap();
    kafka.create_topic("WORDS", 3).unwrap();
    kafka.fill("words", (0..200).map(|n| (n % 4, format!("line {n}")))).unwrap();
    let answers = [vec![Native::RD_KAFKA_RESP_ERR_NO_ERROR; good], vec![error]].concat();
    kafka.with(move |cluster| cluster.request_errors(api, &answers)).unwrap();
    let told: Vec<String> = (0..5).map_while(|_| uppercase(&kafka).err()).map(|it| it.to_string()).collect();
    kafka.with(move |cluster| cluster.clear_request_errors(api)).unwrap();
    let arrived = kafka.read("WORDS").unwrap().concat();
    let is_missing = |n: &u32| !arrived.iter().any(|it| it.payload == format!("LINE {n}"));
    let missing = (0..200).filter(is_missing).count();
    let case = format!("{api:?}, {error:?} behind {good}: {missing} are missing, told {told:?}");
    println!("{case}");
    assert!(missing == 0 && told.len() < 5 && told.iter().all(|text| text.contains("; ")), "{case}");
}

#[test]
fn whatever_a_broker_answers_is_got_over_or_told_with_a_remedy_and_loses_nothing() {
    sample().into_iter().for_each(survives);
}
