//! What a sink of Redis streams is told.

use std::sync::Arc;
use std::time::Duration;

use ::redis::cmd;
use slotflow_runtime::{Error, Family, Guarantee, Problem, Result, Sink, SubtaskContext};

use super::record::IntoRedis;
use super::server::{Failure, Server};
use super::tries::{Patience, Tries};
use super::writer::{Entering, RedisWriter};
use super::writing::Writing;
use crate::net::{EndWith, Open};

/// Writes records to a stream of Redis, at least once: whatever is [`IntoRedis`]. Redis 5 or newer, or what speaks as
/// it does; no cluster.
///
/// A thread for each subtask writes on the I/O cores, hundreds of entries a round trip, in order. An entry has arrived
/// when the server has said so; how safe it is there is a matter of its persistence and its replicas. While the server
/// does not answer, a bounded number of records waits, and the job is held back. When a connection breaks, the block
/// that it had not answered for, what one step wrote, is written again to the next one, as often as connections break:
/// so its records may be there several times.
///
/// See [`RedisSource`](super::RedisSource) for an example.
#[derive(Clone, Debug)]
pub struct RedisSink {
    server: Server,
    entering: Entering,
    patience: Patience,
}

impl RedisSink {
    /// A sink on this server: `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, or `unix:PATH`; TLS is `rediss:`, by the
    /// feature `redis-tls`. The password is never shown; what is special in a URL must be percent-encoded in it.
    pub fn new(url: impl AsRef<str>) -> RedisSink {
        let entering = Entering { stream: "".into(), max_len: None };
        RedisSink { server: Server::new(url.as_ref()), entering, patience: Patience::default() }
    }

    /// The stream, by its key; there is no default. It is made with its first entry.
    #[must_use]
    pub fn stream(mut self, key: impl Into<Arc<str>>) -> Self {
        self.entering.stream = key.into();
        self
    }

    /// Lets the server remove the oldest entries when the stream has more than about so many, whether or not somebody
    /// has read them. By default it grows.
    #[must_use]
    pub fn max_len(mut self, entries: u64) -> Self {
        self.entering.max_len = Some(entries);
        self
    }

    /// The certificates that the server's own has to be signed by, a file in PEM; by default Mozilla's.
    #[cfg(feature = "redis-tls")]
    #[must_use]
    pub fn ca_file(mut self, path: impl AsRef<std::path::Path>) -> Self {
        self.server.set_ca_file(path.as_ref());
        self
    }

    /// How long connecting may take, and each answer (default 10 s, at least 1 ms). Before the start, a server that
    /// does not answer is an error.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.patience.timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Fails the job when the server could not be reached again for so long; by default it is tried for ever.
    #[must_use]
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.patience.give_up_after = Some(time);
        self
    }

    /// Looks whether the key holds a stream, or nothing yet. Who may only write is not asked for more.
    fn look(&self) -> std::result::Result<(), Failure> {
        let mut command = cmd("XLEN");
        command.arg(&*self.entering.stream);
        match self.server.connect(self.patience.timeout)?.ask(&command) {
            Err(failure) if !failure.is("NOPERM") => Err(failure.about(&self.entering.stream)),
            _ => Ok(()),
        }
    }
}

impl<F: Family> Sink<F> for RedisSink
where
    for<'s> F::Of<'s>: IntoRedis,
{
    type Writer = RedisWriter;

    fn describe(&self) -> String {
        format!("redis({})", self.entering.stream)
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    fn settings(&self) -> Vec<String> {
        let mut lines = vec![self.server.to_string()];
        lines.extend(self.entering.max_len.map(|entries| format!("about {entries} entries at most")));
        lines
    }

    fn check(&mut self) -> Result<()> {
        self.server.check()?;
        if self.entering.stream.is_empty() {
            let subject = Sink::<F>::describe(self);
            return Err(Error::plan(vec![Problem::new(
                subject,
                "no stream is named",
                "say which by stream(..)",
            )]));
        }
        self.look().map_err(Failure::into_error)
    }

    fn open(&mut self, subtask: &SubtaskContext) -> Result<RedisWriter> {
        let open = Open::default();
        let (writer, orders, progress) =
            RedisWriter::new(self.entering.clone(), EndWith(open.clone()), subtask);
        let tries = Tries::new(self.server.clone(), &self.patience, open, subtask.clock.clone());
        let writing = Writing { tries, orders, progress };
        subtask.io.spawn("slotflow-redis", move || writing.run())?;
        Ok(writer)
    }
}
