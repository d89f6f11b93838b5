//! Makes payloads of records, in the step's arena.

use slotflow_runtime::{Borrowed, Cloned, Context, Error, Family, Operator, Output};

use super::Encode;

/// Makes a payload of each record by `format`, lent until the end of the step: for `Stream::then`, in front of a sink
/// that takes bytes. A record that has no form in the format fails the job.
pub fn encode<E: Clone>(format: E) -> Cloned<Encoding<E>> {
    Cloned(Encoding { format, payload: Vec::new() })
}

/// See [`encode`].
#[derive(Clone)]
pub struct Encoding<E> {
    format: E,
    /// The payload in the making; its memory is used again.
    payload: Vec<u8>,
}

impl<In: Family, E: Encode<In>> Operator<In> for Encoding<E> {
    type Out = Borrowed<[u8]>;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>) {
        self.payload.clear();
        match self.format.encode(record, &mut self.payload) {
            Ok(()) => out.push(ctx.arena().copy_bytes(&self.payload), ctx),
            Err(cause) => ctx.fail(Error::user(cause)),
        }
    }
}
