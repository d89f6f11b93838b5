//! The consumer of a source subtask, for those who use it besides the reader: it may be renewed.

use std::sync::{Arc, Mutex, PoisonError};

use super::source::Client;

/// The consumer of one source subtask, as of now.
#[derive(Clone)]
pub(super) struct Current(Arc<Mutex<Arc<Client>>>);

impl Current {
    pub fn new(client: Arc<Client>) -> Current {
        Current(Arc::new(Mutex::new(client)))
    }

    pub fn client(&self) -> Arc<Client> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another one from here on. The old one is closed when nobody uses it any more.
    pub fn set(&self, client: Arc<Client>) {
        let old = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), client);
        drop(old);
    }
}
