//! The windows that are open, each with its records, its trigger's state and its timers.
//!
//! A window lives in a row, which it leaves when it is over and another takes; so what it needed is used again. The
//! windows of a key are a list, the one that starts first in front, that begins in a table by key: a record goes along
//! it once, however many windows it is in. It begins where the record before it did, as most come in order, and a key
//! may have many windows that are kept for late ones. Timers know the row and nothing else, so a window takes its
//! timers with it when it goes: the next one of that row must not be called by them.

use slotflow_runtime::{Key, Timestamp};

use super::super::spans::Span;
use super::super::trigger::{Now, OwnTimers, TriggerContext, due};
use crate::StateSize;
use crate::keyed::Segments;
use crate::state::{BothTimers, Chunks, TimeDomain};

/// Behind the last window of a key.
const NONE: u32 = u32::MAX;

/// What a window keeps on the heap.
type HeapOf<C> = Box<dyn Fn(&C) -> usize>;

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

/// The windows of a key.
#[derive(Clone, Copy)]
pub(super) struct List {
    first: u32,
    /// The first of those that the last record came into, if it is still there, or one in front of it.
    recent: u32,
}

impl List {
    const EMPTY: List = List { first: NONE, recent: NONE };
}

/// Where a window lives.
struct Row<K, C, X> {
    window: Option<Window<K, C, X>>,
    /// The next window of its key.
    next: u32,
    /// The timers that its trigger has registered.
    timers: OwnTimers,
}

/// The windows of one subtask.
pub(super) struct OpenWindows<K, C, X> {
    lists: Segments<K, List>,
    rows: Chunks<Row<K, C, X>>,
    used: u32,
    free: Vec<u32>,
    pub(super) timers: BothTimers,
    /// The time that the windows are in.
    domain: TimeDomain,
    lateness: Timestamp,
    /// What a window keeps on the heap, and what all of them do.
    heap_of: HeapOf<C>,
    heap_bytes: usize,
}

