//! Which windows a record goes into: those of its time, or the session that it belongs to.

use slotflow_runtime::{Key, MAX_TIMESTAMP};

use super::super::late::Late;
use super::super::spans::{OnMerge, Span};
use super::super::trigger::Now;
use super::operator::{Fired, TriggeredWindows};
use super::{Contents, Trigger, WindowAssigner};
use crate::keyed::KeySelector;
use crate::state::TimeDomain;

impl<T, W, S, G, C, L> TriggeredWindows<T, W, S, G, C, L>
where
    T: Clone + 'static,
    W: WindowAssigner<T, G>,
    S: KeySelector<T, Stored: Clone + Eq>,
    G: Trigger<T>,
    C: Contents<T>,
    L: Late<Fired<T, S, C>, T>,
{
    /// Whether no record can come into a window any more. The clock is in front of every end, but nobody waits for
    /// it when the input has ended.
    fn is_gone(&self, span: Span) -> bool {
        let clean_up = self.state.open.clean_up(span);
        clean_up.is_some_and(|(domain, time)| match domain {
            TimeDomain::EventTime => time <= self.state.watermark,
            TimeDomain::ProcessingTime => self.state.watermark == MAX_TIMESTAMP,
        })
    }

    /// The window of a record that has this span, or, of those that merge, that it belongs to; `None` if it is gone.
    /// `behind` is the record's window in front of it, if there is one.
    pub(super) fn place(&mut self, record: &T, span: Span, behind: Option<u32>, now: Now) -> Option<u32> {
        let (key, gone, merges) = (self.selector.key(record), self.is_gone(span), W::ON_MERGE.is_some());
        let (hash, open) = (key.hash(), &mut self.state.open);
        let list = behind.is_none().then(|| open.list(key, S::same, S::store));
        let next = list.map_or_else(|| open.next(behind?), |list| open.begin(list, span));
        let before = |known: Span| if merges { known.end < span.start } else { known.start < span.start };
        let (behind, next) = open.search(behind, next, before);
        let is_it = |known: Span| if merges { known.touches(span) } else { known == span };
        let row = match (next.filter(|row| open.span(*row).is_some_and(is_it)), behind) {
            (Some(row), _) => row,
            (None, _) if gone => {
                open.forget(hash);
                return None;
            }
            (None, Some(behind)) => open.add_behind(behind, span)?,
            (None, None) => open.add_in_front(hash, list?, span)?,
        };
        list.into_iter().for_each(|list| open.note_recent(hash, list, row));
        if let Some(on_merge) = W::ON_MERGE {
            self.merge(row, span, on_merge, now);
        }
        Some(row)
    }

    /// Makes a session as long as one more record does, and takes in the other one that this reaches. Between two
    /// sessions nothing came for a gap, so a record reaches two of them at most.
    fn merge(&mut self, row: u32, span: Span, on_merge: OnMerge<T, G>, now: Now) -> Option<()> {
        let open = &mut self.state.open;
        let known = open.span(row)?;
        let other = open.next(row).filter(|next| open.span(*next).is_some_and(|next| next.touches(span)));
        if other.is_none() && known.cover(span) == known {
            return None;
        }
        let other = other.and_then(|other| open.close(other));
        let longer = other.iter().fold(known.cover(span), |longer, other| longer.cover(other.span));
        let own = open.lengthen(row, longer)?;
        let (window, mut ctx) = open.context(row, now)?;
        on_merge(&mut self.trigger, &mut window.state, own, &mut ctx);
        let other = other?;
        on_merge(&mut self.trigger, &mut window.state, other.state, &mut ctx);
        window.latest = window.latest.max(other.latest);
        let (contents, kept) = (&self.contents, other.kept?);
        open.edit(row, |window| match &mut window.kept {
            Some(known) => contents.merge(known, kept),
            purged => *purged = Some(kept),
        })
    }
}
