//! A sink whose records the host takes back.

use std::sync::{Arc, Mutex, PoisonError};

use slotflow_runtime::{Context, Owned, Result, Sink, SinkWriter, SubtaskContext};

/// Where a [`Collect`] sink puts its records; clones are the same place.
///
/// For tests and small results: each step takes a lock. For a stream use [`callback`](crate::callback).
#[derive(Debug)]
pub struct Collected<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Self {
        Collected(self.0.clone())
    }
}

impl<T> Default for Collected<T> {
    fn default() -> Self {
        Collected(Arc::default())
    }
}

impl<T> Collected<T> {
    /// An empty place.
    pub fn new() -> Self {
        Collected::default()
    }

    /// A sink that puts its records here. The records of one subtask keep their order.
    pub fn sink(&self) -> Collect<T> {
        Collect(self.clone())
    }

    /// Takes what has arrived so far.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// See [`Collected::sink`].
pub struct Collect<T>(Collected<T>);

impl<T: Send + 'static> Sink<Owned<T>> for Collect<T> {
    type Writer = CollectWriter<T>;

    fn describe(&self) -> String {
        "collect".into()
    }

    fn open(&mut self, _: &SubtaskContext) -> Result<CollectWriter<T>> {
        Ok(CollectWriter { step: Vec::new(), all: self.0.clone() })
    }
}

/// Collects one subtask's records.
pub struct CollectWriter<T> {
    /// Those of the present step.
    step: Vec<T>,
    all: Collected<T>,
}

impl<T: Send + 'static> SinkWriter<Owned<T>> for CollectWriter<T> {
    fn write<'s>(&mut self, record: T, _: &mut Context<'s>) {
        self.step.push(record);
    }

    fn flush(&mut self) -> Result<()> {
        if !self.step.is_empty() {
            self.all.0.lock().unwrap_or_else(PoisonError::into_inner).append(&mut self.step);
        }
        Ok(())
    }
}
