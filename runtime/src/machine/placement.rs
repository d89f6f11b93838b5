//! Which core each slot runs on, and which cores are left for I/O.
//!
//! Slots are spread over physical cores first, near ones before far ones, then over their SMT siblings; with
//! more slots than cores a core thread owns several. Slots that may use only some cores choose first.

use std::collections::BTreeMap;

use super::{Cpus, Crossing, Probe, Topology};
use crate::config::{Config, Idle, Pin};
use crate::error::Problem;

/// A thread of the pool and the slots that it steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreThread {
    /// The CPU to pin it to; `None` leaves it to the system.
    pub cpu: Option<usize>,
    /// Indices of its slots, rising; at least one.
    pub slots: Vec<usize>,
}

/// Where everything runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// One thread for each core in use, the preferred core first.
    pub threads: Vec<CoreThread>,
    /// CPUs for connectors' threads.
    pub io: Cpus,
    /// The idle policy: as configured, or `park` where spinning would use up the cgroup's quota.
    pub idle: Idle,
    /// What works, but not as well as it could.
    pub warnings: Vec<Problem>,
}

impl Placement {
    /// Chooses cores for slots; each entry of `slots` is the CPUs that this one may use, `None` for those of
    /// the pool. Called once for each pool, before its threads start.
    ///
    /// # Errors
    /// All settings that name a CPU which this process may not use, and all slots that the pool has no CPU
    /// for.
    ///
    /// ```
    /// use std::path::Path;
    /// use slotflow_runtime::config::Config;
    /// use slotflow_runtime::machine::{Placement, Probe};
    ///
    /// let probe = Probe::run(Path::new("/"));
    /// let placement = Placement::choose(&probe, &Config::default(), &[None, None]).expect("no cores are named");
    /// assert_eq!(placement.threads.iter().map(|thread| thread.slots.len()).sum::<usize>(), 2);
    /// ```
    pub fn choose(probe: &Probe, config: &Config, slots: &[Option<Cpus>]) -> Result<Self, Vec<Problem>> {
        let allowed = &probe.topology.allowed;
        let pool = pool(config, allowed);
        let problems =
            [unusable(config, allowed), homeless(slots, &pool, &foreign(config, allowed))].concat();
        if !problems.is_empty() {
            return Err(problems);
        }
        let order = preference(&probe.topology, &pool);
        let threads = assign(&order, slots, pins(probe, config));
        let mut warnings = Vec::new();
        let idle = idle(probe, config.slots.idle, threads.len(), &mut warnings);
        let io = io(config, allowed, &threads, &mut warnings);
        Ok(Self { threads, io, idle, warnings })
    }

    /// All settings that name a CPU which this process may not use, without choosing anything: for a host
    /// that wants to hear of them together with what is wrong with its job.
    pub fn check(probe: &Probe, config: &Config) -> Vec<Problem> {
        unusable(config, &probe.topology.allowed)
    }

    /// All that the machine has against a pool of these slots with its driver, without starting anything.
    pub fn problems(probe: &Probe, config: &Config, slots: &[Option<Cpus>]) -> Vec<Problem> {
        let (mut problems, threads) = match Self::choose(probe, config, slots) {
            Ok(placement) => (Vec::new(), placement.threads.len()),
            // How many there would be is not known then.
            Err(problems) => (problems, 0),
        };
        // What one thread lacks all of them do.
        problems.extend(probe.problems_for(threads.max(1), config.slots.driver));
        problems
    }

    /// CPUs for the questions that connectors ask before there is a plan: those named for I/O, else all but
    /// those named for slots, unless that is none.
    pub fn io_before(probe: &Probe, config: &Config) -> Cpus {
        let allowed = &probe.topology.allowed;
        let named =
            |cores: &Option<Vec<usize>>| Cpus::from_iter(cores.iter().flatten().copied()).within(allowed);
        named(&config.io.cores).or(&allowed.without(&named(&config.slots.cores))).or(allowed)
    }

