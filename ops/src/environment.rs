//! The environment: where a job is described, planned and started.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use slotflow_runtime::config::{DriverChoice, Overcommit};
use slotflow_runtime::error::Problem;
use slotflow_runtime::install::Installer;
use slotflow_runtime::machine::{Placement, Probe};
use slotflow_runtime::pipe::Begin;
use slotflow_runtime::plan::{Explanation, Graph, OperatorId, Plan, Role};
use slotflow_runtime::testing::simulation::{SimReport, Simulation};
use slotflow_runtime::{Config, Error, IoCores, Job, JobReport, Result, Slots, Source};

use crate::Stream;

/// A pipeline that has come to its end and can be installed.
pub(crate) trait Pipeline: Send {
    /// Asks its sources and sinks what the plan has to know; the graph notes what they say.
    fn discover(&mut self, graph: &mut Graph);
    fn install(self: Box<Self>, installer: &mut Installer<'_>) -> Result<()>;
}

/// What was described so far.
#[derive(Default)]
struct Described {
    graph: Graph,
    pipelines: Vec<Box<dyn Pipeline>>,
    /// The sinks that somebody still holds to describe them further, so that they have not joined the job.
    held: Vec<OperatorId>,
}

impl Described {
    /// Asks each source how it is divided and each sink whether it can write, unless it has answered already. The
    /// pipelines are asked side by side, so what cannot be reached costs its time once.
    fn discover(&mut self) {
        let Described { graph, pipelines, .. } = self;
        graph.refusals.clear();
        let known: &Graph = graph;
        let ask = |pipeline: &mut Box<dyn Pipeline>| {
            let mut asked = known.clone();
            pipeline.discover(&mut asked);
            asked
        };
        let answers: Vec<Graph> = thread::scope(|scope| {
            let asked: Vec<_> =
                pipelines.iter_mut().map(|pipeline| scope.spawn(move || ask(pipeline))).collect();
            asked.into_iter().map(|asked| asked.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        answers.into_iter().for_each(|answer| graph.take_answers(answer));
    }

    /// The graph to be planned. A job without a pipeline that its graph has would wait for it for ever.
    fn to_plan(&self) -> Graph {
        let mut graph = self.graph.clone();
        for sink in &self.held {
            let (what, remedy) =
                ("has not joined the job", "let go of what .sink(..) returned before the start");
            graph.mistake(*sink, Error::world(what, remedy));
        }
        graph
    }
}

fn accepted((plan, problems): (Plan, Vec<Problem>)) -> Result<Plan> {
    if problems.is_empty() { Ok(plan) } else { Err(Error::plan(problems)) }
}

/// Where a job is described; the counterpart of Flink's `StreamExecutionEnvironment`.
///
/// Used on one thread of the host. Nothing runs until [`run`](Environment::run) or
/// [`start`](Environment::start), which take what was described; the environment is then empty and
/// can describe the next job.
#[derive(Default)]
pub struct Environment {
    config: Config,
    slots: Option<Slots>,
    described: RefCell<Described>,
}

impl Environment {
    /// An environment with the defaults of every setting, changed by `SLOTFLOW_*` variables.
    ///
    /// # Errors
    /// A variable that is no setting, or has no fitting value.
    pub fn new() -> Result<Environment> {
        Ok(Environment::with(Config::default().with_environment()?))
    }

    /// An environment with exactly these settings.
    pub fn with(config: Config) -> Environment {
        Environment { config, ..Environment::default() }
    }

    /// An environment with the settings of a TOML file, changed by `SLOTFLOW_*` variables.
    ///
    /// # Errors
    /// A file that cannot be read, a setting that does not exist (with line and caret), a variable
    /// as in [`new`](Environment::new).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Environment> {
        Ok(Environment::with(Config::from_file(path)?.with_environment()?))
    }

    /// Runs its jobs on slots of this pool, which the host keeps; without one, each job gets a pool
    /// of its own that is as large as it needs. Cores, driver, idle policy, step budget and I/O cores are then
    /// those that the pool was made with, and `slots.count` is its own.
    #[must_use]
    pub fn on(mut self, slots: &Slots) -> Environment {
        self.slots = Some(slots.clone());
        self
    }

    /// The settings. Code comes after the file and the environment, so what is set here counts.
    pub fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// Sets the parallelism of operators that have none of their own (default 1).
    #[must_use]
    pub fn parallelism(mut self, parallelism: usize) -> Environment {
        self.config.job.parallelism = parallelism;
        self
    }

    /// Sets the number of key groups, the largest parallelism a keyed operator can ever have
    /// (default 1024). It is fixed for the life of stored state.
    #[must_use]
    pub fn max_parallelism(mut self, groups: usize) -> Environment {
        self.config.job.max_parallelism = groups;
        self
    }

    /// Begins a stream of a source's records.
    pub fn source<S: Source>(&self, source: S) -> Stream<'_, Begin<S>> {
        let operator = self.graph(|graph| {
            let operator = graph.add(&source.describe(), Role::Source);
            let spec = graph.operator_mut(operator);
            (spec.commits, spec.settings) = (source.commits(), source.settings());
            operator
        });
        Stream::new(self, operator, Begin { operator, source })
    }

    /// Decides how the job would run, without running it.
    ///
    /// # Errors
    /// Everything that is wrong with the job, at once, and with what its sources and sinks connect to. They are asked
    /// side by side, each for a bounded time; what has answered is not asked again.
    pub fn plan(&self) -> Result<Plan> {
        self.described.borrow_mut().discover();
        accepted(self.drafted())
    }

    /// The plan, with what sources and sinks have said, and what is wrong with it.
    fn drafted(&self) -> (Plan, Vec<Problem>) {
        let mut config = self.config.clone();
        if let Some(slots) = &self.slots {
            // The host's pool is as large as it is; what does not fit it, it refuses by name.
            let packs = config.slots.overcommit == Overcommit::Pack;
            config.slots.count = packs.then(|| slots.count());
        }
        Plan::drafted(self.described.borrow().to_plan(), &config)
    }

    /// Explains how the job would run, without running it: chains, slots and cores, edges and what they
    /// cross, partition balance, where order ends, which guarantee the job has. Starts no slot; sources
    /// and sinks are asked as by [`plan`](Environment::plan), so Kafka must answer.
    ///
    /// # Errors
    /// What [`start`](Environment::start) would refuse, but for the limits of drivers.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default()).parallelism(2);
    /// env.source(generate(100, |i| i)).map(|i| i + 1).sink(callback(|_: u64| {}));
    /// println!("{}", env.explain()?);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn explain(&self) -> Result<Explanation> {
        let probe = Probe::run(Path::new("/"));
        // Nothing starts, so no driver has to.
        let plan = self.plan_on("to be explained", &probe, DriverChoice::Auto)?;
        if let Some(slots) = &self.slots {
            let lease = slots.choose("to be explained", &plan.slot_cpus())?;
            return Ok(Explanation::new(&plan, slots.placement(), &probe.topology, &lease));
        }
        let placement = Slots::placement_for(&plan, &self.config, &probe)?;
        let lease: Vec<usize> = (0..plan.slots).collect();
        Ok(Explanation::new(&plan, &placement, &probe.topology, &lease))
    }

