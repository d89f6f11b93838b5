//! Pairs of methods without a `boxed` between: where a cut can be, the compiled code depends on what is in front.
//!
//! One of each type of cut: what `rebalance` compiles is what `rescale`, `shuffle` and `global` compile.

use super::step::{BoxedStream, Numbered, Record};

/// The names of two steps, and their methods.
pub struct Pair {
    pub names: [&'static str; 2],
    pub describe: for<'env> fn(BoxedStream<'env, Record>) -> BoxedStream<'env, Record>,
}

macro_rules! pairs {
    ($($name:literal: $method:tt;)*) => {
        pairs!(@first [$($name: $method;)*] [$($name: $method;)*]);
    };
    (@first [$($name:literal: $method:tt;)*] $seconds:tt) => {
        /// Each method behind each.
        pub fn pairs() -> Vec<Pair> {
            [$(pairs!(@second $name $method $seconds)),*].into_iter().flatten().collect()
        }
    };
    (@second $first:literal $method:tt [$($name:literal: $second:tt;)*]) => {
        [$(Pair { names: [$first, $name], describe: |stream| pairs!(@call stream $method $second) }),*]
    };
    (@call $stream:ident [$($first:tt)*] [$($second:tt)*]) => {
        $stream $($first)* $($second)* .boxed()
    };
}

pairs! {
    "forward": [.forward()];
    "rebalance": [.rebalance()];
    "broadcast": [.broadcast()];
    "partition_custom": [.partition_custom(|r, _| r.0 as usize / 2)];
    "key_by, reduce": [.key_by(|r| *r).reduce(|a, b| (a.0, a.1 + b.1 + 1))];
    "key_by_source_partition, fold": [.key_by_source_partition(|r| *r).aggregate(Numbered)];
    "disable_chaining": [.map(|r| r).disable_chaining()];
    "parallelism(4)": [.map(|r| r).parallelism(4)];
    "all settings": [.map(|r| r).start_new_chain().parallelism(2).slot_sharing_group("apart").disable_chaining()];
    "key_by, fold, parallelism": [.key_by(|r| *r).aggregate(Numbered).parallelism(2)];
}
