//! How requests are made: where they run, in which order their answers go on, how many at once, how often again.

use std::future::Future;
use std::pin::Pin;

/// A request on its way, to be run by an executor of the host's.
pub type Request = Pin<Box<dyn Future<Output = ()> + Send>>;

/// In which order answers go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// That of the records.
    Ordered,
    /// As they come, but none past a watermark or a barrier.
    Unordered,
}

/// Settings of [`Stream::map_async`](crate::Stream::map_async), and the executor that runs its requests.
///
/// The executor is the host's: any function that takes a future and sees to it that it is run. With tokio that is
/// `move |request| drop(handle.spawn(request))`. It is called on the slot's thread and must only hand the future over.
/// The executor's own threads should stay off the slots' cores
/// ([`Slots::io_cores`](slotflow_runtime::slot::Slots::io_cores) says where that is).
///
/// The defaults are Flink's where it has one: 100 requests at once, a minute for each; a failed one is not made again.
#[derive(Clone, Debug)]
pub struct AsyncIo<S> {
    pub(super) spawn: S,
    pub(super) order: Order,
    pub(super) capacity: usize,
    pub(super) timeout_ms: u64,
    pub(super) attempts: u32,
    pub(super) backoff_ms: u64,
}

impl<S: Fn(Request) + Clone + Send + 'static> AsyncIo<S> {
    /// Answers go on as they come: Flink's `unorderedWait`. None goes past a watermark that its record was in front
    /// of, or the other way round.
    pub fn unordered(spawn: S) -> Self {
        Self::new(spawn, Order::Unordered)
    }

    /// Answers go on in the order of their records: Flink's `orderedWait`. One that is late holds those behind it up.
    pub fn ordered(spawn: S) -> Self {
        Self::new(spawn, Order::Ordered)
    }

    fn new(spawn: S, order: Order) -> Self {
        AsyncIo { spawn, order, capacity: 100, timeout_ms: 60_000, attempts: 1, backoff_ms: 100 }
    }

    /// How many records each subtask may have under way, at least 1; default 100. When there are so many the subtask
    /// takes no input: that is the backpressure.
    pub fn capacity(self, capacity: usize) -> Self {
        AsyncIo { capacity: capacity.max(1), ..self }
    }

    /// For how long an attempt may take before it has failed; default a minute. The future of a late attempt is left
    /// alone, and what it answers is ignored.
    pub fn timeout_ms(self, timeout_ms: u64) -> Self {
        AsyncIo { timeout_ms, ..self }
    }

    /// How often a request is made before it is given up, at least once; default once. Before the second attempt
    /// `backoff_ms` pass, before each later one twice as much as before the last.
    pub fn retry(self, attempts: u32, backoff_ms: u64) -> Self {
        AsyncIo { attempts: attempts.max(1), backoff_ms, ..self }
    }

    /// How long to wait after so many attempts, in nanoseconds.
    pub(super) fn backoff_ns(&self, tries: u32) -> u64 {
        // At most a thousand times the first pause, some minutes where that is a tenth of a second.
        let doubled = 1u64 << (tries.saturating_sub(1)).min(10);
        self.backoff_ms.saturating_mul(doubled).saturating_mul(1_000_000)
    }

    /// How long an attempt may take, in nanoseconds.
    pub(super) fn timeout_ns(&self) -> u64 {
        self.timeout_ms.saturating_mul(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_bounded() {
        let io = AsyncIo::unordered(|_| {}).retry(100, 10);
        let pauses = [1, 2, 3, 11, 99].map(|tries| io.backoff_ns(tries) / 1_000_000);
        assert_eq!(pauses, [10, 20, 40, 10_240, 10_240]);
        assert_eq!(io.retry(2, u64::MAX).backoff_ns(5), u64::MAX);
    }

    #[test]
    fn nothing_less_than_one() {
        let io = AsyncIo::ordered(|_| {}).capacity(0).retry(0, 0);
        assert_eq!((io.capacity, io.attempts), (1, 1));
    }
}
