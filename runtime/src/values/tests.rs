//! Values of numbers and of other keys, against the standard library's map.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

const ALL: (u64, u64) = (0, u64::MAX);

/// Counts each key once, shown ahead or not.
fn count<K: Key + Eq + Copy>(values: &mut Values<K, u64>, keys: &[K], is_shown: bool) {
    for ahead in keys.chunks(LOOK_AHEAD) {
        if is_shown {
            values.hint(ahead.iter().copied(), Hint(0));
        }
        for (number, key) in ahead.iter().enumerate() {
            let hint = is_shown.then_some(Hint(number));
            values.entry(hint, *key, |known, key| known == key, |key| (key, 0)).1 += 1;
        }
    }
}

/// How many keys are in pages, after each has been counted so many times.
fn in_pages(keys: impl Iterator<Item = u64>, rounds: u64) -> (usize, Values<u64, u64>) {
    let (keys, mut values) = (keys.collect::<Vec<_>>(), Values::new(ALL));
    (0..rounds).for_each(|round| count(&mut values, &keys, round % 2 == 0));
    assert_eq!(values.size().keys, keys.len());
    (values.pages.len(), values)
}

#[test]
fn numbers_near_each_other_come_to_be_in_pages_wherever_they_begin_and_in_whichever_order() {
    for first in [0, 4_000, 1_000_003_900, u64::MAX - 19_999] {
        // 7,919 is prime to 20,000: each comes once, and never next to the one before.
        for factor in [1, 19_999, 7_919] {
            let numbers = (0..20_000u64).map(|n| first + n * factor % 20_000);
            let (paged, values) = in_pages(numbers, 2);
            assert_eq!((paged, values.segments.size().keys), (20_000, 0), "{first} {factor}");
            assert!(values.into_iter().all(|(_, count)| count == 2));
        }
    }
}

#[test]
fn what_keys_have_left_for_pages_is_given_back() {
    let mut keys: Vec<_> = (0..200_000).collect();
    keys.sort_by_key(Key::hash);
    let (mut values, half) = (Values::new(ALL), keys.len() / 2);
    count(&mut values, &keys[..half], true);
    let before = values.segments.size();
    assert!(before.keys > 5_000, "{before:?}");
    count(&mut values, &keys, true);
    let left = values.segments.size();
    assert!(left.bytes < before.bytes / 5, "{left:?} of {before:?}");
}

#[test]
fn numbers_far_from_each_other_stay_in_segments() {
    assert_eq!(in_pages((0..20_000).map(|n: u64| Key::hash(&n)), 3).0, 0);
    assert_eq!(in_pages((0..20_000).map(|n| n * NEAR), 3).0, 0);
    // The first chunks, although they are not worth it.
    assert!(in_pages((0..20_000).map(|n| n * CHUNK), 3).0 <= 9);
    assert!(in_pages((0..20_000).map(|n| n * 64), 3).0 <= 9 * CHUNK as usize / 64);
}

#[test]
fn pages_cover_at_most_sixteen_numbers_for_each_value_in_them() {
    for every in [1, 4, 8, 14, 18, 40, 1_000] {
        let mut keys: Vec<_> = (0..30_000).map(|n| 1_000_003_900 + n * every).collect();
        let in_turn = in_pages(keys.iter().copied(), 3);
        keys.sort_by_key(Key::hash);
        for (paged, values) in [in_turn, in_pages(keys.into_iter(), 3)] {
            let listed = values.pages.listed();
            assert!(listed <= (MORE + paged / WORTH).max(9), "{listed} chunks with a key at every {every}th");
            assert!(every > 8 || paged == 30_000, "{paged} in pages with a key at every {every}th number");
            assert!(every < 18 || paged < 3_000, "{paged} in pages with a key at every {every}th number");
        }
    }
}

#[test]
fn some_numbers_far_away_keep_no_others_out_of_pages() {
    for far in [1, 3, 40] {
        let (paged, _) = in_pages((0..far).chain((0..50_000).map(|n| 1_000_000_007 + n)), 3);
        assert!(paged > 25_000, "{paged} in pages behind {far} far away");
    }
}

