//! What a source of streams is told.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use slotflow_runtime::{Clock, Error, Result, Source, SplitId, Splits, SubtaskContext};

use super::accepting::{Accepting, WhenClosed};
use super::connecting::{Connecting, Dialling, away};
use super::connection::{Connection, Listener, SocketFile};
use super::open::{EndWith, Open};
use super::reading::{OnMalformed, Reading};
use super::{Address, SocketCounts};
use crate::frames::{FrameReader, Framing, Piece, Silence, feed};

/// How many connections a listening source has at once, unless it is said otherwise (a guess: each has a thread).
const CONNECTIONS: usize = 256;

/// How many blocks of at most 64 KiB are read ahead for each subtask (a guess: a burst, and no more memory than that).
const BLOCKS: usize = 8;

/// How long connecting may take before the start, and each time, unless it is said otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads streams over TCP or Unix sockets: lines, or frames behind their length, as
/// [`Frame`](crate::frames::Frame) lent from the block that was read; a format makes records of them (see
/// [`formats`](crate::formats)).
///
/// It listens, and then all subtasks take connections, whoever is first; or it connects to addresses, which are spread
/// over the subtasks. Each connection is a split for event time, whose number is used again when it is closed; the
/// order of its frames holds. A far end over TCP that is gone without a word is noticed within some two minutes, and
/// counts as broken. A connection has a thread on the I/O cores. Where the slot does not keep up, nothing is
/// read, and the far end feels a full window.
///
/// There are no offsets: what was read ahead when a job fails, stops or is drained is lost, unless the far end sends it
/// again. Half a line at the
/// end of a connection that was closed is a line; half of anything on one that broke is dropped and counted.
///
/// ```
/// # use slotflow::prelude::*;
/// use std::io::Write;
/// use std::net::{TcpListener, TcpStream};
/// use slotflow::io::frames::Frame;
/// use slotflow::io::net::SocketSource;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let (env, lines) = (Environment::with(Config::default()), Collected::new());
/// env.source(SocketSource::listening(listener).end_when_closed())
///     .try_map(|line: Frame<'_>| line.text().map(str::to_owned))
///     .sink(lines.sink());
/// let job = env.start("lines")?;
/// client.write_all(b"to be\nor not\n")?;
/// drop(client);
/// job.wait()?;
/// assert_eq!(lines.take(), ["to be", "or not"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SocketSource {
    end: End,
    framing: Framing,
    connections: usize,
    connect_timeout: Duration,
    give_up_after: Option<Duration>,
    malformed: OnMalformed,
    when_closed: WhenClosed,
    counts: SocketCounts,
    /// All subtasks that listen do so together.
    open: Open,
}

/// Which end of connections it is.
#[derive(Debug)]
enum End {
    Listens { at: Option<Address>, bound: Option<Arc<Listener>>, file: Option<Arc<SocketFile>> },
    Connects { to: Vec<Address>, made: Vec<Option<Connection>> },
}

impl SocketSource {
    /// Listens at an address, such as `0.0.0.0:9000` or `unix:/run/quotes`; lines by default. The file of a Unix socket
    /// must not be there, and goes with the job.
    pub fn listen(at: impl Into<Address>) -> SocketSource {
        SocketSource::of(End::Listens { at: Some(at.into()), bound: None, file: None })
    }

    /// Listens with a socket that is bound already.
    pub fn listening(listener: TcpListener) -> SocketSource {
        let bound = Some(Arc::new(Listener::Tcp(listener)));
        SocketSource::of(End::Listens { at: None, bound, file: None })
    }

    /// Connects to addresses, each a split; lines by default. What breaks or is closed is connected to again, behind
    /// pauses that double from 50 ms to 5 s.
    pub fn connect<A: Into<Address>>(to: impl IntoIterator<Item = A>) -> SocketSource {
        SocketSource::of(End::Connects { to: to.into_iter().map(Into::into).collect(), made: Vec::new() })
    }

    fn of(end: End) -> SocketSource {
        SocketSource {
            end,
            framing: Framing::lines(),
            connections: CONNECTIONS,
            connect_timeout: CONNECT_TIMEOUT,
            give_up_after: None,
            malformed: OnMalformed::FailJob,
            when_closed: WhenClosed::GoOn,
            counts: SocketCounts::default(),
            open: Open::default(),
        }
    }

    /// How frames are told apart (default [`Framing::lines`]).
    #[must_use]
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// How many connections there are at once when it listens (default 256); others wait in the system's queue.
    #[must_use]
    pub fn connections(mut self, most: usize) -> Self {
        self.connections = most.max(1);
        self
    }

