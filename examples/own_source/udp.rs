//! A source, an operator and a sink of one's own: datagrams in, datagrams out.

use std::io::ErrorKind::WouldBlock;
use std::net::UdpSocket;

use slotflow::prelude::*;
use slotflow::runtime::{
    Cloned, Polled, Sink, SinkWriter, Source, SourceReader, SplitId, Splits, SubtaskContext, Untimed,
};

use super::{Checked, check};

/// How soon an empty socket is looked at again: nobody wakes the slot when a datagram arrives.
const POLL_INTERVAL_NS: u64 = 100_000;

/// The datagrams of a socket; there is one socket, so one subtask reads it.
struct UdpSource(UdpSocket);

impl Source for UdpSource {
    type Reader = UdpReader;
    fn describe(&self) -> String {
        "udp source".into()
    }
    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::Single)
    }
    fn open(&mut self, _: &SubtaskContext, _: &[SplitId]) -> Result<UdpReader> {
        self.0.set_nonblocking(true).map_err(Error::user)?;
        Ok(UdpReader { socket: self.0.try_clone().map_err(Error::user)?, datagram: [0; 1500] })
    }
}

struct UdpReader {
    socket: UdpSocket,
    datagram: [u8; 1500],
}

impl SourceReader for UdpReader {
    type Item = Borrowed<[u8]>;
    type Time = Untimed;
    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Borrowed<[u8]>>,
    ) -> Result<Polled> {
        for received in 0..budget {
            match self.socket.recv(&mut self.datagram) {
                Ok(0) => return Ok(Polled::End),
                // Lent for this step: the arena keeps it until then.
                Ok(length) => out.push(ctx.arena().copy_bytes(&self.datagram[..length]), ctx),
                Err(error) if error.kind() != WouldBlock => return Err(Error::user(error)),
                Err(_) if received > 0 => return Ok(Polled::Records(received)),
                Err(_) => return Ok(Polled::Until(ctx.now_ns() + POLL_INTERVAL_NS)),
            }
        }
        Ok(Polled::Records(budget))
    }
}

/// Sends each record as a datagram; what the network loses is lost.
struct UdpSink {
    to: String,
}

impl Sink<Borrowed<[u8]>> for UdpSink {
    type Writer = UdpWriter;
    fn describe(&self) -> String {
        "udp sink".into()
    }
    fn open(&mut self, _: &SubtaskContext) -> Result<UdpWriter> {
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(Error::user)?;
        socket.connect(&self.to).map_err(Error::user)?;
        Ok(UdpWriter(socket))
    }
}

struct UdpWriter(UdpSocket);

impl SinkWriter<Borrowed<[u8]>> for UdpWriter {
    fn write<'s>(&mut self, record: &'s [u8], ctx: &mut Context<'s>) {
        if let Err(error) = self.0.send(record) {
            ctx.fail(Error::user(error));
        }
    }
}

/// An operator of one's own: builds each record in the step's arena.
#[derive(Clone)]
struct Uppercase;

impl Operator<Borrowed<[u8]>> for Uppercase {
    type Out = Borrowed<[u8]>;
    fn process<'s>(&mut self, line: &'s [u8], ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>) {
        let upper = ctx.arena().slice_with(line.len(), |i| line[i].to_ascii_uppercase());
        out.push(upper, ctx);
    }
}

/// Sends lines to itself, runs them through a job, receives what the job sends and checks it. An empty datagram is the
/// end.
pub fn run(lines: usize) -> Checked {
    let (input, output) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    let (host, to) = (UdpSocket::bind("127.0.0.1:0")?, output.local_addr()?.to_string());
    host.connect(input.local_addr()?)?;
    output.set_nonblocking(true)?;

    let env = Environment::new()?;
    env.source(UdpSource(input)).then("uppercase", Cloned(Uppercase)).sink(UdpSink { to });
    let job = env.start("own source")?;
    for line in 0..lines {
        host.send(format!("line {line}").as_bytes())?;
    }
    host.send(&[])?;
    job.wait()?;

    let mut datagram = [0; 1500];
    for line in 0..lines {
        let length = output.recv(&mut datagram)?;
        let received = std::str::from_utf8(&datagram[..length])?;
        check(received, &format!("LINE {line}"))?;
    }
    println!("udp: {lines} lines went through the job and came back in order");
    Ok(())
}
