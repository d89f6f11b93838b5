//! From a plan to subtasks: opens sources and sinks, makes the rings, hands out the seats.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::chain::Downstream;
use crate::config::Config;
use crate::edge::overflow::Overflow;
use crate::edge::partition::RoutePlan;
use crate::edge::ring::{Receiver, Sender, ring};
use crate::head::Head;
use crate::job::{Arrivals, JobControl};
use crate::metrics::{LatencyMeter, RingMeter, SubtaskMeter};
use crate::plan::{EdgeId, OperatorId, Plan};
use crate::sink_tail::SinkTail;
use crate::slot::{Deployment, Waker};
use crate::subtask::ChainSubtask;
use crate::{Clock, Committer, Error, Family, IoCores, Result, Sink, SubtaskContext};

/// One thing for each subtask of a chain, taken once by each.
pub struct Seats<X>(Arc<Mutex<Vec<Option<X>>>>);

impl<X> Clone for Seats<X> {
    fn clone(&self) -> Self {
        Seats(self.0.clone())
    }
}

impl<X> Seats<X> {
    /// Seats in the order of the subtasks.
    pub fn new(items: impl IntoIterator<Item = X>) -> Seats<X> {
        Seats(Arc::new(Mutex::new(items.into_iter().map(Some).collect())))
    }

    /// Takes the one of subtask `index`, on its slot, before the first step.
    pub fn take(&self, index: usize) -> Result<X> {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let item = seats.get_mut(index).and_then(Option::take);
        item.ok_or_else(|| Error::bug(format!("the seat of subtask {index} was taken twice or never made")))
    }
}

/// A ring's meter and where the ring is.
#[derive(Clone, Debug)]
pub struct RingMeters {
    /// The edge.
    pub edge: EdgeId,
    /// The writing subtask's number.
    pub from: usize,
    /// The reading subtask's number.
    pub to: usize,
    /// The ring's meter.
    pub meter: Arc<RingMeter>,
}

/// A subtask's meter and where the subtask is.
#[derive(Clone, Debug)]
pub struct SubtaskMeters {
    /// The chain.
    pub chain: usize,
    /// The subtask's number.
    pub index: usize,
    /// Its meter.
    pub meter: Arc<SubtaskMeter>,
}

/// Everything a job runs with, once installed.
#[derive(Default)]
pub struct Installed {
    /// The subtasks on their way to their slots; slot numbers are the job's own.
    pub deployments: Vec<Deployment>,
    /// By the source subtask's number.
    pub committers: Vec<Option<Box<dyn Committer>>>,
    /// One for each sink subtask.
    pub arrivals: Vec<Arc<Arrivals>>,
    /// One for each sink subtask.
    pub latencies: Vec<Arc<LatencyMeter>>,
    /// One for each ring.
    pub rings: Vec<RingMeters>,
    /// One for each subtask.
    pub subtasks: Vec<SubtaskMeters>,
}

/// Carries a plan out; pipelines are installed with it one after the other.
pub struct Installer<'p> {
    plan: &'p Plan,
    config: &'p Config,
    control: Arc<JobControl>,
    /// What wakes the core of each of the job's slots.
    wakers: Vec<Waker>,
    io: IoCores,
    clock: Clock,
    names: Arc<[Arc<str>]>,
    /// The ends of edges that nobody has taken yet.
    writers: HashMap<EdgeId, Box<dyn Any>>,
    readers: HashMap<EdgeId, Box<dyn Any>>,
    installed: Installed,
}

impl<'p> Installer<'p> {
    /// An installer for a plan whose slots have these wakers.
    pub fn new(
        plan: &'p Plan,
        config: &'p Config,
        control: Arc<JobControl>,
        wakers: Vec<Waker>,
        io: IoCores,
        clock: Clock,
    ) -> Self {
        Installer {
            plan,
            config,
            control,
            wakers,
            io,
            clock,
            names: plan.names(),
            writers: HashMap::new(),
            readers: HashMap::new(),
            installed: Installed::default(),
        }
    }

    /// What was made.
    pub fn finish(self) -> Installed {
        self.installed
    }

