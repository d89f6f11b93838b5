//! Rings in memory between two jobs, and between two processes.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use slotflow::Job;
use slotflow::io::frames::Frame;
use slotflow::io::shared_memory::{RingReader, RingWriter, SharedMemorySink, SharedMemorySource};
use slotflow::io::{Egress, Refused, egress, ingress};
use slotflow::prelude::*;

use super::folder::{Folder, environment};

/// A test that is still waiting after this has lost something.
const LOST: Duration = Duration::from_secs(60);

/// As small as a ring can be.
const TINY: usize = 128;

/// Records of all lengths, from none on, each other than the ones around it.
fn record(number: usize) -> Vec<u8> {
    vec![number as u8; number * 7 % 50]
}

/// Starts a job that gives what it reads.
fn reading(source: SharedMemorySource) -> (Job, Egress<Vec<u8>>) {
    let (env, (records, sink)) = (environment(), egress(16));
    env.source(source).map(|record: Frame<'_>| record.bytes().to_vec()).sink(sink);
    (env.start("reading").unwrap(), records)
}

fn writing(sink: SharedMemorySink, parallelism: usize, count: u64) -> Job {
    let env = environment();
    env.source(generate(count, |i| record(i as usize))).parallelism(parallelism).sink(sink);
    env.start("writing").unwrap()
}

/// Asks until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LOST, "{what}");
        thread::yield_now();
    }
}

#[test]
fn every_record_goes_from_job_to_job_in_order_whatever_the_size_of_the_ring() {
    let folder = Folder::new("shared");
    for bytes in [TINY, 1 << 12, 1 << 20] {
        let at = folder.file(&format!("ring-{bytes}"));
        let (job, records) =
            reading(SharedMemorySource::at(&at).bytes(bytes).poll_every(Duration::from_micros(1)));
        let writing = writing(SharedMemorySink::at(&at).bytes(bytes), 1, 5_000);
        assert!(records.eq((0..5_000).map(record)), "{bytes} bytes");
        writing.wait().unwrap();
        job.wait().unwrap();
    }
}

#[test]
fn what_is_written_before_the_reader_comes_is_read_and_so_is_what_a_next_job_adds() {
    let folder = Folder::new("before");
    let at = folder.file("ring");
    for _ in 0..2 {
        writing(SharedMemorySink::at(&at), 2, 100).wait().unwrap();
    }
    let (job, records) = reading(SharedMemorySource::at(&at).rings(2));
    let mut records: Vec<_> = records.collect();
    let mut all: Vec<_> = (0..100).chain(0..100).map(record).collect();
    records.sort();
    all.sort();
    assert_eq!(records, all);
    job.wait().unwrap();
    let mut reader = RingReader::open(format!("{at}-0"), TINY).unwrap();
    assert!(!reader.has_ended().unwrap(), "an end is told once");
    assert_eq!(reader.try_pop(&mut Vec::new()).unwrap(), None, "and no record twice");
}

#[test]
fn a_reader_that_is_slow_holds_the_writer_back_and_loses_nothing() {
    let folder = Folder::new("slow");
    let at = folder.file("ring");
    let ((mut to, source), env) = (ingress(1_000), environment());
    env.source(source).sink(SharedMemorySink::at(&at).bytes(TINY));
    let job = env.start("writing").unwrap();
    let pushed = (0..1_000).filter(|number| to.try_push(vec![*number as u8; 24]).is_ok()).count();
    until("what has no room goes into the ring", || to.room() > 0);
    let mut reader = RingReader::open(format!("{at}-0"), TINY).unwrap();
    let (mut all, mut count) = (Vec::new(), 0);
    drop(to);
    until("a record is lost", || {
        count += usize::from(reader.try_pop(&mut all).unwrap().is_some());
        reader.has_ended().unwrap()
    });
    assert_eq!(count, pushed);
    assert!(all.chunks(24).enumerate().all(|(number, record)| record == [number as u8; 24]));
    job.wait().unwrap();
}

