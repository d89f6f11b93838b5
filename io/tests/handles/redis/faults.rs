//! What breaks in the middle, against a server that a test makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use slotflow::io::egress;
use slotflow::io::redis::{Entries, Entry, RedisReader, RedisSink};
use slotflow::prelude::*;
use slotflow::runtime::testing::subtask;
use slotflow::runtime::{Arena, Blame, Source, SourceReader, Splits};

use super::fake::{Fake, NOTHING, OK, Reply, Told, array, bulk, claimed, entries, read, says, wait_until};
use super::{committing_every, number, source};

const NEVER_MS: u64 = 3_600_000;
const LOST: Duration = Duration::from_secs(60);

/// Whether these are the words of a request for what is pending behind this.
fn asks_for_pending(words: &[&str], behind: &str) -> bool {
    words[0] == "XREADGROUP" && words.last() == Some(&behind)
}

/// What a server without anything to say says.
fn nothing_new(words: &[&str]) -> Reply {
    match words[0] {
        "XREADGROUP" if words.last() == Some(&">") => says(NOTHING),
        "XREADGROUP" => says(&read("in", &[])),
        "XAUTOCLAIM" => says(&claimed(&[])),
        "XACK" => says(":1\r\n"),
        "XADD" => says(&bulk("1-0")),
        "XLEN" => says(":0\r\n"),
        _ => says(OK),
    }
}

#[test]
fn a_block_that_was_answered_in_part_is_written_again_whole() {
    let answered = AtomicUsize::new(0);
    // Connection 0 is that of the check.
    let server = Fake::start(move |connection, words| match (connection, words[0]) {
        (1, "XADD") if answered.fetch_add(1, Ordering::Relaxed) == 3 => Reply::Breaks(String::new()),
        _ => nothing_new(words),
    });
    let env = committing_every(NEVER_MS);
    // What is made of one record is one block.
    let ten = env.source(from_iterator([10])).flat_map(|n: u64| (0..n).map(|i| i.to_string()));
    ten.sink(RedisSink::new(&server.url).stream("out").max_len(9));
    env.run("copy").unwrap();
    let told = server.told("XADD");
    let of = |number: usize| -> Vec<String> {
        told.iter().filter(|told| told.0 == number).map(|told| told.1.last().unwrap().clone()).collect()
    };
    assert_eq!(of(1), ["0", "1", "2", "3"], "the fourth is not answered");
    assert_eq!(of(2)[..4], of(1), "all that was not acknowledged is written again, in order");
    assert_eq!(of(2).len(), 10);
    assert_eq!(told[0].1[..6], ["XADD", "out", "MAXLEN", "~", "9", "*"]);
}

#[test]
fn blocks_that_wait_behind_one_that_was_not_answered_keep_their_order() {
    let may_break = Arc::new(AtomicBool::new(false));
    let may = may_break.clone();
    // Connection 0 is that of the check.
    let server = Fake::start(move |connection, words| match (connection, words[0]) {
        (1, "XADD") => {
            wait_until("the test lets it", || may.load(Ordering::Acquire).then_some(()));
            Reply::Breaks(String::new())
        }
        _ => nothing_new(words),
    });
    let (mut ingress, records) = slotflow::io::ingress(64);
    let env = committing_every(NEVER_MS);
    env.source(records).map(|n: u64| n.to_string()).sink(RedisSink::new(&server.url).stream("out"));
    let job = env.start("copy").unwrap();
    for n in 0..50 {
        ingress.try_push(n).unwrap();
        // The rest comes in other steps than the first, and so in other blocks.
        server.wait_until_told("XADD", 1);
    }
    may_break.store(true, Ordering::Release);
    drop(ingress);
    job.wait().unwrap();
    let told = server.told("XADD").into_iter().filter(|told| told.0 == 2);
    let written: Vec<u64> = told.map(|told| told.1.last().unwrap().parse().unwrap()).collect();
    assert!(written.into_iter().eq(0..50));
}

#[test]
fn what_one_answer_has_acknowledged_is_not_acknowledged_again_when_the_next_breaks_off() {
    let (polled, acknowledged) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let server = Fake::start(move |_, words| match words[0] {
        "XREADGROUP" if words.last() == Some(&">") => match polled.fetch_add(1, Ordering::Relaxed) {
            0 => says(&read("in", &(1..=2_500).collect::<Vec<i64>>())),
            1.. => says(NOTHING),
        },
        "XACK" if acknowledged.fetch_add(1, Ordering::Relaxed) == 1 => Reply::Breaks(String::new()),
        _ => nothing_new(words),
    });
    let (env, (mut numbers, sink)) = (committing_every(NEVER_MS), egress(4_096));
    env.source(source(&server.url)).try_map(number).sink(sink);
    let job = env.start("read").unwrap();
    let got: Vec<i64> = (0..2_500).map(|_| numbers.recv(LOST).expect("an entry is lost")).collect();
    assert!(got.into_iter().eq(1..=2_500));
    job.drain(LOST).unwrap();
    let told = server.told("XACK");
    let told: Vec<_> = told.iter().map(|(_, words)| (words[3].as_str(), words.len() - 3)).collect();
    assert_eq!(told, [("1-0", 1_000), ("1001-0", 1_000), ("1001-0", 1_000), ("2001-0", 500)]);
}

