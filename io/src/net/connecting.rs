//! Connects to an address again and again, on a thread of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use slotflow_runtime::{Clock, Error, SplitId};

use super::Address;
use super::accepting::WhenClosed;
use super::backoff::Backoff;
use super::connection::Connection;
use super::counts::{Count, SocketCounts};
use super::open::Open;
use super::reading::{Ended, Reading};
use crate::frames::{Gone, Piece};

/// How one address is connected to.
#[derive(Clone)]
pub(super) struct Dialling {
    pub to: Address,
    pub connect_timeout: Duration,
    pub give_up_after: Option<Duration>,
    pub open: Open,
    pub counts: SocketCounts,
    pub clock: Clock,
}

impl Dialling {
    pub fn backoff(&self) -> Backoff {
        Backoff::new(self.give_up_after, self.clock.clone())
    }

    /// A connection, noted for the end, as soon as there is one; none when the end has begun.
    ///
    /// # Errors
    /// It was tried for long enough.
    pub fn dial(&self, backoff: &mut Backoff) -> Result<Option<(Connection, SplitId)>, Error> {
        while !self.open.has_ended() {
            match Connection::connect(&self.to, self.connect_timeout).and_then(|made| self.note(made)) {
                Ok(noted) => return Ok(noted),
                Err(error) => self.wait(backoff, &error)?,
            }
        }
        Ok(None)
    }

    /// Notes a connection.
    pub fn note(&self, connection: Connection) -> io::Result<Option<(Connection, SplitId)>> {
        let noted = self.open.add(connection.try_clone()?);
        Ok(noted.map(|split| (connection, split)))
    }

    /// Pauses behind a failure.
    pub fn wait(&self, backoff: &mut Backoff, error: &io::Error) -> Result<(), Error> {
        self.counts.warn(Count::Lost, &format!("{} is not connected: {error}", self.to));
        match backoff.pause() {
            Some(pause) => {
                self.open.pause(pause);
                Ok(())
            }
            None => Err(away(&self.to, error)),
        }
    }
}

/// An address that does not answer.
pub(super) fn away(to: &Address, error: &io::Error) -> Error {
    let remedy = "start what listens there, or mend the address";
    Error::world(format!("{to} cannot be connected: {error}"), remedy)
}

/// Reads from one address.
pub(super) struct Connecting {
    pub dialling: Dialling,
    pub reading: Reading,
    pub split: SplitId,
    pub end: WhenClosed,
    /// How many addresses of the subtask are read still.
    pub left: Arc<AtomicUsize>,
}

impl Connecting {
    /// Reads until the source ends; the connection that was made before the start comes first.
    pub fn run(self, first: Option<Connection>) {
        let last = match self.read(first) {
            Ok(Ok(())) if self.left.fetch_sub(1, Ordering::AcqRel) == 1 => Piece::End,
            Ok(Err(error)) => Piece::Failed(error),
            Ok(Ok(())) | Err(Gone) => return,
        };
        // Who does not want it does not miss it.
        let _ = self.reading.to.give(last);
    }

    fn read(&self, first: Option<Connection>) -> Result<Result<(), Error>, Gone> {
        let mut backoff = self.dialling.backoff();
        let mut made = first.and_then(|first| self.dialling.note(first).ok().flatten());
        loop {
            let dialled = match made.take() {
                Some(made) => Ok(Some(made)),
                None => self.dialling.dial(&mut backoff),
            };
            let (mut connection, place) = match dialled {
                Ok(Some(dialled)) => dialled,
                Ok(None) => return Err(Gone),
                Err(error) => return Ok(Err(error)),
            };
            let made_ns = backoff.now_ns();
            let (ended, bytes) =
                self.reading.read(self.split, &self.dialling.to.to_string(), &mut connection)?;
            self.dialling.open.remove(place);
            // Who only accepts and closes is not asked again at once.
            if bytes > 0 {
                backoff.reset();
            }
            backoff.stood(made_ns);
            if self.end == WhenClosed::End && ended == Ended::Closed {
                return Ok(Ok(()));
            }
            let closed = io::Error::new(io::ErrorKind::ConnectionReset, "it was closed");
            if let Err(error) = self.dialling.wait(&mut backoff, &closed) {
                return Ok(Err(error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::{Owned, Sink, Source};

    use super::super::{SocketSink, SocketSource, UdpSource};

    /// What is wrong before the start: nobody listens at port 1, or the address is none.
    #[test]
    fn every_address_that_cannot_be_used_has_its_golden_text() {
        let sockets = [
            SocketSource::connect(Vec::<&str>::new()),
            SocketSource::connect(["127.0.0.1:1"]),
            SocketSource::connect(["unix:/nowhere/quotes"]),
            SocketSource::listen("unix:/nowhere/quotes"),
            SocketSource::listen("127.0.0.1"),
        ];
        let of_sockets = sockets.map(|mut source| source.splits().unwrap_err().to_string());
        let datagrams =
            [UdpSource::bind("nowhere"), UdpSource::bind("127.0.0.1:0").join([127, 0, 0, 1].into())];
        let of_datagrams = datagrams.map(|mut source| source.splits().unwrap_err().to_string());
        let mut sink = SocketSink::connect("127.0.0.1:1");
        let of_sink = Sink::<Owned<String>>::check(&mut sink).unwrap_err().to_string();
        let texts: Vec<String> = of_sockets.into_iter().chain(of_datagrams).chain([of_sink]).collect();
        assert_eq!(texts.join("\n") + "\n", include_str!("golden/addresses.txt"));
    }
}
