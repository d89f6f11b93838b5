//! Datagrams, read on the slot itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use slotflow_runtime::{
    Context, Error, Output, Polled, Result, Source, SourceReader, SplitId, Splits, SubtaskContext, Untimed,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::datagrams::{BATCH, Datagrams};
use crate::frames::{Frame, Frames};

/// How large a datagram may be unless it is said otherwise: what fits a frame of Ethernet, and some more.
const MAX_BYTES: usize = 2048;

/// No datagram is larger.
const MOST_BYTES: usize = 65_535;

/// How soon an empty socket is looked at again unless it is said otherwise (a guess: some hundred instructions each
/// time, a fraction of a percent of a core).
const POLL_EVERY: Duration = Duration::from_micros(100);

/// Reads datagrams of a UDP socket, each a [`Frame`] whose offset is its number; one subtask reads all of them. For
/// market data: [join](UdpSource::join) the groups and [poll busily](UdpSource::busy_poll).
///
/// The slot reads the socket itself, up to 64 datagrams a system call. No thread wakes it: it looks again every
/// 100 us, or in every round.
///
/// Best effort: UDP loses datagrams. Those that the system drops because the socket's buffer is full are counted, and
/// so are those that are longer than [`max_bytes`](UdpSource::max_bytes), which are left out.
///
/// ```
/// # use slotflow::{io::egress, prelude::*};
/// use std::net::UdpSocket;
/// use std::time::Duration;
/// use slotflow::io::frames::Frame;
/// use slotflow::io::net::UdpSource;
///
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// let to = socket.local_addr()?;
/// let (env, (mut ticks, sink)) = (Environment::with(Config::default()), egress(16));
/// env.source(UdpSource::on(socket)).map(|tick: Frame<'_>| tick.bytes().len()).sink(sink);
/// let job = env.start("ticks")?;
/// UdpSocket::bind("127.0.0.1:0")?.send_to(b"tick", to)?;
/// assert_eq!(ticks.recv(Duration::from_secs(60)), Ok(4));
/// job.stop()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UdpSource {
    at: String,
    socket: Option<UdpSocket>,
    groups: Vec<(IpAddr, Ipv4Addr)>,
    max_bytes: usize,
    receive_buffer_bytes: Option<usize>,
    poll_every: Duration,
    counts: UdpCounts,
}

impl UdpSource {
    /// The datagrams that come to this address, `HOST:PORT`. Several processes may bind it, which each get those of a
    /// multicast group.
    pub fn bind(at: impl Into<String>) -> UdpSource {
        UdpSource {
            at: at.into(),
            socket: None,
            groups: Vec::new(),
            max_bytes: MAX_BYTES,
            receive_buffer_bytes: None,
            poll_every: POLL_EVERY,
            counts: UdpCounts::default(),
        }
    }

    /// The datagrams that come to a socket that is bound already.
    pub fn on(socket: UdpSocket) -> UdpSource {
        let at = socket.local_addr().map_or("a socket".into(), |at| at.to_string());
        UdpSource { socket: Some(socket), ..UdpSource::bind(at) }
    }

    /// Joins a multicast group, on the interface that the system chooses. What comes to groups that only others on this
    /// machine have joined is left out; over IPv6 only where the group's own address is bound.
    #[must_use]
    pub fn join(self, group: IpAddr) -> Self {
        self.join_on(group, Ipv4Addr::UNSPECIFIED)
    }

    /// Joins a multicast group on the interface of this address; for IPv6 the system chooses it.
    #[must_use]
    pub fn join_on(mut self, group: IpAddr, interface: Ipv4Addr) -> Self {
        self.groups.push((group, interface));
        self
    }

