//! The error matrix: whatever a broker answers to a request, the job goes on or says why not, and nothing is lost.
//!
//! Each run takes a sample that moves through the matrix by the minute; `KAFKA_FAULTS=all` takes all of it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Native};
use slotflow::io::kafka::{Message, MockKafka};
use slotflow::prelude::*;
use slotflow::runtime::IoCores;

/// What each member of a group, and each source and sink, asks of a broker.
const APIS: [Api; 11] = [
    Api::Produce,
    Api::Fetch,
    Api::ListOffsets,
    Api::OffsetCommit,
    Api::OffsetFetch,
    Api::FindCoordinator,
    Api::InitProducerId,
    Api::JoinGroup,
    Api::SyncGroup,
    Api::Heartbeat,
    Api::LeaveGroup,
];

/// How many of them, the last ones, only a member asks.
const OF_MEMBERS: usize = 4;

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

/// How many are taken at once: a group mostly waits.
const AT_ONCE: usize = 4;

const LINES: u32 = 200;

/// A job that has not brought all lines after this has lost some, or hangs.
const LOST: Duration = Duration::from_secs(120);

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

/// The same as members of a group, until all lines have come.
fn uppercase_by_group(kafka: &MockKafka) -> Result<JobReport> {
    let env = Environment::new()?;
    let source = kafka.source().topic("words").group("g").spread_by_group();
    let source = source.setting("heartbeat.interval.ms", 50).setting("session.timeout.ms", 3_000);
    let lines = env.source(source).parallelism(2);
    lines.map(|line: Message<'_>| line.payload().to_ascii_uppercase()).sink(kafka.sink().topic("WORDS"));
    let (job, began) = (env.start("uppercase")?, Instant::now());
    while missing(kafka) > 0 && !job.has_ended() {
        assert!(began.elapsed() < LOST, "it hangs: {:?}", job.metrics());
        thread::park_timeout(Duration::from_millis(50));
    }
    job.drain(LOST)
}

/// How many lines have not arrived.
fn missing(kafka: &MockKafka) -> usize {
    let arrived = kafka.read("WORDS").unwrap().concat();
    let is_missing = |n: &u32| !arrived.iter().any(|it| it.payload == format!("LINE {n}"));
    (0..LINES).filter(is_missing).count()
}

/// Runs the job until it ends well, at most five times: an error that is told is one a new start gets over.
fn survives((api, error, good): Case) {
    let kafka = MockKafka::start(&IoCores::default()).unwrap();
    kafka.create_topic("words", 4).unwrap();
    kafka.create_topic("WORDS", 3).unwrap();
    kafka.fill("words", (0..LINES).map(|n| (n % 4, format!("line {n}")))).unwrap();
    let answers = [vec![Native::RD_KAFKA_RESP_ERR_NO_ERROR; good], vec![error]].concat();
    kafka.with(move |cluster| cluster.request_errors(api, &answers)).unwrap();
    let of_member = APIS[APIS.len() - OF_MEMBERS..].contains(&api);
    let run = if of_member { uppercase_by_group } else { uppercase };
    let told: Vec<String> = (0..5).map_while(|_| run(&kafka).err()).map(|it| it.to_string()).collect();
    kafka.with(move |cluster| cluster.clear_request_errors(api)).unwrap();
    let missing = missing(&kafka);
    let case = format!("{api:?}, {error:?} behind {good}: {missing} are missing, told {told:?}");
    println!("{case}");
    assert!(missing == 0 && told.len() < 5 && told.iter().all(|text| text.contains("; ")), "{case}");
}

#[test]
fn whatever_a_broker_answers_is_got_over_or_told_with_a_remedy_and_loses_nothing() {
    let mut cases = sample().into_iter().peekable();
    while cases.peek().is_some() {
        thread::scope(|scope| {
            cases.by_ref().take(AT_ONCE).for_each(|case| drop(scope.spawn(move || survives(case))));
        });
    }
}