#[test]
fn who_has_stopped_takes_nothing_from_others() {
    let may_answer = Arc::new(AtomicBool::new(false));
    let may = may_answer.clone();
    let server = Fake::start(move |connection, words| match words[0] {
        "XREADGROUP" if connection == 1 && words.last() == Some(&">") => {
            wait_until("the test lets it", || may.load(Ordering::Acquire).then_some(()));
            says(NOTHING)
        }
        _ => nothing_new(words),
    });
    let mut source = source(&server.url).claim_after(Duration::from_millis(1));
    source.splits().unwrap();
    let stopped = source.open(&subtask(), &[0]).unwrap();
    let waits = |told: &[Told]| told.iter().any(|(_, words)| words.last().unwrap() == ">");
    wait_until("it waits", || waits(&server.told("XREADGROUP")).then_some(()));
    drop(stopped);
    may_answer.store(true, Ordering::Release);
    // On a slow machine what is wrong may come too late to be seen, and nothing that is right.
    let _next = source.open(&subtask(), &[0]).unwrap();
    let of = |number: usize| server.told("XAUTOCLAIM").iter().filter(|told| told.0 == number).count();
    wait_until("another claims", || (of(2) > 9).then_some(()));
    assert_eq!(of(1), 1, "it claimed at its start");
}

