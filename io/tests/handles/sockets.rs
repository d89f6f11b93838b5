//! Streams over TCP and Unix sockets as a source and as a sink.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use slotflow::io::formats::{encode, text};
use slotflow::io::frames::{Frame, Frames, Framing};
use slotflow::io::net::{SocketSink, SocketSource};
use slotflow::io::{Egress, egress, ingress};
use slotflow::prelude::*;
use slotflow::runtime::testing::subtask;
use slotflow::runtime::{Arena, Blame, Source, SourceReader};

use super::folder::{Folder, environment};

/// A test that is still waiting after this has lost something.
const LOST: Duration = Duration::from_secs(60);

fn owned(frame: Frame<'_>) -> String {
    frame.text().unwrap().to_owned()
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Waits until it is so.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LOST, "in vain: {what}");
        thread::yield_now();
    }
}

fn receive(egress: &mut Egress<String>) -> String {
    egress.recv(LOST).expect("the record is lost")
}

#[test]
fn connections_come_and_go_and_each_keeps_its_order() {
    let (listener, address) = listener();
    let (env, lines) = (environment(), Collected::new());
    let source = SocketSource::listening(listener).end_when_closed();
    env.source(source).parallelism(2).map(owned).sink(lines.sink());
    let mut clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let job = env.start("lines").unwrap();
    for (number, client) in clients.iter_mut().enumerate() {
        (0..10_000).for_each(|line| writeln!(client, "{number}-{line}").unwrap());
    }
    write!(clients[0], "half").unwrap();
    drop(clients);
    job.wait().unwrap();
    let lines = lines.take();
    for number in 0..3 {
        let of_one = lines.iter().filter_map(|line| line.strip_prefix(&format!("{number}-")));
        assert!(of_one.eq((0..10_000).map(|line| line.to_string())), "connection {number}");
    }
    assert_eq!(lines.len(), 30_001, "and half a line");
}

