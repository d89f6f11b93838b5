//! Real jobs against a naive model: partitioning, chains, unions, forks and keyed results, at any
//! parallelism, ring capacity and chaining.

mod setting;

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use slotflow::Ttl;
use slotflow::prelude::*;
use slotflow_runtime::pipe::Pipe;
use slotflow_runtime::plan::Partitioner;

use setting::{Driver, Setting, fewer_cases, setting};

fn sorted<T: Ord>(mut records: Vec<T>) -> Vec<T> {
    records.sort();
    records
}

#[derive(Clone, Copy, Debug)]
enum How {
    Forward,
    Rebalance,
    Rescale,
    Shuffle,
    Global,
    Custom,
    Hash,
    Broadcast,
}

fn how() -> impl Strategy<Value = How> {
    use How::*;
    prop::sample::select(vec![Forward, Rebalance, Rescale, Shuffle, Global, Custom, Hash, Broadcast])
}

/// A record with the subtask that sent it.
type Sent = (usize, u64);

/// Where a record came from, where it arrived, and the record.
type Arrived = (usize, usize, u64);

fn arrive<P: Pipe<Out = Owned<Sent>>>(stream: Stream<'_, P>, arrived: &Collected<Arrived>) {
    let at = stream.map_with(|subtask| {
        let to = subtask.index;
        move |(from, n)| (from, to, n)
    });
    at.sink(arrived.sink());
}

fn describe(env: &Environment, setting: &Setting, how: How, count: u64, arrived: &Collected<Arrived>) {
    let source = env.source(generate(count, |n| n)).parallelism(setting.from);
    let sent = source.map_with(|subtask| {
        let from = subtask.index;
        move |n| (from, n)
    });
    match how {
        How::Forward => arrive(sent.forward(), arrived),
        How::Rebalance => arrive(sent.rebalance(), arrived),
        How::Rescale => arrive(sent.rescale(), arrived),
        How::Shuffle => arrive(sent.shuffle(), arrived),
        How::Global => arrive(sent.global(), arrived),
        How::Broadcast => arrive(sent.broadcast(), arrived),
        How::Custom => arrive(sent.partition_custom(|sent, targets| sent.1 as usize % targets), arrived),
        How::Hash => {
            let keyed = sent.key_by(|sent| sent.1 % 13);
            let at = keyed.map_with_state_with(|subtask| {
                let to = subtask.index;
                move |_: &mut (), (from, n)| (from, to, n)
            });
            at.sink(arrived.sink());
        }
    }
}

fn partitioned(setting: &Setting, how: How, count: u64) -> Vec<Arrived> {
    let (env, arrived) = (setting.environment(), Collected::new());
    describe(&env, setting, how, count, &arrived);
    setting.run(&env, "partitioned");
    arrived.take()
}

/// Which subtasks each one that sends has a ring to, as the plan says.
fn targets(setting: &Setting, how: How) -> Vec<Vec<usize>> {
    let env = setting.environment();
    describe(&env, setting, how, 0, &Collected::new());
    let plan = env.plan().expect("nothing is wrong with the job");
    let edge = plan.edges.iter().position(|edge| edge.partitioner != Partitioner::Forward);
    plan.targets(edge.expect("one edge has a partitioner"))
}

fn in_order(arrived: &[Arrived]) -> bool {
    let mut last: HashMap<(usize, usize), u64> = HashMap::new();
    arrived.iter().all(|&(from, to, n)| last.insert((from, to), n).is_none_or(|before| before < n))
}

fn where_it_belongs(how: How, setting: &Setting, arrived: &[Arrived]) -> bool {
    let mut homes: HashMap<u64, usize> = HashMap::new();
    arrived.iter().all(|&(from, to, n)| match how {
        // Nothing is spread anew without being asked for: it has its input's parallelism.
        How::Forward => to == from,
        How::Global => to == 0,
        How::Custom => to == n as usize % setting.to,
        How::Hash => *homes.entry(n % 13).or_insert(to) == to,
        // Their targets are looked at together.
        How::Rebalance | How::Rescale | How::Shuffle | How::Broadcast => to < setting.to,
    })
}

/// Whether what goes to several targets goes to those that the plan gives its subtask, to each its share, and nowhere
/// else.
fn is_spread(how: How, setting: &Setting, arrived: &[Arrived]) -> bool {
    let fair = match how {
        How::Rebalance | How::Rescale => in_turn,
        How::Shuffle => leaves_none_out,
        _ => return true,
    };
    let sent = |from, to| arrived.iter().filter(|it| (it.0, it.1) == (from, to)).count();
    let targets = targets(setting, how).into_iter().enumerate();
    let counts = targets.map(|(from, targets)| targets.into_iter().map(|to| sent(from, to)).collect());
    let counts: Vec<Vec<usize>> = counts.collect();
    counts.iter().flatten().sum::<usize>() == arrived.len() && counts.iter().all(|counts| fair(counts))
}

