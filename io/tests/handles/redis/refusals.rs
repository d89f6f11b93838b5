//! What a server refuses, and that no password is ever shown.

use std::time::Duration;

use slotflow::io::redis::{RedisRecord, RedisSink, RedisSource};
use slotflow::prelude::*;

use super::fake::{Fake, NOTHING, OK, says};
use super::{committing_every, number, source};
use crate::log::Log;

/// What a job over this source fails with.
fn failure(source: RedisSource) -> String {
    let env = committing_every(1_000);
    env.source(source).try_map(number).sink(callback(|_| ()));
    env.run("fails").unwrap_err().to_string()
}

/// What a job over this sink fails with, at one of these records.
fn sink_failure(
    sink: RedisSink,
    records: impl IntoIterator<Item = RedisRecord, IntoIter: Send + 'static>,
) -> String {
    let env = committing_every(1_000);
    env.source(from_iterator(records)).sink(sink);
    env.run("fails").unwrap_err().to_string()
}

/// A server that says this to these commands, and is content with all others.
fn refusing(command: &'static str, text: &'static str) -> Fake {
    Fake::start(move |_, words| match words[0] {
        first if first == command => says(text),
        "XREADGROUP" => says(NOTHING),
        "XAUTOCLAIM" => says("*2\r\n$3\r\n0-0\r\n*0\r\n"),
        _ => says(OK),
    })
}

#[test]
fn refusals_fail_the_job_by_name_with_a_remedy() {
    let cases = [
        ("XGROUP", "-WRONGTYPE it holds another kind\r\n", ["(stream in)", "name a key that holds a stream"]),
        ("XGROUP", "-NOPERM no permissions\r\n", ["does not give XGROUP", "ACL SETUSER"]),
        ("XREADGROUP", "-NOGROUP No such key 'in'\r\n", ["No such key 'in'", "start the job again"]),
        (
            "XAUTOCLAIM",
            "-ERR unknown command 'XAUTOCLAIM'\r\n",
            ["unknown command", "use Redis 6.2 or newer"],
        ),
        ("XAUTOCLAIM", "+OK\r\n", ["answers XAUTOCLAIM with what is no answer", "use Redis 6.2 or newer"]),
        ("XGROUP", "-MOVED 7 10.0.0.1:1\r\n", ["Moved", "no part of a cluster"]),
    ];
    for (command, text, expected) in cases {
        let server = refusing(command, text);
        let error = failure(source(&server.url));
        assert!(expected.iter().all(|part| error.contains(part)), "{command} {text}: {error}");
        assert!(error.contains(&server.url["redis://".len()..]) && error.contains("redis"), "{error}");
    }
    let server = refusing("XADD", "-OOM command not allowed\r\n");
    let one = [RedisRecord::new().field("n", "1")];
    let error = sink_failure(RedisSink::new(&server.url).stream("out"), one);
    assert!(error.contains("XADD") && error.contains("raise its maxmemory"), "{error}");
    let server = refusing("XLEN", "-WRONGTYPE it holds another kind\r\n");
    let error = sink_failure(RedisSink::new(&server.url).stream("out"), []);
    assert!(error.contains("(stream out)") && error.contains("name a key that holds a stream"), "{error}");
}

#[test]
fn who_may_only_write_is_asked_for_no_more() {
    let server = refusing("XLEN", "-NOPERM this user has no permissions to run it\r\n");
    let env = committing_every(1_000);
    env.source(from_iterator(["x"])).sink(RedisSink::new(&server.url).stream("out"));
    env.run("writes").unwrap();
    assert_eq!(server.told("XADD")[0].1, ["XADD", "out", "*", "payload", "x"]);
}

#[test]
fn what_passes_is_waited_for_but_not_longer_than_is_said() {
    let loading = refusing("XADD", "-LOADING it loads its data\r\n");
    let sink = RedisSink::new(&loading.url).stream("out").give_up_after(Duration::from_millis(60));
    let error = sink_failure(sink, [RedisRecord::new().field("n", "1")]);
    assert!(error.contains("it loads its data"), "{error}");
    // At once, behind 50 ms, and behind what is left of the 60, if that is anything.
    assert!(matches!(loading.told("XADD").len(), 2 | 3));

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = failure(source(&format!("redis://{nobody}")));
    assert!(error.contains(&format!("redis at {nobody} does not give a connection")), "{error}");
}

