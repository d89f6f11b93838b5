//! Keys in segments, against the standard library's map.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::LOOK_AHEAD;

/// A key that hashes as it is told.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Chosen(u64, u64);

impl Key for Chosen {
    fn hash(&self) -> u64 {
        self.0
    }
}

const ALL: (u64, u64) = (0, u64::MAX);

/// How many keys a segment has when it is split.
fn capacity<K: Key>() -> usize {
    Segments::<K, u64>::HOMES / 8 * 7
}

/// Counts each key `rounds` times and compares with the standard library's map.
fn counts<K: Key + Eq + Clone + std::hash::Hash + std::fmt::Debug>(
    hashes: (u64, u64),
    keys: &[K],
    rounds: usize,
) -> Segments<K, u64> {
    let (mut segments, mut model) = (Segments::new(hashes), HashMap::new());
    for round in 0..rounds {
        for ahead in keys.chunks(LOOK_AHEAD) {
            segments.hint(ahead.iter().map(Key::hash), Hint(0));
            for (number, key) in ahead.iter().enumerate() {
                let (same, make) = (|known: &K, key: &&K| known == *key, |key: &K| (key.clone(), 0));
                // Every other round looks keys up as they come.
                let hint = (round % 2 == 0).then_some(Hint(number));
                segments.entry(hint, key, same, make).1 += 1;
                *model.entry(key.clone()).or_insert(0) += 1;
            }
        }
    }
    let mut seen = HashMap::new();
    for segment in segments.segments.all() {
        for (key, count) in segment.iter() {
            assert_eq!(seen.insert(key.clone(), *count), None);
        }
    }
    assert_eq!(seen, model);
    segments
}

#[test]
fn every_key_has_its_own_value() {
    for keys in [0, 1, 100, 10_000, 200_000] {
        counts(ALL, &(0..keys).collect::<Vec<u64>>(), 3);
    }
}

#[test]
fn segments_stay_small_and_a_stretch_of_hashes_is_one_after_the_other() {
    let segments = counts(ALL, &(0..200_000u64).collect::<Vec<_>>(), 1);
    let (tables, directory) = (segments.segments.all(), &segments.directory);
    assert!(tables.iter().all(|segment| segment.homes() == Segments::<u64, u64>::HOMES));
    let fewest = 200_000 / capacity::<u64>();
    assert!((fewest..4 * fewest).contains(&tables.len()), "{}", tables.len());
    for (index, segment) in tables.iter().enumerate() {
        assert!(segment.iter().all(|(key, _)| directory.segment_of(Key::hash(key)) == index));
    }
    assert_eq!(directory.segments(0, u64::MAX).len(), tables.len());
}

#[test]
fn segments_are_split_one_after_the_other_and_not_all_at_once() {
    let (mut segments, mut most) = (Segments::new(ALL), 0);
    for keys in (0..470_000u64).step_by(4000) {
        let before = segments.segments.all().len();
        for key in keys..keys + 4000 {
            segments.entry(None, key, |known, key| known == key, |key| (key, key));
        }
        most = most.max(segments.segments.all().len() - before);
    }
    let split = segments.segments.all().len();
    assert!(split == 512 && most <= 16, "{most} of {split} at once");
}

#[test]
fn a_stretch_of_all_the_hashes_is_divided_as_all_of_them_are() {
    for (first, more) in [(1 << 63, (1 << 63) - 1), (5 << 58, (3 << 57) + 12_345)] {
        let spread = |n: u64| {
            let hash = (u128::from(Key::hash(&n)) * (u128::from(more) + 1)) >> 64;
            Chosen(first + hash as u64, n)
        };
        let segments = counts((first, more), &(0..50_000).map(spread).collect::<Vec<_>>(), 2);
        let (enough, there_are) = (50_000 / capacity::<Chosen>(), segments.segments.all().len());
        assert!((enough..=8 * enough).contains(&there_are), "{there_are}");
    }
}

#[test]
fn hashes_that_are_alike_outgrow_a_segment() {
    let alike: Vec<_> = (0..20_000).map(|n| Chosen(42, n)).collect();
    counts((7, 0), &alike[..100], 2);
    // Comparing each key with all others takes its time, so this is once past the capacity.
    let segments = counts(ALL, &alike[..capacity::<Chosen>() + 10], 1);
    assert!(segments.directory.stretches().len() < 1000);
}

#[test]
fn a_hash_outside_is_served_too() {
    let outside: Vec<_> = (0..20_000u64).map(|n| Chosen(Key::hash(&n), n)).collect();
    let segments = counts((1 << 60, 1 << 59), &outside, 2);
    let reached = segments.directory.segments(1 << 60, u64::MAX).len();
    assert_eq!(reached, segments.segments.all().len(), "no segment is left without hashes");
}

#[test]
fn a_hint_of_another_key_or_another_time_changes_nothing() {
    let (mut segments, mut model) = (Segments::new(ALL), HashMap::new());
    for n in 0..100_000u64 {
        if n % 1000 == 0 {
            segments.hint((n..).map(|key| Key::hash(&key)), Hint(0));
        }
        let (hint, key) = (Hint((n * 7 % 40) as usize), n % 60_000);
        segments.entry(Some(hint), key, |known, key| known == key, |key| (key, 0)).1 += 1;
        *model.entry(key).or_insert(0) += 1;
    }
    assert_eq!(segments.into_iter().collect::<HashMap<_, _>>(), model);
}

#[test]
fn what_comes_alone_is_asked_for_once_and_nothing_changes() {
    let mut segments = Segments::new(ALL);
    for key in 0..100_000u64 {
        segments.hint([Key::hash(&key)].into_iter(), Hint::NONE);
        segments.entry(Some(Hint::NONE), key, |known, key| known == key, |key| (key, key));
        // Of another key, which may not be there yet.
        segments.hint((key * 7..).map(|key| Key::hash(&key)), Hint::NONE);
    }
    assert!((0..100_000).all(|key| segments.find(&key) == Some(&key)));
}

