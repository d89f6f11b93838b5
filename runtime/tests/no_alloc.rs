//! Once it is warm, the engine allocates nothing for a record. An allocator that counts is `unsafe`.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use slotflow_runtime::edge::partition::AsPlanned;
use slotflow_runtime::install::Seats;
use slotflow_runtime::pipe::{Begin, Cut, Pipe, Then};
use slotflow_runtime::plan::{Graph, Partitioner, Plan, Role};
use slotflow_runtime::testing::simulation::Simulation;
use slotflow_runtime::{
    Cloned, Config, Context, Downstream, Guarantee, Operator, Output, Owned, Polled, Result, Sink, SinkTail,
    SinkWriter, Source, SourceReader, SplitId, Splits, SubtaskContext, Untimed,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count_one() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is passed on to the system's allocator; counting touches a constant-initialised
// thread local without a destructor, which allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the system's.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_one();
        // SAFETY: the caller's promise is the system's.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Records of each source subtask; those between the two marks are watched, the rest warms up and
/// lets the other subtasks come to their own end.
const RECORDS: u64 = 100_000;
const WARM: u64 = RECORDS / 2;
const WATCHED: u64 = RECORDS * 8 / 10;

/// Allocations between the two marks, of all source subtasks of all runs.
static ALLOCATED: AtomicU64 = AtomicU64::new(0);

struct Numbers;

struct NumbersReader {
    next: u64,
    /// Allocations when it got warm, and whether the rest has been counted.
    before: Option<u64>,
    counted: bool,
}

impl NumbersReader {
    fn watch(&mut self) {
        let now = ALLOCATIONS.with(Cell::get);
        if self.next >= WARM && self.before.is_none() {
            self.before = Some(now);
        }
        if self.next >= WATCHED && !self.counted {
            self.counted = true;
            ALLOCATED.fetch_add(now - self.before.unwrap_or(0), Relaxed);
        }
    }
}

impl Source for Numbers {
    type Reader = NumbersReader;

    fn describe(&self) -> String {
        "numbers".into()
    }

    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::PerSubtask)
    }

    fn open(&mut self, _: &SubtaskContext, _: &[SplitId]) -> Result<NumbersReader> {
        Ok(NumbersReader { next: 0, before: None, counted: false })
    }
}

impl SourceReader for NumbersReader {
    type Item = Owned<u64>;
    type Time = Untimed;

    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<u64>>,
    ) -> Result<Polled> {
        self.watch();
        if self.next == RECORDS {
            return Ok(Polled::End);
        }
        let last = RECORDS.min(self.next + (budget as u64).min(1000));
        (self.next..last).for_each(|number| out.push(number, ctx));
        let count = last - self.next;
        self.next = last;
        Ok(Polled::Records(count as usize))
    }
}

/// Builds a string in the arena and passes its length on.
#[derive(Clone)]
struct Digits;

impl Operator<Owned<u64>> for Digits {
    type Out = Owned<u64>;

    fn process<'s>(&mut self, number: u64, ctx: &mut Context<'s>, out: &mut impl Output<Owned<u64>>) {
        let digits = ctx.arena().copy_bytes(&number.to_le_bytes());
        out.push(digits.len() as u64 + number, ctx);
    }
}

struct Forget;

impl Sink<Owned<u64>> for Forget {
    type Writer = Forget;

    fn describe(&self) -> String {
        "forget".into()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::InProcess
    }

    fn open(&mut self, _: &SubtaskContext) -> Result<Forget> {
        Ok(Forget)
    }
}

impl SinkWriter<Owned<u64>> for Forget {
    fn write<'s>(&mut self, _: u64, _: &mut Context<'s>) {}
}

/// The tails of a sink, one for each subtask.
#[derive(Clone)]
struct Tails(Seats<SinkTail<Owned<u64>, Forget>>);

impl Downstream<Owned<u64>> for Tails {
    type Consumer = SinkTail<Owned<u64>, Forget>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Consumer> {
        self.0.take(subtask.index)
    }
}

/// Runs source, operator, sink with this parallelism; at 1 they are one chain, above it there is an
/// exchange between.
fn allocated(parallelism: usize, seed: u64) -> u64 {
    let mut config = Config::default();
    config.job.parallelism = parallelism;
    let mut graph = Graph::default();
    let (numbers, digits) = (graph.add("numbers", Role::Source), graph.add("digits", Role::Operator));
    let forget = graph.add("forget", Role::Sink);
    let (exchange, edge) = (graph.connect(numbers, digits), graph.connect(digits, forget));
    graph.edges[exchange].partitioner = Partitioner::Rebalance;
    let number = graph.cut(exchange);
    graph.operator_mut(digits).group = Some("behind".into()).filter(|_| parallelism > 1);
    let begin = Begin { operator: numbers, source: Numbers };
    let cut = Cut { pipe: begin, edge: exchange, number, route: AsPlanned };
    let mut pipe = Then { pipe: cut, operator: digits, edge, build: Cloned(Digits) };
    pipe.discover(&mut graph).expect("each subtask makes its own share");
    let plan = Plan::new(graph, &config).expect("nothing is wrong with it");
    assert_eq!(plan.chains.len(), parallelism.min(2), "one chain, or two with an exchange between");
    let before = ALLOCATED.load(Relaxed);
    let report = Simulation::seed(seed).run("numbers", &plan, &config, |installer| {
        let tails = installer.sink(forget, Forget)?;
        pipe.install(installer, Tails(tails))
    });
    let report = report.expect("nothing in it fails");
    assert_eq!(report.job.records, RECORDS * parallelism as u64);
    ALLOCATED.load(Relaxed) - before
}

#[test]
fn a_warm_engine_allocates_nothing_for_a_record() {
    let chain = allocated(1, 1);
    let exchanges: Vec<u64> = (0..3).map(|seed| allocated(2, seed)).collect();
    assert_eq!((chain, exchanges), (0, vec![0; 3]));
}