#[test]
fn each_end_fails_by_name_when_the_other_is_gone() {
    let folder = Folder::new("gone");
    let at = folder.file("ring");
    let ((mut to, source), env) = (ingress(16), environment());
    env.source(source).sink(SharedMemorySink::at(&at));
    let writing = env.start("writing").unwrap();
    let (reading, mut records) = reading(SharedMemorySource::at(&at));
    to.try_push(b"a".to_vec()).unwrap();
    assert_eq!(records.recv(LOST), Ok(b"a".to_vec()));
    reading.stop().unwrap();
    // Nothing is written meanwhile, so who is idle has to look by itself.
    assert!(writing.ends_within(LOST), "the writer never hears of it");
    let is_closed = |refused| matches!(refused, Err(Refused::Closed(_)));
    assert!(is_closed(to.try_push(b"b".to_vec())));
    let failed = writing.wait().unwrap_err().to_string();
    let told = format!("the reader of the ring {at}-0 is gone; start it again, then this job");
    assert!(failed.contains(&told), "{failed}");

    let mut writer = RingWriter::open(format!("{at}-0"), TINY).unwrap();
    let (env, (records, sink)) = (environment(), egress(1_000_000));
    env.source(SharedMemorySource::at(&at)).map(|record: Frame<'_>| record.bytes().to_vec()).sink(sink);
    let reading = env.start("reading").unwrap();
    until("the reader takes nothing", || writer.try_push(b"c").unwrap());
    let mut records = records;
    assert_eq!(records.next(), Some(b"c".to_vec()));
    drop(writer);
    let failed = reading.wait().unwrap_err().to_string();
    assert!(failed.contains(&format!("the writer of the ring {at}-0 is gone without an end")), "{failed}");
}

#[test]
fn what_does_not_fit_is_broken_or_is_no_ring_is_told() {
    let folder = Folder::new("refused");
    let at = folder.file("ring");
    let mut writer = RingWriter::open(&at, TINY).unwrap();
    let long = writer.try_push(&[0; 121]).unwrap_err().to_string();
    assert!(
        long.contains("a record of 121 bytes does not fit the ring") && long.contains("takes 120"),
        "{long}"
    );
    assert!(
        writer.try_push(&[7; 120]).unwrap() && !writer.try_push(b"").unwrap(),
        "it is full to the last byte"
    );

    let pop = || RingReader::open(&at, TINY)?.try_pop(&mut Vec::new());
    let whole = fs::read(&at).unwrap();
    let wrong: [(usize, u64, &str); 3] =
        [(48, 121, "a record is longer"), (48, u64::MAX, "a record is longer"), (16, 17, "its head is none")];
    for (word, value, told) in wrong {
        let mut words = whole.clone();
        words[word * 8..][..8].copy_from_slice(&value.to_ne_bytes());
        write_over(&at, &words);
        let broken = pop().unwrap_err().to_string();
        assert!(broken.starts_with(&format!("the ring {at} is broken: {told}")), "{broken}");
    }
    write_over(&at, &whole);
    let length = whole.len() as u64;
    for cut in [length - 1, 48 * 8, 16] {
        set_len(&at, cut);
        assert!(
            pop().unwrap_err().to_string().contains("its end was cut off"),
            "{cut} bytes are no empty records"
        );
        set_len(&at, length);
        write_over(&at, &whole);
    }
    assert_eq!(pop().unwrap(), Some(120));

    let other = folder.write("other", "no ring, but a text of a few words");
    assert!(
        RingReader::open(&other, TINY).err().unwrap().to_string().contains("it is no ring of this version")
    );
    let (env, away) = (environment(), folder.file("away/ring"));
    env.source(SharedMemorySource::at(&away))
        .map(|it: Frame<'_>| it.bytes().to_vec())
        .sink(SharedMemorySink::at(&away));
    let unopened = env.run("away").unwrap_err().to_string();
    assert_eq!(unopened.matches("cannot be opened: No such file or directory").count(), 2, "{unopened}");
}

/// Positions near the last one, which only somebody else can have written.
#[test]
fn positions_that_were_made_up_make_nobody_panic() {
    let folder = Folder::new("positions");
    let at = folder.file("ring");
    drop(RingWriter::open(&at, TINY).unwrap());
    for position in [u64::MAX, u64::MAX - 5, 1 << 61] {
        let mut words = fs::read(&at).unwrap();
        for word in [16, 32] {
            words[word * 8..][..8].copy_from_slice(&position.to_ne_bytes());
        }
        write_over(&at, &words);
        let (mut writer, mut reader) =
            (RingWriter::open(&at, TINY).unwrap(), RingReader::open(&at, TINY).unwrap());
        assert_eq!(reader.position(), position.wrapping_mul(8));
        for number in 0..20 {
            assert!(writer.try_push(&record(number)).unwrap());
            let mut bytes = Vec::new();
            assert!(reader.try_pop(&mut bytes).unwrap().is_some());
            assert_eq!(bytes, record(number));
        }
    }
    let mut words = fs::read(&at).unwrap();
    words[..16].copy_from_slice(&[[0; 8], 7u64.to_ne_bytes()].concat());
    write_over(&at, &words);
    let other = RingReader::open(&at, TINY).err().unwrap().to_string();
    assert!(
        other.contains("it is no ring of this version"),
        "a file that begins with zeros is not made one: {other}"
    );
}

fn set_len(path: &str, bytes: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

/// Writes a file over where it lies, as somebody may who maps it.
fn write_over(path: &str, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}

/// A process, which does not outlive its test.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What tells this program that it is the other process, and where the ring is.
const RING: &str = "SLOTFLOW_TEST_RING";

/// Starts this program once more, as the writer of a ring in this one test.
#[test]
fn a_process_that_is_killed_is_gone_and_what_it_wrote_is_not() {
    if let Ok(at) = std::env::var(RING) {
        return write_until_killed(&at);
    }
    let folder = Folder::new("killed");
    let at = folder.file("ring");
    let (job, mut records) = reading(SharedMemorySource::at(&at));
    let mut other = Command::new(std::env::current_exe().unwrap());
    let name = "shared_memory::a_process_that_is_killed_is_gone_and_what_it_wrote_is_not";
    other.args(["--exact", name]).env(RING, format!("{at}-0")).stdout(Stdio::null());
    let mut other = Other(other.spawn().unwrap());
    for number in 0..20_000 {
        assert_eq!(records.recv(LOST), Ok(record(number)));
    }
    other.0.kill().unwrap();
    other.0.wait().unwrap();
    let rest = records.zip(20_000..).all(|(rest, number)| rest == record(number));
    assert!(rest, "what it had written is whole and in order");
    let failed = job.wait().unwrap_err().to_string();
    assert!(failed.contains("is gone without an end"), "{failed}");
}

fn write_until_killed(at: &str) {
    let mut writer = RingWriter::open(at, 1 << 12).unwrap();
    for number in 0.. {
        while !writer.try_push(&record(number)).unwrap() {
            thread::yield_now();
        }
    }
}
