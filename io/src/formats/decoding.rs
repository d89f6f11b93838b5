//! Makes records of payloads, and says what becomes of those that are malformed.

use std::marker::PhantomData;

use bytes::Bytes;
use slotflow_runtime::{
    Build, Context, FIRING_BUDGET, Family, Flow, Measures, Operator, Output, Owned, Result, SubtaskContext,
    Timestamp,
};

use super::held_back::HeldBack;
use super::{Decode, Malformed, Payload};

/// Makes a record of each payload by `format`; one that is malformed fails the job and is named. For
/// `Stream::then`, behind a source of payloads.
pub fn decode<D: Decode>(format: D) -> Decoding<D, Fail> {
    Decoding::new(format, Fail)
}

/// As [`decode`]; what is malformed is left out and counted as `malformed`. Warnings tell the count and the latest
/// place and cause, at the first and at every doubling, so bad input cannot flood the log.
///
/// ```
/// # use slotflow::prelude::*;
/// use slotflow::io::formats::{decode_or_skip, text};
///
/// let env = Environment::with(Config::default());
/// let words = Collected::new();
/// let payloads = env.source(from_iterator([&b"to"[..], b"\xff", b"be"]));
/// payloads.then("decode", decode_or_skip(text())).map(str::to_owned).sink(words.sink());
/// env.run("words")?;
/// assert_eq!(words.take(), ["to", "be"]);
/// # Ok::<(), Error>(())
/// ```
pub fn decode_or_skip<D: Decode>(format: D) -> Decoding<D, Skip> {
    Decoding::new(format, Skip::default())
}

/// As [`decode`], with a result for each payload; `try_map_split(|result| result)` makes two streams of them, the
/// records and the dead letters. The records own what they hold.
pub fn decode_to_result<D, T>(format: D) -> Decoding<D, ToResult<T>>
where
    D: Decode<Item = Owned<T>>,
    T: 'static,
{
    Decoding::new(format, ToResult(PhantomData))
}

/// See [`decode`]. The operator, and the description of it.
#[derive(Clone)]
pub struct Decoding<D, P> {
    format: D,
    on_malformed: P,
    held: HeldBack,
}

impl<D, P> Decoding<D, P> {
    fn new(format: D, on_malformed: P) -> Self {
        Decoding { format, on_malformed, held: HeldBack::default() }
    }
}

/// What becomes of records and of what is malformed.
pub trait OnMalformed<F: Family>: Clone + Send + 'static {
    /// What goes on.
    type Out: Family;
    /// A payload was what its format says.
    fn good<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>);
    /// One was not.
    fn bad<'s>(&mut self, malformed: Malformed, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>);
    /// How many were left out.
    fn left_out(&self) -> u64 {
        0
    }
}

/// Fails the job.
#[derive(Clone, Copy, Debug)]
pub struct Fail;

impl<F: Family> OnMalformed<F> for Fail {
    type Out = F;

    #[inline(always)]
    fn good<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<F>) {
        out.push(record, ctx);
    }

    #[cold]
    fn bad<'s>(&mut self, malformed: Malformed, ctx: &mut Context<'s>, _: &mut impl Output<F>) {
        ctx.fail(malformed.into_error());
    }
}

/// Leaves it out and counts it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Skip {
    skipped: u64,
}

impl<F: Family> OnMalformed<F> for Skip {
    type Out = F;

    #[inline(always)]
    fn good<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<F>) {
        out.push(record, ctx);
    }

    #[cold]
    fn bad<'s>(&mut self, malformed: Malformed, ctx: &mut Context<'s>, _: &mut impl Output<F>) {
        self.skipped += 1;
        if self.skipped.is_power_of_two() {
            let (subtask, skipped) = (ctx.subtask().index, self.skipped);
            tracing::warn!(chain = ctx.subtask().operator, subtask, skipped, "left out: {malformed}");
        }
    }

    fn left_out(&self) -> u64 {
        self.skipped
    }
}

/// Gives a result for each payload.
pub struct ToResult<T>(PhantomData<fn() -> T>);

impl<T> Clone for ToResult<T> {
    fn clone(&self) -> Self {
        ToResult(PhantomData)
    }
}

impl<T: 'static> OnMalformed<Owned<T>> for ToResult<T> {
    type Out = Owned<Result<T, Malformed>>;

    #[inline(always)]
    fn good<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>) {
        out.push(Ok(record), ctx);
    }

    #[cold]
    fn bad<'s>(&mut self, malformed: Malformed, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>) {
        out.push(Err(malformed), ctx);
    }
}

impl<In, D, P> Build<In> for Decoding<D, P>
where
    In: Family,
    for<'s> In::Of<'s>: Payload<'s>,
    D: Decode,
    P: OnMalformed<D::Item>,
{
    type Out = P::Out;
    type Operator = Self;

    fn build(mut self, subtask: &SubtaskContext) -> Result<Self> {
        self.format.open(subtask);
        Ok(self)
    }
}