/// Counts keys with values of this kind, and looks each one up.
fn keeps<V: Clone + PartialEq + std::fmt::Debug>(keys: u64, value: V) {
    let mut segments = Segments::new(ALL);
    for key in 0..keys {
        segments.hint([Key::hash(&key)].into_iter(), Hint(0));
        segments.entry(Some(Hint(0)), key, |known, key| known == key, |key| (key, value.clone()));
    }
    assert!((0..keys).all(|key| segments.find(&key) == Some(&value)));
    assert_eq!(segments.size().keys as u64, keys);
}

#[test]
fn entries_may_be_of_any_size_and_alignment() {
    #[derive(Clone, PartialEq, Debug)]
    #[repr(align(256))]
    struct Aligned(u8);

    keeps(1000, ());
    keeps(1000, Aligned(7));
    keeps(100, [7u64; 2000]);
    let mut nothing = Segments::new(ALL);
    for _ in 0..1000 {
        nothing.entry(None, (), |(), ()| false, |key| (key, ()));
    }
    assert_eq!(nothing.size().keys, 1000, "of no size, and never the same");
}

/// Looks at all slots, a few at a time, and takes out the keys that are not wanted.
fn round<V>(segments: &mut Segments<u64, V>, keep: impl Fn(u64) -> bool) {
    let mut cursor = Cursor::default();
    while segments.sweep(&mut cursor, 100, |entry| keep(entry.0)) {}
}

#[test]
fn state_that_nine_tenths_of_its_keys_have_left_takes_a_fifth_after_a_round() {
    let mut segments = counts(ALL, &(0..100_000u64).collect::<Vec<_>>(), 1);
    let full = segments.size().bytes;
    for key in (0..100_000u64).filter(|key| key % 11 != 0) {
        assert!(segments.remove_by(Key::hash(&key), |entry| entry.0 == key).is_some());
    }
    assert_eq!(segments.size().bytes, full, "who comes now finds the memory at hand");
    round(&mut segments, |_| true);
    let few = segments.size();
    assert!(few.keys == 9_091 && few.bytes < full / 5, "{few:?} of {full} bytes");
    assert!((0..100_000).all(|key| segments.find(&key).is_some() == (key % 11 == 0)));
    let place = segments.directory.place();
    let home = |key: u64| segments.segments.home(place(Key::hash(&key)), Key::hash(&key)).entry();
    assert!((0..100_000).all(|key| home(key) != Home::NOWHERE.entry()), "searches begin where they are");
    round(&mut segments, |_| false);
    let none = segments.size();
    assert!(none.bytes < full / 100 && segments.slots() == 0, "{none:?} of {full} bytes");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Keys come in runs and go in rounds, and hints are older than both. Values are long, so that there are many
    /// segments of few keys.
    #[test]
    fn what_rounds_make_smaller_is_found_and_grows_again(
        steps in prop::collection::vec((0..2_000u64, 0..2_000u64, 1..60u64), 1..6),
    ) {
        let (mut segments, mut model) = (Segments::new(ALL), HashMap::new());
        let long = |value: u64| [value; 63];
        for (first, count, every) in steps {
            segments.hint((first..first + 64).map(|key| Key::hash(&key)), Hint(0));
            round(&mut segments, |key| key % every == 0);
            model.retain(|key, _| key % every == 0);
            for segment in segments.segments.all() {
                prop_assert!(!segment.is_deserted(), "{} of {}", segment.len(), segment.homes());
            }
            for key in first..first + count {
                let hint = (key - first < 64).then_some(Hint((key - first) as usize));
                segments.entry(hint, key, |known, key| known == key, |key| (key, long(0))).1[7] += every;
                model.entry(key).or_insert(long(0))[7] += every;
            }
            prop_assert_eq!(segments.size().keys, model.len());
            prop_assert!(model.iter().all(|(key, value)| segments.find(key) == Some(value)));
        }
        prop_assert_eq!(segments.into_iter().collect::<HashMap<_, _>>(), model);
    }
}

/// A key whose hash cannot be had while somebody forbids it, and which is counted while it lives.
struct Fragile(u64, Rc<Cell<bool>>);

impl Key for Fragile {
    fn hash(&self) -> u64 {
        assert!(!self.1.get(), "forbidden");
        Key::hash(&self.0)
    }
}

#[test]
fn a_key_that_panics_while_a_segment_grows_leaves_a_table_that_can_be_used_and_dropped() {
    let (forbidden, mut panics) = (Rc::new(Cell::new(false)), 0);
    let mut segments = Segments::new(ALL);
    let same = |known: &Fragile, key: &u64| known.0 == *key;
    let count = |segments: &mut Segments<Fragile, u64>, key: u64| {
        segments.entry(Some(Hint(0)), key, same, |key| (Fragile(key, forbidden.clone()), 0)).1 += 1;
    };
    for key in 0..200u64 {
        segments.hint([Key::hash(&key)].into_iter(), Hint(0));
        // Only who grows asks known keys for their hashes.
        forbidden.set(key % 2 == 0);
        panics += usize::from(catch_unwind(AssertUnwindSafe(|| count(&mut segments, key))).is_err());
        forbidden.set(false);
        count(&mut segments, key);
        assert_eq!(
            Rc::strong_count(&forbidden),
            1 + segments.size().keys,
            "each key lives in the table, or not at all"
        );
    }
    assert!(panics > 0);
    drop(segments);
    assert_eq!(Rc::strong_count(&forbidden), 1);
}
