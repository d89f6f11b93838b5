//! Streams that have forgotten their type.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use slotflow::io::{Collected, from_iterator, generate};
use slotflow_ops::{BoxedStream, Environment};
use slotflow_runtime::Config;

#[test]
fn streams_of_different_operators_stand_in_one_list() {
    let (env, numbers) = (Environment::with(Config::default()), Collected::new());
    let of = |k: u64| env.source(generate(3, move |i| i + 10 * k));
    let streams: Vec<BoxedStream<'_, u64>> = vec![
        of(0).boxed(),
        of(1).map(|n| n * 10).boxed(),
        of(2).rebalance().filter(|n| n % 2 == 0).parallelism(2).boxed(),
    ];
    let all = streams.into_iter().reduce(|all, next| all.union(next).boxed()).unwrap();
    all.sink(numbers.sink());
    env.run("list").unwrap();
    let mut numbers = numbers.take();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 20, 22, 100, 110, 120]);
}

#[test]
fn what_is_in_front_and_behind_stays_one_chain() {
    let env = Environment::with(Config::default());
    env.source(generate(3, |i| i)).boxed().map(|i| i).name("next").sink(Collected::new().sink());
    let text = env.explain().unwrap().text();
    assert!(text.contains("1 subtasks of 1 chains in 1 slots"), "{text}");
    let chain = "0  generate -> next -> collect  x 1, group \"default\", slot 0, boxed behind \"generate\"\n";
    assert!(text.contains(chain), "{text}");
}

#[test]
fn records_that_are_lent_for_a_step_pass() {
    let (env, lengths) = (Environment::with(Config::default()), Collected::new());
    let words = env.source(from_iterator(["a", "bcd"])).map_in(|word, arena| arena.copy_str(word)).boxed();
    words.inspect(|word| assert!(!word.is_empty())).boxed().map(|word| word.len()).sink(lengths.sink());
    env.run("lent").unwrap();
    assert_eq!(lengths.take(), [1, 3]);
}

#[test]
fn the_end_passes_and_what_is_left_comes_out() {
    let (env, sums) = (Environment::with(Config::default()), Collected::new());
    let sum = env.source(generate(4, |i| i)).fold_at_end(0, |sum, i| *sum += i).boxed();
    sum.fold_at_end(1, |sum, i| *sum += i).boxed().sink(sums.sink());
    env.run("sums").unwrap();
    assert_eq!(sums.take(), [7]);
}

#[test]
fn an_operator_behind_it_that_fails_is_named() {
    let env = Environment::with(Config::default());
    let checked = env.source(generate(9, |i| i)).map(|i| i).boxed();
    checked
        .try_map(|i| if i < 5 { Ok(i) } else { Err("too large") })
        .name("check")
        .sink(Collected::new().sink());
    let error = env.run("fails").unwrap_err().to_string();
    assert_eq!(error, r#"operator "check", subtask 0: too large"#);
}
