//! The operator of windows without a stream, for tests of a user's own.

use super::{Dropped, Sliding, WindowPlan};
use crate::keyed::{Assigner, ByValue};

/// Describes the operator of tumbling or sliding windows in event time, without a stream: for a test of an aggregate on
/// a leash, where `key` finds the key of a record.
///
/// ```
/// use std::time::Duration;
///
/// use slotflow::prelude::*;
/// use slotflow::testing::{Harness, aggregate_windows};
/// use slotflow::{Aggregate, Merge};
///
/// #[derive(Clone)]
/// struct Count;
/// impl Aggregate<char> for Count {
///     type Acc = u32;
///     type Out = u32;
///     fn create(&self) -> u32 {
///         0
///     }
///     fn add(&self, count: &mut u32, _: char) {
///         *count += 1;
///     }
///     fn result(&self, count: &u32) -> u32 {
///         *count
///     }
/// }
/// impl Merge<char> for Count {
///     fn merge(&self, into: &mut u32, other: &u32) {
///         *into += other;
///     }
/// }
///
/// let windows = Tumbling::of(Duration::from_millis(10));
/// let mut harness = Harness::new(aggregate_windows(|it: &char| *it, windows, Count))?;
/// harness.push_at('a', 3)?;
/// harness.push_at('a', 9)?;
/// harness.watermark(9)?;
/// let counts: Vec<_> = harness.take().into_iter().map(|it| (it.key, it.start, it.value)).collect();
/// assert_eq!(counts, [('a', 0, 2)]);
/// # Ok::<(), Error>(())
/// ```
pub fn aggregate_windows<T, K, S, A>(
    key: S,
    windows: Sliding,
    aggregate: A,
) -> WindowPlan<Sliding, ByValue<S>, A, Dropped>
where
    S: FnMut(&T) -> K + Clone + Send + 'static,
{
    let (selector, late) = (ByValue::hashed(key), Dropped::default());
    WindowPlan { selector, assigner: Assigner::Hash, windows, lateness_ms: 0, aggregate, late }
}
