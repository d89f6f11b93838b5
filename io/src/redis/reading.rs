//! The thread that reads the streams of one subtask, as a consumer of a group.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use ::redis::{Cmd, cmd};
use slotflow_runtime::SplitId;

use super::block::{Answered, Block, by_stream, claimed};
use super::entry::EntryId;
use super::held::Held;
use super::server::{Failure, Link};
use super::tries::{Stop, Tries};
use crate::frames::{Feeder, Gone, Piece};
use crate::net::{Backoff, Open};

/// How long the server waits for an entry before it answers that there is none. It is how long a thread stays when its
/// reader is gone, and so the end of a job waits (a guess: ten questions a second cost nothing).
const BLOCK_MS: u64 = 100;

/// A stream, and the number of its split.
#[derive(Clone, Debug)]
pub(super) struct Of {
    pub split: SplitId,
    pub stream: Arc<str>,
}

/// As whom the streams are read.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub group: Arc<str>,
    pub consumer: String,
    /// What nobody has touched for so long is claimed.
    pub claim_after: Duration,
    /// How many entries of a stream are asked for at once.
    pub at_once: usize,
}

/// Of which splits the last answer had entries, or whether there was none: by number.
#[derive(Clone, Debug)]
pub(super) struct Behind(Arc<[AtomicBool]>);

impl Behind {
    /// Before the first answer nobody knows.
    pub fn new(splits: usize) -> Behind {
        Behind((0..splits).map(|_| AtomicBool::new(true)).collect())
    }

    pub fn is(&self, split: SplitId) -> bool {
        self.0.get(split as usize).is_some_and(|behind| behind.load(Ordering::Relaxed))
    }

    fn set(&self, is_so: impl Fn(SplitId) -> bool) {
        (0..).zip(&*self.0).for_each(|(split, behind)| behind.store(is_so(split), Ordering::Relaxed));
    }
}

/// What one thread reads, and how.
pub(super) struct Reading {
    pub of: Vec<Of>,
    pub membership: Membership,
    pub held: Arc<Held>,
    pub behind: Behind,
    pub to: Feeder<Piece<Block>>,
    pub open: Open,
    /// Dropped when nothing more can be given to it.
    pub _asks: Sender<Infallible>,
}

impl Reading {
    /// Reads until nobody wants more, or the server refuses.
    pub fn run(self, mut tries: Tries) {
        let come = self.of.iter().try_for_each(|of| self.to.give(Piece::Come(of.split)));
        let stop = come.map_err(|Gone| Stop::Gone).and_then(|()| {
            tries.until_done(|link, backoff| {
                self.read(link, backoff).inspect_err(|_| self.behind.set(|_| true))
            })
        });
        if let Err(Stop::Failed(failure)) = stop {
            // Who does not want it does not miss it.
            let _ = self.to.give(Piece::Failed(failure.into_error()));
        }
    }

    /// Reads from one connection until it breaks: first what this consumer was given and does not hold, then what
    /// comes.
    fn read(&self, link: &mut Link, backoff: &mut Backoff) -> Result<(), Stop> {
        for of in &self.of {
            self.read_pending(link, backoff, of)?;
        }
        let mut claimed = None::<Instant>;
        loop {
            // Who stops takes nothing from others, and nothing new.
            self.wait_for_room()?;
            if claimed.is_none_or(|at| at.elapsed() >= self.membership.claim_after) {
                self.of.iter().try_for_each(|of| self.claim(link, of))?;
                claimed = Some(Instant::now());
            }
            self.read_new(link)?;
        }
    }

    /// Whether somebody reads still: where nothing is given, nobody else would say so.
    fn wanted(&self) -> Result<(), Gone> {
        if self.open.has_ended() { Err(Gone) } else { Ok(()) }
    }

    fn wait_for_room(&self) -> Result<(), Gone> {
        if self.held.is_full() {
            // What has come meanwhile nobody knows.
            self.behind.set(|_| true);
        }
        if self.held.wait_for_room(&self.open) { Ok(()) } else { Err(Gone) }
    }

