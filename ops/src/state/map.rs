//! A map for each key.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use super::State;
use crate::ProcessContext;

/// A map for each key, ordered by its own keys, so that it always reads the same way: Flink's `MapState`. Declared
/// by [`StateDescriptors::map`](super::StateDescriptors::map). A time to live is that of the whole map.
///
/// ```
/// # use slotflow::prelude::*;
/// # use slotflow::MapState;
/// fn first_visit<K, U>(pages: MapState<String, i64>, page: String, ctx: &mut ProcessContext<'_, K, U>) -> bool {
///     let time = ctx.timestamp();
///     pages.put(ctx, page, time).is_none()
/// }
/// ```
pub struct MapState<K, V> {
    column: usize,
    entry: PhantomData<fn() -> (K, V)>,
}

impl<MK: State + Ord, V: State> MapState<MK, V> {
    pub(super) fn new(column: usize) -> Self {
        MapState { column, entry: PhantomData }
    }

    /// All of it.
    pub fn entries<'c, K, U>(&self, ctx: &'c mut ProcessContext<'_, K, U>) -> Option<&'c BTreeMap<MK, V>> {
        let (columns, at) = ctx.states();
        columns.column::<BTreeMap<MK, V>>(self.column).read(at)
    }

    /// The value of a key.
    pub fn value<'c, K, U>(&self, ctx: &'c mut ProcessContext<'_, K, U>, key: &MK) -> Option<&'c V> {
        self.entries(ctx)?.get(key)
    }

    /// Sets the value of a key and gives the one before.
    pub fn put<K, U>(&self, ctx: &mut ProcessContext<'_, K, U>, key: MK, value: V) -> Option<V> {
        let (columns, at) = ctx.states();
        let column = columns.column::<BTreeMap<MK, V>>(self.column);
        column.edit(at, |cell| cell.get_or_insert_default().insert(key, value))
    }

    /// Removes a key and gives its value; an empty map takes no room.
    pub fn remove<K, U>(&self, ctx: &mut ProcessContext<'_, K, U>, key: &MK) -> Option<V> {
        let (columns, at) = ctx.states();
        columns.column::<BTreeMap<MK, V>>(self.column).edit(at, |cell| {
            let removed = cell.as_mut()?.remove(key);
            cell.take_if(|map| map.is_empty());
            removed
        })
    }

    /// Empties the map and gives it.
    pub fn take<K, U>(&self, ctx: &mut ProcessContext<'_, K, U>) -> BTreeMap<MK, V> {
        let (columns, at) = ctx.states();
        columns.column::<BTreeMap<MK, V>>(self.column).edit(at, Option::take).unwrap_or_default()
    }
}

impl<K, V> Clone for MapState<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for MapState<K, V> {}
