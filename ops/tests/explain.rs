//! `Environment::explain`, on this machine: what does not depend on its cores.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use slotflow::io::{callback, generate};
use slotflow_ops::Environment;
use slotflow_runtime::{Config, Slots};

fn described(env: &Environment) {
    let numbers = env.source(generate(10, |i| i)).name("numbers");
    numbers.rebalance().map(|i| i + 1).name("next").parallelism(3).sink(callback(|_: u64| {}));
}

#[test]
fn explain_tells_chains_edges_order_and_guarantee() {
    let env = Environment::with(Config::default()).parallelism(2);
    described(&env);
    let text = env.explain().unwrap().to_string();
    for line in [
        "5 subtasks of 2 chains in 3 slots, 1024 key groups\n",
        "  0  numbers  x 2, group \"default\", slots 0, 1\n",
        "  1  next -> callback  x 3, group \"default\", slots 0, 1, 2\n",
        "    slot 0: numbers[0], next[0]\n",
        "  0 -> 1  rebalance, 6 rings of 4096 records, 192 KiB (",
        "; order for a partition ends here\n",
        "  in-process: \"callback\" hands its records to this process, and they end with it\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
}

#[test]
fn a_diamond_is_shown_and_order_ends_where_its_ways_meet() {
    let env = Environment::with(Config::default()).parallelism(2);
    let (left, right) = env.source(generate(10, |i| i)).name("numbers").tee();
    let far = right.rebalance().map(|i| i + 1).name("far");
    left.union(far).sink(callback(|_: u64| {}));
    let text = env.explain().unwrap().text();
    for lines in [
        "\nchains\n  0  numbers  x 2, group \"default\", slots 0, 1\n  1  left  x 2, ",
        "\n  2  right  x 2, ",
        "\n  3  far  x 2, ",
        "\n  4  union -> callback  x 2, ",
        "\ndiamonds\n  0 -> 4  by 1 and 3; what left 0 in order can arrive in another\n\n",
    ] {
        assert!(text.contains(lines), "{lines:?} is not in\n{text}");
    }
    let order = |edge: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(edge)).unwrap();
        line.split_once("; ").unwrap().1.to_owned()
    };
    let kept = "order of each origin subtask is kept";
    assert_eq!([order("0 -> 1 "), order("0 -> 2 ")], [kept; 2]);
    assert_eq!(order("2 -> 3 "), "order for a partition ends here");
    let ends = format!("{kept}, and between the ways from 0 it ends here");
    assert_eq!([order("1 -> 4 "), order("3 -> 4 ")], [&*ends; 2]);
}

#[test]
fn streams_that_never_were_one_are_no_diamond() {
    let env = Environment::with(Config::default());
    let (first, second) = (env.source(generate(10, |i| i)), env.source(generate(10, |i| i)));
    first.union(second).sink(callback(|_: u64| {}));
    let text = env.explain().unwrap().text();
    assert!(!text.contains("diamonds") && !text.contains("between the ways"), "{text}");
}

#[test]
fn what_was_explained_can_still_be_run() {
    let env = Environment::with(Config::default());
    described(&env);
    env.explain().unwrap();
    assert_eq!(env.run("explained").unwrap().records, 10);
}

#[test]
fn on_a_host_s_pool_the_slots_are_those_that_are_free() {
    let pool = Slots::new(&Config::from_toml("[slots]\ncount = 5").unwrap()).unwrap();
    let first = Environment::with(Config::default()).on(&pool);
    first.source(generate(u64::MAX, |i| i)).sink(callback(|_: u64| {}));
    let running = first.start("first").unwrap();
    let second = Environment::with(Config::default()).on(&pool);
    described(&second);
    let text = second.explain().unwrap().text();
    assert!(text.contains("    slot 0: -\n") && text.contains("    slot 1: numbers[0], next[0]\n"), "{text}");
    running.stop().unwrap();
}
