//! The shape that most keyed operators have: a record and its key's state in, a record out.

use slotflow_runtime::{
    Build, Cloned, Context, Family, Hint, Measures, Operator, Output, Owned, Place, Result, SubtaskContext,
};

use super::{Assigner, KeySelector, ValueTable};
use crate::Made;

/// What a keyed operator does with each record: reads and changes its key's state and gives a record.
pub trait Rolling<T>: 'static {
    /// What is kept for each key.
    type State: 'static;
    /// What it gives.
    type Out: 'static;
    /// The state of a new key.
    fn begin(&mut self) -> Self::State;
    /// Handles one record.
    fn step(&mut self, state: &mut Self::State, record: T) -> Self::Out;
}

/// Describes a rolling operator; `R` says how its rule comes to be.
#[derive(Clone)]
pub struct RollingPlan<S, R> {
    pub(super) selector: S,
    pub(super) assigner: Assigner,
    pub(super) rule: R,
}

impl<S, R> RollingPlan<S, R> {
    fn operator<T, C>(selector: S, assigner: Assigner, rule: C, subtask: &SubtaskContext) -> Rolled<T, S, C>
    where
        S: KeySelector<T>,
        C: Rolling<T>,
    {
        Rolled { selector, table: ValueTable::new(subtask, assigner), rule }
    }
}

impl<T, S, R> Build<Owned<T>> for RollingPlan<S, Cloned<R>>
where
    T: 'static,
    S: KeySelector<T>,
    R: Rolling<T> + Clone + Send,
{
    type Out = Owned<R::Out>;
    type Operator = Rolled<T, S, R>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        Ok(Self::operator(self.selector, self.assigner, self.rule.0, subtask))
    }
}

impl<T, S, M, C, R> Build<Owned<T>> for RollingPlan<S, Made<M, C, R>>
where
    T: 'static,
    S: KeySelector<T>,
    M: Fn(Place<'_>) -> C + Clone + Send + 'static,
    C: 'static,
    R: Rolling<T>,
{
    type Out = Owned<R::Out>;
    type Operator = Rolled<T, S, R>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        Ok(Self::operator(self.selector, self.assigner, self.rule.make(subtask.place()), subtask))
    }
}

/// A rule and the state of one subtask's keys.
pub struct Rolled<T, S: KeySelector<T>, R: Rolling<T>> {
    selector: S,
    table: ValueTable<S::Stored, R::State, S::Assigned>,
    rule: R,
}

impl<T, S, R> Operator<Owned<T>> for Rolled<T, S, R>
where
    T: 'static,
    S: KeySelector<T>,
    R: Rolling<T>,
{
    type Out = Owned<R::Out>;

    #[inline(always)]
    fn process<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Owned<R::Out>>) {
        self.process_hinted(record, None, ctx, out);
    }

    #[inline(always)]
    fn hint<'s, 'r>(&mut self, records: impl Iterator<Item = &'r T>, first: Hint, ctx: &mut Context<'s>)
    where
        <Owned<T> as Family>::Of<'s>: 'r,
    {
        let keys = records.map(|record| self.selector.key(record));
        self.table.hint(keys, first, || ctx.split());
    }

    #[inline(always)]
    fn process_hinted<'s>(
        &mut self,
        record: T,
        hint: Option<Hint>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<R::Out>>,
    ) {
        let Rolled { selector, table, rule } = self;
        let key = selector.key(&record);
        let make = |key| (S::store(key), rule.begin());
        let (_, state) = table.entry(hint, key, || ctx.split(), S::same, make);
        let record = rule.step(state, record);
        out.push(record, ctx);
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.table.size().tell(measures);
    }
}
