//! What a window with a trigger gives: its value so far, and how that stands to its end.

use slotflow_runtime::Timestamp;

use super::WindowResult;

/// What a window with a [`Trigger`](super::Trigger) has come to for a key when it fires. Its event time is the
/// window's last, `end - 1`; that of a [`Global`](super::Global) window is the latest of the records it has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowFiring<K, V> {
    /// The key.
    pub key: K,
    /// The window's first time, in milliseconds.
    pub start: Timestamp,
    /// The first time that is not the window's any more.
    pub end: Timestamp,
    /// Whether it fires before its end, at it, or behind it.
    pub timing: Timing,
    /// What its records have come to.
    pub value: V,
}

impl<K, V> WindowFiring<K, V> {
    /// The same without its timing, for what takes the results of windows without a trigger.
    ///
    /// ```
    /// use slotflow::{Timing, WindowFiring, WindowResult};
    ///
    /// let firing = WindowFiring { key: 'a', start: 0, end: 10, timing: Timing::Early, value: 3 };
    /// assert_eq!(firing.into_result(), WindowResult { key: 'a', start: 0, end: 10, value: 3 });
    /// ```
    pub fn into_result(self) -> WindowResult<K, V> {
        let WindowFiring { key, start, end, value, .. } = self;
        WindowResult { key, start, end, value }
    }
}

/// How a firing stands to its window's end, as time goes that the window is in: Beam's timing of a pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timing {
    /// The end has not come; more records may. All firings of a global window are early, but for that of a trigger
    /// that waits for the end of the input, such as [`EventTimeTrigger`](crate::EventTimeTrigger).
    Early,
    /// A timer for the window's last time: everything has come that was not late.
    OnTime,
    /// The end is over: a late record, or a timer behind the end.
    Late,
}

impl Timing {
    /// Of a timer for `time` in a window that is over at `over`.
    pub(super) fn of_timer(time: Timestamp, over: Timestamp) -> Timing {
        if time == over { Timing::OnTime } else { Timing::when(time, over) }
    }

    /// Of whatever else fires when time has reached `reached`.
    pub(super) fn when(reached: Timestamp, over: Timestamp) -> Timing {
        if reached < over { Timing::Early } else { Timing::Late }
    }
}