#[cfg(not(feature = "redis-tls"))]
#[test]
fn tls_names_the_feature_that_it_needs() {
    let error = failure(source("rediss://127.0.0.1:1"));
    assert!(error.contains("TLS needs the feature redis-tls"), "{error}");
}

#[cfg(feature = "redis-tls")]
#[test]
fn certificates_that_cannot_be_read_or_are_for_nothing_are_named() {
    let folder = crate::folder::Folder::new("redis-certificates");
    let empty = folder.write("empty.pem", "no certificate");
    let error = |url: &str, file: &str| failure(source(url).ca_file(file));
    let (none, tls) = (folder.file("none.pem"), "rediss://127.0.0.1:1");
    assert!(error(tls, &none).contains("none.pem: No such file"), "{}", error(tls, &none));
    assert!(error(tls, &empty).contains("empty.pem: it holds none"), "{}", error(tls, &empty));
    let one = folder.write("one.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let plain = error("redis://127.0.0.1:1", &one);
    assert!(plain.contains("that the URL begins with rediss:"), "{plain}");
}

#[test]
fn wrong_settings_are_told_before_the_start_all_at_once() {
    let error = failure(RedisSource::new("redis://127.0.0.1:1"));
    assert!(error.contains("no stream is named") && error.contains("no group is named"), "{error}");
    let error = failure(source("redis://127.0.0.1:1").stream("in"));
    assert!(error.contains("the stream in is named twice"), "{error}");
    let error = sink_failure(RedisSink::new("redis://127.0.0.1:1"), []);
    assert!(error.contains("no stream is named; say which by stream(..)"), "{error}");
    let server = refusing("", "");
    let error = sink_failure(RedisSink::new(&server.url).stream("out"), [RedisRecord::new()]);
    assert!(error.contains("a record without a field"), "{error}");
}

#[test]
fn a_password_is_shown_nowhere_and_not_in_the_log() {
    const CANARY: &str = "canary-7f3a";
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let passing = refusing("XADD", "-LOADING it loads, said to 'me' 'canary-7f3a'\r\n");
    let url = passing.url.replacen("redis://", &format!("redis://me:{CANARY}@"), 1);
    let sink = RedisSink::new(url).stream("out").give_up_after(Duration::from_millis(60));
    let error = sink_failure(sink, [RedisRecord::new().field("n", "1")]);
    assert!(error.contains("it loads, said to 'me' '***'"), "{error}");
    let logged = || log.text();
    assert!(logged().contains("it loads, said to 'me' '***'; it is tried again in"), "{}", logged());
    let told = "-ERR unknown command, with args beginning with: 'me' 'canary-7f3a'\r\n";
    for said_to in ["AUTH", "XGROUP", "XLEN"] {
        let server = refusing(said_to, told);
        let at = server.url.strip_prefix("redis://").unwrap();
        let urls = [
            format!("redis://me:{CANARY}@{at}"),
            format!("redis://:{CANARY}@{at}"),
            format!("redis://me:{CANARY}@{at}/no-number"),
            format!("rediss://me:{CANARY}@{at}"),
            format!("rediss://me:a/{CANARY}@{at}"),
            format!("redis://me:1/{CANARY}@{at}"),
            format!("me:{CANARY}@{at}"),
        ];
        for url in urls {
            let (source, sink) = (source(&url), RedisSink::new(&url).stream("out"));
            let shown = format!("{source:?} {sink:?}");
            let env = committing_every(1_000);
            env.source(source.clone()).try_map(number).map(|n| n.to_string()).sink(sink.clone());
            let plan =
                env.explain().map_or_else(|error| error.to_string(), |explained| explained.to_string());
            let error = env.run("fails").unwrap_err();
            let all = format!("{shown} {plan} {error} {error:?}");
            assert!(!all.contains(CANARY), "{url}: {all}");
            assert!(error.to_string().contains("operator \"redis("), "{error}");
        }
    }
    assert!(!logged().contains(CANARY), "{}", logged());
    // It would be taken for the port of a host `me`, and an address may be shown.
    let error = failure(source("redis://me:31337#7@127.0.0.1"));
    assert!(error.contains("is not percent-encoded") && !error.contains("31337"), "{error}");
}
