//! The windows that are open, each with its records, its trigger's state and its timers.
//!
//! A window lives in a row, which it leaves when it is over and another takes; so what it needed is used again. The
//! windows of a key are a list, the newest first, that begins in a table by key. Timers know the row and nothing
//! else, so a window takes its timers with it when it goes: the next one of that row must not be called by them.

use slotflow_runtime::{Key, Timestamp};

use super::super::spans::Span;
use super::super::trigger::{Now, OwnTimers, TriggerContext, due};
use crate::keyed::Segments;
use crate::state::{BothTimers, Chunks, TimeDomain};

/// Behind the last window of a key.
const NONE: u32 = u32::MAX;

/// A window of a key.
pub(super) struct Window<K, C, X> {
    pub(super) key: K,
    pub(super) span: Span,
    /// The latest event time of its records.
    pub(super) latest: Timestamp,
    /// What it keeps of its records; nothing if they were purged.
    pub(super) kept: Option<C>,
    /// The trigger's.
    pub(super) state: X,
}

/// Where a window lives.
struct Row<K, C, X> {
    window: Option<Window<K, C, X>>,
    /// The next older window of its key.
    older: u32,
    /// The timers that its trigger has registered.
    timers: OwnTimers,
}

/// The windows of one subtask.
pub(super) struct OpenWindows<K, C, X> {
    /// The newest window of each key.
    newest: Segments<K, u32>,
    rows: Chunks<Row<K, C, X>>,
    used: u32,
    free: Vec<u32>,
    pub(super) timers: BothTimers,
    /// The time that the windows are in.
    domain: TimeDomain,
    lateness: Timestamp,
    keys: usize,
    /// What a window keeps on the heap, and what all of them do.
    heap_of: fn(&C) -> usize,
    heap_bytes: usize,
}

impl<K: Key + Eq + Clone, C, X: Default + PartialEq> OpenWindows<K, C, X> {
    /// None yet; `heap_of` tells what a window keeps on the heap.
    pub(super) fn new(
        hashes: (u64, u64),
        domain: TimeDomain,
        lateness: Timestamp,
        heap_of: fn(&C) -> usize,
    ) -> Self {
        OpenWindows {
            newest: Segments::new(hashes),
            rows: Chunks::default(),
            used: 0,
            free: Vec::new(),
            timers: BothTimers::default(),
            domain,
            lateness,
            keys: 0,
            heap_of,
            heap_bytes: 0,
        }
    }

    /// When a window is over: its last time in event time, its end in processing time, since the clock reaches what
    /// a watermark passes.
    pub(super) fn over(&self, span: Span) -> Timestamp {
        span.end - Timestamp::from(self.domain == TimeDomain::EventTime)
    }

    /// When a window and all that belongs to it goes.
    pub(super) fn clean_up(&self, span: Span) -> Option<(TimeDomain, Timestamp)> {
        (!span.is_endless()).then(|| (self.domain, self.over(span) + self.lateness))
    }

    /// The newest window of `key`, which is known from here on: [`add`](OpenWindows::add) a window to it, or
    /// [`forget`](OpenWindows::forget) it if it has none.
    pub(super) fn newest<Q: Key>(
        &mut self,
        key: Q,
        same: impl Fn(&K, &Q) -> bool,
        store: impl FnOnce(Q) -> K,
    ) -> u32 {
        self.newest.settle();
        let keys = &mut self.keys;
        *self.newest.value(key, same, |key| {
            *keys += 1;
            (store(key), NONE)
        })
    }

    /// The first window, from this row on, for which `is` holds.
    pub(super) fn find(&self, mut row: u32, is: impl Fn(u32, Span) -> bool) -> Option<u32> {
        while row != NONE {
            let Row { window, older, .. } = self.rows.cell(row);
            if window.as_ref().is_some_and(|window| is(row, window.span)) {
                return Some(row);
            }
            row = *older;
        }
        None
    }

    /// Opens a window of the key whose hash this is and whose newest window is `newest`.
    pub(super) fn add(&mut self, hash: u64, newest: u32, span: Span) -> u32 {
        let row = self.free.pop().unwrap_or(self.used);
        let entry = self.newest.find_by(hash, |(_, known)| *known == newest);
        let (key, first) = entry.expect("a key is known before it has a window");
        *first = row;
        let key = key.clone();
        if row == self.used {
            self.used += 1;
            self.rows.grow(self.used as usize, || Row { window: None, older: NONE, timers: Vec::new() });
        }
        let home = self.rows.cell_mut(row);
        let (kept, state) = (None, X::default());
        home.window = Some(Window { key, span, latest: Timestamp::MIN, kept, state });
        home.older = newest;
        self.set_clean_up(row, span);
        row
    }

