//! A stream's connection, and what listens for one, whichever kind they are.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use super::Address;

/// A far end that was silent for so long is asked whether it is there still (a guess: a machine that failed, or whose
/// connection was forgotten on the way, says nothing itself).
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);

/// And again so soon: with the system's nine attempts it is given up after two minutes.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// One connection.
#[derive(Debug)]
pub(super) enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    /// Connects, in bounded time; a name that has several addresses is tried at each.
    pub fn connect(to: &Address, timeout: Duration) -> io::Result<Connection> {
        let address = match to {
            Address::Unix(path) => return connect_unix(path, timeout).map(Connection::Unix),
            Address::Tcp(address) => address,
        };
        let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => return Connection::tcp(stream),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn tcp(stream: TcpStream) -> io::Result<Connection> {
        // Whoever writes here has gathered what goes together already.
        stream.set_nodelay(true)?;
        // Who only reads would wait for ever for a far end that is gone without a word.
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        Ok(Connection::Tcp(stream))
    }

    pub fn try_clone(&self) -> io::Result<Connection> {
        match self {
            Connection::Tcp(stream) => stream.try_clone().map(Connection::Tcp),
            Connection::Unix(stream) => stream.try_clone().map(Connection::Unix),
        }
    }

    /// Ends every wait on it, on any thread. One that is closed already has none.
    pub fn shutdown(&self) {
        let _ = match self {
            Connection::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Connection::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

/// A Unix socket whose owner takes no connections lets others wait as long as they may wait to write.
fn connect_unix(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(timeout))?;
    socket.connect(&SockAddr::unix(path)?).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "nobody takes the connection"),
        _ => error,
    })?;
    socket.set_write_timeout(None)?;
    Ok(OwnedFd::from(socket).into())
}

impl Read for Connection {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Connection::Tcp(stream) => stream.read(into),
            Connection::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Connection::Tcp(stream) => stream.write(bytes),
            Connection::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What listens for connections.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub fn bind(at: &Address) -> io::Result<Listener> {
        match at {
            Address::Tcp(address) => TcpListener::bind(address).map(Listener::Tcp),
            Address::Unix(path) => UnixListener::bind(path).map(Listener::Unix),
        }
    }

    /// The next connection, and who is at its other end.
    pub fn accept(&self) -> io::Result<(Connection, String)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((Connection::tcp(stream)?, peer.to_string()))
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                Ok((Connection::Unix(stream), "a Unix socket".into()))
            }
        }
    }

    pub fn try_clone(&self) -> io::Result<Listener> {
        match self {
            Listener::Tcp(listener) => listener.try_clone().map(Listener::Tcp),
            Listener::Unix(listener) => listener.try_clone().map(Listener::Unix),
        }
    }

    /// Ends every wait for a connection, on any thread: Linux lets a listening socket be shut down as any other.
    pub fn shutdown(self) {
        let (socket, kind): (OwnedFd, fn(OwnedFd) -> Connection) = match self {
            Listener::Tcp(listener) => (listener.into(), |socket| Connection::Tcp(socket.into())),
            Listener::Unix(listener) => (listener.into(), |socket| Connection::Unix(socket.into())),
        };
        kind(socket).shutdown();
    }
}

/// The file of a Unix socket, which goes with whoever made it.
#[derive(Debug)]
pub(super) struct SocketFile(pub PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!("the socket {} stays behind: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As long as a test may take.
    const LOST: Duration = Duration::from_secs(60);

    #[test]
    fn a_unix_socket_whose_owner_takes_no_connections_is_given_up() {
        let path = std::env::temp_dir().join(format!("slotflow-full-{}", std::process::id()));
        let far = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        far.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        far.listen(0).unwrap();
        let _first = Connection::connect(&Address::Unix(path.clone()), LOST).unwrap();
        let full = Connection::connect(&Address::Unix(path.clone()), Duration::from_millis(1)).unwrap_err();
        assert_eq!(full.to_string(), "nobody takes the connection");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_far_end_that_is_silent_is_asked_whether_it_is_there() {
        let listener = Listener::bind(&Address::from("127.0.0.1:0")).unwrap();
        let Listener::Tcp(bound) = &listener else { panic!("it is TCP") };
        let at = Address::Tcp(bound.local_addr().unwrap().to_string());
        let ends = [Connection::connect(&at, LOST).unwrap(), listener.accept().unwrap().0];
        for end in ends {
            let Connection::Tcp(stream) = end else { panic!("it is TCP") };
            assert!(SockRef::from(&stream).keepalive().unwrap());
        }
    }
}