impl<K: Key + Eq + Clone, C, X: Default + PartialEq> OpenWindows<K, C, X> {
    /// None yet; `heap_of` tells what a window keeps on the heap.
    pub(super) fn new(
        hashes: (u64, u64),
        domain: TimeDomain,
        lateness: Timestamp,
        heap_of: HeapOf<C>,
    ) -> Self {
        OpenWindows {
            lists: Segments::new(hashes),
            rows: Chunks::default(),
            used: 0,
            free: Vec::new(),
            timers: BothTimers::default(),
            domain,
            lateness,
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

    /// Makes `key` known, and gives its windows. If it has none it must get one
    /// ([`add_in_front`](OpenWindows::add_in_front)) or be forgotten ([`forget`](OpenWindows::forget)).
    pub(super) fn list<Q: Key>(
        &mut self,
        key: Q,
        same: impl Fn(&K, &Q) -> bool,
        store: impl FnOnce(Q) -> K,
    ) -> List {
        *self.lists.value(key, same, |key| (store(key), List::EMPTY))
    }

    /// A window to begin the search at for one that has this span or touches it: all in front of it start earlier, and,
    /// as no two windows of a list touch if they merge, end before it starts.
    pub(super) fn begin(&self, list: List, span: Span) -> Option<u32> {
        let starts_earlier = |row: &u32| self.span(*row).is_some_and(|recent| recent.start <= span.start);
        row_at(list.recent).filter(starts_earlier).or(row_at(list.first))
    }

    /// The next record of the key whose hash and windows these are most likely comes into this window, too.
    pub(super) fn note_recent(&mut self, hash: u64, list: List, row: u32) {
        if list.recent != row
            && let Some((_, known)) = self.lists.find_by(hash, |(_, known)| known.first == list.first)
        {
            known.recent = row;
        }
    }

    /// The next window of the same key.
    pub(super) fn next(&self, row: u32) -> Option<u32> {
        row_at(self.rows.cell(row).next)
    }

    /// Goes along the list from `next` on, as long as windows are `before` what is searched, and gives the last one
    /// that is, or `behind`, and the first that is not.
    pub(super) fn search(
        &self,
        mut behind: Option<u32>,
        mut next: Option<u32>,
        before: impl Fn(Span) -> bool,
    ) -> (Option<u32>, Option<u32>) {
        while let Some(row) = next.filter(|row| self.span(*row).is_some_and(&before)) {
            (behind, next) = (Some(row), self.next(row));
        }
        (behind, next)
    }

    /// Opens a window behind this one of its key.
    pub(super) fn add_behind(&mut self, row: u32, span: Span) -> Option<u32> {
        let key = self.window(row)?.key.clone();
        let next = self.rows.cell(row).next;
        let new = self.open(key, span, next);
        self.rows.cell_mut(row).next = new;
        Some(new)
    }

    /// Opens a window in front of all others of the key whose hash and windows these are.
    pub(super) fn add_in_front(&mut self, hash: u64, list: List, span: Span) -> Option<u32> {
        let (key, _) = self.lists.find_by(hash, |(_, known)| known.first == list.first)?;
        let key = key.clone();
        let new = self.open(key, span, list.first);
        let (_, known) = self.lists.find_by(hash, |(_, known)| known.first == list.first)?;
        *known = List { first: new, recent: new };
        Some(new)
    }

    /// A new window in a row of its own.
    fn open(&mut self, key: K, span: Span, next: u32) -> u32 {
        let row = self.free.pop().unwrap_or(self.used);
        if row == self.used {
            self.used += 1;
            self.rows.grow(self.used as usize, || Row { window: None, next: NONE, timers: Vec::new() });
        }
        let home = self.rows.cell_mut(row);
        let (kept, state) = (None, X::default());
        home.window = Some(Window { key, span, latest: Timestamp::MIN, kept, state });
        home.next = next;
        self.set_clean_up(row, span);
        row
    }

    /// Forgets the key of this hash if it has no window.
    pub(super) fn forget(&mut self, hash: u64) {
        self.lists.remove_by(hash, |(_, list)| list.first == NONE);
    }

    /// From when to when the window in this row is.
    #[inline]
    pub(super) fn span(&self, row: u32) -> Option<Span> {
        self.rows.cell(row).window.as_ref().map(|window| window.span)
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
        let before = window.kept.as_ref().map_or(0, &self.heap_of);
        let result = edit(window);
        let after = window.kept.as_ref().map_or(0, &self.heap_of);
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
        let span = self.span(row)?;
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
        self.delete_timers(row, self.span(row)?);
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
        self.heap_bytes -= window.kept.as_ref().map_or(0, &self.heap_of);
        self.delete_timers(row, window.span);
        self.unlink(row, &window);
        self.free.push(row);
        Some(window)
    }

    /// Takes the row of a window out of its key's list; with the last one the key goes.
    fn unlink(&mut self, row: u32, window: &Window<K, C, X>) {
        let (hash, next) = (window.key.hash(), self.rows.cell(row).next);
        let Some((_, list)) = self.lists.find_by(hash, |(known, _)| *known == window.key) else { return };
        if list.first == row {
            *list = List { first: next, recent: if list.recent == row { next } else { list.recent } };
            if next == NONE {
                self.forget(hash);
            }
            return;
        }
        let list = *list;
        let in_front = |recent: &u32| self.span(*recent).is_some_and(|span| span.start < window.span.start);
        let mut before = row_at(list.recent).filter(in_front).unwrap_or(list.first);
        while self.rows.cell(before).next != row {
            before = self.rows.cell(before).next;
        }
        self.rows.cell_mut(before).next = next;
        if list.recent == row {
            self.note_recent(hash, list, before);
        }
    }

    /// How many keys have windows, and what all of it takes.
    pub(super) fn size(&self) -> StateSize {
        let timers = self.timers.event.bytes() + self.timers.processing.bytes();
        self.lists.size().and_bytes(self.rows.bytes() + timers + self.heap_bytes)
    }
}

/// What a list names, if it is not its end.
fn row_at(named: u32) -> Option<u32> {
    (named != NONE).then_some(named)
}