    /// The plan, or all that is wrong with it, with the CPUs it names, with the machine for that driver and with the
    /// host's pool, at once.
    fn plan_on(&self, job: &str, probe: &Probe, driver: DriverChoice) -> Result<Plan> {
        self.discover_on(probe)?;
        let (plan, mut problems) = self.drafted();
        let mut config = self.config.clone();
        config.slots.driver = driver;
        let machine = match &self.slots {
            None => Slots::problems_for(&plan, &config, probe),
            // The host's pool has its cores and its driver already.
            Some(_) if problems.is_empty() => Vec::new(),
            Some(_) => Placement::check(probe, &config),
        };
        problems.extend(machine);
        let lacking = self.slots.as_ref().map(|slots| slots.lacking(job, &plan.slot_cpus()));
        problems.extend(lacking.unwrap_or_default());
        accepted((plan, problems))
    }

    /// Asks sources and sinks on a thread of the I/O cores, since the clients that connectors make for it have
    /// threads of their own, which inherit its CPUs.
    fn discover_on(&self, probe: &Probe) -> Result<()> {
        let io = match &self.slots {
            Some(slots) => slots.io_cores().clone(),
            None => IoCores::on(Placement::io_before(probe, &self.config)),
        };
        let described = &mut *self.described.borrow_mut();
        io.run(|| described.discover())
    }

    /// Runs the job and waits until it ends by itself.
    ///
    /// # Errors
    /// What [`start`](Environment::start) says; afterwards what made the job fail.
    pub fn run(&self, name: &str) -> Result<JobReport> {
        self.start(name)?.wait()
    }