    /// What an edge between two slots crosses.
    pub fn crossing(&self, topology: &Topology, from: usize, to: usize) -> Crossing {
        let thread = |slot| self.threads.iter().find(|thread| thread.slots.contains(&slot));
        match (thread(from), thread(to)) {
            (Some(a), Some(b)) if a == b => Crossing::Slot,
            (Some(CoreThread { cpu: Some(a), .. }), Some(CoreThread { cpu: Some(b), .. })) => {
                topology.distance(*a, *b)
            }
            _ => Crossing::Unpinned,
        }
    }
}

/// Each setting that names CPUs, with its name.
fn named(config: &Config) -> Vec<(String, &[usize])> {
    let pool = [("slots.cores".to_owned(), &config.slots.cores), ("io.cores".to_owned(), &config.io.cores)];
    let operators = config.operators.iter();
    let operators =
        operators.map(|(name, operator)| (format!("operators.\"{name}\".cores"), &operator.cores));
    let all = pool.into_iter().chain(operators);
    all.filter_map(|(name, cores)| Some((name, cores.as_deref()?))).collect()
}

fn unusable(config: &Config, allowed: &Cpus) -> Vec<Problem> {
    let problem = |(name, cores): (String, &[usize])| {
        let foreign = Cpus::from_iter(cores.iter().copied()).without(allowed);
        let cores = if foreign.len() == 1 { "core" } else { "cores" };
        let what = format!("names {cores} {foreign}");
        (!foreign.is_empty()).then(|| Problem::new(name, what, format!("this process may run on {allowed}")))
    };
    named(config).into_iter().filter_map(problem).collect()
}

/// The CPUs of settings that this process may not use: `unusable` tells of them.
fn foreign(config: &Config, allowed: &Cpus) -> Cpus {
    named(config).into_iter().flat_map(|(_, cores)| cores.iter().copied()).collect::<Cpus>().without(allowed)
}

/// Slots without a CPU, unless all that they name are `told` of already. Neighbours that may use the same ones are one
/// problem: a parallelism that is refused itself can have very many.
fn homeless(slots: &[Option<Cpus>], pool: &Cpus, told: &Cpus) -> Vec<Problem> {
    let numbered: Vec<(usize, &Option<Cpus>)> = slots.iter().enumerate().collect();
    let problem = |alike: &[(usize, &Option<Cpus>)]| {
        let (first, last) = (alike[0].0, alike[alike.len() - 1].0);
        let cpus = alike[0].1.as_ref().filter(|cpus| cpus.within(pool).is_empty())?;
        let subject = if first == last { format!("slot {first}") } else { format!("slots {first}-{last}") };
        let what = format!("may use {cpus}, but slots run on {pool}");
        let remedy = "name one of these for it, or add its CPUs to slots.cores and keep them out of io.cores";
        (!cpus.without(told).is_empty()).then(|| Problem::new(subject, what, remedy))
    };
    numbered.chunk_by(|(_, a), (_, b)| a == b).filter_map(problem).collect()
}

/// CPUs for slots: those named, else all but those of I/O, unless that is all of them.
fn pool(config: &Config, allowed: &Cpus) -> Cpus {
    let set = |cores: &Option<Vec<usize>>| Cpus::from_iter(cores.iter().flatten().copied());
    set(&config.slots.cores).or(&allowed.without(&set(&config.io.cores))).or(allowed)
}

/// Pinning to a CPU that others use too is a trap: they stay, and the pinned thread cannot get out of their
/// way.
fn pins(probe: &Probe, config: &Config) -> bool {
    let slots = named(config).into_iter().any(|(name, _)| name != "io.cores");
    match config.slots.pin {
        Pin::Always => true,
        Pin::Never => false,
        Pin::Auto => slots || probe.exclusive(),
    }
}

/// One CPU of each physical core first; among equals those of one node, one package, one cache together.
fn preference(topology: &Topology, pool: &Cpus) -> Vec<usize> {
    let mut siblings = BTreeMap::<usize, usize>::new();
    let ranked = pool.iter().map(|cpu| {
        let site = topology.site(cpu);
        let before = siblings.entry(site.core).or_default();
        *before += 1;
        (*before, site, cpu)
    });
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, _, cpu)| cpu).collect()
}

