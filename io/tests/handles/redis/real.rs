//! Against the Redis that `REDIS_URL` names (`scripts/redis up` starts one). Without the variable nothing is checked,
//! and the tests say so.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::redis::{Connection, cmd};
use slotflow::io::egress;
use slotflow::io::redis::{Entry, RedisRecord, RedisSink, RedisSource};
use slotflow::prelude::*;

use super::{committing_every, number};

const LOST: Duration = Duration::from_secs(60);

/// A test's own streams, and who may use them.
struct Streams {
    connection: Connection,
    /// With a user of the test's own.
    url: String,
    name: String,
}

/// Runs a test with streams of its own, if there is a server.
fn with_streams(name: &str, test: impl FnOnce(&mut Streams)) {
    let Ok(url) = std::env::var("REDIS_URL") else {
        println!("checked nothing: REDIS_URL names no server (scripts/redis up starts one)");
        return;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let name = format!("{name}-{now}");
    let mut connection = ::redis::Client::open(url.clone()).unwrap().get_connection().unwrap();
    let rules = ["SETUSER", &name, "on", ">secret", &format!("~{name}-*"), "+@all"];
    cmd("ACL").arg(&rules).exec(&mut connection).unwrap();
    let url = url.replacen("redis://", &format!("redis://{name}:secret@"), 1);
    let mut streams = Streams { connection, url, name };
    test(&mut streams);
    let keys: Vec<String> = streams.ask(&["KEYS", &streams.key("*")]);
    keys.iter().for_each(|key| assert_eq!(streams.ask::<i64>(&["DEL", key]), 1));
    streams.ask::<i64>(&["ACL", "DELUSER", &streams.name.clone()]);
}

impl Streams {
    fn key(&self, of: &str) -> String {
        format!("{}-{of}", self.name)
    }

    fn ask<X: ::redis::FromRedisValue>(&mut self, words: &[&str]) -> X {
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut self.connection).unwrap()
    }

    /// Adds numbers to a stream.
    fn fill(&mut self, of: &str, numbers: std::ops::Range<i64>) {
        let mut pipe = ::redis::pipe();
        for number in numbers {
            pipe.cmd("XADD").arg(self.key(of)).arg("*").arg("n").arg(number).ignore();
        }
        pipe.exec(&mut self.connection).unwrap();
    }

    fn len(&mut self, of: &str) -> i64 {
        self.ask(&["XLEN", &self.key(of)])
    }

    /// Asks the server again and again until it is so.
    fn wait_until(&mut self, is_so: impl Fn(&mut Streams) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < LOST, "in vain");
        }
    }

    /// The numbers in a stream.
    fn numbers(&mut self, of: &str) -> Vec<i64> {
        let entries: Vec<(String, (String, i64))> = self.ask(&["XRANGE", &self.key(of), "-", "+"]);
        entries.into_iter().map(|entry| entry.1.1).collect()
    }

    /// How many entries the group was given and has not acknowledged.
    fn pending(&mut self, of: &str) -> i64 {
        let pending: (i64, ::redis::Value, ::redis::Value, ::redis::Value) =
            self.ask(&["XPENDING", &self.key(of), "group"]);
        pending.0
    }

    fn source(&self, streams: &[&str]) -> RedisSource {
        let source = RedisSource::new(&self.url).group("group").consumer("me");
        streams.iter().fold(source, |source, of| source.stream(self.key(of)))
    }

    fn sink(&self) -> RedisSink {
        RedisSink::new(&self.url).stream(self.key("out"))
    }
}

/// A record that has a number.
fn record(number: i64) -> RedisRecord {
    RedisRecord::new().field("n", number.to_string())
}

