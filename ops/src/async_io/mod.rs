//! Asks something outside for each record without holding the slot up: Flink's async I/O.

mod answers;
mod link;
mod settings;
mod under_way;

use std::fmt::{self, Debug, Display, Formatter};
use std::future::Future;

use slotflow_runtime::edge::partition::AsPlanned;
use slotflow_runtime::install::Installer;
use slotflow_runtime::pipe::{Cut, Pipe, Then};
use slotflow_runtime::plan::{EdgeId, Graph, OperatorId, Role};
use slotflow_runtime::{Cloned, Downstream, Owned, Result};

pub use link::{AsyncLink, AsyncPlan};
pub use settings::{AsyncIo, Request};

use crate::Stream;
use crate::fallible::{Fail, TryMap};
use crate::stream::{CutBefore, lead_to};

/// A record that got no answer, with what the last attempt came to.
pub struct Unanswered<T> {
    /// The record, as it came in.
    pub record: T,
    /// How often it was asked for.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub cause: String,
}

impl<T> Display for Unanswered<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Unanswered { attempts, cause, .. } = self;
        let times = if *attempts == 1 { "once".into() } else { format!("{attempts} times") };
        write!(
            f,
            "a record was asked for {times} and got no answer, at last: {cause}; see AsyncIo::retry and timeout_ms"
        )
    }
}

impl<T> Debug for Unanswered<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// What a record has become.
pub type Outcome<T, U> = std::result::Result<U, Unanswered<T>>;

/// What [`Stream::map_async`] gives.
pub type Answered<'env, P, S, F, T, U> = Stream<
    'env,
    Then<ThenAsync<P, S, F>, Cloned<TryMap<fn(Outcome<T, U>) -> std::result::Result<U, String>, Fail>>>,
>;

impl<'env, T: 'static, P: Pipe<Out = Owned<T>>> Stream<'env, P> {
    /// Asks something outside for each record and goes on with its answer: a database, a service. The slot does other
    /// work meanwhile. A record that gets no answer, after all attempts, fails the job;
    /// [`try_map_async`](Stream::try_map_async) hands it back instead.
    ///
    /// `request` is called on the slot, once for each attempt, and must only make a future; `io` says who runs it and
    /// how often, for how long, how many at once. Watermarks and barriers keep their place: an answer is behind the
    /// watermarks that its record was behind. At the end of the input, and at a drain, all answers are waited for, and
    /// the core spins meanwhile.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// // Any executor will do; this one is a thread for each request.
    /// let threads = |request: Request| drop(std::thread::spawn(|| pollster(request)));
    /// let env = Environment::with(Config::default());
    /// let answers = Collected::new();
    /// env.source(from_iterator([1, 2, 3]))
    ///     .map_async(AsyncIo::ordered(threads).capacity(2), |n: &u32| {
    ///         let n = *n;
    ///         async move { if n > 0 { Ok(n * 10) } else { Err("no such number") } }
    ///     })
    ///     .sink(answers.sink());
    /// env.run("ask")?;
    /// assert_eq!(answers.take(), [10, 20, 30]);
    ///
    /// # use std::{future::Future, sync::Arc, task::{Context, Wake, Waker}, thread::{self, Thread}};
    /// # struct Unpark(Thread);
    /// # impl Wake for Unpark { fn wake(self: Arc<Self>) { self.0.unpark(); } }
    /// /// Runs a future on this thread.
    /// fn pollster(mut future: Request) {
    ///     let waker = Waker::from(Arc::new(Unpark(thread::current())));
    ///     while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
    ///         thread::park();
    ///     }
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn map_async<U, E, S, F, A>(self, io: AsyncIo<S>, request: F) -> Answered<'env, P, S, F, T, U>
    where
        U: Send + 'static,
        E: Display,
        S: Fn(Request) + Clone + Send + 'static,
        F: FnMut(&T) -> A + Clone + Send + 'static,
        A: Future<Output = std::result::Result<U, E>> + Send + 'static,
    {
        let answer: fn(Outcome<T, U>) -> std::result::Result<U, String> =
            |outcome| outcome.map_err(|unanswered| unanswered.to_string());
        self.try_map_async(io, request).name("map_async").try_map(answer).name("answer")
    }

    /// As [`map_async`](Stream::map_async); a record that gets no answer goes on in an [`Unanswered`].
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let drops_it = |request: Request| drop(request);
    /// let env = Environment::with(Config::default());
    /// let (asked, refused) = env
    ///     .source(from_iterator([7]))
    ///     .try_map_async(AsyncIo::unordered(drops_it).retry(2, 1), |n: &u32| std::future::ready(Ok::<_, String>(*n)))
    ///     .split_by(|outcome| match outcome {
    ///         Ok(answer) => Routed::Main(answer),
    ///         Err(refused) => Routed::Side((refused.record, refused.attempts)),
    ///     });
    /// let (answers, dead) = (Collected::new(), Collected::new());
    /// asked.sink(answers.sink());
    /// refused.sink(dead.sink());
    /// env.run("ask")?;
    /// assert_eq!((answers.take(), dead.take()), (vec![], vec![(7, 2)]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_map_async<U, E, S, F, A>(self, io: AsyncIo<S>, request: F) -> Stream<'env, ThenAsync<P, S, F>>
    where
        U: Send + 'static,
        E: Display,
        S: Fn(Request) + Clone + Send + 'static,
        F: FnMut(&T) -> A + Clone + Send + 'static,
        A: Future<Output = std::result::Result<U, E>> + Send + 'static,
    {
        let Stream { env, last, open_edge, pipe } = self;
        let (operator, edge) = lead_to(env, last, open_edge, "try_map_async", Role::Operator);
        Stream::new(env, operator, ThenAsync { pipe, operator, edge, io, request })
    }
}