#[test]
fn a_slot_that_does_not_keep_up_is_felt_at_the_far_end_and_nothing_is_lost() {
    let (listener, address) = listener();
    let (env, (lines, sink)) = (environment(), egress(1));
    env.source(SocketSource::listening(listener).end_when_closed()).map(|_: Frame<'_>| ()).sink(sink);
    let mut client = TcpStream::connect(&address).unwrap();
    // A write that makes no headway for so long is held back; on a slow machine it may look so too early.
    client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let job = env.start("lines").unwrap();
    let (line, mut written) = ("x".repeat(999) + "\n", 0);
    let refused = loop {
        match client.write(&line.as_bytes()[written % line.len()..]) {
            Ok(bytes) => written += bytes,
            Err(error) => break error.kind(),
        }
        assert!(written < 200 << 20, "everything is taken, and nobody takes it out");
    };
    assert_eq!(refused, ErrorKind::WouldBlock);
    drop(client);
    assert_eq!(lines.count(), written.div_ceil(line.len()));
    job.wait().unwrap();
}

#[test]
fn a_frame_that_is_torn_is_counted_and_one_that_is_malformed_fails_or_closes() {
    let (listener, address) = listener();
    let env = environment();
    let source = SocketSource::listening(listener).framing(Framing::length_delimited().max_bytes(10));
    let (counts, (mut frames, sink)) = (source.counts(), egress(4));
    env.source(source.close_malformed()).map(owned).sink(sink);
    let job = env.start("frames").unwrap();
    let mut torn = TcpStream::connect(&address).unwrap();
    torn.write_all(b"\0\0\0\x02ab\0\0\0\x02a").unwrap();
    drop(torn);
    assert_eq!(receive(&mut frames), "ab");
    wait_until("a torn frame is counted", || counts.torn() == 1);
    let mut malformed = TcpStream::connect(&address).unwrap();
    malformed.write_all(b"\0\0\0\x01c\xff\xff\xff\xff").unwrap();
    assert_eq!(receive(&mut frames), "c");
    wait_until("a malformed one is counted", || counts.malformed() == 1);
    assert_eq!((counts.connected(), counts.malformed()), (2, 1));
    job.stop().unwrap();

    let (other, address) = self::listener();
    let env = environment();
    let failing = SocketSource::listening(other).framing(Framing::length_delimited().max_bytes(10));
    env.source(failing).map(owned).sink(callback(|_| ()));
    let job = env.start("fails").unwrap();
    let mut malformed = TcpStream::connect(&address).unwrap();
    malformed.write_all(b"\xff\xff\xff\xff").unwrap();
    let error = job.wait().unwrap_err().to_string();
    let from = malformed.local_addr().unwrap();
    assert!(error.contains(&format!("bad record in {from} at offset 0")), "{error}");
}

#[test]
fn a_source_connects_again_when_the_far_end_comes_back() {
    let (listener, address) = listener();
    let (env, (mut lines, sink)) = (environment(), egress(4));
    let source = SocketSource::connect([&address]);
    let counts = source.counts();
    env.source(source).map(owned).sink(sink);
    let job = env.start("again").unwrap();
    for round in 0..3 {
        let mut far = listener.accept().unwrap().0;
        far.write_all(format!("{round}\n").as_bytes()).unwrap();
        assert_eq!(receive(&mut lines), round.to_string());
    }
    assert!(counts.connected() >= 3 && counts.lost() >= 2, "{counts:?}");
    job.stop().unwrap();
}

#[test]
fn a_source_ends_with_the_far_end_where_it_is_told_to() {
    let (listener, address) = listener();
    let (other, other_address) = self::listener();
    let far = thread::spawn(move || {
        for listener in [listener, other] {
            listener.accept().unwrap().0.write_all(b"x\ny\n").unwrap();
        }
    });
    let (env, lines) = (environment(), Collected::new());
    env.source(SocketSource::connect([address, other_address]).end_when_closed())
        .map(owned)
        .sink(lines.sink());
    env.run("ends").unwrap();
    far.join().unwrap();
    let mut lines = lines.take();
    lines.sort();
    assert_eq!(lines, ["x", "x", "y", "y"]);
}

#[test]
fn who_is_away_before_the_start_and_for_too_long_is_named() {
    let (listener, address) = listener();
    drop(listener);
    let env = environment();
    env.source(SocketSource::connect([&address])).map(owned).sink(SocketSink::connect(&address));
    let error = env.run("away").unwrap_err().to_string();
    let part = format!("\"connect({address})\": {address} cannot be connected: Connection refused");
    assert_eq!(error.matches(&part).count(), 2, "{error}");

    let (listener, address) = self::listener();
    let env = environment();
    let patient = SocketSource::connect([&address]).give_up_after(Duration::from_millis(1));
    env.source(patient).map(owned).sink(callback(|_| ()));
    let job = env.start("gone").unwrap();
    drop(listener);
    let error = job.wait().unwrap_err().to_string();
    assert!(error.contains(&format!("{address} cannot be connected")), "{error}");
}

struct Nowhere;

impl Output<Frames> for Nowhere {
    fn push<'s>(&mut self, _: Frame<'s>, _: &mut Context<'s>) {}
}

#[test]
fn a_connection_that_has_stood_in_silence_is_made_again_however_long_ago_one_failed() {
    let (listener, address) = listener();
    let mut source = SocketSource::connect([&address]).give_up_after(Duration::from_secs(1));
    let (counts, place) = (source.counts(), subtask());
    source.splits().unwrap();
    let mut reader = source.open(&place, &[0]).unwrap();
    let accept = || listener.accept().unwrap().0;
    drop(accept());
    let silent = accept();
    wait_until("it is read from", || counts.connected() == 2);
    place.clock.advance(6_000_000_000);
    drop(silent);
    listener.set_nonblocking(true).unwrap();
    while listener.accept().is_err() {
        let (arena, blame) = (Arena::new(), Blame::default());
        reader.poll(9, &mut Context::new(&arena, &place, &blame, 1), &mut Nowhere).unwrap();
        thread::yield_now();
    }
}

#[test]
fn two_jobs_meet_at_a_unix_socket_and_its_file_goes_with_the_job() {
    let folder = Folder::new("unix");
    let address = format!("unix:{}", folder.file("s"));
    let (reading, lines) = (environment(), Collected::new());
    reading.source(SocketSource::listen(&address).end_when_closed()).map(owned).sink(lines.sink());
    let reader = reading.start("reads").unwrap();
    let again = environment();
    again.source(SocketSource::listen(&address)).map(owned).sink(callback(|_| ()));
    let error = again.run("again").unwrap_err().to_string();
    assert!(error.contains("cannot be listened at: Address already in use"), "{error}");

    let writing = environment();
    let numbers = writing.source(generate(5_000, |i| i)).then("encode", encode(text()));
    numbers.sink(SocketSink::connect(&address));
    writing.run("writes").unwrap();
    reader.wait().unwrap();
    assert!(lines.take().into_iter().eq((0..5_000).map(|i: u64| i.to_string())));
    wait_until("the socket's file goes", || !std::fs::exists(folder.file("s")).unwrap());
}

#[test]
fn a_sink_connects_again_and_goes_on() {
    let (listener, address) = listener();
    let ((mut lines, source), env) = (ingress(4), environment());
    let sink = SocketSink::connect(&address);
    let counts = sink.counts();
    env.source(source).sink(sink);
    let job = env.start("sends").unwrap();
    let first = listener.accept().unwrap().0;
    lines.try_push("one".to_string()).unwrap();
    let mut line = String::new();
    let mut first = BufReader::new(first);
    first.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    drop(first);
    let began = Instant::now();
    while counts.connected() < 2 {
        assert!(began.elapsed() < LOST, "it does not connect again");
        let _ = lines.try_push("lost or not".to_string());
        thread::yield_now();
    }
    let second = listener.accept().unwrap().0;
    while lines.try_push("last".to_string()).is_err() {
        thread::yield_now();
    }
    drop(lines);
    let received: Vec<String> = BufReader::new(second).lines().map(Result::unwrap).collect();
    assert_eq!(received.last().unwrap(), "last");
    job.wait().unwrap();
}