    /// What the server has given this consumer already, here or in an earlier run, and nobody has acknowledged.
    fn read_pending(&self, link: &mut Link, backoff: &mut Backoff, of: &Of) -> Result<(), Stop> {
        let held = self.held.of(of.split);
        let mut behind = EntryId::default();
        loop {
            let mut command = self.command(self.membership.at_once);
            command.arg("STREAMS").arg(&*of.stream).arg(behind.to_string());
            let answer = by_stream(link.ask(&command)?).ok_or_else(|| link.garbled(&command))?;
            // It works, and does so on each connection that gets here, however long nobody takes what it gives.
            backoff.reset();
            let entries = answer.into_iter().flat_map(|(_, entries)| entries).collect::<Vec<_>>();
            let Some(last) = entries.last() else { return Ok(()) };
            behind = last.id;
            self.wanted()?;
            self.give(link, of, entries, &held)?;
        }
    }

    /// What somebody was given, of whom nothing was heard for long.
    fn claim(&self, link: &mut Link, of: &Of) -> Result<(), Stop> {
        // Of what is claimed this may be a part, as the job can take longer.
        let held = self.held.of(of.split);
        let Membership { group, consumer, claim_after, at_once } = &self.membership;
        let mut from = EntryId::default();
        loop {
            self.wanted()?;
            let mut command = cmd("XAUTOCLAIM");
            let idle_ms = claim_after.as_millis().min(i64::MAX as u128) as u64;
            command.arg(&*of.stream).arg(&**group).arg(consumer).arg(idle_ms);
            command.arg(from.to_string()).arg("COUNT").arg(*at_once);
            let (next, entries) = claimed(link.ask(&command)?).ok_or_else(|| link.garbled(&command))?;
            self.give(link, of, entries, &held)?;
            if next == EntryId::default() {
                return Ok(());
            }
            from = next;
        }
    }

    /// What nobody of the group has been given.
    fn read_new(&self, link: &mut Link) -> Result<(), Stop> {
        // The server answers with so many of each stream, and all of it is here before the first is given.
        let mut command = self.command(self.membership.at_once.div_ceil(self.of.len().max(1)));
        command.arg("BLOCK").arg(BLOCK_MS).arg("STREAMS");
        for of in &self.of {
            command.arg(&*of.stream);
        }
        for _ in &self.of {
            command.arg(">");
        }
        let answer = by_stream(link.ask(&command)?).ok_or_else(|| link.garbled(&command))?;
        let streams = answer.into_iter().filter_map(|(name, entries)| {
            let of = self.of.iter().find(|of| of.stream.as_bytes() == name)?;
            Some((of, entries))
        });
        let streams: Vec<(&Of, Vec<Answered>)> = streams.collect();
        self.behind.set(|split| streams.iter().any(|(of, _)| of.split == split));
        streams.into_iter().try_for_each(|(of, entries)| self.give(link, of, entries, &HashSet::new()))
    }

    fn command(&self, count: usize) -> Cmd {
        let Membership { group, consumer, .. } = &self.membership;
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(&**group).arg(consumer).arg("COUNT").arg(count);
        command
    }

    /// Gives the slot what is not held yet. Entries that are gone have nothing to give, and are acknowledged.
    fn give(
        &self,
        link: &mut Link,
        of: &Of,
        entries: Vec<Answered>,
        held: &HashSet<EntryId>,
    ) -> Result<(), Stop> {
        let mut block = Block::new(of.split, of.stream.clone());
        let mut gone = Vec::new();
        for Answered { id, fields } in entries.into_iter().filter(|entry| !held.contains(&entry.id)) {
            match fields {
                Some(fields) => block.add(id, &fields).ok_or_else(|| link.garbled(&self.command(0)))?,
                None => gone.push(id),
            }
        }
        if !gone.is_empty() {
            tracing::warn!("{} entries of {} were deleted before they were handled", gone.len(), of.stream);
            acknowledge(link, &self.membership.group, &of.stream, &gone)?;
        }
        if block.len() > 0 {
            block.first = self.held.add(of.split, block.ids());
            self.to.give(Piece::Block(block))?;
            self.wait_for_room()?;
        }
        Ok(())
    }
}

/// How many ids are acknowledged by one command (a guess: some 20 KiB, and a server that is soon free for others).
pub(super) const IDS: usize = 1_000;

/// Tells the server that the group has handled these entries.
pub(super) fn acknowledge(
    link: &mut Link,
    group: &str,
    stream: &str,
    ids: &[EntryId],
) -> Result<(), Failure> {
    ids.chunks(IDS).try_for_each(|ids| {
        let mut command = cmd("XACK");
        command.arg(stream).arg(group);
        for id in ids {
            command.arg(id.to_string());
        }
        link.ask(&command).map(drop)
    })
}
