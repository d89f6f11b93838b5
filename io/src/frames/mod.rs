//! Frames: what a stream of bytes is made of, read on threads of their own and lent to the slot.
//!
//! Files and sockets share this. A thread on the I/O cores reads, cuts what it has read behind its last whole
//! frame (`cutter`) and hands the block over (`feed`). The slot lends the block's frames, one after the other
//! ([`reader`](FrameReader)). So the slot makes no system call, nothing is copied there, and a thread whose slot does
//! not keep up waits, which a far end feels as a full TCP window.
//!
//! Writing is the same the other way round: the slot stages frames, a thread writes them and says what has arrived
//! (`outbox`).

mod block;
mod cutter;
mod feed;
mod frame;
mod framing;
mod incoming;
mod outbox;
mod reader;

pub(crate) use block::{Block, Piece};
pub(crate) use cutter::{BLOCK_BYTES, Cutter, Range};
pub(crate) use feed::{Fed, Feeder, Gone, Taken, drain, feed};
pub use frame::{Frame, Frames};
pub use framing::Framing;
pub(crate) use incoming::{Incoming, Next, Silence};
pub use outbox::FrameWriter;
#[cfg(any(feature = "parquet", feature = "redis"))]
pub(crate) use outbox::Outbox;
pub(crate) use outbox::{Order, Progress};
pub(crate) use reader::Ends;
pub use reader::FrameReader;
