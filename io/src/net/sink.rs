//! What a sink of streams is told.

use std::time::Duration;

use slotflow_runtime::{Family, Guarantee, Result, Sink, SubtaskContext};

use super::connecting::{Dialling, away};
use super::connection::Connection;
use super::open::{EndWith, Open};
use super::writing::Writing;
use super::{Address, SocketCounts};
use crate::frames::{FrameWriter, Framing};

/// How long connecting may take before the start, and each time, unless it is said otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes records that are bytes to a stream over TCP or a Unix socket, as lines or behind their length; a format makes
/// bytes of others (see [`encode`](crate::formats::encode)). Each subtask has a connection of its own, with a thread on
/// the I/O cores.
///
/// Best effort: a record has arrived when the system has taken it for the connection. What the system had not delivered
/// when a connection breaks is lost, and what was being written then, at most a block of some 64 KiB, is written again
/// from its beginning to the next connection. While there is none, and while the far end does not read, a bounded
/// number of records waits, and the job is held back.
///
/// ```
/// # use slotflow::prelude::*;
/// use std::net::TcpListener;
/// use slotflow::io::net::SocketSink;
///
/// let far = TcpListener::bind("127.0.0.1:0")?;
/// let reading = std::thread::spawn({
///     let far = far.try_clone()?;
///     move || std::io::read_to_string(far.accept()?.0)
/// });
/// let env = Environment::with(Config::default());
/// env.source(from_iterator(["to be", "or not"])).sink(SocketSink::connect(far.local_addr()?.to_string()));
/// env.run("send")?;
/// assert_eq!(reading.join().unwrap()?, "to be\nor not\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SocketSink {
    to: Address,
    framing: Framing,
    connect_timeout: Duration,
    give_up_after: Option<Duration>,
    counts: SocketCounts,
    /// Made before the start, for the first subtask.
    made: Option<Connection>,
}

impl SocketSink {
    /// Connects to an address, such as `10.0.0.7:9000` or `unix:/run/orders`; lines by default. A connection that
    /// breaks is made again, behind pauses that double from 50 ms to 5 s.
    pub fn connect(to: impl Into<Address>) -> SocketSink {
        let (to, framing, counts) = (to.into(), Framing::lines(), SocketCounts::default());
        SocketSink { to, framing, connect_timeout: CONNECT_TIMEOUT, give_up_after: None, counts, made: None }
    }

    /// How frames are told apart (default [`Framing::lines`]).
    #[must_use]
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// How long connecting may take (default 10 s); before the start, an address that does not answer is an error.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Fails the job when the address could not be connected to again for so long; by default it is tried for ever.
    #[must_use]
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.give_up_after = Some(time);
        self
    }

    /// What has happened to its connections; to be read while the job runs.
    pub fn counts(&self) -> SocketCounts {
        self.counts.clone()
    }
}

impl<F: Family> Sink<F> for SocketSink
where
    for<'s> F::Of<'s>: AsRef<[u8]>,
{
    type Writer = FrameWriter;

    fn describe(&self) -> String {
        format!("connect({})", self.to)
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::BestEffort
    }

    fn settings(&self) -> Vec<String> {
        vec![self.framing.to_string()]
    }

    fn check(&mut self) -> Result<()> {
        let made = Connection::connect(&self.to, self.connect_timeout);
        self.made = Some(made.map_err(|error| away(&self.to, &error))?);
        Ok(())
    }

    fn open(&mut self, subtask: &SubtaskContext) -> Result<FrameWriter> {
        let open = Open::default();
        let (writer, orders, progress) = FrameWriter::new(self.framing, subtask);
        let writer = writer.ending(EndWith(open.clone()));
        let (to, connect_timeout, give_up_after) =
            (self.to.clone(), self.connect_timeout, self.give_up_after);
        let (counts, clock) = (self.counts.clone(), subtask.clock.clone());
        let dialling = Dialling { to, connect_timeout, give_up_after, open, counts, clock };
        let writing = Writing::new(dialling, orders, progress);
        let made = self.made.take();
        subtask.io.spawn("slotflow-socket", move || writing.run(made))?;
        Ok(writer)
    }
}
