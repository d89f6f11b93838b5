//! A job of numbers whose source tells a watcher how far it is, for tests of the record path.

use slotflow_runtime::edge::partition::AsPlanned;
use slotflow_runtime::install::Seats;
use slotflow_runtime::pipe::{Begin, Cut, Pipe, Then};
use slotflow_runtime::plan::{Graph, Partitioner, Plan, Role};
use slotflow_runtime::testing::simulation::Simulation;
use slotflow_runtime::{
    Cloned, Config, Context, Downstream, Guarantee, Operator, Output, Owned, Polled, Result, Sink, SinkTail,
    SinkWriter, Source, SourceReader, SplitId, Splits, SubtaskContext, Untimed,
};

/// Records of each source subtask; those between the two marks are watched, the rest warms up and
/// lets the other subtasks come to their own end.
const RECORDS: u64 = 100_000;
const WARM: u64 = RECORDS / 2;
const WATCHED: u64 = RECORDS * 8 / 10;

/// Told by each source subtask, on the job's thread, once each.
pub trait Watch: Clone + Send + 'static {
    /// What it has learned has settled: the watched records begin.
    fn begin(&mut self);
    /// The watched records are over.
    fn end(&mut self);
}

struct Numbers<W>(W);

struct NumbersReader<W> {
    next: u64,
    watch: W,
    /// How many marks have been told.
    told: usize,
}

impl<W: Watch> NumbersReader<W> {
    fn tell(&mut self) {
        if self.told == 0 && self.next >= WARM {
            self.told = 1;
            self.watch.begin();
        }
        if self.told == 1 && self.next >= WATCHED {
            self.told = 2;
            self.watch.end();
        }
    }
}

impl<W: Watch> Source for Numbers<W> {
    type Reader = NumbersReader<W>;

    fn describe(&self) -> String {
        "numbers".into()
    }

    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::PerSubtask)
    }

    fn open(&mut self, _: &SubtaskContext, _: &[SplitId]) -> Result<NumbersReader<W>> {
        Ok(NumbersReader { next: 0, watch: self.0.clone(), told: 0 })
    }
}

impl<W: Watch> SourceReader for NumbersReader<W> {
    type Item = Owned<u64>;
    type Time = Untimed;

    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<u64>>,
    ) -> Result<Polled> {
        self.tell();
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
pub fn run(parallelism: usize, seed: u64, watch: impl Watch) {
    let mut config = Config::default();
    config.job.parallelism = parallelism;
    let mut graph = Graph::default();
    let (numbers, digits) = (graph.add("numbers", Role::Source), graph.add("digits", Role::Operator));
    let forget = graph.add("forget", Role::Sink);
    let (exchange, edge) = (graph.connect(numbers, digits), graph.connect(digits, forget));
    graph.edges[exchange].partitioner = Partitioner::Rebalance;
    let number = graph.cut(exchange);
    graph.operator_mut(digits).group = Some("behind".into()).filter(|_| parallelism > 1);
    let begin = Begin { operator: numbers, source: Numbers(watch) };
    let cut = Cut { pipe: begin, edge: exchange, number, route: AsPlanned };
    let mut pipe = Then { pipe: cut, operator: digits, edge, build: Cloned(Digits) };
    pipe.discover(&mut graph);
    let plan = Plan::new(graph, &config).expect("nothing is wrong with it");
    assert_eq!(plan.chains.len(), parallelism.min(2), "one chain, or two with an exchange between");
    let report = Simulation::seed(seed).run("numbers", &plan, &config, |installer| {
        let tails = installer.sink(forget, Forget)?;
        pipe.install(installer, Tails(tails))
    });
    let report = report.expect("nothing in it fails");
    assert_eq!(report.job.records, RECORDS * parallelism as u64);
}