    /// Forgets the key of this hash that has no window.
    #[cold]
    pub(super) fn forget(&mut self, hash: u64) {
        if self.newest.remove_by(hash, |(_, newest)| *newest == NONE).is_some() {
            self.keys -= 1;
        }
    }

    /// The window in this row.
    #[inline]
    pub(super) fn window(&mut self, row: u32) -> Option<&mut Window<K, C, X>> {
        self.rows.cell_mut(row).window.as_mut()
    }

    /// Changes what the window in this row keeps, and measures it.
    #[inline]
    pub(super) fn edit<R>(&mut self, row: u32, edit: impl FnOnce(&mut Window<K, C, X>) -> R) -> Option<R> {
        let window = self.rows.cell_mut(row).window.as_mut()?;
        let before = window.kept.as_ref().map_or(0, self.heap_of);
        let result = edit(window);
        let after = window.kept.as_ref().map_or(0, self.heap_of);
        self.heap_bytes = self.heap_bytes + after - before;
        Some(result)
    }

    /// The window in this row, and what its trigger may know and do.
    #[inline]
    pub(super) fn context(
        &mut self,
        row: u32,
        now: Now,
    ) -> Option<(&mut Window<K, C, X>, TriggerContext<'_>)> {
        let span = self.rows.cell(row).window.as_ref()?.span;
        let clean_up = self.clean_up(span);
        let OpenWindows { rows, timers, domain, .. } = self;
        let Row { window, timers: own, .. } = rows.cell_mut(row);
        let context = TriggerContext { span, domain: *domain, now, clean_up, own, timers, row };
        window.as_mut().map(|window| (window, context))
    }

    /// Takes a timer that is due from its window; `false` if it is not the trigger's.
    pub(super) fn take_timer(&mut self, row: u32, timer: (TimeDomain, Timestamp)) -> bool {
        let own = &mut self.rows.cell_mut(row).timers;
        let at = own.iter().position(|own| *own == timer);
        at.map(|at| own.swap_remove(at)).is_some()
    }

    /// Makes a window as long as this, without timers and with a new state for the trigger. Gives the old state.
    pub(super) fn lengthen(&mut self, row: u32, longer: Span) -> Option<X> {
        self.delete_timers(row, self.rows.cell(row).window.as_ref()?.span);
        self.set_clean_up(row, longer);
        let window = self.window(row)?;
        window.span = longer;
        Some(std::mem::take(&mut window.state))
    }

    /// Deletes the timers of a window, that for its clean-up as well.
    fn delete_timers(&mut self, row: u32, span: Span) {
        let clean_up = self.clean_up(span);
        let OpenWindows { rows, timers, .. } = self;
        for (domain, time) in rows.cell_mut(row).timers.drain(..).chain(clean_up) {
            timers.of(domain).delete(time, row);
        }
    }

    /// A window is to be looked at when it is over.
    fn set_clean_up(&mut self, row: u32, span: Span) {
        if let Some((domain, time)) = self.clean_up(span) {
            self.timers.of(domain).register(due(row, time));
        }
    }

    /// Whether a window has nothing that a new one would not have.
    pub(super) fn is_spent(&self, row: u32) -> bool {
        let Row { window, timers, .. } = self.rows.cell(row);
        let nothing = |window: &Window<K, C, X>| window.kept.is_none() && window.state == X::default();
        timers.is_empty() && window.as_ref().is_some_and(nothing)
    }

    /// Takes a window out, with its timers.
    pub(super) fn close(&mut self, row: u32) -> Option<Window<K, C, X>> {
        let window = self.rows.cell_mut(row).window.take()?;
        self.heap_bytes -= window.kept.as_ref().map_or(0, self.heap_of);
        self.delete_timers(row, window.span);
        self.unlink(row, &window.key);
        self.free.push(row);
        Some(window)
    }

    /// Takes a row out of its key's list; with the last one the key goes.
    fn unlink(&mut self, row: u32, key: &K) {
        let (hash, older) = (key.hash(), self.rows.cell(row).older);
        let Some((_, newest)) = self.newest.find_by(hash, |(known, _)| known == key) else { return };
        if *newest != row {
            let mut newer = *newest;
            while self.rows.cell(newer).older != row {
                newer = self.rows.cell(newer).older;
            }
            self.rows.cell_mut(newer).older = older;
            return;
        }
        *newest = older;
        if older == NONE {
            self.newest.remove_by(hash, |(known, _)| known == key);
            self.keys -= 1;
        }
    }

    /// How many keys have windows, and what all of it takes.
    pub(super) fn size(&self) -> (usize, usize) {
        // Seven eighths of a table are used at most, half of them at least.
        let table = self.keys * size_of::<(K, u32)>() * 3 / 2;
        let timers = self.timers.event.bytes() + self.timers.processing.bytes();
        (self.keys, table + self.rows.bytes() + timers + self.heap_bytes)
    }
}
