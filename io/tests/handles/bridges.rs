//! Queues of the host's, and datagrams.

use std::net::UdpSocket;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use slotflow::io::bridges::{from_receiver, to_sender};
use slotflow::io::egress;
use slotflow::io::frames::Frame;
use slotflow::io::net::UdpSource;
use slotflow::prelude::*;

use super::folder::environment;

/// A test that is still waiting after this has lost something.
const LOST: Duration = Duration::from_secs(60);

#[test]
fn every_record_goes_through_two_queues_in_order_whatever_their_size() {
    for capacity in [0, 1, 64] {
        let ((to, records), (results, from)) = (sync_channel(capacity), sync_channel(capacity));
        let env = environment();
        env.source(from_receiver(records)).map(|n: u64| n + 1).sink(to_sender(results));
        let job = env.start("through").unwrap();
        let sending = thread::spawn(move || (0..500).for_each(|n| to.send(n).unwrap()));
        assert!(from.iter().eq(1..=500), "capacity {capacity}");
        sending.join().unwrap();
        job.wait().unwrap();
    }
}

#[test]
fn a_receiver_that_is_dropped_fails_the_job() {
    let (results, from) = sync_channel(1);
    drop(from);
    let env = environment();
    env.source(generate(10, |n| n)).sink(to_sender(results));
    let error = env.run("dropped").unwrap_err().to_string();
    assert!(error.contains("the receiver of a sink was dropped"), "{error}");
}

#[test]
fn a_sender_is_told_when_the_job_has_stopped() {
    let (to, records) = sync_channel::<u64>(0);
    let env = environment();
    env.source(from_receiver(records)).sink(callback(|_| ()));
    let job = env.start("stopped").unwrap();
    to.send(1).unwrap();
    job.stop().unwrap();
    // The first may still be taken by the thread between.
    while to.send(2).is_ok() {}
}

#[cfg(feature = "tokio")]
#[test]
fn every_record_goes_through_two_queues_of_tokio_in_order() {
    use slotflow::io::bridges::{from_tokio, to_tokio};
    use tokio::sync::mpsc;

    for capacity in [1, 64] {
        let ((to, records), (results, mut from)) = (mpsc::channel(capacity), mpsc::channel(capacity));
        let env = environment();
        env.source(from_tokio(records)).map(|n: u64| n + 1).sink(to_tokio(results));
        let job = env.start("through").unwrap();
        let sending = thread::spawn(move || (0..500).for_each(|n| to.blocking_send(n).unwrap()));
        (1..=500).for_each(|n| assert_eq!(from.blocking_recv(), Some(n), "capacity {capacity}"));
        sending.join().unwrap();
        job.wait().unwrap();
    }
}

/// Sends to a source until it gives something: datagrams before its start may be anybody's.
fn send_and_receive(source: UdpSource, from: &UdpSocket, sent: &[u8]) -> String {
    let (env, (mut texts, sink)) = (environment(), egress(16));
    env.source(source).map(|it: Frame<'_>| format!("{}:{}", it.offset(), it.text().unwrap())).sink(sink);
    let job = env.start("datagrams").unwrap();
    from.send(sent).unwrap();
    let text = texts.recv(LOST).expect("the datagram is lost");
    job.stop().unwrap();
    text
}

#[test]
fn datagrams_come_as_they_were_sent_and_those_that_are_too_long_are_counted() {
    let (to, from) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    from.connect(to.local_addr().unwrap()).unwrap();
    from.send(b"too long").unwrap();
    let source = UdpSource::on(to).busy_poll().max_bytes(4).receive_buffer_bytes(1 << 16);
    let counts = source.counts();
    assert_eq!(send_and_receive(source, &from, b"tick"), "1:tick");
    assert_eq!((counts.too_long(), counts.dropped()), (1, 0));
}

#[test]
fn a_group_is_joined_by_several_and_an_address_that_is_none_is_told() {
    let source = |at: &str| UdpSource::bind(at).join_on([239, 7, 7, 7].into(), [127, 0, 0, 1].into());
    // A port that is free: two readers of a group have the same one.
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let at = format!("0.0.0.0:{port}");
    let from = UdpSocket::bind("127.0.0.1:0").unwrap();
    from.connect(("239.7.7.7", port)).unwrap();
    let other = environment();
    other.source(source(&at)).map(|_: Frame<'_>| ()).sink(callback(|_| ()));
    let beside = other.start("beside").unwrap();
    assert_eq!(send_and_receive(source(&at), &from, b"tick"), "0:tick");

    // Who has joined another group hears nothing of this one.
    let (env, (mut texts, sink)) = (environment(), egress(16));
    let other_group = UdpSource::bind(&at).join_on([239, 7, 7, 8].into(), [127, 0, 0, 1].into());
    env.source(other_group).map(|it: Frame<'_>| it.text().unwrap().to_owned()).sink(sink);
    let job = env.start("other group").unwrap();
    from.send(b"not joined").unwrap();
    from.send_to(b"joined", ("239.7.7.8", port)).unwrap();
    assert_eq!(texts.recv(LOST).expect("the datagram is lost"), "joined");
    job.stop().unwrap();
    beside.stop().unwrap();

    let env = environment();
    env.source(source("localhost:1")).map(|_: Frame<'_>| ()).sink(callback(|_| ()));
    let error = env.run("none").unwrap_err().to_string();
    assert!(error.contains("localhost:1 cannot be bound: an address is a number and a port"), "{error}");
}
