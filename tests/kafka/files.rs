//! From Kafka into files.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use slotflow::Job;
use slotflow::io::files::FileSink;
use slotflow::io::kafka::{KafkaSource, Message};

use super::{LOST, PARTITIONS, Topics, environment};

/// How many lines come at a time.
const ROUND: u32 = 2_000;

/// Files that are small, and finished soon where too little comes.
fn start(source: KafkaSource, folder: &Path) -> Job {
    let env = environment();
    let sink = FileSink::lines(folder, "lines").roll_bytes(1_000).roll_after(Duration::from_millis(50));
    env.source(source).map_in(|line: Message<'_>, arena| arena.copy_bytes(line.payload())).sink(sink);
    env.start("to files").unwrap()
}

/// The numbers of the lines in front of the offsets that the group has committed.
fn committed(topics: &Topics) -> Vec<u32> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &topics.brokers).set("group.id", &topics.input);
    let consumer: BaseConsumer = config.create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(&topics.input, 0, PARTITIONS as i32 - 1);
    let known = consumer.committed_offsets(asked, LOST).unwrap();
    let in_front = |partition: u32, offset| match offset {
        Offset::Offset(offset) => (0..offset as u32).map(|at| at * PARTITIONS + partition).collect(),
        _ => Vec::new(),
    };
    known.elements().iter().flat_map(|it| in_front(it.partition() as u32, it.offset())).collect()
}

/// The lines of all files that have a name, whatever it is.
fn named(folder: &Path) -> HashSet<String> {
    let paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let finished = paths.iter().filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'));
    let texts = finished.map(|path| fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn missing(folder: &Path, numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let named = named(folder);
    numbers.into_iter().filter(|number| !named.contains(&format!("line {number}"))).collect()
}

/// Whatever is committed is in a file that has its name, at any moment; and what an aborted job had not finished is
/// written by the next one.
pub fn offsets_are_never_ahead_of_files_that_have_their_names(topics: &Topics) {
    let folder = std::env::temp_dir().join(format!("slotflow-{}-{}", std::process::id(), topics.input));
    let first = start(topics.source(), &folder);
    let began = Instant::now();
    for round in 0..4 {
        topics.fill(round * ROUND..(round + 1) * ROUND);
        loop {
            let committed = committed(topics);
            assert_eq!(missing(&folder, committed.iter().copied()), [0; 0], "round {round}");
            if committed.len() as u32 == (round + 1) * ROUND {
                break;
            }
            assert!(!first.has_ended() && began.elapsed() < LOST, "{:?}", first.metrics());
        }
    }
    topics.fill(4 * ROUND..5 * ROUND);
    topics.wait_for(&first, u64::from(4 * ROUND) + 1);
    first.abort().unwrap();
    assert_eq!(missing(&folder, committed(topics)), [0; 0], "after the abort");
    start(topics.source().bounded(), &folder).wait().unwrap();
    assert_eq!(missing(&folder, 0..5 * ROUND), [0; 0]);
    fs::remove_dir_all(&folder).unwrap();
}
