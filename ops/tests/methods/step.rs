//! The steps that a job is put together from: each is one method of `Stream`, or the few that belong together,
//! as it is used and as the model says it works.

use std::time::Duration;

use slotflow::io::{Collected, generate};
use slotflow_ops::{
    Aggregate, AsyncIo, CountEvictor, CountTrigger, Environment, Global, Merge, Request, Stream, Ttl,
    Tumbling, WatermarkAlignment, Watermarks,
};
use slotflow_runtime::pipe::Pipe;
use slotflow_runtime::plan::Partitioner;
use slotflow_runtime::{Context, Error, EventTime, Operator, Output, Owned, Routed};

use super::functions::{Count, Keep, Ruled, Sides};
use super::model::Model;

/// A key and a number. Steps keep the key, and operators group by the whole record, so what comes of records
/// does not depend on their order.
pub type Record = (u64, u64);

/// How many different keys there are. More than subtasks, so that each has some.
pub const KEYS: u64 = 24;

/// Records of each source.
pub const RECORDS: u64 = 3 * KEYS;

/// What steps need besides their stream.
pub struct Described<'env> {
    pub env: &'env Environment,
    /// Where streams end that were divided from the one that goes on.
    pub aside: Collected<Record>,
    pub sources: usize,
    pub uids: usize,
}

impl Described<'_> {
    fn new_uid(&mut self) -> String {
        self.uids += 1;
        format!("uid {}", self.uids)
    }
}

/// A step: its name, the stream's methods, the model's.
pub struct Step {
    pub name: &'static str,
    pub describe: for<'env> fn(&mut Described<'env>, BoxedStream<'env, Record>) -> BoxedStream<'env, Record>,
    pub model: fn(&mut Model),
}

/// With event time, so that methods which demand it can stand behind all others.
pub type BoxedStream<'env, T> = slotflow_ops::BoxedStream<'env, T, EventTime>;

/// Subtask `i` of the source has the keys that leave the remainder `i`.
pub fn records<'env>(env: &'env Environment, sources: usize) -> BoxedStream<'env, Record> {
    numbers(env, sources).boxed()
}

fn numbers(
    env: &Environment,
    sources: usize,
) -> Stream<'_, impl Pipe<Out = Owned<Record>, Time = EventTime> + use<>> {
    let numbers = env.source(generate(RECORDS, |i| (i % KEYS, 0))).parallelism(sources);
    numbers.with_timestamps(time, in_any_order())
}

fn time(record: &Record) -> i64 {
    record.1 as i64
}

/// Nothing is late, whatever became of it.
fn in_any_order() -> Watermarks<slotflow_ops::BoundedOutOfOrderness> {
    Watermarks::bounded_out_of_orderness(Duration::MAX)
}

/// Keeps what it gets; an operator of a user's own.
#[derive(Clone)]
struct Pass;

impl<T: 'static> Operator<Owned<T>> for Pass {
    type Out = Owned<T>;
    fn process<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Owned<T>>) {
        out.push(record, ctx);
    }
}

/// Numbers the records of a group: its accumulator is the last record's.
#[derive(Clone)]
pub struct Numbered;

impl Aggregate<Record> for Numbered {
    type Acc = (Record, u64);
    type Out = Record;
    fn create(&self) -> (Record, u64) {
        ((0, 0), 0)
    }
    fn add(&self, acc: &mut (Record, u64), record: Record) {
        *acc = (record, acc.1 + 1);
    }
    fn result(&self, acc: &(Record, u64)) -> Record {
        numbered(acc.0, acc.1)
    }
}

impl Merge<Record> for Numbered {
    fn merge(&self, into: &mut (Record, u64), other: &(Record, u64)) {
        *into = (other.0, into.1 + other.1);
    }
}

/// The `n`-th of a group of equal records.
pub fn numbered(record: Record, n: u64) -> Record {
    (record.0, mixed(record.1 * 100 + n))
}

