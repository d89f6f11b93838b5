//! Keyed streams: records grouped by a key, and state for each key.

mod map_with_state;
mod table;

use slotflow_runtime::edge::partition::{AsPlanned, ByKey};
use slotflow_runtime::pipe::{Cut, Pipe, Then};
use slotflow_runtime::plan::Partitioner;
use slotflow_runtime::{Build, Key, Owned};

pub use map_with_state::{MapWithState, Stateful};
pub(crate) use table::{Assigner, Table};

use crate::Stream;

/// A stream whose records are grouped by a key: all those of a key meet at one subtask, in the order
/// in which each source subtask sent them.
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct KeyedStream<'env, P, F> {
    pub(crate) stream: Stream<'env, P>,
    pub(crate) key: F,
    pub(crate) assigner: Assigner,
}

impl<'env, T: Send + 'static, P: Pipe<Out = Owned<T>>> Stream<'env, P> {
    /// Groups the records by what `key` finds in them: Flink's `keyBy`. They are spread over the
    /// subtasks by key group.
    pub fn key_by<K, F>(self, key: F) -> KeyedStream<'env, Cut<P, ByKey<F>>, F>
    where
        K: Key,
        F: FnMut(&T) -> K + Clone + Send + 'static,
    {
        let stream = self.cut(Partitioner::Hash, ByKey(key.clone()));
        KeyedStream { stream, key, assigner: Assigner::Hash }
    }

    /// Groups records that are already where they belong: each key is in one source partition only.
    /// No exchange; the source partition is the key group.
    pub fn key_by_source_partition<K, F>(self, key: F) -> KeyedStream<'env, Cut<P, AsPlanned>, F>
    where
        K: Key,
        F: FnMut(&T) -> K + Clone + Send + 'static,
    {
        KeyedStream { stream: self.forward(), key, assigner: Assigner::SourcePartition }
    }
}

impl<'env, T: 'static, P: Pipe<Out = Owned<T>>, F> KeyedStream<'env, P, F> {
    /// Adds an operator with state for each key.
    pub(crate) fn then<B: Build<Owned<T>>>(self, name: &str, build: B) -> Stream<'env, Then<P, B>> {
        let stream = self.stream.then(name, build);
        stream.env.graph(|graph| graph.operator_mut(stream.last).stateful = true);
        stream
    }
}