    /// Starts the job and gives the handle to it.
    ///
    /// # Errors
    /// Everything that is wrong with the description, the configuration, the machine, and what sources and sinks
    /// connect to, at once, before a slot is touched. What goes wrong only after that, while a subtask's source or
    /// sink is opened, is told by itself, the first one; nothing runs yet then.
    pub fn start(&self, name: &str) -> Result<Job> {
        let probe = Probe::run(Path::new("/"));
        let plan = self.plan_on(name, &probe, self.config.slots.driver)?;
        let slots = match &self.slots {
            Some(slots) => slots.clone(),
            None => Slots::for_plan(&plan, &self.config, &probe)?,
        };
        // Taken only once the slots are leased: a host whose pool was full can start the same job later.
        slotflow_runtime::job::start(name, plan, &self.config, &slots, |installer| {
            self.take().into_iter().try_for_each(|pipeline| pipeline.install(installer))
        })
    }

    /// Runs the job in a simulation on the calling thread, for tests: `simulation` is a seed, or a
    /// [`Simulation`] that is drained or stopped on the way. No step waits here, so what waits for other threads cannot
    /// be simulated: async I/O on an executor of its own, an ingress that another thread feeds, Kafka.
    ///
    /// # Errors
    /// As [`run`](Environment::run); and a bug of the runtime if the job stands still.
    pub fn simulate(&self, name: &str, simulation: impl Into<Simulation>) -> Result<SimReport> {
        let plan = self.plan()?;
        let pipelines = self.take();
        simulation.into().run(name, &plan, &self.config, |installer| {
            pipelines.into_iter().try_for_each(|pipeline| pipeline.install(installer))
        })
    }

    fn take(&self) -> Vec<Box<dyn Pipeline>> {
        std::mem::take(&mut *self.described.borrow_mut()).pipelines
    }

    pub(crate) fn graph<X>(&self, with: impl FnOnce(&mut Graph) -> X) -> X {
        with(&mut self.described.borrow_mut().graph)
    }

    /// Somebody holds a sink, to describe it further.
    pub(crate) fn hold(&self, sink: OperatorId) {
        self.described.borrow_mut().held.push(sink);
    }

    /// Nobody holds that sink any more.
    pub(crate) fn let_go(&self, sink: OperatorId) {
        self.described.borrow_mut().held.retain(|held| *held != sink);
    }

    pub(crate) fn add_pipeline(&self, pipeline: impl Pipeline + 'static) {
        self.described.borrow_mut().pipelines.push(Box::new(pipeline));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source and a sink, with one uid or with two.
    fn env(toml: &str, sink: &str) -> Environment {
        let env = Environment::with(Config::from_toml(toml).unwrap());
        env.graph(|graph| {
            let (from, to) = (graph.add("from", Role::Source), graph.add("to", Role::Sink));
            graph.connect(from, to);
            graph.operator_mut(from).uid = Some("x".into());
            graph.operator_mut(to).uid = Some(sink.into());
        });
        env
    }

    /// This machine with a kernel that is too old for glommio, and with nothing else that is.
    fn old() -> Probe {
        let probe = Probe::run(Path::new("/"));
        let (kernel, io_uring, memlock_bytes, descriptors) = (Some((5, 4)), None, None, None);
        Probe { kernel, io_uring, memlock_bytes, descriptors, glommio_built: true, ..probe }
    }

    fn refused(env: &Environment, driver: DriverChoice) -> String {
        env.plan_on("test", &old(), driver).unwrap_err().to_string()
    }

    const UID: &str =
        "operator \"to\": has the uid \"x\" of operator \"from\"; give each operator a uid of its own";
    const KERNEL: &str =
        "kernel: is 5.4; glommio needs 5.8 or later; update it, or set slots.driver = \"thread\"";

    #[test]
    fn what_the_driver_lacks_is_told_with_the_plan_s_problems() {
        let both = refused(&env("", "x"), DriverChoice::Glommio);
        assert_eq!(both, format!("2 problems before the start\n  - {UID}\n  - {KERNEL}"));
        assert_eq!(refused(&env("", "y"), DriverChoice::Glommio), KERNEL);
        assert_eq!(refused(&env("", "x"), DriverChoice::Auto), UID);
    }

    #[test]
    fn the_machine_is_asked_about_a_plan_that_nobody_can_count() {
        let toml = "[slots]\ncount = 9223372036854775807\n[operators.from]\nparallelism = 9223372036854775807\n\
                    cores = [0]";
        let text = refused(&env(toml, "y"), DriverChoice::Glommio);
        assert!(text.ends_with(KERNEL) && text.contains("give at most 32768"), "{text}");
        let none = "[slots]\ncount = 0\novercommit = \"pack\"\n[operators.from]\ncores = [0]";
        assert!(refused(&env(none, "y"), DriverChoice::Glommio).ends_with(KERNEL));
    }
}