/// What comes behind the job's end would be pending for a consumer that looks for such entries at its next start, which
/// may be over by then.
#[test]
fn a_job_ends_when_nothing_more_can_be_given_to_its_consumer() {
    let (given, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (gives, too_early) = (given.clone(), ended.clone());
    let server = Fake::start(move |_, words| match words[0] {
        "XREADGROUP" if words.last() == Some(&">") => {
            // As long as a server may wait: what is wrong is seen sooner.
            let began = Instant::now();
            let is_over =
                || too_early.load(Ordering::Acquire) || began.elapsed() > Duration::from_millis(100);
            wait_until("the end of its time", || is_over().then_some(()));
            gives.store(true, Ordering::Release);
            says(&read("in", &[1]))
        }
        _ => nothing_new(words),
    });
    let mut source = source(&server.url);
    source.splits().unwrap();
    let mut reader = source.open(&subtask(), &[0]).unwrap();
    let mut committer = reader.committer().unwrap();
    let waits = |told: &[Told]| told.iter().any(|(_, words)| words.last().unwrap() == ">");
    wait_until("it waits", || waits(&server.told("XREADGROUP")).then_some(()));
    drop(reader);
    committer.finish().unwrap();
    let was_given = given.load(Ordering::Acquire);
    ended.store(true, Ordering::Release);
    assert!(was_given, "its thread still asks");
}

#[test]
fn entries_are_acknowledged_when_the_sink_s_server_has_answered_and_not_before() {
    let (may_answer, polls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (may, polled) = (may_answer.clone(), polls.clone());
    let server = Fake::start(move |_, words| match words[0] {
        "XREADGROUP" if words.last() == Some(&">") => match polled.fetch_add(1, Ordering::Relaxed) {
            0 => says(&read("in", &[1, 2, 3])),
            _ => says(NOTHING),
        },
        "XADD" => {
            wait_until("the test lets it", || may.load(Ordering::Acquire).then_some(()));
            nothing_new(words)
        }
        _ => nothing_new(words),
    });
    let env = committing_every(1);
    let sink = RedisSink::new(&server.url).stream("out");
    env.source(source(&server.url)).try_map(number).map(|n| n.to_string()).sink(sink);
    let job = env.start("copy").unwrap();
    server.wait_until_told("XADD", 1);
    let before = polls.load(Ordering::Relaxed);
    wait_until("time goes by", || (polls.load(Ordering::Relaxed) > before + 1_000).then_some(()));
    assert!(server.told("XACK").is_empty(), "the server has not answered yet");
    may_answer.store(true, Ordering::Release);
    let ids = || -> Vec<String> {
        let told = server.told("XACK").into_iter();
        told.flat_map(|(_, words)| words.into_iter().skip(3)).collect()
    };
    wait_until("all are acknowledged", || (ids().len() >= 3).then_some(()));
    job.stop().unwrap();
    assert_eq!(ids(), ["1-0", "2-0", "3-0"], "in order, and once");
}

#[test]
fn an_answer_that_breaks_off_comes_again_and_what_is_held_does_not() {
    let server = Fake::start(|connection, words| match (connection, words[0]) {
        (1, "XREADGROUP") if words.last() == Some(&">") => {
            let whole = read("in", &[3, 4]);
            Reply::Breaks(whole[..whole.len() - 9].to_owned())
        }
        (1, "XREADGROUP") if asks_for_pending(words, "0-0") => says(&read("in", &[1, 2])),
        (2, "XREADGROUP") if asks_for_pending(words, "0-0") => says(&read("in", &[1, 2, 3])),
        (2, "XREADGROUP") if asks_for_pending(words, "3-0") => says(&read("in", &[4])),
        (2, "XAUTOCLAIM") => says(&claimed(&[2, 4, 5])),
        _ => nothing_new(words),
    });
    let (env, (mut numbers, sink)) = (committing_every(NEVER_MS), egress(16));
    env.source(source(&server.url)).try_map(number).sink(sink);
    let job = env.start("read").unwrap();
    let got: Vec<i64> = (0..5).map(|_| numbers.recv(LOST).expect("an entry is lost")).collect();
    assert_eq!(got, [1, 2, 3, 4, 5]);
    job.drain(LOST).unwrap();
    assert!(numbers.try_pop().is_err(), "an entry that was held came twice");
    let acknowledged = server.told("XACK");
    assert_eq!(acknowledged.last().unwrap().1[3..], ["1-0", "2-0", "3-0", "4-0", "5-0"]);
}

#[test]
fn what_was_deleted_while_it_was_pending_is_acknowledged_and_given_to_nobody() {
    let server = Fake::start(|_, words| match words[0] {
        "XREADGROUP" if asks_for_pending(words, "0-0") => says(&read("in", &[-1, 2])),
        _ => nothing_new(words),
    });
    let (env, (mut numbers, sink)) = (committing_every(NEVER_MS), egress(16));
    env.source(source(&server.url)).try_map(number).sink(sink);
    let job = env.start("read").unwrap();
    assert_eq!(numbers.recv(LOST), Ok(2));
    assert_eq!(server.told("XACK")[0].1[3..], ["1-0"]);
    job.stop().unwrap();
}

#[test]
fn no_more_are_read_while_too_many_wait_for_their_acknowledgement() {
    let may_answer = Arc::new(AtomicBool::new(false));
    let (may, next) = (may_answer.clone(), AtomicUsize::new(0));
    let server = Fake::start(move |_, words| match words[0] {
        "XREADGROUP" if words.last() == Some(&">") => {
            let first = 1 + next.fetch_add(10, Ordering::Relaxed) as i64;
            let numbers: Vec<i64> = (first..first + 10).collect();
            says(&read("in", if first <= 200 { &numbers } else { &[] }))
        }
        "XACK" => {
            wait_until("the test lets it", || may.load(Ordering::Acquire).then_some(()));
            nothing_new(words)
        }
        _ => nothing_new(words),
    });
    let (env, (mut numbers, sink)) = (committing_every(1), egress(16));
    env.source(source(&server.url).most_held(50)).try_map(number).sink(sink);
    let job = env.start("read").unwrap();
    let mut receive = |timeout| numbers.recv(timeout).ok();
    assert!((1..=50).map(Some).eq((0..50).map(|_| receive(LOST))));
    // On a slow machine what is wrong may come too late to be seen, and nothing that is right.
    assert_eq!(receive(Duration::from_millis(300)), None, "more are held than may be");
    may_answer.store(true, Ordering::Release);
    assert!((51..=200).map(Some).eq((0..150).map(|_| receive(LOST))), "reading goes on in order");
    job.stop().unwrap();
}

#[test]
fn claiming_goes_on_where_the_server_says_and_a_drain_acknowledges_all() {
    let server = Fake::start(|_, words| match words[0] {
        "XREADGROUP" if asks_for_pending(words, "0-0") => says(&read("in", &[1])),
        "XAUTOCLAIM" if words[5] == "0-0" => says(&array([bulk("7-0"), entries(&[2]), array([])])),
        "XAUTOCLAIM" => says(&claimed(&[7])),
        _ => nothing_new(words),
    });
    let (env, (mut numbers, sink)) = (committing_every(NEVER_MS), egress(16));
    env.source(source(&server.url)).try_map(number).sink(sink);
    let job = env.start("read").unwrap();
    let got: Vec<i64> = (0..3).map(|_| numbers.recv(LOST).expect("an entry is lost")).collect();
    assert_eq!(got, [1, 2, 7]);
    job.drain(LOST).unwrap();
    assert_eq!(server.told("XACK")[0].1[3..], ["1-0", "2-0", "7-0"]);
}

struct Nowhere;

impl Output<Entries> for Nowhere {
    fn push<'s>(&mut self, _: Entry<'s>, _: &mut Context<'s>) {}
}

fn poll(reader: &mut RedisReader) {
    let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
    reader.poll(9, &mut Context::new(&arena, &place, &blame, 1), &mut Nowhere).unwrap();
}

#[test]
fn a_server_that_has_answered_is_asked_again_however_long_ago_one_failed() {
    let place = subtask();
    let clock = place.clock.clone();
    // The first is that of the start.
    let server = Fake::start(move |connection, words| match (connection, words[0]) {
        (1, "XREADGROUP") => Reply::Breaks(String::new()),
        (2, "XAUTOCLAIM") => {
            clock.advance(NEVER_MS * 1_000_000);
            Reply::Breaks(String::new())
        }
        _ => nothing_new(words),
    });
    let mut source = source(&server.url).give_up_after(Duration::from_secs(1));
    source.splits().unwrap();
    let mut reader = source.open(&place, &[0]).unwrap();
    while server.told("XREADGROUP").iter().all(|(connection, _)| *connection < 3) {
        poll(&mut reader);
        std::thread::yield_now();
    }
}

#[test]
fn a_stream_is_silent_when_an_answer_has_nothing_of_it_and_not_while_its_server_is_away() {
    let (polled, goes_on) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(1)));
    let up_to = goes_on.clone();
    let server = Fake::start(move |connection, words| match words[0] {
        "XREADGROUP" if words.last() == Some(&">") => {
            let poll = polled.fetch_add(1, Ordering::Relaxed);
            wait_until("the test lets it", || (up_to.load(Ordering::Acquire) > poll).then_some(()));
            match poll {
                0 => says(&read("in", &[1])),
                1 => says(NOTHING),
                _ => Reply::Breaks(String::new()),
            }
        }
        "XREADGROUP" if connection > 1 => Reply::Breaks(String::new()),
        _ => nothing_new(words),
    });
    let mut source = source(&server.url).stream("quiet");
    assert_eq!(source.splits().unwrap(), Splits::Count(2));
    let mut reader = source.open(&subtask(), &[0, 1]).unwrap();
    let mut until = |split, is_behind| {
        let began = Instant::now();
        while reader.is_behind(split) != is_behind {
            assert!(began.elapsed() < LOST, "in vain: {split} {is_behind}");
            // The queue is short: what is read has to be taken out.
            poll(&mut reader);
        }
    };
    until(1, false);
    until(0, true);
    goes_on.store(2, Ordering::Release);
    until(0, false);
    goes_on.store(3, Ordering::Release);
    until(0, true);
    until(1, true);
}