#[test]
fn each_entry_goes_on_in_order_is_acknowledged_and_comes_once() {
    with_streams("copy", |streams| {
        let names = ["a", "b", "c"];
        let copy = |streams: &mut Streams, expected: i64| {
            let env = committing_every(10);
            env.source(streams.source(&names)).parallelism(2).sink(streams.sink());
            let job = env.start("copy").unwrap();
            streams.wait_until(|streams| streams.len("out") >= expected);
            job.drain(LOST).unwrap();
        };
        (0..).zip(names).for_each(|(i, name)| streams.fill(name, i * 1_000..i * 1_000 + 1_000));
        copy(streams, 3_000);
        (0..).zip(names).for_each(|(i, name)| streams.fill(name, 3_000 + i * 10..3_000 + i * 10 + 10));
        copy(streams, 3_030);
        let numbers = streams.numbers("out");
        for (i, name) in (0..).zip(names) {
            let of_one = |n: &i64| if *n < 3_000 { n / 1_000 == i } else { (n - 3_000) / 10 == i };
            let expected = (i * 1_000..i * 1_000 + 1_000).chain(3_000 + i * 10..3_000 + i * 10 + 10);
            assert!(numbers.iter().copied().filter(of_one).eq(expected), "{name}");
            assert_eq!(streams.pending(name), 0);
        }
    });
}

#[test]
fn what_a_job_that_failed_had_not_acknowledged_comes_again_to_its_consumer() {
    with_streams("failed", |streams| {
        streams.fill("in", 0..100);
        let env = committing_every(3_600_000);
        let fails = |n: i64| if n == 50 { Err("fifty") } else { Ok(record(n)) };
        env.source(streams.source(&["in"])).try_map(number).try_map(fails).sink(streams.sink());
        let error = env.run("fails").unwrap_err().to_string();
        assert!(error.contains("fifty"), "{error}");
        assert_eq!(streams.pending("in"), 100);
        let (env, (mut numbers, sink)) = (committing_every(10), egress(256));
        env.source(streams.source(&["in"])).try_map(number).sink(sink);
        let job = env.start("again").unwrap();
        let again: Vec<i64> = (0..100).map(|_| numbers.recv(LOST).expect("an entry is lost")).collect();
        assert!(again.into_iter().eq(0..100));
        job.drain(LOST).unwrap();
        assert_eq!(streams.pending("in"), 0);
    });
}

#[test]
fn what_a_consumer_that_is_gone_was_given_is_claimed_and_what_one_holds_itself_is_not() {
    with_streams("claimed", |streams| {
        streams.fill("in", 0..10);
        let key = streams.key("in");
        streams.ask::<()>(&["XGROUP", "CREATE", &key, "group", "0"]);
        streams.ask::<::redis::Value>(&[
            "XREADGROUP",
            "GROUP",
            "group",
            "gone",
            "COUNT",
            "4",
            "STREAMS",
            &key,
            ">",
        ]);
        let (env, (mut numbers, sink)) = (committing_every(3_600_000), egress(16));
        let source = streams.source(&["in"]).claim_after(Duration::from_millis(1));
        env.source(source).try_map(number).sink(sink);
        let job = env.start("claims").unwrap();
        let mut got: Vec<i64> = (0..10).map(|_| numbers.recv(LOST).expect("an entry is lost")).collect();
        got.sort();
        assert!(got.into_iter().eq(0..10));
        // It has claimed again and again meanwhile, what it holds, too.
        streams.fill("in", 10..11);
        assert_eq!(numbers.recv(LOST), Ok(10));
        job.drain(LOST).unwrap();
        assert!(numbers.try_pop().is_err());
        assert_eq!(streams.pending("in"), 0);
    });
}

#[test]
fn connections_that_the_server_closes_lose_nothing() {
    with_streams("killed", |streams| {
        let env = committing_every(5);
        env.source(streams.source(&["in"]).at_once(16)).try_map(number).map(record).sink(streams.sink());
        let job = env.start("copy").unwrap();
        for round in 0..20 {
            streams.fill("in", round * 100..round * 100 + 100);
            // One that has just broken comes again after a pause.
            let user = streams.name.clone();
            streams.wait_until(|streams| streams.ask::<i64>(&["CLIENT", "KILL", "USER", &user]) > 0);
        }
        let different = |streams: &mut Streams| {
            let mut numbers = streams.numbers("out");
            numbers.sort();
            numbers.dedup();
            numbers
        };
        streams.wait_until(|streams| different(streams).len() == 2_000 && streams.pending("in") == 0);
        job.drain(LOST).unwrap();
        assert!(different(streams).into_iter().eq(0..2_000));
    });
}