impl<D: Decode, P: OnMalformed<D::Item>> Decoding<D, P> {
    #[inline(always)]
    fn decode<'s>(
        &mut self,
        payload: &'s [u8],
        place: impl FnOnce() -> (String, u64),
        ctx: &mut Context<'s>,
        out: &mut impl Output<P::Out>,
    ) {
        match self.format.decode(payload) {
            Ok(decoded) => self.on_malformed.good(decoded, ctx, out),
            Err(error) => {
                let ((place, offset), error) = (place(), error.to_string());
                let payload = Bytes::copy_from_slice(payload);
                self.on_malformed.bad(Malformed { place, offset, payload, error }, ctx, out);
            }
        }
    }

    /// Decodes what is held, as far as the format is ready for it.
    fn let_go<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<P::Out>) -> Flow {
        for _ in 0..FIRING_BUDGET {
            let Some(payload) = self.held.first() else { return Flow::Done };
            match self.format.ready(payload) {
                Ok(true) => self.let_one_go(ctx, out),
                Ok(false) => return Flow::Waits,
                Err(error) => ctx.fail(error),
            }
            if ctx.failed() {
                return Flow::Done;
            }
        }
        Flow::More
    }

    fn let_one_go<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<P::Out>) {
        let Some(held) = self.held.pop() else { return };
        held.resume(ctx);
        let payload = ctx.arena().copy_bytes(&held.payload);
        self.decode(payload, || held.place, ctx, out);
    }
}

impl<In, D, P> Operator<In> for Decoding<D, P>
where
    In: Family,
    for<'s> In::Of<'s>: Payload<'s>,
    D: Decode,
    P: OnMalformed<D::Item>,
{
    type Out = P::Out;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<P::Out>) {
        let ready = self.held.is_empty().then(|| self.format.ready(record.payload()));
        let outcome = match ready {
            Some(Ok(true)) => return self.decode(record.payload(), || record.place(), ctx, out),
            Some(Err(error)) => Err(error),
            Some(Ok(false)) | None => self.held.push(&record, ctx),
        };
        outcome.unwrap_or_else(|error| ctx.fail(error));
    }

    fn watermark<'s>(&mut self, _: Timestamp, ctx: &mut Context<'s>, out: &mut impl Output<P::Out>) -> Flow {
        self.let_go(ctx, out)
    }

    #[inline(always)]
    fn due_ns(&self) -> u64 {
        if self.held.is_empty() { u64::MAX } else { 0 }
    }

    fn tick<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<P::Out>) -> Flow {
        self.let_go(ctx, out)
    }

    fn settle<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<P::Out>) -> Flow {
        self.let_go(ctx, out)
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<P::Out>) -> Flow {
        self.let_go(ctx, out)
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        measures.dropped("malformed", self.on_malformed.left_out());
        measures.waiting(self.held.len(), || self.format.waits_for());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use slotflow_runtime::error::Cause;
    use slotflow_runtime::testing::subtask;
    use slotflow_runtime::{Arena, Blame, Borrowed};

    use super::*;

    /// How long payloads are, once the gate is open.
    #[derive(Clone)]
    struct Gated(Arc<AtomicBool>);

    impl Decode for Gated {
        type Item = Owned<usize>;

        fn decode(&mut self, payload: &[u8]) -> Result<usize, Cause> {
            Ok(payload.len())
        }

        fn ready(&mut self, _: &[u8]) -> Result<bool> {
            Ok(self.0.load(Ordering::Relaxed))
        }
    }

    #[derive(Default)]
    struct Given(Vec<(usize, Timestamp)>);

    impl Output<Owned<usize>> for Given {
        fn push<'s>(&mut self, record: usize, ctx: &mut Context<'s>) {
            self.0.push((record, ctx.timestamp()));
        }
    }

    type Call = for<'s> fn(&mut Decoding<Gated, Fail>, &mut Context<'s>, &mut Given) -> Flow;

    #[test]
    fn nothing_passes_what_waits_and_it_goes_on_with_its_time() {
        let calls: [Call; 4] = [
            |it, ctx, out| Operator::<Borrowed<[u8]>>::watermark(it, 9, ctx, out),
            |it, ctx, out| Operator::<Borrowed<[u8]>>::tick(it, ctx, out),
            |it, ctx, out| Operator::<Borrowed<[u8]>>::settle(it, ctx, out),
            |it, ctx, out| Operator::<Borrowed<[u8]>>::end(it, ctx, out),
        ];
        for call in calls {
            let (arena, place, blame, gate) = (Arena::new(), subtask(), Blame::default(), Arc::default());
            let (mut ctx, mut out) = (Context::new(&arena, &place, &blame, 0), Given::default());
            let mut decoding = Build::<Borrowed<[u8]>>::build(decode(Gated(gate)), &place).unwrap();
            let gate = decoding.format.0.clone();
            assert_eq!(Operator::<Borrowed<[u8]>>::due_ns(&decoding), u64::MAX);
            for (payload, at) in [(&b"a"[..], 5), (b"bc", 6)] {
                ctx.set_timestamp(at);
                Operator::<Borrowed<[u8]>>::process(&mut decoding, payload, &mut ctx, &mut out);
            }
            assert_eq!(Operator::<Borrowed<[u8]>>::due_ns(&decoding), 0);
            assert_eq!((call(&mut decoding, &mut ctx, &mut out), out.0.len()), (Flow::Waits, 0));
            gate.store(true, Ordering::Relaxed);
            assert_eq!(call(&mut decoding, &mut ctx, &mut out), Flow::Done);
            assert_eq!(out.0, [(1, 5), (2, 6)]);
        }
    }
}
