//! How much memory the records hold that wait in a sink.

use std::collections::HashSet;

use arrow_array::{Array, RecordBatch};

/// Buffers that have been counted, by where they lie: slices of one batch hold the same ones, which are there once.
pub(super) type Counted = HashSet<usize>;

/// How many bytes one more record holds, without those of buffers that have been counted.
pub(super) type BytesOf<T> = fn(&T, &mut Counted) -> usize;

/// A row is taken to be as large as its type, as in any other sink.
pub(super) fn by_row<T>(_: &T, _: &mut Counted) -> usize {
    size_of::<T>().max(1)
}

/// A batch holds each of its buffers whole, however little of it a slice shows.
pub(super) fn by_buffers(batch: &RecordBatch, counted: &mut Counted) -> usize {
    let columns = batch.columns().iter().map(|column| {
        let own = column.get_array_memory_size().saturating_sub(column.get_buffer_memory_size());
        let (mut bytes, mut parts) = (own, vec![column.to_data()]);
        while let Some(part) = parts.pop() {
            let nulls = part.nulls().map(|nulls| nulls.buffer());
            let new = part.buffers().iter().chain(nulls);
            let new = new.filter(|buffer| counted.insert(buffer.data_ptr().as_ptr() as usize));
            // What somebody else has allocated says no capacity.
            bytes += new.map(|buffer| buffer.capacity().max(buffer.len())).sum::<usize>();
            parts.extend_from_slice(part.child_data());
        }
        bytes
    });
    size_of::<RecordBatch>() + columns.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, Int64Array, ListArray, StringArray};

    use super::*;

    /// A column of 8,000 bytes at the least.
    fn batch() -> RecordBatch {
        let numbers: ArrayRef =
            Arc::new(Int64Array::from_iter((0..1_000).map(|n| (n % 2 == 0).then_some(n))));
        RecordBatch::try_from_iter([("number", numbers)]).unwrap()
    }

    #[test]
    fn slices_of_one_batch_count_its_buffers_once_and_another_batch_its_own() {
        let (mut counted, first) = (Counted::new(), batch());
        let slices = (0..1_000).map(|row| by_buffers(&first.slice(row, 1), &mut counted));
        let slices: Vec<usize> = slices.collect();
        assert!(
            (8_000 + 125..12_000).contains(&slices[0]),
            "all of it stays while a row does: {}",
            slices[0]
        );
        assert!(slices[1..].iter().all(|bytes| (100..500).contains(bytes)), "{:?}", &slices[..2]);
        assert!(by_buffers(&batch(), &mut counted) >= 8_000);
    }

    #[test]
    fn what_lies_inside_of_a_column_counts() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(5_000)]));
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some((0..1_000).map(Some))]);
        let batch = RecordBatch::try_from_iter([("text", texts), ("list", Arc::new(lists) as _)]).unwrap();
        let bytes = by_buffers(&batch, &mut Counted::new());
        assert!((13_000..20_000).contains(&bytes), "{bytes}");
    }
}
