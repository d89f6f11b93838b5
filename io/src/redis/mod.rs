//! Streams of Redis: a source that reads as a consumer group, and a sink.
//!
//! A thread for each subtask speaks with the server, on the I/O cores, and waits there: for entries, for answers, for
//! room in front of the slot, for a server that is away. The slot lends what was read, and encodes what is written.
//!
//! # What becomes of an entry
//!
//! 1. The server gives it to the group's consumer, and keeps it as pending. The thread notes its id under a number
//!    (`held`) and hands it to the slot; the number is the offset that the commit rule knows.
//! 2. When every sink has acknowledged what was made of it, the job's own thread acknowledges the ids up to that number
//!    (`acknowledging`), and forgets them.
//! 3. What was given and not acknowledged comes again: to the consumer of that name, at its next start and whenever it
//!    has connected anew, without what it still holds; and to whichever consumer finds that nobody has touched it for
//!    long (`reading`).
//!
//! Reading order: [`source`](RedisSource), `reading`, `held`, `block`, [`entry`](Entry), [`reader`](RedisReader),
//! `acknowledging`; [`sink`](RedisSink), [`record`](IntoRedis), [`writer`](RedisWriter), `writing`; `server`, `tls`,
//! `tries`.

mod acknowledging;
mod block;
mod entry;
mod held;
mod reader;
mod reading;
mod record;
mod server;
mod sink;
mod source;
#[cfg(feature = "redis-tls")]
mod tls;
mod tries;
mod writer;
mod writing;

pub use entry::{Entries, Entry, EntryId, OwnedEntry};
pub use reader::RedisReader;
pub use record::{IntoRedis, RedisRecord};
pub use sink::RedisSink;
pub use source::RedisSource;
pub use writer::RedisWriter;