/// In turn nobody is two records ahead of another.
fn in_turn(counts: &[usize]) -> bool {
    let (least, most) = (counts.iter().min(), counts.iter().max());
    least.zip(most).is_some_and(|(least, most)| most - least <= 1)
}

/// By chance one of six gets none of 60 records once in 10,000 times, and it is the same chance in every run.
fn leaves_none_out(counts: &[usize]) -> bool {
    counts.iter().sum::<usize>() < 60 || !counts.contains(&0)
}

#[test]
fn two_to_six_and_six_to_two_are_spread_evenly() {
    for (from, to) in [(2, 6), (6, 2)] {
        for how in [How::Rebalance, How::Rescale, How::Shuffle] {
            let driver = Driver::Simulation(7);
            let setting = Setting { from, to, capacity: 16, chaining: true, batch: 64, driver };
            let arrived = partitioned(&setting, how, 600);
            assert_eq!(arrived.len(), 600);
            assert!(is_spread(how, &setting, &arrived), "{how:?} from {from} to {to}: {arrived:?}");
        }
    }
}

proptest! {
    #![proptest_config(fewer_cases(96))]

    #[test]
    fn every_record_arrives_once_where_it_belongs_and_in_order(
        setting in setting(), how in how(), count in 0..400u64,
    ) {
        let arrived = partitioned(&setting, how, count);
        prop_assert!(in_order(&arrived));
        prop_assert!(where_it_belongs(how, &setting, &arrived));
        prop_assert!(is_spread(how, &setting, &arrived));
        let copies = if matches!(how, How::Broadcast) { setting.to } else { 1 };
        let all = (0..count).flat_map(|n| std::iter::repeat_n(n, copies));
        prop_assert!(sorted(arrived.iter().map(|it| it.2).collect()).into_iter().eq(all));
        let distinct: std::collections::HashSet<_> = arrived.iter().map(|it| (it.1, it.2)).collect();
        prop_assert_eq!(distinct.len(), arrived.len());
    }
}

/// Some fused operators and a possible cut, as a stream and as an iterator.
#[derive(Clone, Copy, Debug)]
enum Link {
    MapFilter(u64),
    FlatMapFilterMap(u64),
    InspectPush(u64),
    TryMapTryFilter(u64),
    TryFlatMapCut(u64),
    FoldAtEnd(u64),
}

fn link() -> impl Strategy<Value = Link> {
    (0..6u8, 1..5u64).prop_map(|(which, k)| match which {
        0 => Link::MapFilter(k),
        1 => Link::FlatMapFilterMap(k),
        2 => Link::InspectPush(k),
        3 => Link::TryMapTryFilter(k),
        4 => Link::TryFlatMapCut(k),
        _ => Link::FoldAtEnd(k),
    })
}