    /// The plan.
    pub fn plan(&self) -> &'p Plan {
        self.plan
    }

    /// The job's shared state.
    pub fn control(&self) -> &Arc<JobControl> {
        &self.control
    }

    /// How many subtasks an operator has.
    pub fn parallelism(&self, operator: OperatorId) -> usize {
        self.plan.chains[self.plan.chain_of[operator as usize]].parallelism
    }

    /// Where a subtask stands.
    pub fn context(&self, operator: OperatorId, index: usize) -> SubtaskContext {
        let chain = self.plan.chain_of[operator as usize];
        SubtaskContext {
            operator: self.names[operator as usize].clone(),
            index,
            parallelism: self.plan.chains[chain].parallelism,
            max_parallelism: self.plan.max_parallelism,
            waker: self.wakers[self.plan.slot(chain, index)].clone(),
            io: self.io.clone(),
            clock: self.clock.clone(),
            overflow_bytes: self.config.edges.overflow_bytes,
            state_budget_bytes: self.config.state.budget_bytes,
        }
    }

    /// Names the place of an error from opening a connector.
    pub fn locate(&self, error: Error, context: &SubtaskContext) -> Error {
        error.at(&context.operator, context.index)
    }

    /// Notes a source subtask's committer and gives the subtask its number.
    pub fn source(&mut self, committer: Option<Box<dyn Committer>>) -> usize {
        self.installed.committers.push(committer);
        self.installed.committers.len() - 1
    }

    /// Opens a sink for all its subtasks.
    pub fn sink<F: Family, K: Sink<F>>(
        &mut self,
        operator: OperatorId,
        mut sink: K,
    ) -> Result<Seats<SinkTail<F, K::Writer>>> {
        let mut tails = Vec::new();
        for index in 0..self.parallelism(operator) {
            let context = self.context(operator, index);
            let writer = Error::caught(|| sink.open(&context));
            let writer = writer.map_err(|error| self.locate(error, &context))?;
            let (arrivals, latency) = (Arc::new(Arrivals::default()), Arc::new(LatencyMeter::default()));
            self.installed.arrivals.push(arrivals.clone());
            self.installed.latencies.push(latency.clone());
            tails.push(SinkTail::new(writer, operator, context, arrivals, latency));
        }
        Ok(Seats::new(tails))
    }

    /// Makes a subtask: `head` and what follows it.
    pub fn spawn<H: Head + Send, D: Downstream<H::Item>>(
        &mut self,
        operator: OperatorId,
        context: SubtaskContext,
        head: H,
        rest: D,
    ) {
        let chain = self.plan.chain_of[operator as usize];
        let (index, meter) = (context.index, Arc::new(SubtaskMeter::default()));
        self.installed.subtasks.push(SubtaskMeters { chain, index, meter: meter.clone() });
        let (names, own) = (self.names.clone(), meter.clone());
        self.installed.deployments.push(Deployment {
            job: self.control.clone(),
            slot: self.plan.slot(chain, index),
            depth: self.plan.chains[chain].depth,
            operator: context.operator.clone(),
            index,
            build: Box::new(move || {
                let rest = rest.build(&context)?;
                Ok(Box::new(ChainSubtask::new(head, rest, context, names, own)))
            }),
            meter,
            neighbours: self.neighbours(chain, index),
        });
    }

    /// The cores at the other ends of a subtask's edges.
    fn neighbours(&self, chain: usize, index: usize) -> Vec<Waker> {
        let mut slots = Vec::new();
        for (edge, plan) in self.plan.edges.iter().enumerate().filter(|(_, plan)| !plan.fused) {
            let targets = self.plan.targets(edge);
            if plan.from == chain {
                slots.extend(targets[index].iter().map(|target| self.plan.slot(plan.to, *target)));
            }
            if plan.to == chain {
                let origins = (0..targets.len()).filter(|origin| targets[*origin].contains(&index));
                slots.extend(origins.map(|origin| self.plan.slot(plan.from, origin)));
            }
        }
        slots.sort_unstable();
        slots.dedup();
        slots.into_iter().map(|slot| self.wakers[slot].clone()).collect()
    }

    /// What the plan says about the partitioner of an edge.
    pub fn route(&self, edge: EdgeId) -> RoutePlan {
        let plan = &self.plan.edges[edge];
        RoutePlan {
            partitioner: plan.partitioner,
            readers: self.plan.chains[plan.to].parallelism,
            groups: self.plan.max_parallelism,
        }
    }

    /// What may wait in front of an edge, beyond the room of its rings.
    pub fn overflow(&self, edge: EdgeId) -> Overflow {
        Overflow::of_edge(self.plan, edge, self.config.edges.overflow_bytes)
    }

    /// The writing ends of an edge, by writing subtask.
    pub fn writers<R: Send + 'static>(&mut self, edge: EdgeId) -> Result<Vec<Vec<Sender<R>>>> {
        if !self.writers.contains_key(&edge) {
            self.make_rings::<R>(edge);
        }
        take_end(&mut self.writers, edge)
    }

    /// The reading ends of an edge, by reading subtask.
    pub fn readers<R: Send + 'static>(&mut self, edge: EdgeId) -> Result<Vec<Vec<Receiver<R>>>> {
        if !self.readers.contains_key(&edge) {
            self.make_rings::<R>(edge);
        }
        take_end(&mut self.readers, edge)
    }

    fn make_rings<R: Send + 'static>(&mut self, edge: EdgeId) {
        let targets = self.plan.targets(edge);
        let readers = self.plan.chains[self.plan.edges[edge].to].parallelism;
        let capacity = self.plan.ring(edge, size_of::<R>(), &self.config.edges).records;
        let mut writing: Vec<Vec<Sender<R>>> = Vec::new();
        let mut reading: Vec<Vec<Receiver<R>>> = (0..readers).map(|_| Vec::new()).collect();
        for (from, targets) in targets.iter().enumerate() {
            let mut senders = Vec::with_capacity(targets.len());
            for &to in targets {
                let meter = Arc::new(RingMeter::new(capacity));
                self.installed.rings.push(RingMeters { edge, from, to, meter: meter.clone() });
                let (sender, receiver) = ring(capacity, meter);
                senders.push(sender);
                reading[to].push(receiver);
            }
            writing.push(senders);
        }
        self.writers.insert(edge, Box::new(writing));
        self.readers.insert(edge, Box::new(reading));
    }
}

fn take_end<X: 'static>(ends: &mut HashMap<EdgeId, Box<dyn Any>>, edge: EdgeId) -> Result<X> {
    let end = ends.remove(&edge).and_then(|end| end.downcast::<X>().ok());
    end.map(|end| *end)
        .ok_or_else(|| Error::bug(format!("the rings of edge {edge} have another record type")))
}
