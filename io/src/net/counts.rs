//! What has happened to connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What has happened to the connections of a source or a sink so far; to be read while the job runs.
#[derive(Clone, Debug, Default)]
pub struct SocketCounts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    connected: AtomicU64,
    lost: AtomicU64,
    torn: AtomicU64,
    malformed: AtomicU64,
}

/// One count.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Connected,
    Lost,
    Torn,
    Malformed,
}

impl SocketCounts {
    /// How often there was a connection.
    pub fn connected(&self) -> u64 {
        self.of(Count::Connected).load(Ordering::Relaxed)
    }

    /// How often one broke, could not be made, or was closed by a far end that is connected to again.
    pub fn lost(&self) -> u64 {
        self.of(Count::Lost).load(Ordering::Relaxed)
    }

    /// How many frames were dropped because their connection ended in the middle of them.
    pub fn torn(&self) -> u64 {
        self.of(Count::Torn).load(Ordering::Relaxed)
    }

    /// How many connections were closed because of a malformed frame.
    pub fn malformed(&self) -> u64 {
        self.of(Count::Malformed).load(Ordering::Relaxed)
    }

    /// Counts one more; a warning tells `why` at the first and at every doubling, so the log is not flooded.
    pub(super) fn warn(&self, count: Count, why: &str) {
        let times = self.of(count).fetch_add(1, Ordering::Relaxed) + 1;
        if times.is_power_of_two() {
            tracing::warn!(times, "{why}");
        }
    }

    pub(super) fn add_connected(&self) {
        self.of(Count::Connected).fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, count: Count) -> &AtomicU64 {
        match count {
            Count::Connected => &self.0.connected,
            Count::Lost => &self.0.lost,
            Count::Torn => &self.0.torn,
            Count::Malformed => &self.0.malformed,
        }
    }
}