#[test]
fn nobody_knows_what_has_come_while_no_more_may_be_held() {
    let (polled, goes_on) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    let may = goes_on.clone();
    let server = Fake::start(move |_, words| match words[0] {
        "XREADGROUP" if words.last() == Some(&">") => match polled.fetch_add(1, Ordering::Relaxed) {
            0 => says(NOTHING),
            _ => {
                wait_until("the test lets it", || may.load(Ordering::Acquire).then_some(()));
                says(&read("in", &[1]))
            }
        },
        _ => nothing_new(words),
    });
    let mut source = source(&server.url).stream("quiet").most_held(1);
    source.splits().unwrap();
    let mut reader = source.open(&subtask(), &[0, 1]).unwrap();
    let mut until = |is_behind: bool| {
        wait_until("it says so", || {
            poll(&mut reader);
            (reader.is_behind(1) == is_behind).then_some(())
        });
    };
    until(false);
    goes_on.store(true, Ordering::Release);
    until(true);
}

#[test]
fn a_server_that_is_slow_to_acknowledge_is_waited_for_longer_each_time() {
    let polled = AtomicUsize::new(0);
    let server = Fake::start(move |_, words| match words[0] {
        "XREADGROUP" if words.last() == Some(&">") => match polled.fetch_add(1, Ordering::Relaxed) {
            0 => says(&read("in", &[1])),
            1.. => says(NOTHING),
        },
        "XACK" => {
            // Longer than is waited at first.
            let began = Instant::now();
            wait_until("its answer", || (began.elapsed() > Duration::from_millis(700)).then_some(()));
            nothing_new(words)
        }
        _ => nothing_new(words),
    });
    let env = committing_every(1);
    let seen = Collected::new();
    env.source(source(&server.url)).try_map(number).sink(seen.sink());
    let job = env.start("slow").unwrap();
    // One in vain, and one that is answered: with what is acknowledged no more are asked for.
    server.wait_until_told("XACK", 2);
    let began = Instant::now();
    wait_until("three slow answers", || (began.elapsed() > Duration::from_millis(2_100)).then_some(()));
    assert_eq!(server.told("XACK").len(), 2, "the second was answered");
    job.drain(LOST).unwrap();
}