    /// How large a datagram may be (default 2,048 bytes, at least 1 and at most 65,535): larger ones are left out and
    /// counted.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes.clamp(1, MOST_BYTES);
        self
    }

    /// How much the system keeps for a slot that does not keep up; by default its own setting
    /// (`net.core.rmem_default`), and never more than `net.core.rmem_max`.
    #[must_use]
    pub fn receive_buffer_bytes(mut self, bytes: usize) -> Self {
        self.receive_buffer_bytes = Some(bytes);
        self
    }

    /// How soon an empty socket is looked at again (default 100 us).
    #[must_use]
    pub fn poll_every(mut self, period: Duration) -> Self {
        self.poll_every = period;
        self
    }

    /// Looks at the socket in every round: its slot's core never sleeps, whatever `slots.idle` says.
    #[must_use]
    pub fn busy_poll(self) -> Self {
        self.poll_every(Duration::ZERO)
    }

    /// What was dropped; to be read while the job runs.
    pub fn counts(&self) -> UdpCounts {
        self.counts.clone()
    }

    fn make(&self) -> io::Result<UdpSocket> {
        let at: SocketAddr = self.at.parse().map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "an address is a number and a port, such as 0.0.0.0:9000",
            )
        })?;
        let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&at.into())?;
        Ok(socket.into())
    }

    fn prepare(&self, socket: &UdpSocket) -> io::Result<()> {
        if let Some(bytes) = self.receive_buffer_bytes {
            socket2::SockRef::from(socket).set_recv_buffer_size(bytes)?;
        }
        Datagrams::tell_drops(socket)?;
        self.groups.iter().try_for_each(|(group, interface)| match group {
            IpAddr::V4(group) => {
                Datagrams::only_own_groups(socket)?;
                socket.join_multicast_v4(group, interface)
            }
            IpAddr::V6(group) => socket.join_multicast_v6(group, 0),
        })
    }

    fn refused(&self, what: &str, error: &io::Error) -> Error {
        let remedy = "give an address and an interface of this machine, and a group that is multicast";
        Error::world(format!("{} cannot be {what}: {error}", self.at), remedy)
    }
}

impl Source for UdpSource {
    type Reader = UdpReader;

    fn describe(&self) -> String {
        format!("udp({})", self.at)
    }

    fn settings(&self) -> Vec<String> {
        let polls = if self.poll_every.is_zero() {
            "polled busily".into()
        } else {
            format!("looked at every {:?}", self.poll_every)
        };
        vec![polls]
    }

    fn splits(&mut self) -> Result<Splits> {
        if self.socket.is_none() {
            self.socket = Some(self.make().map_err(|error| self.refused("bound", &error))?);
        }
        let prepared = self.socket.as_ref().map_or(Ok(()), |socket| self.prepare(socket));
        prepared.map_err(|error| self.refused("listened at", &error))?;
        // Whoever is asked again has joined them already.
        self.groups.clear();
        Ok(Splits::Single)
    }

    fn open(&mut self, _: &SubtaskContext, splits: &[SplitId]) -> Result<UdpReader> {
        let socket = if splits.is_empty() { None } else { self.socket.take() };
        Ok(UdpReader {
            socket,
            datagrams: Datagrams::new(self.max_bytes),
            origin: self.describe(),
            received: 0,
            // A year is for ever, and can be added to a clock.
            poll_every_ns: self.poll_every.as_nanos().min(365 * 24 * 3_600 * 1_000_000_000) as u64,
            counts: self.counts.clone(),
        })
    }
}

/// Reads a socket.
pub struct UdpReader {
    /// None at a subtask that has nothing to read.
    socket: Option<UdpSocket>,
    datagrams: Datagrams,
    origin: String,
    received: u64,
    poll_every_ns: u64,
    counts: UdpCounts,
}

impl UdpReader {
    /// Takes a batch, and notes what was dropped before it.
    fn receive(&mut self, budget: usize) -> Result<usize> {
        let Some(socket) = &self.socket else { return Ok(0) };
        let batch = match self.datagrams.receive(socket, budget.min(BATCH)) {
            Err(error) if is_passing(&error) => 0,
            batch => batch.map_err(|error| {
                Error::world(
                    format!("{} cannot be read: {error}", self.origin),
                    "look at the network, and start again",
                )
            })?,
        };
        self.counts.add_dropped(self.datagrams.dropped());
        Ok(batch)
    }
}