#[test]
fn more_than_pages_are_for_goes_to_segments_page_by_page() {
    let (mut keys, mut values) = ((0..400_000).collect::<Vec<u64>>(), Values::new(ALL));
    let fit = MOST_BYTES / size_of::<(u64, u64)>();
    count(&mut values, &keys[..fit], true);
    count(&mut values, &keys[..fit], true);
    let most = values.pages.len();
    assert!(most > fit / 10 * 9, "{most} of {fit}");
    // In any order, so that some are near the pages that are left.
    keys.sort_by_key(Key::hash);
    for records in keys.chunks(LOOK_AHEAD) {
        let (before, listed) = (values.pages.len(), values.pages.listed());
        count(&mut values, records, true);
        assert!(values.pages.listed() <= listed, "nothing more is covered");
        let goes = before - values.pages.len();
        assert!(goes <= LOOK_AHEAD || before < WORTH, "{goes}: a page for as many records as it has numbers");
    }
    count(&mut values, &keys, true);
    assert!(values.pages.is_bare() && values.pages.bytes() < 10_000, "{} bytes", values.pages.bytes());
    assert!(values.into_iter().all(|(n, count)| count == if (n as usize) < fit { 4 } else { 2 }));
}

#[test]
fn one_key_more_than_pages_are_for_empties_them_although_all_are_asked_for() {
    let fit = MOST_BYTES / size_of::<(u64, [u64; 7])>();
    let mut values = Values::new(ALL);
    let ask = |values: &mut Values<u64, [u64; 7]>, keys: &[u64]| {
        for ahead in keys.chunks(LOOK_AHEAD) {
            values.hint(ahead.iter().copied(), Hint(0));
            for (number, key) in ahead.iter().enumerate() {
                values.entry(Some(Hint(number)), *key, |known, key| known == key, |key| (key, [0; 7])).1
                    [6] += 1;
            }
        }
    };
    let mut keys: Vec<_> = (0..=fit as u64).collect();
    ask(&mut values, &keys[..fit]);
    ask(&mut values, &keys[..fit]);
    assert!(values.pages.len() > fit / 10 * 9, "{} of {fit}", values.pages.len());
    keys.sort_by_key(Key::hash);
    (0..3).for_each(|_| ask(&mut values, &keys));
    assert!(values.pages.is_bare(), "{} of {fit} are left", values.pages.len());
    assert!(values.into_iter().all(|(n, count)| count[6] == if n < fit as u64 { 5 } else { 3 }));
}

#[test]
fn what_has_much_stays_in_segments() {
    let mut values = Values::new(ALL);
    for n in (0..1_000u64).chain(0..1_000) {
        values.entry(None, n, |known, n| known == n, |n| (n, [n; 100])).1[99] += 1;
    }
    assert_eq!(values.pages.len(), 0);
    assert!(values.into_iter().all(|(n, value)| value[99] == n + 2));
}

#[test]
fn a_key_that_cannot_be_made_leaves_no_trace() {
    let mut values = Values::new(ALL);
    for n in (0..3_000u64).chain(0..3_000) {
        let made = catch_unwind(AssertUnwindSafe(|| {
            values.entry(
                None,
                n,
                |known, n| known == n,
                |n| if n % 3 == 0 { panic!("planned") } else { (n, n) },
            );
        }));
        assert_eq!(made.is_err(), n % 3 == 0);
    }
    assert_eq!((values.keys, values.size().keys), (2_000, 2_000));
    assert!(values.pages.len() > 1_900);
}

#[test]
fn many_keys_of_one_number_are_served_without_moving() {
    let mut values = Values::new(ALL);
    let keys: Vec<_> = (0..400).flat_map(|n| [Alike(n, true), Alike(n, false)]).collect();
    (0..5).for_each(|_| count(&mut values, &keys, false));
    let (in_pages, in_segments) = (values.pages.len(), values.segments.size().keys);
    assert_eq!((in_pages, in_segments), (400, 400));
    // Those in pages come first.
    let first =
        |values: Values<Alike, u64>| values.into_iter().take(400).map(|(key, _)| key).collect::<Vec<_>>();
    let mut again = Values::new(ALL);
    (0..6).for_each(|_| count(&mut again, &keys, false));
    assert!(
        again.segments.find(&Alike(7, true)).is_some() != again.segments.find(&Alike(7, false)).is_some()
    );
    assert_eq!(first(values), first(again), "one round more, and the same are there");
}

#[test]
fn a_number_in_pages_takes_less_than_in_segments() {
    let (numbers, mut segments) = (0..100_000u64, Segments::new(ALL));
    for n in numbers.clone() {
        segments.put((n, (n, n)));
    }
    let mut values = Values::new(ALL);
    for n in numbers.clone().chain(numbers) {
        values.entry(None, n, |known, n| known == n, |n| (n, (n, n)));
    }
    let (in_pages, in_segments) = (values.size().bytes, segments.size().bytes);
    assert!(in_pages < 100_000 * 27 && in_pages < in_segments * 2 / 3, "{in_pages}, {in_segments} bytes");
}

