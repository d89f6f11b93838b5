//! How a process function declares its states.

use slotflow_runtime::error::Problem;
use slotflow_runtime::{Error, Place, Result};

use super::column::{Columns, Plain};
use super::{AggregatingState, ListState, MapState, ReducingState, State, Ttl, ValueState};
use crate::Aggregate;

/// What a state is called and how long it lives; a name alone will do where one is expected.
///
/// ```
/// use std::time::Duration;
/// use slotflow_ops::{StateDescriptor, Ttl};
///
/// let seen = StateDescriptor::new("seen").ttl(Ttl::event_time(Duration::from_secs(60))).version(2);
/// assert_ne!(seen, StateDescriptor::from("seen"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDescriptor {
    pub(super) name: String,
    pub(super) version: u32,
    pub(super) ttl: Option<Ttl>,
}

impl StateDescriptor {
    /// A state of this name, which must be the only one of its operator; by it stored state is found again.
    pub fn new(name: &str) -> StateDescriptor {
        StateDescriptor { name: name.into(), version: 0, ttl: None }
    }

    /// Lets it live for a while only; default for ever.
    #[must_use]
    pub fn ttl(self, ttl: Ttl) -> StateDescriptor {
        StateDescriptor { ttl: Some(ttl), ..self }
    }

    /// The version of its type, default 0. What was stored under another version is refused and not misread.
    #[must_use]
    pub fn version(self, version: u32) -> StateDescriptor {
        StateDescriptor { version, ..self }
    }
}

impl From<&str> for StateDescriptor {
    fn from(name: &str) -> StateDescriptor {
        StateDescriptor::new(name)
    }
}

/// Where a process function declares its states, once for each subtask, on its slot, before the first record.
///
/// The handles it gives are numbers: they can be copied, and are good for the operator that they were declared in.
///
/// ```
/// # use slotflow::prelude::*;
/// use slotflow::{ReducingState, StateDescriptors, ValueState};
///
/// struct Account {
///     limit: ValueState<u64>,
///     spent: ReducingState<u64>,
/// }
///
/// impl Account {
///     fn open(states: &mut StateDescriptors<'_>) -> Account {
///         Account { limit: states.value("limit"), spent: states.reducing("spent", |sum, cents| sum + cents) }
///     }
/// }
/// ```
pub struct StateDescriptors<'a> {
    columns: &'a mut Columns,
    place: Place<'a>,
}

impl<'a> StateDescriptors<'a> {
    pub(crate) fn new(columns: &'a mut Columns, place: Place<'a>) -> Self {
        StateDescriptors { columns, place }
    }

    /// Which subtask this is.
    pub fn subtask(&self) -> Place<'a> {
        self.place
    }

    /// One value for each key.
    pub fn value<T: State>(&mut self, state: impl Into<StateDescriptor>) -> ValueState<T> {
        ValueState::new(self.columns.declare::<Plain<T>>(state.into()))
    }

    /// A list for each key.
    pub fn list<T: State>(&mut self, state: impl Into<StateDescriptor>) -> ListState<T> {
        ListState::new(self.columns.declare::<Vec<T>>(state.into()))
    }

    /// A map for each key, ordered by its own keys.
    pub fn map<K: State + Ord, V: State>(&mut self, state: impl Into<StateDescriptor>) -> MapState<K, V> {
        MapState::new(self.columns.declare::<std::collections::BTreeMap<K, V>>(state.into()))
    }

    /// For each key what `reduce` makes of all values added.
    pub fn reducing<T: State>(
        &mut self,
        state: impl Into<StateDescriptor>,
        reduce: fn(T, T) -> T,
    ) -> ReducingState<T> {
        ReducingState::new(self.columns.declare::<Plain<T>>(state.into()), reduce)
    }

    /// For each key the accumulator of `aggregate`.
    pub fn aggregating<T, A>(
        &mut self,
        state: impl Into<StateDescriptor>,
        aggregate: A,
    ) -> AggregatingState<T, A>
    where
        A: Aggregate<T, Acc: State>,
    {
        AggregatingState::new(self.columns.declare::<Plain<A::Acc>>(state.into()), aggregate)
    }

    /// Refuses names that stand for two states.
    pub(crate) fn check(&self) -> Result<()> {
        let names = self.columns.descriptors().iter().map(|descriptor| &descriptor.name);
        let twice =
            names.clone().enumerate().filter(|(at, name)| names.clone().take(*at).any(|it| it == *name));
        let subject = format!("operator \"{}\"", self.place.operator);
        let problem = |name| {
            Problem::new(
                &subject,
                format!("declares two states named \"{name}\""),
                "give each a name of its own",
            )
        };
        let problems: Vec<_> = twice.map(|(_, name)| problem(name)).collect();
        if problems.is_empty() { Ok(()) } else { Err(Error::plan(problems)) }
    }
}
