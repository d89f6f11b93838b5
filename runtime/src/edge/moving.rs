//! Moves records into and out of a ring a stretch at a time. Apart because this is the engine's one
//! place where an iterator's checks for each record were measured to matter (PERF.md, keyed).
#![allow(unsafe_code)]

use std::mem::needs_drop;
use std::ptr;

use rtrb::chunks::{ReadChunk, WriteChunkUninit};

/// Fills `chunk` with the first records of `from`, which has at least as many, and publishes it.
#[inline(always)]
pub fn publish<R>(mut chunk: WriteChunkUninit<'_, R>, from: &mut Vec<R>) {
    let count = chunk.len();
    assert!(count <= from.len(), "a chunk is never larger than what is staged for it");
    let (first, second) = chunk.as_mut_slices();
    let left = from.len() - count;
    // SAFETY: the two slices are `count` slots that nobody else touches, `from` holds at least
    // `count` records, and the two do not overlap. The records moved are cut off from `from` by
    // `set_len` before anything can panic, so each has one owner; all slots of the chunk are written
    // when it is committed.
    unsafe {
        ptr::copy_nonoverlapping(from.as_ptr(), first.as_mut_ptr().cast(), first.len());
        ptr::copy_nonoverlapping(from.as_ptr().add(first.len()), second.as_mut_ptr().cast(), second.len());
        ptr::copy(from.as_ptr().add(count), from.as_mut_ptr(), left);
        from.set_len(left);
        chunk.commit_all();
    }
}

/// Gives every record of `chunk` to `with`, each with its number, from `number` on, and frees the slots.
#[inline(always)]
pub fn take<R>(chunk: ReadChunk<'_, R>, mut number: usize, mut with: impl FnMut(R, usize)) {
    if needs_drop::<R>() {
        chunk.into_iter().zip(number..).for_each(|(record, number)| with(record, number));
        return;
    }
    let (first, second) = chunk.as_slices();
    for part in [first, second] {
        for record in part {
            // SAFETY: `record` is a valid, initialised record. It has no destructor, so a bitwise copy
            // is a move: what stays in the slot is never dropped, and the slot is freed below.
            with(unsafe { ptr::read(record) }, number);
            number += 1;
        }
    }
    chunk.commit_all();
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use rtrb::RingBuffer;

    use super::*;

    /// Sends `count` records through a ring of five, three or fewer at a time.
    fn through<R>(count: usize, make: impl Fn(usize) -> R) -> Vec<R> {
        let (mut producer, mut consumer) = RingBuffer::new(5);
        let mut staged: Vec<R> = (0..count).map(make).collect();
        let mut seen = Vec::new();
        while seen.len() < count {
            let fits = staged.len().min(producer.slots()).min(3);
            if let Ok(chunk) = producer.write_chunk_uninit(fits) {
                publish(chunk, &mut staged);
            }
            let available = consumer.slots();
            if let Ok(chunk) = consumer.read_chunk(available) {
                take(chunk, 0, |record, _| seen.push(record));
            }
        }
        seen
    }

    #[test]
    fn records_keep_their_order_across_the_ring_s_edge() {
        assert_eq!(through(100, |i| i), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn records_with_a_destructor_are_dropped_once() {
        let shared = Rc::new(());
        let seen = through(100, |_| shared.clone());
        assert_eq!(Rc::strong_count(&shared), 101);
        drop(seen);
        assert_eq!(Rc::strong_count(&shared), 1);
    }
}