#[test]
fn a_group_can_begin_at_the_end_and_a_sink_can_bound_its_stream() {
    with_streams("bounded", |streams| {
        streams.fill("in", 0..10);
        let (env, (mut numbers, sink)) = (committing_every(10), egress(16));
        env.source(streams.source(&["in"]).starting_at_end()).try_map(number).sink(sink);
        let job = env.start("end").unwrap();
        streams.fill("in", 10..11);
        assert_eq!(numbers.recv(LOST), Ok(10));
        job.stop().unwrap();
        let env = committing_every(10);
        env.source(generate(10_000, |i| record(i as i64))).sink(streams.sink().max_len(500));
        env.run("bounded").unwrap();
        let kept = streams.numbers("out");
        assert!((500..1_000).contains(&kept.len()) && kept.last() == Some(&9_999), "{}", kept.len());
    });
}

#[test]
fn a_wrong_password_and_a_key_of_another_kind_are_told_before_the_start() {
    with_streams("refused", |streams| {
        let fails = |source: RedisSource| {
            let env = committing_every(10);
            env.source(source).map(|_: Entry<'_>| ()).sink(callback(|()| ()));
            env.run("refused").unwrap_err().to_string()
        };
        let url = streams.url.replace(":secret@", ":canary-7f3a@");
        let error = fails(RedisSource::new(url).stream(streams.key("in")).group("group"));
        assert!(error.contains("mend user and password in its URL") && !error.contains("canary"), "{error}");
        streams.ask::<()>(&["SET", &streams.key("text"), "x"]);
        let error = fails(streams.source(&["text"]));
        assert!(error.contains("name a key that holds a stream"), "{error}");
        let error = fails(RedisSource::new(&streams.url).stream("another's").group("group"));
        assert!(error.contains("ACL SETUSER"), "{error}");
    });
}

/// The server of `REDIS_TLS_URL`, whose certificate is signed by what is in the file `REDIS_CA_FILE`.
#[cfg(feature = "redis-tls")]
#[test]
fn over_tls_a_server_is_trusted_by_its_certificate_and_by_nothing_else() {
    let (Ok(tls), Ok(ca)) = (std::env::var("REDIS_TLS_URL"), std::env::var("REDIS_CA_FILE")) else {
        println!("checked nothing: REDIS_TLS_URL and REDIS_CA_FILE name no server");
        return;
    };
    with_streams("tls", |streams| {
        let plain = streams.url.rsplit_once('@').unwrap().1.to_owned();
        let url = streams.url.replacen("redis://", "rediss://", 1);
        let url = url.replace(&plain, tls.strip_prefix("rediss://").unwrap());
        let (source, sink) = (RedisSource::new(&url), RedisSink::new(&url).stream(streams.key("out")));
        let source = source.group("group").consumer("me").stream(streams.key("in"));
        streams.fill("in", 0..1_000);
        let env = committing_every(10);
        env.source(source.clone().ca_file(&ca)).try_map(number).map(record).sink(sink.ca_file(&ca));
        let job = env.start("copy").unwrap();
        streams.wait_until(|streams| streams.len("out") >= 1_000);
        job.drain(LOST).unwrap();
        assert!(streams.numbers("out").into_iter().eq(0..1_000));
        assert_eq!(streams.pending("in"), 0);
        let env = committing_every(10);
        env.source(source).try_map(number).sink(callback(|_| ()));
        let error = env.run("untrusted").unwrap_err().to_string();
        assert!(error.contains("name by ca_file(..) what its certificate is signed by"), "{error}");
    });
}