/// Keeps numbers small, and what was different before different.
pub fn mixed(n: u64) -> u64 {
    n.wrapping_mul(31) % 1_000_003
}

fn fails(_: &Record) -> Result<bool, Error> {
    Err(Error::bug("nothing is that large"))
}

/// Runs requests where they are made.
fn at_once(mut request: Request) {
    let mut here = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(request.as_mut().poll(&mut here).is_ready());
}

/// Sends one of two streams aside.
fn aside<'env, P>(described: &Described<'env>, side: Stream<'env, P>)
where
    P: Pipe<Out = Owned<Record>, Time = EventTime>,
{
    side.sink(described.aside.sink());
}

macro_rules! steps {
    ($($name:literal: |$job:pat_param, $stream:ident| $describe:expr, |$model:ident| $said:expr;)*) => {
        /// Every step there is.
        pub const STEPS: &[Step] = &[$(Step {
            name: $name,
            describe: |$job, $stream| $describe.boxed(),
            model: |$model| { $said; },
        }),*];
    };
}

steps! {
    // One record in, at most a few out.
    "map": |_, s| s.map(|(k, n)| (k, mixed(n + 1))), |m| m.each(|(k, n)| vec![(k, mixed(n + 1))]);
    "map_with": |_, s| s.map_with(|_| |(k, n)| (k, mixed(n + 2))), |m| m.each(|(k, n)| vec![(k, mixed(n + 2))]);
    "map_in": |_, s| s.map_in(|r, arena| arena.slice_with(1, |_| r)).map(|r| r[0]), |m| m.each(|r| vec![r]);
    "filter": |_, s| s.filter(|r| r.0 % 5 != 0), |m| m.each(|r| if r.0 % 5 == 0 { vec![] } else { vec![r] });
    "filter_with": |_, s| s.filter_with(|_| |r| r.0 % 6 != 0),
        |m| m.each(|r| if r.0 % 6 == 0 { vec![] } else { vec![r] });
    "flat_map": |_, s| s.flat_map(|r| [r, (r.0, r.1 + 1)]), |m| m.each(|r| vec![r, (r.0, r.1 + 1)]);
    "flat_map_from": |_, s| s.flat_map_from(|_| |r| [r; 2]), |m| m.each(|r| vec![r; 2]);
    "flat_map_with": |_, s| s.flat_map_with(|r, out| (0..r.0 % 3).for_each(|_| out.push(r))),
        |m| m.each(|r| vec![r; (r.0 % 3) as usize]);
    "filter_map": |_, s| s.filter_map(|(k, n)| (k % 7 != 1).then_some((k, n + 3))),
        |m| m.each(|(k, n)| if k % 7 == 1 { vec![] } else { vec![(k, n + 3)] });
    "inspect": |_, s| s.inspect(|r| assert!(r.0 < KEYS)), |m| m.each(|r| vec![r]);
    "then": |_, s| s.then("pass", slotflow_runtime::Cloned(Pass)), |m| m.each(|r| vec![r]);
    "name": |_, s| s.name("named"), |m| m.nothing();
    "uid": |job, s| s.uid(&job.new_uid()), |m| m.nothing();
    "boxed": |_, s| s.boxed(), |m| m.nothing();
    "try_map": |_, s| s.try_map(|(k, n)| Ok::<_, Error>((k, n + 4))), |m| m.each(|(k, n)| vec![(k, n + 4)]);
    "try_map_or_skip": |_, s| s.try_map_or_skip(|r| if r.0 == 3 { Err("three") } else { Ok(r) }),
        |m| m.each(|r| if r.0 == 3 { vec![] } else { vec![r] });
    "try_filter": |_, s| s.try_filter(|r| if r.0 < KEYS { Ok(r.0 != 4) } else { fails(r) }),
        |m| m.each(|r| if r.0 == 4 { vec![] } else { vec![r] });
    "try_flat_map": |_, s| s.try_flat_map(|r| Ok::<_, Error>(vec![r; 1 + (r.0 % 2) as usize])),
        |m| m.each(|r| vec![r; 1 + (r.0 % 2) as usize]);
    "try_filter_or_skip": |_, s| s.try_filter_or_skip(|r| if r.0 == 5 { Err("five") } else { Ok(r.0 != 6) }),
        |m| m.each(|r| if r.0 == 5 || r.0 == 6 { vec![] } else { vec![r] });
    "try_flat_map_or_skip": |_, s| s.try_flat_map_or_skip(|r| if r.0 == 7 { Err("seven") } else { Ok([r; 2]) }),
        |m| m.each(|r| if r.0 == 7 { vec![] } else { vec![r; 2] });

    "map_async": |_, s| s.map_async(AsyncIo::ordered(at_once), |(k, n)| {
        std::future::ready(Ok::<_, Error>((*k, n + 7)))
    }), |m| m.each(|(k, n)| vec![(k, n + 7)]);
    "try_map_async": |_, s| s.try_map_async(AsyncIo::unordered(at_once), |r| {
        std::future::ready(if r.0 == 6 { Err("six") } else { Ok(*r) })
    }).filter_map(Result::ok), |m| m.each(|r| if r.0 == 6 { vec![] } else { vec![r] });

    // Partitioners.
    "forward": |_, s| s.forward(), |m| m.partition(Partitioner::Forward);
    "rebalance": |_, s| s.rebalance(), |m| m.partition(Partitioner::Rebalance);
    "rescale": |_, s| s.rescale(), |m| m.partition(Partitioner::Rescale);
    "shuffle": |_, s| s.shuffle(), |m| m.partition(Partitioner::Shuffle);
    "global": |_, s| s.global(), |m| m.partition(Partitioner::Global);
    "broadcast": |_, s| s.broadcast(), |m| m.partition(Partitioner::Broadcast);
    "partition_custom": |_, s| s.partition_custom(|r, _| r.0 as usize / 2), |m| m.partition(Partitioner::Custom);

    // By key.
    "key_by, reduce": |_, s| s.key_by(|r| *r).reduce(|a, b| (a.0, a.1 + b.1 + 1)),
        |m| m.keyed(|r, n| (r.0, r.1 * n + n - 1));
    "key_by, fold": |_, s| s.key_by(|r| *r).fold((0, 0, 0), |acc, r| *acc = (r.0, r.1, acc.2 + 1))
        .map(|(k, v, n)| numbered((k, v), n)), |m| m.keyed(numbered);
    "key_by, aggregate": |_, s| s.key_by(|r| *r).aggregate(Numbered), |m| m.keyed(numbered);
    "key_by_ref, map_with_state": |_, s| s.key_by_ref(|r| r).map_with_state(|seen: &mut u64, r| {
        *seen += 1;
        numbered(r, *seen)
    }), |m| m.keyed(numbered);
    "key_by_ref, map_with_state_with": |_, s| s.key_by_ref(|r| r).map_with_state_with(|_| |seen: &mut u64, r| {
        *seen += 1;
        numbered(r, *seen)
    }), |m| m.keyed(numbered);
    "key_by, fold_at_end": |_, s| s.key_by(|r| *r).fold_at_end(0, |count, _| *count += 1)
        .map(|(r, n)| numbered(r, n)), |m| m.keyed_at_end();
    "key_by_source_partition, fold": |_, s| s.key_by_source_partition(|r| *r).aggregate(Numbered),
        |m| m.by_source_partition();
    "key_by, count_window, every": |_, s| s.key_by(|r| *r).count_window(u64::MAX).every(1).aggregate(Numbered)
        .map(|it| it.1), |m| m.keyed(numbered);
    "count_window_all, every": |_, s| s.count_window_all(1).every(1).reduce(|a, _| a).map(|it| it.1),
        |m| { m.partition(Partitioner::Global); m.spread_to(1) };
    "key_by, window, trigger": |_, s| s.key_by(|r| *r).window(Global).trigger(CountTrigger::of(1))
        .allowed_lateness(Duration::MAX).aggregate(Numbered).map(|it| it.value), |m| m.keyed(numbered);
    "key_by, window, trigger, evictor": |_, s| s.key_by(|r| *r).window(Global).trigger(CountTrigger::of(1))
        .evictor(CountEvictor::of(usize::MAX)).process(|it| numbered(it.key, it.value.len() as u64)),
        |m| m.keyed(numbered);
    "key_by, window, two_phases": |_, s| s.key_by(|r| *r).window(Tumbling::of(Duration::MAX)).two_phases()
        .aggregate(Numbered).parallelism(3)
        .map(|it| it.value), |m| { m.keyed_at_end(); m.parallelism = 3 };
    "key_by, window, one_phase": |_, s| s.key_by(|r| *r).window(Tumbling::of(Duration::MAX)).one_phase()
        .aggregate(Numbered).parallelism(3)
        .map(|it| it.value), |m| { m.keyed_at_end(); m.parallelism = 3 };
    "key_by, window, reduce": |_, s| s.map(|r| (r, 1)).key_by(|it| it.0).window(Tumbling::of(Duration::MAX))
        .reduce(|a, b| (a.0, a.1 + b.1)).parallelism(3)
        .map(|it| numbered(it.value.0, it.value.1)), |m| { m.each(|r| vec![r]); m.keyed_at_end(); m.parallelism = 3 };
    "key_by, window": |_, s| s.key_by(|r| *r).window(Tumbling::of(Duration::MAX)).aggregate(Numbered)
        .map(|it| it.value), |m| m.keyed_at_end();
    "key_by, window, early": |_, s| s.key_by(|r| *r).window(Tumbling::of(Duration::MAX)).early(Duration::MAX)
        .aggregate(Numbered).map(|it| it.value), |m| m.keyed_at_end();
    "fold_at_end": |_, s| s.fold_at_end(0, |count, _| *count += 1).global()
        .fold_at_end(0, |count, n| *count += n).parallelism(1).map(|n| (0, n)), |m| m.count();

    "process": |_, s| s.process(|_| Keep), |m| m.each(|r| vec![r]);
    "process, side_output": |job, s| {
        let (main, side) = s.process(|_| Sides).side_output();
        aside(job, side);
        main
    }, |m| m.split(|r| r.0 % 2 == 0);
    "key_by, process": |_, s| s.key_by(|r| *r).process(Count::open), |m| m.keyed(numbered);
    "key_by, distinct": |_, s| s.key_by(|r| *r).distinct(Ttl::processing_time(Duration::ZERO)),
        |m| m.keyed(|r, _| r);
    "key_by, throttle": |job, s| {
        let (main, side) = s.key_by(|r| *r).throttle(u64::MAX, Duration::MAX).side_output();
        aside(job, side);
        main
    }, |m| { m.keyed(|r, _| r); m.split(|_| true) };
    "key_by, top": |_, s| s.key_by(|r| *r).top(usize::MAX, |r| *r).map(|best| numbered(best[0], best.len() as u64)),
        |m| m.keyed(numbered);
    "sample": |_, s| s.sample(1), |m| m.each(|r| vec![r]);

    // Several streams.
    "connect, co_process": |job, s| s.connect(records(job.env, job.sources)).co_process(|_| Keep), |m| m.union();
    "broadcast_process": |job, s| s.broadcast_process(records(job.env, job.sources), |r| *r, |_| Ruled),
        |m| { m.each(|r| vec![r]); m.keyed(|r, _| r) };
    "union": |job, s| s.union(records(job.env, job.sources)), |m| m.union();
    "connect, co_map": |job, s| s.connect(records(job.env, job.sources)).co_map(|(k, n)| (k, n + 6), |r| r),
        |m| { m.each(|(k, n)| vec![(k, n + 6)]); m.union() };
    "connect, co_flat_map": |job, s| s.connect(records(job.env, job.sources)).co_flat_map(|r| [r; 2], Some),
        |m| { m.each(|r| vec![r; 2]); m.union() };
    "split": |job, s| {
        let (main, side) = s.split(|r| r.0 % 2 == 0);
        aside(job, side);
        main
    }, |m| m.split(|r| r.0 % 2 == 0);
    "split_by": |job, s| {
        let (main, side) = s.split_by(|r| if r.0 % 3 == 0 { Routed::Side(r) } else { Routed::Main(r) });
        aside(job, side);
        main
    }, |m| m.split(|r| r.0 % 3 != 0);
    "try_map_split": |job, s| {
        let (main, side) = s.try_map_split(|r| if r.0 < 5 { Err(r) } else { Ok(r) });
        aside(job, side);
        main
    }, |m| m.split(|r| r.0 >= 5);
    "try_filter_split": |job, s| {
        let (main, side) = s.try_filter_split(|r| if r.0 < 6 { Err(()) } else { Ok(true) });
        aside(job, side.map(|(r, ())| r));
        main
    }, |m| m.split(|r| r.0 >= 6);
    "try_flat_map_split": |job, s| {
        let (main, side) = s.try_flat_map_split(|r| if r.0 < 7 { Err(r) } else { Ok([r]) });
        aside(job, side);
        main
    }, |m| m.split(|r| r.0 >= 7);
    "tee": |job, s| {
        let (left, right) = s.tee();
        aside(job, right);
        left
    }, |m| m.tee();
    "tee, union": |_, s| {
        let (left, right) = s.tee();
        left.map(|(k, n)| (k, n + 5)).union(right)
    }, |m| m.diamond();

    // Event time.
    "assign_timestamps_and_watermarks": |_, s| s.assign_timestamps_and_watermarks(time, in_any_order()),
        |m| m.each(|r| vec![r]);
    "split_late": |job, s| {
        let (main, late) = s.split_late();
        aside(job, late);
        main
    }, |m| m.split(|_| true);
    "with_ingestion_time, union": |job, s| {
        let numbers = job.env.source(generate(RECORDS, |i| (i % KEYS, 0))).parallelism(job.sources);
        s.union(numbers.with_ingestion_time())
    }, |m| m.union();
    "with_timestamps, with_watermark_alignment, union": |job, s| {
        let numbers = job.env.source(generate(RECORDS, |i| (i % KEYS, 0))).parallelism(job.sources);
        let times = in_any_order().never_idle().idle_after(Duration::from_millis(1));
        let group = WatermarkAlignment::within(Duration::ZERO);
        s.union(numbers.with_timestamps(time, times).with_watermark_alignment(&group))
    }, |m| m.union();

    // What is said about an operator.
    "start_new_chain": |_, s| s.map(|r| r).start_new_chain(), |m| m.each(|r| vec![r]);
    "disable_chaining": |_, s| s.map(|r| r).disable_chaining(), |m| m.unchained();
    "slot_sharing_group": |_, s| s.map(|r| r).slot_sharing_group("apart"), |m| m.each(|r| vec![r]);
    "parallelism(1)": |_, s| s.map(|r| r).parallelism(1), |m| m.spread_to(1);
    "parallelism(4)": |_, s| s.map(|r| r).parallelism(4), |m| m.spread_to(4);
    "all settings": |_, s| s.map(|r| r).start_new_chain().parallelism(2).slot_sharing_group("apart")
        .disable_chaining(), |m| { m.spread_to(2); m.partition(Partitioner::Forward) };
    "key_by, fold, parallelism": |_, s| s.key_by(|r| *r).aggregate(Numbered).parallelism(2),
        |m| { m.keyed(numbered); m.parallelism = 2 };
}
