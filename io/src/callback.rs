//! A sink that calls a closure.

use slotflow_runtime::{Context, Family, Result, Sink, SinkWriter, SubtaskContext};

/// Calls `call` with each record, on the slot's thread. The closure is cloned for each subtask; it
/// must not block.
pub fn callback<F: Clone + Send + 'static>(call: F) -> Callback<F> {
    Callback(call)
}

/// See [`callback`].
#[derive(Clone)]
pub struct Callback<F>(F);

impl<In: Family, F> Sink<In> for Callback<F>
where
    F: for<'s> FnMut(In::Of<'s>) + Clone + Send + 'static,
{
    type Writer = Callback<F>;

    fn describe(&self) -> String {
        "callback".into()
    }

    fn open(&mut self, _: &SubtaskContext) -> Result<Callback<F>> {
        Ok(self.clone())
    }
}

impl<In: Family, F> SinkWriter<In> for Callback<F>
where
    F: for<'s> FnMut(In::Of<'s>) + Send + 'static,
{
    #[inline(always)]
    fn write<'s>(&mut self, record: In::Of<'s>, _: &mut Context<'s>) {
        (self.0)(record);
    }
}