/// A key that wraps a number, and another thing which its number does not tell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Alike(u64, bool);

impl Key for Alike {
    fn hash(&self) -> u64 {
        self.0.hash()
    }
    fn number(&self) -> Option<u64> {
        Some(self.0)
    }
}

#[test]
fn a_hint_alone_and_one_for_more_than_there_may_be_change_nothing() {
    let mut values = Values::new(ALL);
    for n in 0..100_000u64 {
        values.hint([n].into_iter(), Hint::NONE);
        values.hint(n.., Hint(0));
        values.entry(Some(Hint::NONE), n, |known, n| known == n, |n| (n, n));
    }
    assert!(values.into_iter().all(|(key, value)| key == value));
}

#[test]
fn what_is_kept_is_dropped_with_the_values_and_with_what_is_left_of_them() {
    let owned = Rc::new(());
    let filled = || {
        let mut values = Values::new(ALL);
        for n in (0..6_000u64).chain(0..6_000).chain((0..3_000).map(|n| n << 30)) {
            values.entry(None, n, |known, n| known == n, |n| (n, owned.clone()));
        }
        assert_eq!((values.pages.len(), values.segments.size().keys), (6_000, 2_999));
        values
    };
    drop(filled());
    assert_eq!(Rc::strong_count(&owned), 1);
    let mut entries = filled().into_iter();
    let taken: Vec<_> = entries.by_ref().take(50).collect();
    assert_eq!(Rc::strong_count(&owned), 9_000);
    drop(entries);
    assert_eq!(Rc::strong_count(&owned), 51);
    assert!(taken.is_sorted_by_key(|(key, _)| *key), "those in pages come in their order");
}

#[test]
fn values_may_be_of_no_size() {
    let mut values = Values::new(ALL);
    for n in (0..9_000u64).chain(0..9_000) {
        values.entry(None, n, |known, n| known == n, |n| (n, ()));
    }
    assert_eq!((values.size().keys, values.pages.len()), (9_000, 9_000));
    let mut nothing = Values::new(ALL);
    for _ in 0..1_000 {
        nothing.entry(None, (), |(), ()| false, |key| (key, ()));
    }
    assert_eq!(nothing.size().keys, 1_000, "of no size, and never the same");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Runs of numbers here and there, some sparse, some of keys that have the same number, shown ahead or not.
    #[test]
    fn every_key_has_its_own_value(
        runs in prop::collection::vec((0..4u64, 0..30_000u64, 1..400u64, 1..300u64, any::<(bool, bool)>()), 1..12),
    ) {
        let (mut values, mut model) = (Values::new(ALL), HashMap::new());
        for (place, first, count_of, every, (other, is_shown)) in runs {
            let begin = [0, 1 << 20, u64::MAX / 2, u64::MAX - (1 << 18)][place as usize];
            let keys: Vec<_> = (0..count_of).map(|n| Alike(begin + first + n * every, other)).collect();
            count(&mut values, &keys, is_shown);
            keys.iter().for_each(|key| *model.entry(*key).or_insert(0) += 1);
            prop_assert_eq!(values.size().keys, model.len());
            prop_assert_eq!(values.keys, model.len());
        }
        prop_assert_eq!(values.into_iter().collect::<HashMap<_, _>>(), model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    /// Of values so long that pages are for 8,456 of them: they come to be, are given up, and shed.
    #[test]
    fn every_key_has_its_own_value_while_pages_come_and_go(
        runs in prop::collection::vec((0..3u64, 0..9_000u64, 1..3_000u64, 1..40u64, any::<(bool, bool)>()), 1..8),
    ) {
        let (mut values, mut model) = (Values::new(ALL), HashMap::new());
        for (place, first, count_of, every, (other, is_shown)) in runs {
            let keys: Vec<_> = (0..count_of).map(|n| Alike((place << 40) + first + n * every, other)).collect();
            for ahead in keys.chunks(LOOK_AHEAD) {
                if is_shown {
                    values.hint(ahead.iter().copied(), Hint(0));
                }
                for (number, key) in ahead.iter().enumerate() {
                    let (hint, make) = (is_shown.then_some(Hint(number)), |key| (key, [0u64; 60]));
                    values.entry(hint, *key, |known, key| known == key, make).1[59] += 1;
                    *model.entry(*key).or_insert(0) += 1;
                }
            }
            prop_assert_eq!((values.size().keys, values.keys), (model.len(), model.len()));
        }
        let counts: HashMap<_, _> = values.into_iter().map(|(key, value)| (key, value[59])).collect();
        prop_assert_eq!(counts, model);
    }
}
