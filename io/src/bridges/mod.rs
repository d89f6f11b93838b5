//! Bounded queues of the host's as sources and sinks: those of the standard library, and, behind the feature `tokio`,
//! those of tokio.
//!
//! For a host that has such a queue already. Where it has none yet, [`ingress`](crate::ingress()) and
//! [`egress`](crate::egress()) are faster and say more.

mod receiver;
mod sender;
#[cfg(feature = "tokio")]
mod tokio;

pub use receiver::{ReceiverReader, ReceiverSource, from_receiver};
pub use sender::{Queue, SenderSink, SenderWriter, to_sender};
#[cfg(feature = "tokio")]
pub use tokio::{TokioReader, TokioSource, from_tokio, to_tokio};