/// Each slot takes the least loaded CPU that it may use, the preferred one among equals.
fn assign(order: &[usize], slots: &[Option<Cpus>], pinned: bool) -> Vec<CoreThread> {
    let mut taken: Vec<CoreThread> =
        order.iter().map(|cpu| CoreThread { cpu: Some(*cpu), slots: Vec::new() }).collect();
    let (bound, free): (Vec<_>, Vec<_>) = (0..slots.len()).partition(|slot| slots[*slot].is_some());
    for slot in bound.into_iter().chain(free) {
        let may = |thread: &&mut CoreThread| match (&slots[slot], thread.cpu) {
            (Some(cpus), Some(cpu)) => cpus.contains(cpu),
            _ => true,
        };
        if let Some(thread) = taken.iter_mut().filter(may).min_by_key(|thread| thread.slots.len()) {
            thread.slots.push(slot);
        }
    }
    taken.retain_mut(|thread| {
        thread.slots.sort_unstable();
        thread.cpu = thread.cpu.filter(|_| pinned);
        !thread.slots.is_empty()
    });
    taken
}

/// A spinning thread uses a whole CPU. Past the quota the kernel stops all threads until the next period,
/// usually for tens of milliseconds: parking loses microseconds instead.
fn idle(probe: &Probe, idle: Idle, threads: usize, warnings: &mut Vec<Problem>) -> Idle {
    let Some(quota) = probe.cgroup.quota.filter(|quota| *quota < threads as f64) else { return idle };
    let shown = (quota * 100.0).round() / 100.0;
    let then = match idle {
        Idle::Park => "the kernel stops them when it is used up",
        Idle::Spin | Idle::Yield => "they park instead of spinning",
    };
    let what = format!("is {shown} CPUs where core threads can use {threads}: {then}");
    let remedy = format!("raise it to {threads} or give slots.cores fewer cores");
    warnings.push(Problem::new("cgroup CPU quota", what, remedy));
    Idle::Park
}

