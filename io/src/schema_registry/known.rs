//! The schemas that one subtask knows, each made ready for its payloads.
//!
//! # A schema that is not known
//!
//! 1. The slot starts a thread on the I/O cores, which asks the registry and makes the schema ready.
//! 2. The thread sends what came of it and then wakes the slot, also when it panics: the sender is dropped first.
//! 3. The slot looks for the answer whenever it is woken, and asks nothing else before it has come.
//!
//! An id that the registry does not know makes payloads malformed for a while and is then asked for again: a registry
//! that copies another one may be behind. One that it is said to be of another type does so for good.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use slotflow_runtime::error::Cause;
use slotflow_runtime::slot::Waker;
use slotflow_runtime::{Error, IoCores, Result, SubtaskContext};

use super::request::without_user;
use super::{Schema, SchemaRegistry};

/// After this an id that is unknown is asked for again (a guess: longer than one registry is behind another).
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// So many ids of malformed payloads are remembered: they may be any number that there is.
const MOST_REFUSED: usize = 1024;

/// A schema made ready, or why payloads with its id are malformed.
pub(crate) type Verdict<S> = Result<S, Refused>;

/// Why payloads with an id are malformed.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    reason: String,
    /// `None` for good.
    until: Option<Instant>,
}

impl Refused {
    /// For good.
    pub fn because(reason: String) -> Refused {
        Refused { reason, until: None }
    }

    fn unknown(id: u32) -> Refused {
        let reason = format!("the schema registry knows no schema {id}");
        Refused { reason, until: Some(Instant::now() + UNKNOWN_FOR) }
    }

