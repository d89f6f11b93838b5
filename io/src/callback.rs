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
    type Writer = Called<F>;

    fn describe(&self) -> String {
        "callback".into()
    }

    fn open(&mut self, _: &SubtaskContext) -> Result<Called<F>> {
        Ok(Called(self.0.clone()))
    }
}

/// Calls a closure that `make` makes for each subtask, so it may keep what cannot be cloned.
pub fn callback_with<M, F>(make: M) -> CallbackWith<M>
where
    M: FnMut(&SubtaskContext) -> F + Send + 'static,
    F: Send + 'static,
{
    CallbackWith(make)
}

/// See [`callback_with`].
pub struct CallbackWith<M>(M);

impl<In: Family, M, F> Sink<In> for CallbackWith<M>
where
    M: FnMut(&SubtaskContext) -> F + Send + 'static,
    F: for<'s> FnMut(In::Of<'s>) + Send + 'static,
{
    type Writer = Called<F>;

    fn describe(&self) -> String {
        "callback".into()
    }

    fn open(&mut self, subtask: &SubtaskContext) -> Result<Called<F>> {
        Ok(Called((self.0)(subtask)))
    }
}

/// Calls a closure with each record of one subtask.
pub struct Called<F>(F);

impl<In: Family, F> SinkWriter<In> for Called<F>
where
    F: for<'s> FnMut(In::Of<'s>) + Send + 'static,
{
    #[inline(always)]
    fn write<'s>(&mut self, record: In::Of<'s>, _: &mut Context<'s>) {
        (self.0)(record);
    }
}