/// Nothing is there, or somebody whom nobody wrote to has refused something.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::WouldBlock | Kind::Interrupted | Kind::ConnectionRefused)
}

impl SourceReader for UdpReader {
    type Item = Frames;
    type Time = Untimed;

    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Frames>,
    ) -> Result<Polled> {
        let batch = self.receive(budget)?;
        if batch == 0 && self.socket.is_none() {
            return Ok(Polled::End);
        }
        if batch == 0 {
            return Ok(Polled::Until(ctx.now_ns() + self.poll_every_ns));
        }
        let first = self.received;
        self.received += batch as u64;
        let UdpReader { datagrams, origin, counts, .. } = self;
        let datagrams: &'s Datagrams = datagrams;
        for number in 0..batch {
            match datagrams.datagram(number) {
                Some(bytes) => out.push(Frame::new(bytes, origin, first + number as u64), ctx),
                None => counts.add_too_long(),
            }
        }
        Ok(Polled::Records(batch))
    }

    fn idle(&self) -> bool {
        self.socket.is_none()
    }
}

/// What a source of datagrams has not given; to be read while the job runs.
#[derive(Clone, Debug, Default)]
pub struct UdpCounts(Arc<(AtomicU64, AtomicU64)>);

impl UdpCounts {
    /// How many datagrams the system has dropped because the socket's buffer was full: raise
    /// [`receive_buffer_bytes`](UdpSource::receive_buffer_bytes). Known once one comes behind them.
    pub fn dropped(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    /// How many were longer than [`max_bytes`](UdpSource::max_bytes).
    pub fn too_long(&self) -> u64 {
        self.0.1.load(Ordering::Relaxed)
    }

    #[inline]
    fn add_dropped(&self, datagrams: u32) {
        if datagrams > 0 {
            self.0.0.fetch_add(u64::from(datagrams), Ordering::Relaxed);
        }
    }

    #[cold]
    fn add_too_long(&self) {
        self.0.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::subtask;
    use slotflow_runtime::{Arena, Blame};

    use super::*;

    /// Takes note of how long datagrams are.
    struct Lengths(Vec<usize>);

    impl Output<Frames> for Lengths {
        fn push<'s>(&mut self, frame: Frame<'s>, _: &mut Context<'s>) {
            self.0.push(frame.bytes().len());
        }
    }

    /// Asks at a time of 1,000 ns.
    fn poll(reader: &mut UdpReader, lengths: &mut Lengths) -> Polled {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        reader.poll(9, &mut Context::new(&arena, &place, &blame, 1_000), lengths).unwrap()
    }

    /// What a source says of an empty socket, and of one at which a datagram waits, which is given, too.
    fn polled(describe: fn(UdpSource) -> UdpSource) -> (Polled, Polled, Vec<usize>) {
        let (to, from) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        from.connect(to.local_addr().unwrap()).unwrap();
        let mut source = describe(UdpSource::on(to));
        source.splits().unwrap();
        let mut reader = source.open(&subtask(), &[0]).unwrap();
        let mut lengths = Lengths(Vec::new());
        let empty = poll(&mut reader, &mut lengths);
        from.send(b"tick").unwrap();
        let mut filled = poll(&mut reader, &mut lengths);
        // Some kernels bring it a little later.
        while matches!(filled, Polled::Until(_)) {
            filled = poll(&mut reader, &mut lengths);
        }
        (empty, filled, lengths.0)
    }

    #[test]
    fn an_empty_socket_is_due_at_once_where_it_is_polled_busily_and_later_where_it_is_not() {
        let tick = |due_ns| (Polled::Until(due_ns), Polled::Records(1), vec![4]);
        assert_eq!(polled(UdpSource::busy_poll), tick(1_000));
        assert_eq!(polled(|it| it), tick(101_000));
        assert_eq!(polled(|it| it.poll_every(Duration::MAX)), tick(1_000 + 365 * 24 * 3_600 * 1_000_000_000));
    }
}
