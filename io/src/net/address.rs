//! Where a socket is.

use std::fmt;
use std::path::PathBuf;

/// Where a stream's other end is, or one's own: `HOST:PORT` for TCP, `unix:PATH` for a Unix socket.
///
/// ```
/// use slotflow_io::net::Address;
///
/// assert_eq!(Address::from("unix:/run/quotes"), Address::Unix("/run/quotes".into()));
/// assert_eq!(Address::from("[::1]:9000").to_string(), "[::1]:9000");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host, by name or number, and a port.
    Tcp(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl<S: AsRef<str>> From<S> for Address {
    fn from(text: S) -> Address {
        match text.as_ref().strip_prefix("unix:") {
            Some(path) => Address::Unix(path.into()),
            None => Address::Tcp(text.as_ref().into()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => f.write_str(address),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
