//! Sockets: TCP, Unix and UDP.
//!
//! Streams (TCP, Unix) are lines or length-delimited frames. A thread of the I/O cores reads or writes each connection,
//! and waits when the slot does not keep up: then it does not read, and the far end feels a full window. Datagrams are
//! read on the slot itself, which is what busy polling is for.
//!
//! Reading order: [`source`](SocketSource), `accepting`, `connecting`, `reading`; [`sink`](SocketSink); `connection`,
//! `open`; [`udp`](UdpSource), `datagrams`.

mod accepting;
mod address;
mod backoff;
mod connecting;
mod connection;
mod counts;
mod datagrams;
mod open;
mod reading;
mod sink;
mod source;
mod udp;
mod writing;

pub use address::Address;
#[cfg(feature = "redis")]
pub(crate) use backoff::Backoff;
pub use counts::SocketCounts;
#[cfg(feature = "redis")]
pub(crate) use open::{EndWith, Open};
pub use sink::SocketSink;
pub use source::SocketSource;
pub use udp::{UdpCounts, UdpReader, UdpSource};
