//! Windows that are reduced: in two phases by themselves, where that changes nothing else.

use std::mem::needs_drop;

use slotflow_runtime::edge::partition::AsPlanned;
use slotflow_runtime::pipe::{Combined, Cut, Pipe, Then};
use slotflow_runtime::{EventTime, Owned};

use super::{Joined, LocalPlan, Phased, Phases};
use crate::Stream;
use crate::keyed::{ByKey, KeySelector, KeyedStream};
use crate::window::{
    Dropped, DynamicSession, InProcessingTime, Joining, Session, Sliding, WindowPlan, WindowedStream,
};

/// Pipelines behind which windows `W` can be reduced: by itself in two phases directly behind a `key_by`, where the
/// windows are [`Sliding`] or tumbling ones in event time, and else as an aggregate is.
#[diagnostic::on_unimplemented(
    message = "these windows cannot be reduced here",
    note = "`.two_phases()` is for windows directly behind `key_by`"
)]
pub trait Reduced<W, T, S, G>: Pipe<Out = Owned<T>> {
    /// The pipeline with the windows.
    type Windows: Pipe;
    /// Adds them.
    fn windows<'env>(windowed: WindowedStream<'env, Self, S, W>, join: G) -> Stream<'env, Self::Windows>;
}

/// Windows behind an exchange in front of which records are combined where that pays.
type InEither<P, S, G> =
    Then<Combined<P, ByKey<S>, LocalPlan<S, Joined<G>>>, WindowPlan<Sliding, S, Joining<G>, Dropped>>;

/// Windows that are reduced as they are aggregated.
macro_rules! as_aggregated {
    (<$($parameter:ident),*> $windows:ty, $pipe:ty) => {
        impl<T, S, G, $($parameter),*> Reduced<$windows, T, S, G> for $pipe
        where
            $pipe: Phased<$windows, T, S, Joining<G>>,
        {
            type Windows = <$pipe as Phased<$windows, T, S, Joining<G>>>::Windows;

            fn windows<'env>(
                windowed: WindowedStream<'env, Self, S, $windows>,
                join: G,
            ) -> Stream<'env, Self::Windows> {
                Phased::windows(windowed, Joining::new(join))
            }
        }
    };
}
as_aggregated!(<P> Session, P);
as_aggregated!(<P, F> DynamicSession<F>, P);
as_aggregated!(<P, W> InProcessingTime<W>, P);
as_aggregated!(<P> Sliding, Cut<P, AsPlanned>);
as_aggregated!(<P> Sliding, Phases<P, 1>);
as_aggregated!(<P> Sliding, Phases<P, 2>);

impl<T, P, S, G> Reduced<Sliding, T, S, G> for Cut<P, ByKey<S>>
where
    T: Clone + Send + 'static,
    P: Pipe<Out = Owned<T>, Time = EventTime>,
    S: KeySelector<T, Stored: Clone + Eq>,
    for<'r> S::Key<'r>: PartialEq,
    G: Fn(T, T) -> T + Clone + Send + 'static,
{
    type Windows = InEither<P, S, G>;

    /// Records that own memory cross one by one: each would have to be cloned before it is joined, since only what
    /// comes of it shows whether its key is kept.
    fn windows<'env>(
        windowed: WindowedStream<'env, Self, S, Sliding>,
        join: G,
    ) -> Stream<'env, Self::Windows> {
        let WindowedStream { keyed, windows, lateness_ms, parallelism } = windowed;
        let KeyedStream { stream, selector, assigner } = keyed;
        let Stream { env, last, open_edge, pipe: cut } = stream;
        let combines = !needs_drop::<T>();
        env.graph(|graph| graph.edges[cut.edge].two_phases = combines);
        let plan = LocalPlan::new((selector.clone(), Joined(join.clone())), windows, lateness_ms);
        let combine = if combines { plan } else { plan.resting() };
        let stream = Stream { env, last, open_edge, pipe: Combined { cut, combine } };
        let keyed = KeyedStream { stream, selector, assigner };
        let windowed = WindowedStream { keyed, windows, lateness_ms, parallelism };
        windowed.windowed(Joining::new(join), Dropped::default())
    }
}