/// CPUs for I/O: those named, else what pinned slots leave, else all.
fn io(config: &Config, allowed: &Cpus, threads: &[CoreThread], warnings: &mut Vec<Problem>) -> Cpus {
    let slots: Cpus = threads.iter().filter_map(|thread| thread.cpu).collect();
    let Some(cores) = &config.io.cores else {
        let left = allowed.without(&slots);
        if left.is_empty() {
            let what =
                format!("has nothing left beside the slots on {slots}, so I/O threads may run on {allowed}");
            warnings.push(Problem::new(
                "io.cores",
                what,
                "leave a core out of slots.cores, or allow one more",
            ));
        }
        return left.or(allowed);
    };
    let cores: Cpus = cores.iter().copied().collect();
    let shared = cores.within(&slots);
    if !shared.is_empty() {
        let what = format!("shares {shared} with slots, which wait while an I/O thread runs there");
        warnings.push(Problem::new("io.cores", what, "name cores that slots do not use"));
    }
    cores
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fixture::Tree;

    fn probe(allowed: &str) -> Probe {
        Probe::with(Tree::server(allowed).fit().root(), Ok(()))
    }

    fn exclusive(allowed: &str) -> Probe {
        let mut probe = probe(allowed);
        probe.cgroup.exclusive = true;
        probe
    }

    fn config(toml: &str) -> Config {
        Config::from_toml(toml).unwrap()
    }

    fn place(probe: &Probe, toml: &str, slots: usize) -> Placement {
        Placement::choose(probe, &config(toml), &vec![None; slots]).unwrap()
    }

    /// `cpu:slots` for each thread, then the CPUs of I/O.
    fn shown(placement: &Placement) -> String {
        let thread = |thread: &CoreThread| {
            let cpu = thread.cpu.map_or("-".into(), |cpu| cpu.to_string());
            format!("{cpu}:{} ", Cpus::from_iter(thread.slots.iter().copied()))
        };
        placement.threads.iter().map(thread).collect::<String>() + "io " + &placement.io.to_string()
    }

    fn warned(placement: &Placement) -> String {
        placement.warnings.iter().map(|warning| format!("{warning}\n")).collect()
    }

    #[test]
    fn before_a_plan_io_stays_off_the_cores_named_for_slots() {
        let before = |toml| Placement::io_before(&probe("0-3"), &config(toml)).to_string();
        assert_eq!(before(""), "0-3");
        assert_eq!(before("slots = { cores = [1, 2] }"), "0,3");
        assert_eq!(before("slots = { cores = [1] }\nio = { cores = [0] }"), "0");
        assert_eq!(before("slots = { cores = [0, 1, 2, 3] }"), "0-3");
    }

    #[test]
    fn physical_cores_come_before_siblings_and_near_before_far() {
        let probe = exclusive("0-15");
        assert_eq!(shown(&place(&probe, "", 3)), "0:0 1:1 2:2 io 3-15");
        let ten = place(&probe, "", 10);
        assert_eq!(shown(&ten), "0:0 1:1 2:2 3:3 4:4 5:5 6:6 7:7 8:8 9:9 io 10-15");
        let siblings = place(&probe, "[slots]\ncores = [0, 8, 5, 1]", 3);
        assert_eq!(shown(&siblings), "0:0 1:1 5:2 io 2-4,6-15");
        assert_eq!(siblings.crossing(&probe.topology, 0, 1), Crossing::L3);
        assert_eq!(siblings.crossing(&probe.topology, 0, 2), Crossing::Socket);
    }

    #[test]
    fn more_slots_than_cores_share_core_threads() {
        let probe = exclusive("0-1");
        let placement = place(&probe, "", 5);
        assert_eq!(shown(&placement), "0:0,2,4 1:1,3 io 0-1");
        assert_eq!(placement.crossing(&probe.topology, 0, 4), Crossing::Slot);
        assert_eq!(placement.crossing(&probe.topology, 0, 1), Crossing::L3);
        assert_eq!(
            warned(&placement),
            "io.cores: has nothing left beside the slots on 0-1, so I/O threads may run on 0-1; \
             leave a core out of slots.cores, or allow one more\n"
        );
    }

    #[test]
    fn bound_slots_choose_first() {
        let bound = |text| Cpus::parse(text);
        let slots = [None, bound("2"), None, bound("2-3"), None];
        let placement = Placement::choose(&exclusive("0-3"), &config(""), &slots).unwrap();
        assert_eq!(shown(&placement), "0:0,4 1:2 2:1 3:3 io 0-3");
    }

    #[test]
    fn a_slot_without_a_core_is_named() {
        let slots = [None, Cpus::parse("3"), Cpus::parse("2-3")];
        let problems = Placement::choose(&probe("0-3"), &config("[io]\ncores = [3]"), &slots).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert_eq!(
            problems[0].to_string(),
            "slot 1: may use 3, but slots run on 0-2; name one of these for it, or add its CPUs to slots.cores and \
             keep them out of io.cores"
        );
    }

    #[test]
    fn a_core_that_is_not_there_is_told_once_and_alike_slots_are_one_problem() {
        let config =
            config("[slots]\ncores = [0, 1]\n[operators.a]\ncores = [9]\n[operators.b]\ncores = [2]");
        let slots = [Cpus::parse("9"), Cpus::parse("2"), Cpus::parse("2"), None];
        let problems = Placement::choose(&probe("0-3"), &config, &slots).unwrap_err();
        let subjects: Vec<&str> = problems.iter().map(|problem| &*problem.subject).collect();
        assert_eq!(subjects, ["operators.\"a\".cores", "slots 1-2"]);
    }

    #[test]
    fn what_the_driver_lacks_is_told_with_the_cores_that_are_wrong() {
        let unfit = Tree::server("0-3").fit().limits(64 << 10, 1024);
        let probe = Probe { glommio_built: true, ..Probe::with(unfit.root(), Ok(())) };
        let subjects = |toml: &str| {
            let problems = Placement::problems(&probe, &config(toml), &[None, Cpus::parse("2-3")]);
            problems.into_iter().map(|problem| problem.subject).collect::<Vec<_>>()
        };
        let (cores, memory) = ("slots.cores", "locked memory (RLIMIT_MEMLOCK)");
        assert_eq!(subjects("slots = { cores = [3, 9], driver = \"glommio\" }"), [cores, memory]);
        assert_eq!(subjects("slots = { cores = [3], driver = \"glommio\" }"), [memory]);
        assert_eq!(subjects("slots = { cores = [3, 9] }"), [cores]);
    }

    #[test]
    fn auto_pins_only_where_nobody_else_runs_or_cores_are_named() {
        let mut isolated = probe("2-3");
        isolated.topology.isolated = Cpus::parse("2-5").unwrap();
        let shared = probe("2-3");
        assert_eq!(shown(&place(&isolated, "", 1)), "2:0 io 3");
        assert_eq!(shown(&place(&shared, "", 2)), "-:0 -:1 io 2-3");
        assert_eq!(shown(&place(&shared, "[slots]\npin = true", 1)), "2:0 io 3");
        assert_eq!(shown(&place(&isolated, "[slots]\npin = false", 1)), "-:0 io 2-3");
        assert_eq!(shown(&place(&shared, "[slots]\ncores = [3]", 1)), "3:0 io 2");
        assert_eq!(shown(&place(&shared, "[io]\ncores = [2]", 1)), "-:0 io 2");
        assert_eq!(shown(&place(&shared, "[operators.sink]\ncores = [3]", 1)), "2:0 io 3");
    }

    #[test]
    fn unpinned_slots_have_no_known_distance_unless_they_share_a_thread() {
        let probe = probe("0-1");
        let placement = place(&probe, "", 3);
        assert_eq!(placement.crossing(&probe.topology, 0, 1), Crossing::Unpinned);
        assert_eq!(placement.crossing(&probe.topology, 0, 2), Crossing::Slot);
        assert_eq!(warned(&placement), "");
    }

    #[test]
    fn slots_keep_off_the_cores_of_io() {
        assert_eq!(shown(&place(&exclusive("0-3"), "[io]\ncores = [0]", 3)), "1:0 2:1 3:2 io 0");
        let shared = place(&exclusive("0-3"), "[slots]\ncores = [0, 1]\n[io]\ncores = [1, 2]", 2);
        assert_eq!(shown(&shared), "0:0 1:1 io 1-2");
        assert_eq!(
            warned(&shared),
            "io.cores: shares 1 with slots, which wait while an I/O thread runs there; \
             name cores that slots do not use\n"
        );
    }

    #[test]
    fn cores_that_the_process_may_not_use_are_all_named() {
        let config =
            config("[slots]\ncores = [1, 7]\n[io]\ncores = [9, 8]\n[operators.\"kafka sink\"]\ncores = [2]");
        let problems = Placement::choose(&probe("0-1"), &config, &[None]).unwrap_err();
        let text: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
        assert_eq!(
            text,
            "slots.cores: names core 7; this process may run on 0-1\n\
             io.cores: names cores 8-9; this process may run on 0-1\n\
             operators.\"kafka sink\".cores: names core 2; this process may run on 0-1\n"
        );
    }

    #[test]
    fn spinning_never_exceeds_the_quota() {
        let mut probe = exclusive("0-3");
        probe.cgroup.quota = Some(1.5);
        let spin = place(&probe, "[slots]\nidle = \"spin\"", 2);
        assert_eq!(spin.idle, Idle::Park);
        assert_eq!(
            warned(&spin),
            "cgroup CPU quota: is 1.5 CPUs where core threads can use 2: they park instead of spinning; \
             raise it to 2 or give slots.cores fewer cores\n"
        );
        assert_eq!(
            warned(&place(&probe, "", 2)),
            "cgroup CPU quota: is 1.5 CPUs where core threads can use 2: the kernel stops them when it is used up; \
             raise it to 2 or give slots.cores fewer cores\n"
        );
        let within = place(&probe, "[slots]\nidle = \"spin\"", 1);
        assert_eq!((within.idle, within.warnings.len()), (Idle::Spin, 0));
    }

    #[test]
    fn no_slots_need_no_threads() {
        assert_eq!(shown(&place(&exclusive("0-1"), "", 0)), "io 0-1");
    }
}
