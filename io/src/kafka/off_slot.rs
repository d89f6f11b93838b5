//! Clients that never hold up the thread that drops them.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use slotflow_runtime::IoCores;

/// After this a client that does not close is reported (a guess: closing takes 0.1 s, and longer only
/// when brokers are away).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A librdkafka client that is closed on a thread of its own, on the I/O cores.
///
/// Closing waits for brokers, 0.1 s at best and for ever at worst, so it must not happen where the
/// client is used, on a slot. A client that never closes costs its memory and threads, and a warning.
pub(super) struct OffSlot<C: Send + Sync + 'static> {
    /// There until the drop.
    client: Option<C>,
    name: Arc<str>,
    io: IoCores,
}

impl<C: Send + Sync + 'static> OffSlot<C> {
    /// Makes the client with `make` on an I/O thread, so that its threads stay off the slots' cores.
    pub fn make<X: Send>(
        io: &IoCores,
        name: &str,
        make: impl FnOnce() -> slotflow_runtime::Result<(C, X)> + Send,
    ) -> slotflow_runtime::Result<(OffSlot<C>, X)> {
        let made = io.run(|| {
            let (client, more) = make()?;
            Ok((OffSlot { client: Some(client), name: name.into(), io: io.clone() }, more))
        });
        made?
    }

    /// Where threads for it belong.
    pub fn io(&self) -> &IoCores {
        &self.io
    }
}

impl<C: Send + Sync + 'static> Deref for OffSlot<C> {
    type Target = C;
    fn deref(&self) -> &C {
        self.client.as_ref().expect("the client is taken only by the drop")
    }
}

impl<C: Send + Sync + 'static> Drop for OffSlot<C> {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        // Where no thread can be made the client leaks: it must not be closed here.
        let client = ManuallyDrop::new(client);
        let (name, io) = (self.name.clone(), self.io.clone());
        let closing = move || close(ManuallyDrop::into_inner(client), &name, &io);
        if let Err(error) = self.io.spawn("slotflow-close", closing) {
            tracing::warn!("the client of {} stays open: {error}", self.name);
        }
    }
}

/// Closes a client on a second thread and watches over it.
fn close<C: Send + 'static>(client: C, name: &str, io: &IoCores) {
    let (closing, closed) = mpsc::channel::<()>();
    let client = ManuallyDrop::new(client);
    let closer = io.spawn("slotflow-close", move || {
        drop(ManuallyDrop::into_inner(client));
        drop(closing);
    });
    if closer.is_err() || closed.recv_timeout(CLOSE_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
        tracing::warn!("the client of {name} does not close; its memory and threads stay until the end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread::{self, ThreadId};

    /// Tells the thread it is dropped on, then waits to be let go.
    struct Stubborn(Sender<ThreadId>, std::sync::Mutex<Receiver<()>>);

    impl Drop for Stubborn {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
            let _gone = self.1.lock().unwrap().recv();
        }
    }

    #[test]
    fn a_client_that_does_not_close_holds_nobody_up() {
        let (tell, told) = channel();
        let (let_go, held) = channel();
        let stubborn = || Ok((Stubborn(tell, held.into()), ()));
        let (client, ()) = OffSlot::make(&IoCores::default(), "kafka(words)", stubborn).unwrap();
        drop(client);
        assert_ne!(told.recv().unwrap(), thread::current().id());
        drop(let_go);
    }
}