    /// How long connecting may take (default 10 s); before the start, an address that does not answer is an error.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Fails the job when an address could not be connected to again for so long; by default it is tried for ever.
    #[must_use]
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.give_up_after = Some(time);
        self
    }

    /// Closes a connection on which a frame is malformed, a length or a line that is too long, and counts it. By
    /// default that fails the job.
    #[must_use]
    pub fn close_malformed(mut self) -> Self {
        self.malformed = OnMalformed::CloseConnection;
        self
    }

    /// Ends when the far end closes: a subtask that connects when all its addresses have, all that listen when there
    /// has been a connection and the last is closed. By default the source never ends.
    #[must_use]
    pub fn end_when_closed(mut self) -> Self {
        self.when_closed = WhenClosed::End;
        self
    }

    /// What has happened to its connections; to be read while the job runs.
    pub fn counts(&self) -> SocketCounts {
        self.counts.clone()
    }

    fn reading(&self, to: crate::frames::Feeder<Piece>) -> Reading {
        Reading { framing: self.framing, malformed: self.malformed, to, counts: self.counts.clone() }
    }

    fn dialling(&self, to: Address, open: Open, clock: Clock) -> Dialling {
        let (connect_timeout, give_up_after) = (self.connect_timeout, self.give_up_after);
        Dialling { to, connect_timeout, give_up_after, open, counts: self.counts.clone(), clock }
    }

    /// Takes connections for one subtask.
    fn accept(&self, subtask: &SubtaskContext, reading: Reading) -> Result<Option<Arc<SocketFile>>> {
        let End::Listens { bound, file, .. } = &self.end else { return Ok(None) };
        let listener =
            bound.clone().ok_or_else(|| Error::bug("a source was opened before it was checked"))?;
        let noted = listener.try_clone().map_err(|error| {
            Error::world(
                format!("the listening socket cannot be shared: {error}"),
                "raise the limit of descriptors (ulimit -n)",
            )
        });
        self.open.listen(noted?);
        let (open, most, end, io) =
            (self.open.clone(), self.connections, self.when_closed, subtask.io.clone());
        let accepting = Accepting { reading, open, most, end, io };
        subtask.io.spawn("slotflow-socket", move || accepting.run(&listener))?;
        Ok(file.clone())
    }

    /// Connects to the addresses of one subtask.
    fn dial(
        &mut self,
        subtask: &SubtaskContext,
        splits: &[SplitId],
        reading: &Reading,
        open: &Open,
    ) -> Result<()> {
        let left = Arc::new(AtomicUsize::new(splits.len()));
        for &split in splits {
            let End::Connects { to, made } = &mut self.end else { return Ok(()) };
            let (to, first) = (to[split as usize].clone(), made[split as usize].take());
            let (reading, left) = (reading.clone(), left.clone());
            let dialling = self.dialling(to, open.clone(), subtask.clock.clone());
            let connecting = Connecting { dialling, reading, split, end: self.when_closed, left };
            subtask.io.spawn("slotflow-socket", move || connecting.run(first))?;
        }
        Ok(())
    }
}

/// Binds a listening socket; the file of a Unix socket goes with it.
fn bind(at: &Address) -> Result<(Listener, Option<PathBuf>)> {
    let listener = Listener::bind(at).map_err(|error| {
        let remedy = "stop who listens there, remove a Unix socket that nobody uses, or give another address";
        Error::world(format!("{at} cannot be listened at: {error}"), remedy)
    })?;
    let Address::Unix(path) = at else { return Ok((listener, None)) };
    Ok((listener, Some(path.clone())))
}

impl Source for SocketSource {
    type Reader = FrameReader;

    fn describe(&self) -> String {
        match &self.end {
            End::Listens { at: Some(at), .. } => format!("listen({at})"),
            End::Listens { at: None, .. } => "listen".into(),
            End::Connects { to, .. } => {
                let to: Vec<String> = to.iter().map(Address::to_string).collect();
                format!("connect({})", to.join(", "))
            }
        }
    }

    fn settings(&self) -> Vec<String> {
        let end = match self.when_closed {
            WhenClosed::GoOn => "goes on when connections are closed",
            WhenClosed::End => "ends when connections are closed",
        };
        vec![self.framing.to_string(), end.into()]
    }

    fn splits(&mut self) -> Result<Splits> {
        match &mut self.end {
            End::Listens { at, bound, file } => {
                if let (Some(at), None) = (at, &bound) {
                    let (listener, path) = bind(at)?;
                    *bound = Some(Arc::new(listener));
                    *file = path.map(|path| Arc::new(SocketFile(path)));
                }
                Ok(Splits::PerSubtask)
            }
            End::Connects { to, .. } if to.is_empty() => Err(Error::world(
                "there is no address to connect to",
                "give SocketSource::connect at least one",
            )),
            End::Connects { to, made } => {
                let dial = |to: &Address| {
                    let connection = Connection::connect(to, self.connect_timeout);
                    connection.map(Some).map_err(|error| away(to, &error))
                };
                *made = to.iter().map(dial).collect::<Result<_>>()?;
                Ok(Splits::Count(to.len() as u32))
            }
        }
    }

    fn open(&mut self, subtask: &SubtaskContext, splits: &[SplitId]) -> Result<FrameReader> {
        let connects = matches!(self.end, End::Connects { .. });
        if connects && splits.is_empty() {
            return Ok(FrameReader::without_splits(self.framing));
        }
        let (to, fed) = feed(BLOCKS, subtask.waker.clone());
        let reading = self.reading(to);
        let open = if connects { Open::default() } else { self.open.clone() };
        let ends = EndWith(open.clone());
        let file = if connects {
            self.dial(subtask, splits, &reading, &open)?;
            None
        } else {
            self.accept(subtask, reading)?
        };
        Ok(FrameReader::new(self.framing, fed, Silence::IsIdle, None, Box::new((ends, file))))
    }
}
