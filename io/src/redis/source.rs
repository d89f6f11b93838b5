//! What a source of Redis streams is told.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use ::redis::cmd;
use slotflow_runtime::{Committer, Error, Problem, Result, Source, SplitId, Splits, SubtaskContext};

use super::acknowledging::Acknowledging;
use super::block::Block;
use super::held::Held;
use super::reader::RedisReader;
use super::reading::{Behind, Membership, Of, Reading};
use super::server::{Failure, Link, Server};
use super::tries::{Patience, Tries};
use crate::frames::{Incoming, Silence, feed};
use crate::net::{EndWith, Open};

/// How many blocks of entries wait in front of the slot (a guess: one that waits while the next is read).
const BLOCKS: usize = 2;

/// How many entries of a stream are asked for at once unless it is said otherwise (a guess: some round trips are
/// shared by so many, and so many of 1 MiB still fit).
const AT_ONCE: usize = 256;

/// How many entries may wait for their acknowledgement unless it is said otherwise (a guess: 24 MiB of ids, and a
/// second of commits at a million a second).
const MOST_HELD: usize = 1 << 20;

/// How long nobody must have touched an entry before it is claimed, unless it is said otherwise (a guess: longer than a
/// job that lives takes).
const CLAIM_AFTER: Duration = Duration::from_secs(300);

/// The shortest timeout: the server itself takes a tenth of this to say that there is nothing.
const SHORTEST: Duration = Duration::from_secs(1);

/// Reads streams of Redis as one consumer of a group: [`Entry`](super::Entry)s, at least once. Redis 6.2 or newer, or
/// what speaks as it does, such as Valkey; no cluster.
///
/// Each stream is a split. A thread for each subtask reads the subtask's streams on the I/O cores, a bounded way ahead.
/// Entries are acknowledged by the commit rule, when all sinks have acknowledged what was made of them. What was given
/// to this [consumer](RedisSource::consumer) and not acknowledged, because the job failed or the connection broke,
/// comes again at the next start or at once, in front of what is new; what was given to another that has not been heard
/// of for [long](RedisSource::claim_after) is claimed. So several processes can share streams, each as a consumer of
/// its own; the entries of a stream are in order only where one of them reads it, and nothing comes again.
///
/// A stream or a group that is not there yet is made. When a server that is away comes back, reading goes on.
///
/// ```no_run
/// use slotflow_io::redis::{Entry, RedisSink, RedisSource};
/// # use slotflow::prelude::*;
///
/// let env = Environment::with(Config::default());
/// let server = "redis://me:secret@10.0.0.7:6379";
/// let orders = RedisSource::new(server).stream("orders").group("billing").consumer("billing-0");
/// env.source(orders)
///     .try_map(|order: Entry<'_>| Ok::<_, Error>(order.text("customer")?.to_uppercase()))
///     .sink(RedisSink::new(server).stream("bills").max_len(1_000_000));
/// env.run("bills")?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RedisSource {
    server: Server,
    streams: Vec<Arc<str>>,
    membership: Membership,
    /// Where a group that is not there yet begins.
    begin: &'static str,
    most_held: usize,
    patience: Patience,
}

impl RedisSource {
    /// A source on this server: `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, or `unix:PATH`; TLS is `rediss:`, by the
    /// feature `redis-tls`. The password is never shown; what is special in a URL must be percent-encoded in it.
    pub fn new(url: impl AsRef<str>) -> RedisSource {
        RedisSource {
            server: Server::new(url.as_ref()),
            streams: Vec::new(),
            membership: Membership {
                group: "".into(),
                consumer: "slotflow".into(),
                claim_after: CLAIM_AFTER,
                at_once: AT_ONCE,
            },
            begin: "0",
            most_held: MOST_HELD,
            patience: Patience::default(),
        }
    }

    /// One more stream, by its key; there is no default.
    #[must_use]
    pub fn stream(mut self, key: impl Into<String>) -> Self {
        self.streams.push(key.into().into());
        self
    }