    fn holds(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

/// Makes a schema of the registry ready.
pub(crate) type Prepare<S> = fn(&SchemaRegistry, u32, Schema) -> Result<Verdict<S>>;

/// See the file.
pub(crate) struct Known<S> {
    registry: SchemaRegistry,
    prepare: Prepare<S>,
    /// That of the payload before: most have the same.
    latest: Option<(u32, Arc<S>)>,
    good: HashMap<u32, Arc<S>>,
    refused: HashMap<u32, Refused>,
    asked: Option<(u32, Receiver<Result<Verdict<S>>>)>,
    /// Goes with this, so that a thread that asks sees it.
    here: Arc<()>,
    waker: Waker,
    io: IoCores,
}

impl<S> Clone for Known<S> {
    /// For another subtask, which asks for itself.
    fn clone(&self) -> Self {
        Known::new(&self.registry, self.prepare)
    }
}

/// Wakes the slot when it is dropped.
struct Wakes(Waker);

impl Drop for Wakes {
    fn drop(&mut self) {
        self.0.wake();
    }
}

impl<S> Known<S> {
    pub fn new(registry: &SchemaRegistry, prepare: Prepare<S>) -> Self {
        Known {
            registry: registry.clone(),
            prepare,
            latest: None,
            good: HashMap::new(),
            refused: HashMap::new(),
            asked: None,
            here: Arc::default(),
            waker: Waker::default(),
            io: IoCores::default(),
        }
    }

    /// Says where it runs.
    pub fn open(&mut self, subtask: &SubtaskContext) {
        (self.waker, self.io) = (subtask.waker.clone(), subtask.io.clone());
    }

    /// The schema of this id.
    ///
    /// # Errors
    /// Payloads with this id are malformed.
    #[inline]
    pub fn find(&mut self, id: u32) -> Result<&S, Cause> {
        if !self.is_latest(id) {
            let found = self.good.get(&id).cloned().ok_or_else(|| self.why_not(id))?;
            self.latest = Some((id, found));
        }
        self.latest.as_ref().map(|(_, schema)| &**schema).ok_or_else(|| self.why_not(id).into())
    }

    fn is_latest(&self, id: u32) -> bool {
        self.latest.as_ref().is_some_and(|(latest, _)| *latest == id)
    }

    /// Whom it asks.
    pub fn whom(&self) -> String {
        format!("schema registry {}", without_user(&self.registry.url))
    }

    #[cold]
    fn why_not(&self, id: u32) -> String {
        let refused = self.refused.get(&id).map(|refused| refused.reason.clone());
        refused.unwrap_or_else(|| format!("schema {id} was not asked for"))
    }
}

impl<S: Send + Sync + 'static> Known<S> {
    /// Whether this id can be told from; if not, it is asked for.
    ///
    /// # Errors
    /// The registry is away, or nothing can be done with the schema.
    #[inline]
    pub fn ready(&mut self, id: u32) -> Result<bool> {
        if self.is_latest(id) { Ok(true) } else { self.looked_up(id) }
    }

    fn looked_up(&mut self, id: u32) -> Result<bool> {
        if let Some((asked, answer)) = self.asked.take() {
            match answer.try_recv() {
                Ok(outcome) => self.learn(asked, outcome?),
                Err(TryRecvError::Empty) => self.asked = Some((asked, answer)),
                Err(TryRecvError::Disconnected) => {
                    return Err(Error::bug("asking a schema registry panicked"));
                }
            }
        }
        let told = self.good.contains_key(&id) || self.refused.get(&id).is_some_and(Refused::holds);
        if !told && self.asked.is_none() {
            self.ask(id)?;
        }
        Ok(told)
    }

    fn learn(&mut self, id: u32, verdict: Verdict<S>) {
        match verdict {
            Ok(schema) => drop(self.good.insert(id, Arc::new(schema))),
            Err(refused) => {
                if self.refused.len() == MOST_REFUSED {
                    self.refused.clear();
                }
                self.refused.insert(id, refused);
            }
        }
    }

    fn ask(&mut self, id: u32) -> Result<()> {
        let (registry, prepare) = (self.registry.on_behalf_of(&self.here), self.prepare);
        let (tell, told) = mpsc::channel();
        let wakes = Wakes(self.waker.clone());
        self.io.spawn("slotflow-schema", move || {
            let (_wakes, tell) = (wakes, tell);
            let outcome = registry.schema(id).and_then(|schema| match schema {
                Some(schema) => prepare(&registry, id, schema),
                None => Ok(Err(Refused::unknown(id))),
            });
            // A job that is over has nobody left to read it.
            drop(tell.send(outcome));
        })?;
        self.asked = Some((id, told));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known<()> {
        let nobody = SchemaRegistry::new("http://127.0.0.1:1").retry(1, 0);
        Known::new(&nobody, |_, _, _| Ok(Ok(())))
    }

    #[test]
    fn an_id_that_is_unknown_is_asked_for_again_after_a_while_and_one_of_another_type_is_not() {
        let mut known = known();
        known.learn(7, Err(Refused::unknown(7)));
        known.learn(8, Err(Refused::because("it is JSON".into())));
        assert!(known.ready(7).unwrap() && known.ready(8).unwrap() && known.asked.is_none());
        assert_eq!(known.find(7).unwrap_err().to_string(), "the schema registry knows no schema 7");
        assert_eq!(known.find(8).unwrap_err().to_string(), "it is JSON");
        known.learn(7, Err(Refused { until: Some(Instant::now()), ..Refused::unknown(7) }));
        assert!(!known.ready(7).unwrap() && known.asked.is_some());
        assert!(known.clone().asked.is_none(), "another subtask asks for itself");
    }

    #[test]
    fn a_job_that_is_over_leaves_nobody_behind_who_asks_on() {
        let mut known = known();
        known.registry = known.registry.retry(u32::MAX, 0);
        let registry = known.registry.on_behalf_of(&known.here);
        assert!(!registry.nobody_waits());
        drop(known);
        assert!(registry.schema(7).is_err(), "it would be asked for years");
    }

    #[test]
    fn garbage_for_ids_takes_no_more_memory_than_it_may() {
        let mut known = known();
        for id in 0..3_000 {
            known.learn(id, Err(Refused::unknown(id)));
            assert!(known.refused.len() <= MOST_REFUSED && known.ready(id).unwrap());
        }
    }

    #[test]
    fn a_question_that_panics_fails_the_job_and_one_that_was_never_asked_is_told() {
        let mut known = known();
        assert_eq!(known.find(7).unwrap_err().to_string(), "schema 7 was not asked for");
        known.asked = Some((7, mpsc::channel().1));
        assert!(known.ready(7).unwrap_err().to_string().contains("asking a schema registry panicked"));
    }
}