impl Link {
    fn behind(self, stream: BoxedStream<'_, u64>) -> BoxedStream<'_, u64> {
        match self {
            Link::MapFilter(k) => stream.map(move |n| n * k).filter(move |n| n % (k + 1) != 0).boxed(),
            Link::FlatMapFilterMap(k) => {
                stream.flat_map(move |n| (0..k).map(move |i| n + i)).filter_map(|n| n.checked_sub(3)).boxed()
            }
            Link::InspectPush(k) => stream
                .inspect(|_| ())
                .flat_map_with(move |n, out| (0..n % k).for_each(|i| out.push(i)))
                .boxed(),
            Link::TryMapTryFilter(k) => stream
                .try_map(move |n| Ok::<_, Error>(n / k))
                .try_filter(|n| Ok::<_, Error>(n % 3 != 0))
                .boxed(),
            Link::TryFlatMapCut(k) => stream
                .forward()
                .try_flat_map(move |n| Ok::<_, Error>(vec![n; (n % k) as usize]))
                .rebalance()
                .map(|n| n + 1)
                .parallelism(1)
                .boxed(),
            Link::FoldAtEnd(k) => stream.fold_at_end(k, |sum, n| *sum = (*sum * 31 + n) % 1_000).boxed(),
        }
    }

    fn model(self, input: Vec<u64>) -> Vec<u64> {
        let input = input.into_iter();
        match self {
            Link::MapFilter(k) => input.map(|n| n * k).filter(|n| n % (k + 1) != 0).collect(),
            Link::FlatMapFilterMap(k) => {
                input.flat_map(|n| (0..k).map(move |i| n + i)).filter_map(|n| n.checked_sub(3)).collect()
            }
            Link::InspectPush(k) => input.flat_map(|n| 0..n % k).collect(),
            Link::TryMapTryFilter(k) => input.map(|n| n / k).filter(|n| n % 3 != 0).collect(),
            Link::TryFlatMapCut(k) => input.flat_map(|n| vec![n + 1; (n % k) as usize]).collect(),
            Link::FoldAtEnd(k) => vec![input.fold(k, |sum, n| (sum * 31 + n) % 1_000)],
        }
    }
}

proptest! {
    #![proptest_config(fewer_cases(48))]

    #[test]
    fn a_chain_of_operators_is_a_chain_of_iterators(
        setting in setting(), links in prop::collection::vec(link(), 0..5),
        input in prop::collection::vec(0..100u64, 0..100),
    ) {
        let env = Setting { to: 1, ..setting }.environment();
        let collected = Collected::new();
        let source = env.source(from_iterator(input.clone())).boxed();
        links.iter().fold(source, |stream, link| link.behind(stream)).sink(collected.sink());
        setting.run(&env, "chain");
        prop_assert_eq!(collected.take(), links.iter().fold(input, |records, link| link.model(records)));
    }

    #[test]
    fn a_union_has_the_records_of_all_in_their_order(
        setting in setting(), counts in prop::array::uniform3(0..300u64), partitioned in any::<bool>(),
    ) {
        let (env, collected) = (setting.environment(), Collected::new());
        let [first, second, third] = counts;
        let (a, b) = (env.source(generate(first, |n| (0u8, n))), env.source(generate(second, |n| (1, n))));
        let c = env.source(from_iterator((0..third).map(|n| (2, n))));
        let union = if partitioned { a.rebalance().union((b.parallelism(setting.from), c)) }
        else { a.union((b.parallelism(setting.from), c)) };
        union.sink(collected.sink());
        setting.run(&env, "union");
        let all = (0..).zip(counts).flat_map(|(stream, count)| (0..count).map(move |n| (stream, n)));
        let records = collected.take();
        if setting.to == 1 && setting.from == 1 {
            let mut next = [0; 3];
            for &(stream, n) in &records {
                prop_assert_eq!(std::mem::replace(&mut next[stream as usize], n + 1), n);
            }
        }
        prop_assert!(sorted(records).into_iter().eq(all));
    }

    #[test]
    fn a_fork_gives_each_way_what_it_should(setting in setting(), count in 0..300u64) {
        let env = setting.environment();
        let places: [Collected<u64>; 4] = Default::default();
        let (even, odd) = env.source(generate(count, |n| n)).split(|n| n % 2 == 0);
        let (left, right) = even.tee();
        left.sink(places[0].sink());
        right.rebalance().map(|n| n + 1).sink(places[1].sink());
        odd.tee_with(
            |odd| odd.map(|n| n * 10).sink(places[2].sink()),
            |odd| odd.filter(|n| n % 3 == 0).flat_map(|n| [n, n]).sink(places[3].sink()),
        );
        setting.run(&env, "fork");
        let [left, right, tenfold, twice] = places.map(|place| sorted(place.take()));
        prop_assert!(left.into_iter().eq((0..count).step_by(2)));
        prop_assert!(right.into_iter().eq((0..count).step_by(2).map(|n| n + 1)));
        let odd = || (0..count).skip(1).step_by(2);
        prop_assert!(tenfold.into_iter().eq(odd().map(|n| n * 10)));
        prop_assert!(twice.into_iter().eq(odd().filter(|n| n % 3 == 0).flat_map(|n| [n, n])));
    }

    #[test]
    fn keyed_results_roll_with_the_records_of_their_key(
        setting in setting(), input in prop::collection::vec((0..10u8, 0..100u64), 0..300),
    ) {
        let env = setting.environment();
        let (rolled, ended) = (Collected::new(), Collected::new());
        let (left, right) = env.source(from_iterator(input.clone())).tee();
        left.key_by(|pair| pair.0).reduce(|sum, pair| (sum.0, sum.1 + pair.1)).sink(rolled.sink());
        right.key_by_ref(|pair| &pair.0).fold_at_end(0, |sum, pair| *sum += pair.1).sink(ended.sink());
        setting.run(&env, "keyed");
        let (mut sums, mut rolling) = (BTreeMap::new(), BTreeMap::<u8, Vec<u64>>::new());
        for (key, value) in input {
            let sum = sums.entry(key).or_insert(0);
            *sum += value;
            rolling.entry(key).or_default().push(*sum);
        }
        let mut given = BTreeMap::<u8, Vec<u64>>::new();
        rolled.take().into_iter().for_each(|(key, sum)| given.entry(key).or_default().push(sum));
        prop_assert_eq!(given, rolling);
        prop_assert!(sorted(ended.take()).into_iter().eq(sums));
    }
}

/// The best of each key with each record that is among them, and the first record of each key.
type Patterns = (Vec<(u8, Vec<u64>)>, Vec<(u8, u64)>);

fn patterns(setting: &Setting, n: usize, input: &[(u8, u64)]) -> Patterns {
    let (env, best, first) = (setting.environment(), Collected::new(), Collected::new());
    let (left, right) = env.source(from_iterator(input.to_vec())).tee();
    let tops = left.key_by(|pair| pair.0).top(n, |pair| pair.1);
    tops.map(|best| (best[0].0, best.into_iter().map(|pair| pair.1).collect())).sink(best.sink());
    let hour = Ttl::processing_time(std::time::Duration::from_secs(3_600));
    right.key_by(|pair| pair.0).distinct(hour).sink(first.sink());
    setting.run(&env, "patterns");
    (best.take(), first.take())
}

fn patterns_of(n: usize, input: &[(u8, u64)]) -> Patterns {
    let (mut best, mut seen) = (Vec::new(), BTreeMap::<u8, Vec<u64>>::new());
    let mut first = Vec::new();
    for (key, value) in input {
        first.extend((!seen.contains_key(key)).then_some((*key, *value)));
        let all = seen.entry(*key).or_default();
        let place = all.partition_point(|known| known >= value);
        all.insert(place, *value);
        all.truncate(n);
        best.extend((place < n).then(|| (*key, all.clone())));
    }
    (best, first)
}

proptest! {
    #![proptest_config(fewer_cases(64))]

    /// One source's records of a key keep their order, so that of the results of a key is known.
    #[test]
    fn the_best_and_the_first_of_a_key_are_the_same_however_the_job_is_run(
        setting in setting(), n in 1..4usize, input in prop::collection::vec((0..10u8, 0..20u64), 0..300),
    ) {
        let (mut best, first) = patterns(&setting, n, &input);
        let (mut expected, firsts) = patterns_of(n, &input);
        best.sort_by_key(|it| it.0);
        expected.sort_by_key(|it| it.0);
        prop_assert_eq!(best, expected);
        prop_assert_eq!(sorted(first), sorted(firsts));
    }

    /// Which rows have come in time is a matter of the way; what a record meets is its key's.
    #[test]
    fn each_record_is_enriched_once_with_its_own_row_or_none(
        setting in setting(), by_key in any::<bool>(), count in 0..300u64, rows in 0..40u64,
    ) {
        let met = enriched(&setting, by_key, count, rows);
        prop_assert!(met.iter().map(|it| it.0).eq(0..count));
        let is_own = |(n, row): &(u64, Option<u64>)| row.is_none_or(|row| n % 40 < rows && row == (n % 40).pow(2));
        prop_assert!(met.iter().all(is_own));
    }
}

/// Numbers up to `count`, each with the row of its rest by 40, if that was there: a rest's square.
fn enriched(setting: &Setting, by_key: bool, count: u64, rows: u64) -> Vec<(u64, Option<u64>)> {
    let (env, met) = (setting.environment(), Collected::new());
    let records = env.source(generate(count, |n| n)).parallelism(setting.from);
    let table = env.source(generate(rows, |n| (n, n * n)));
    let key = |either: &Either<u64, (u64, u64)>| match either {
        Either::First(n) => n % 40,
        Either::Second(row) => row.0,
    };
    let join = |n, row: Option<&(u64, u64)>| Some((n, row.map(|row| row.1)));
    if by_key {
        records.connect(table).key_by(key).enrich(join).sink(met.sink());
    } else {
        records.connect(table.broadcast()).enrich_by(key, join).sink(met.sink());
    }
    setting.run(&env, "enriched");
    sorted(met.take())
}

#[test]
fn records_behind_a_table_that_is_whole_meet_its_rows() {
    for (by_key, seed) in [(true, 7), (false, 8)] {
        let driver = Driver::Simulation(seed);
        let setting = Setting { from: 2, to: 2, capacity: 16, chaining: true, batch: 16, driver };
        let rows = enriched(&setting, by_key, 20_000, 40).into_iter().filter(|it| it.1.is_some()).count();
        assert!(rows > 10_000, "{rows} of 20,000 have met a row, and the table is there after 40 of its own");
    }
}

#[test]
fn a_failing_branch_of_a_fused_tee_names_its_operator() {
    let env = Environment::with(Config::default());
    env.source(generate(10, |n| n)).tee_with(
        |numbers| numbers.sink(callback(|_| ())),
        |numbers| {
            numbers
                .try_map(|n| if n < 5 { Ok(n) } else { Err("too large") })
                .name("check")
                .sink(callback(|_| ()))
        },
    );
    let error = env.run("fails").unwrap_err().to_string();
    assert_eq!(error, r#"operator "check", subtask 0: too large"#);
}
