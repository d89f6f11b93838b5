//! A stream's connection, and what listens for one, whichever kind they are.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use super::Address;

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
            Address::Unix(path) => return UnixStream::connect(path).map(Connection::Unix),
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