    /// The group that entries are read and acknowledged for; there is no default.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.membership.group = group.into().into();
        self
    }

    /// As whom in the group (default `slotflow`). Processes that read streams together need a name each, and a process
    /// that is started again should have the one that it had: so it is given at once what it had not acknowledged.
    #[must_use]
    pub fn consumer(mut self, name: impl Into<String>) -> Self {
        self.membership.consumer = name.into();
        self
    }

    /// A group that is not there yet begins behind what its stream holds at the start; by default in front of it.
    #[must_use]
    pub fn starting_at_end(mut self) -> Self {
        self.begin = "$";
        self
    }

    /// Claims an entry that was given to whomever, when nobody has touched it for so long (default 5 minutes, at least
    /// 1 ms); looked for at the start and whenever so much time has passed. Let it be longer than any consumer of the
    /// group takes to acknowledge an entry, or that comes to two.
    #[must_use]
    pub fn claim_after(mut self, time: Duration) -> Self {
        self.membership.claim_after = time.max(Duration::from_millis(1));
        self
    }

    /// How many entries are asked for at once (default 256, at least 1), of all streams of a subtask together and at
    /// least one of each. Some four times so many of each subtask are in memory.
    #[must_use]
    pub fn at_once(mut self, entries: usize) -> Self {
        self.membership.at_once = entries.max(1);
        self
    }

    /// How many entries of a subtask may wait for their acknowledgement (default 1,048,576, at least 1): no more are
    /// read while there are so many.
    #[must_use]
    pub fn most_held(mut self, entries: usize) -> Self {
        self.most_held = entries.max(1);
        self
    }

    /// The certificates that the server's own has to be signed by, a file in PEM; by default Mozilla's.
    #[cfg(feature = "redis-tls")]
    #[must_use]
    pub fn ca_file(mut self, path: impl AsRef<std::path::Path>) -> Self {
        self.server.set_ca_file(path.as_ref());
        self
    }

    /// How long connecting may take, and each answer (default 10 s, at least 1 s). Before the start, a server that does
    /// not answer is an error.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.patience.timeout = timeout.max(SHORTEST);
        self
    }

    /// Fails the job when the server could not be reached again for so long; by default it is tried for ever.
    #[must_use]
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.patience.give_up_after = Some(time);
        self
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem =
            |what: String, remedy: &str| problems.push(Problem::new(self.describe(), what, remedy));
        if self.streams.is_empty() {
            problem("no stream is named".into(), "say which by stream(..)");
        }
        if let Some(twice) = (1..).zip(&self.streams).find(|(i, key)| self.streams[*i..].contains(key)) {
            problem(format!("the stream {} is named twice", twice.1), "name it once");
        }
        if self.membership.group.is_empty() {
            problem("no group is named".into(), "say which by group(..)");
        }
        problems
    }

    /// Makes stream and group where they are not there.
    fn join(&self, link: &mut Link, stream: &str) -> std::result::Result<(), Failure> {
        let mut command = cmd("XGROUP");
        command.arg("CREATE").arg(stream).arg(&*self.membership.group).arg(self.begin).arg("MKSTREAM");
        match link.ask(&command) {
            Err(failure) if !failure.is("BUSYGROUP") => Err(failure.about(stream)),
            _ => Ok(()),
        }
    }
}

impl Source for RedisSource {
    type Reader = RedisReader;

    fn describe(&self) -> String {
        format!("redis({})", self.streams.join(", "))
    }

    fn commits(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<String> {
        let Membership { group, consumer, claim_after, .. } = &self.membership;
        let who = format!("group {group}, consumer {consumer}, claims after {claim_after:?}");
        vec![self.server.to_string(), who, format!("at most {} entries unacknowledged", self.most_held)]
    }

    fn splits(&mut self) -> Result<Splits> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(Error::plan(problems));
        }
        self.server.check()?;
        let mut link = self.server.connect(self.patience.timeout).map_err(Failure::into_error)?;
        let joined = self.streams.iter().try_for_each(|stream| self.join(&mut link, stream));
        joined.map_err(Failure::into_error)?;
        Ok(Splits::Count(self.streams.len() as u32))
    }

    fn open(&mut self, subtask: &SubtaskContext, splits: &[SplitId]) -> Result<RedisReader> {
        let (open, behind) = (Open::default(), Behind::new(self.streams.len()));
        let mut reader = RedisReader {
            incoming: Incoming::without_splits(),
            block: Block::empty(),
            at: 0,
            behind: behind.clone(),
            committer: None,
            _ends: EndWith(open.clone()),
        };
        if splits.is_empty() {
            return Ok(reader);
        }
        let of = |split: &SplitId| Of { split: *split, stream: self.streams[*split as usize].clone() };
        let (of, held) = (splits.iter().map(of).collect::<Vec<_>>(), Arc::new(Held::new(self.most_held)));
        let (to, fed) = feed(BLOCKS, subtask.waker.clone());
        reader.incoming = Incoming::new(fed, Silence::IsIdle);
        let (asks, asking) = mpsc::channel();
        reader.committer = Some(self.committer(of.clone(), held.clone(), asking));
        let tries = Tries::new(self.server.clone(), &self.patience, open.clone(), subtask.clock.clone());
        let membership = self.membership.clone();
        let reading = Reading { of, membership, held, behind, to, open, _asks: asks };
        subtask.io.spawn("slotflow-redis", move || reading.run(tries))?;
        Ok(reader)
    }
}

impl RedisSource {
    fn committer(&self, of: Vec<Of>, held: Arc<Held>, asking: Receiver<Infallible>) -> Box<dyn Committer> {
        let (server, group) = (self.server.clone(), self.membership.group.clone());
        let timeout = self.patience.timeout;
        Box::new(Acknowledging {
            server,
            group,
            of,
            held,
            timeout,
            in_vain: 0,
            link: None,
            unsaved: Vec::new(),
            asking,
        })
    }
}
