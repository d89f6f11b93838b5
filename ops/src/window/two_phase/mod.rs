//! Windows in two phases: records are combined before the exchange, and what they come to behind it.

mod gather;
mod local;
mod partial;
mod phases;
mod reduced;
mod switch;

use slotflow_runtime::pipe::{Cut, Pipe, Then, ThenCombined};
use slotflow_runtime::plan::{EdgeId, Role};
use slotflow_runtime::{Build, EventTime, Owned};

use super::{
    Dropped, DynamicSession, InProcessingTime, Merge, Session, Sliding, WindowPlan, WindowedStream, Windows,
    described,
};
use crate::keyed::{ByKey, KeySelector, KeyedStream};
use crate::stream::lead_to;
use crate::{CutBefore, Stream};
pub use gather::{Gather, Joined, Partials};
pub use local::{Local, LocalPlan};
pub use partial::{ByPartial, OfPartials, Others, Partial, PartialOf, PartialsDropped};
pub use phases::Phases;
pub use reduced::Reduced;

/// Pipelines behind which an aggregate of windows `W` can be computed: in two phases where that was
/// [asked for](WindowedStream::two_phases) and the windows are [`Sliding`] or tumbling ones in event time, else in one.
#[diagnostic::on_unimplemented(
    message = "these windows cannot be aggregated here in two phases",
    note = "`.two_phases()` is for windows directly behind `key_by`, and accumulators cross the exchange, so \
            `Acc` must be `Send`"
)]
pub trait Phased<W, T, S, A>: Pipe<Out = Owned<T>> {
    /// The pipeline with the windows.
    type Windows: Pipe;
    /// Adds them.
    fn windows<'env>(windowed: WindowedStream<'env, Self, S, W>, aggregate: A)
    -> Stream<'env, Self::Windows>;
}

/// Windows in one phase.
type InOne<P, W, S, A> = Then<P, WindowPlan<W, S, A, Dropped>>;

/// Windows in two phases, behind the pipeline in front of the exchange.
type InTwo<P, S, A> = ThenCombined<
    P,
    ByKey<ByPartial<S>>,
    LocalPlan<S, Partials<A>>,
    WindowPlan<Sliding, S, A, Dropped>,
    WindowPlan<Sliding, ByPartial<S>, OfPartials<A>, PartialsDropped>,
>;

/// Windows of a kind that has one phase, behind any pipeline; and any windows behind this pipeline.
macro_rules! one_phase {
    (<$($parameter:ident),*> $windows:ty, $pipe:ty) => {
        impl<T, S, A, $($parameter),*> Phased<$windows, T, S, A> for $pipe
        where
            T: Send + 'static,
            $pipe: Pipe<Out = Owned<T>>,
            S: KeySelector<T, Stored: Clone + Eq>,
            $windows: Windows<<$pipe as Pipe>::Time>,
            WindowPlan<$windows, S, A, Dropped>: Build<Owned<T>>,
        {
            type Windows = InOne<$pipe, $windows, S, A>;

            fn windows<'env>(
                windowed: WindowedStream<'env, Self, S, $windows>,
                aggregate: A,
            ) -> Stream<'env, Self::Windows> {
                windowed.windowed(aggregate, Dropped::default())
            }
        }
    };
}
one_phase!(<P> Session, P);
one_phase!(<P, G> DynamicSession<G>, P);
one_phase!(<P, W> InProcessingTime<W>, P);
one_phase!(<P, R> Sliding, Cut<P, R>);
one_phase!(<P> Sliding, Phases<P, 1>);

impl<T, P, S, A> Phased<Sliding, T, S, A> for Phases<Cut<P, ByKey<S>>, 2>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>, Time = EventTime>,
    S: KeySelector<T, Stored: Clone + Eq>,
    for<'r> S::Key<'r>: PartialEq,
    A: Merge<T, Acc: Send> + Clone + Send,
{
    type Windows = InTwo<P, S, A>;

    fn windows<'env>(
        windowed: WindowedStream<'env, Self, S, Sliding>,
        aggregate: A,
    ) -> Stream<'env, Self::Windows> {
        let WindowedStream { keyed, windows, lateness_ms, parallelism } = windowed;
        let KeyedStream { stream, selector, assigner } = keyed;
        let Stream { env, last, open_edge, pipe: Phases(Cut { pipe, route, .. }) } = stream;
        let (operator, edge) = lead_to(env, last, open_edge, "window", Role::Operator);
        env.graph(|graph| graph.edges[edge].two_phases = true);
        let route = ByKey(ByPartial(route.0));
        let gather = Partials(aggregate.clone());
        let combine = LocalPlan::new((selector.clone(), gather), windows, lateness_ms);
        let fused = WindowPlan {
            selector: selector.clone(),
            assigner,
            windows,
            lateness_ms,
            aggregate: aggregate.clone(),
            late: Dropped::default(),
        };
        let behind = WindowPlan {
            selector: ByPartial(selector),
            assigner,
            windows,
            lateness_ms,
            aggregate: OfPartials(aggregate),
            late: PartialsDropped::default(),
        };
        let pipe = ThenCombined { pipe, operator, edge, route, combine, fused, behind };
        described(Stream::new(env, operator, pipe), assigner, parallelism, windows.check())
    }
}

impl<P, S, A> CutBefore for InTwo<P, S, A>
where
    Self: Pipe,
{
    type Cut = Self;

    /// It can be cut already.
    fn cut_before(self, _: &mut dyn FnMut(EdgeId) -> u32) -> Self {
        self
    }
}

#[cfg(test)]
mod tests;