/// A pipeline and requests behind it, always in one chain.
pub struct ThenAsync<P, S, F> {
    pipe: P,
    operator: OperatorId,
    /// The edge between the two, in case a cut is wanted later.
    edge: EdgeId,
    io: AsyncIo<S>,
    request: F,
}

impl<T, U, E, P, S, F, A> Pipe for ThenAsync<P, S, F>
where
    T: 'static,
    U: Send + 'static,
    E: Display,
    P: Pipe<Out = Owned<T>>,
    S: Fn(Request) + Clone + Send + 'static,
    F: FnMut(&T) -> A + Clone + Send + 'static,
    A: Future<Output = std::result::Result<U, E>> + Send + 'static,
{
    type Out = Owned<Outcome<T, U>>;
    type Time = P::Time;

    fn discover(&mut self, graph: &mut Graph) {
        self.pipe.discover(graph);
    }

    fn install<D: Downstream<Self::Out>>(self, installer: &mut Installer<'_>, rest: D) -> Result<()> {
        let ThenAsync { pipe, operator, io, request, .. } = self;
        pipe.install(installer, AsyncPlan { operator, io, request, rest })
    }
}

impl<T, U, E, P, S, F, A> CutBefore for ThenAsync<P, S, F>
where
    T: Send + 'static,
    U: Send + 'static,
    E: Display,
    P: Pipe<Out = Owned<T>>,
    S: Fn(Request) + Clone + Send + 'static,
    F: FnMut(&T) -> A + Clone + Send + 'static,
    A: Future<Output = std::result::Result<U, E>> + Send + 'static,
{
    type Cut = ThenAsync<Cut<P, AsPlanned>, S, F>;

    fn cut_before(self, number: &mut dyn FnMut(EdgeId) -> u32) -> Self::Cut {
        let ThenAsync { pipe, operator, edge, io, request } = self;
        let number = number(edge);
        ThenAsync { pipe: Cut { pipe, edge, number, route: AsPlanned }, operator, edge, io, request }
    }
}
