//! What this machine lets this process do, asked before the first thread starts.
//!
//! glommio panics or fails late where something is missing, so everything that it needs is asked here first.

use std::fmt;
use std::io;
use std::path::Path;

use super::{Cgroup, Topology, read, sys};
use crate::config::DriverChoice;
use crate::error::Problem;

/// glommio's own minimum; an executor that finds less refuses to start.
const MEMLOCK_BYTES: u64 = 512 << 10;

/// From here on rings are charged to the control group; before, each ring to the user's locked memory.
const RINGS_UNLOCKED_SINCE: Kernel = Kernel(5, 12);

/// glommio's own minimum: what its discovery of io_uring's operations needs.
const KERNEL: Kernel = Kernel(5, 8);

/// Measured: three rings and an event descriptor.
const DESCRIPTORS_EACH: u64 = 4;

/// For the host and its connectors: a Kafka client has a socket for each broker and a few pipes.
const DESCRIPTORS_SPARE: u64 = 64;

/// What steps the slots of a core, decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// A glommio executor.
    Glommio,
    /// A plain thread.
    Thread,
}

/// The machine as one read found it. A limit that is `None` is unlimited or not to be read.
///
/// ```
/// use std::path::Path;
/// use slotflow_runtime::config::DriverChoice;
/// use slotflow_runtime::machine::Probe;
///
/// let probe = Probe::run(Path::new("/"));
/// let (driver, why) = probe.driver(2, DriverChoice::Auto);
/// println!("{driver:?} on {}{}", probe.topology.allowed, why.map(|why| format!(": {why}")).unwrap_or_default());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The CPUs and their distances.
    pub topology: Topology,
    /// CPU time and exclusiveness.
    pub cgroup: Cgroup,
    /// Major and minor version of the kernel.
    pub kernel: Option<(u32, u32)>,
    /// Why io_uring cannot be used, as a problem; `None` when it can.
    pub io_uring: Option<Problem>,
    /// Memory that the process may lock (`RLIMIT_MEMLOCK`).
    pub memlock_bytes: Option<u64>,
    /// Descriptors that the process may have open (`RLIMIT_NOFILE`).
    pub descriptors: Option<u64>,
    /// Descriptors that are open.
    pub descriptors_open: u64,
    /// Whether this crate was built with its `glommio` feature.
    pub glommio_built: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kernel(u32, u32);

impl Probe {
    /// Reads the machine below `root` (`/` in production) and asks the kernel for a ring. Takes well under 10
    /// ms; a host calls it once, on any thread.
    pub fn run(root: &Path) -> Self {
        Self::with(root, sys::try_io_uring())
    }

    /// Apart from [`run`](Self::run) so that tests can say what the kernel answers.
    pub(super) fn with(root: &Path, ring: io::Result<()>) -> Self {
        let limits = read(root, "proc/self/limits").unwrap_or_default();
        Self {
            topology: Topology::read(root),
            cgroup: Cgroup::read(root),
            kernel: kernel(root).map(|Kernel(major, minor)| (major, minor)),
            io_uring: ring.err().map(|error| io_uring_refused(root, &error)),
            memlock_bytes: limit(&limits, "Max locked memory"),
            descriptors: limit(&limits, "Max open files"),
            descriptors_open: std::fs::read_dir(root.join("proc/self/fd"))
                .map_or(0, |all| all.count() as u64),
            glommio_built: cfg!(feature = "glommio"),
        }
    }

    /// Whether no other process may run on the allowed CPUs, so that pinning does no harm.
    pub fn exclusive(&self) -> bool {
        let Topology { allowed, isolated, .. } = &self.topology;
        self.cgroup.exclusive || allowed.without(isolated).is_empty()
    }

    /// The driver for a pool of `core_threads`, and for `Auto` without glommio the reason, for one warning.
    pub fn driver(&self, core_threads: usize, choice: DriverChoice) -> (Driver, Option<String>) {
        match (choice, self.glommio_problems(core_threads).first()) {
            (DriverChoice::Thread, _) => (Driver::Thread, None),
            (DriverChoice::Auto, Some(problem)) => (Driver::Thread, Some(problem.to_string())),
            (DriverChoice::Auto, None) | (DriverChoice::Glommio, _) => (Driver::Glommio, None),
        }
    }

    /// What keeps `core_threads` of the chosen driver from starting: each limit, what it is, what is needed,
    /// what raises it. `Auto` has no problems, since a plain thread needs nothing.
    pub fn problems_for(&self, core_threads: usize, choice: DriverChoice) -> Vec<Problem> {
        match choice {
            DriverChoice::Glommio => self.glommio_problems(core_threads),
            DriverChoice::Auto | DriverChoice::Thread => Vec::new(),
        }
    }

    fn glommio_problems(&self, core_threads: usize) -> Vec<Problem> {
        let core_threads = core_threads as u64;
        let built = (!self.glommio_built).then(not_built);
        let problems = [built, self.old_kernel(), self.io_uring.clone(), self.memlock(core_threads)];
        problems.into_iter().chain([self.descriptors(core_threads)]).flatten().collect()
    }

    fn old_kernel(&self) -> Option<Problem> {
        let kernel = self.kernel().filter(|kernel| *kernel < KERNEL)?;
        let what = format!("is {kernel}; glommio needs {KERNEL} or later");
        Some(Problem::new("kernel", what, "update it, or set slots.driver = \"thread\""))
    }

    fn memlock(&self, core_threads: u64) -> Option<Problem> {
        let unlocked = self.kernel().is_some_and(|kernel| kernel >= RINGS_UNLOCKED_SINCE);
        let needed = MEMLOCK_BYTES * if unlocked { 1 } else { core_threads };
        let limit = self.memlock_bytes.filter(|limit| *limit < needed)?;
        let (limit, needed) = (limit >> 10, needed >> 10);
        let what = format!("is {limit} KiB; glommio needs {needed} KiB here");
        let remedy = format!(
            "raise it with `ulimit -l {needed}`, LimitMEMLOCK={needed}K (systemd) or --ulimit memlock={} (docker)",
            needed << 10
        );
        Some(Problem::new("locked memory (RLIMIT_MEMLOCK)", what, remedy))
    }

    fn descriptors(&self, core_threads: u64) -> Option<Problem> {
        let needed = self.descriptors_open + DESCRIPTORS_EACH * core_threads + DESCRIPTORS_SPARE;
        let limit = self.descriptors.filter(|limit| *limit < needed)?;
        let open = self.descriptors_open;
        let what = format!("is {limit}; glommio and connectors need {needed} here, with {open} open already");
        let remedy = format!("raise it with `ulimit -n {needed}` or LimitNOFILE={needed} (systemd)");
        Some(Problem::new("descriptors (RLIMIT_NOFILE)", what, remedy))
    }

    fn kernel(&self) -> Option<Kernel> {
        self.kernel.map(|(major, minor)| Kernel(major, minor))
    }
}

fn not_built() -> Problem {
    let remedy = "build slotflow with its feature `glommio`, or set slots.driver = \"thread\"";
    Problem::new("glommio", "is not in this build", remedy)
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// `6.18.44-cloud` is 6.18.
fn kernel(root: &Path) -> Option<Kernel> {
    let release = read(root, "proc/sys/kernel/osrelease")?;
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some(Kernel(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The soft limit of a line of `/proc/self/limits`; "unlimited" is none.
fn limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The kernel's setting is looked at first: where it forbids, no change to a container helps.
fn io_uring_refused(root: &Path, error: &io::Error) -> Problem {
    let setting = read(root, "proc/sys/kernel/io_uring_disabled").filter(|value| value != "0");
    let remedy = match (setting, error.kind()) {
        (Some(_), _) => "allow it with `sysctl -w kernel.io_uring_disabled=0`",
        (None, io::ErrorKind::PermissionDenied) => {
            "run the container with a seccomp profile that allows io_uring_setup, io_uring_enter and \
             io_uring_register (docker: --security-opt seccomp=PROFILE)"
        }
        (None, io::ErrorKind::OutOfMemory) => "raise the locked memory with `ulimit -l`",
        _ => "use a kernel or a sandbox that has io_uring",
    };
    let remedy = format!("{remedy}, or set slots.driver = \"thread\"");
    Problem::new("io_uring", format!("the kernel refuses a ring ({error})"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fixture::Tree;

    fn probe(tree: &Tree, ring: io::Result<()>) -> Probe {
        Probe { glommio_built: true, ..Probe::with(tree.root(), ring) }
    }

    fn problems(probe: &Probe, core_threads: usize) -> String {
        let problems = probe.problems_for(core_threads, DriverChoice::Glommio);
        problems.iter().map(|problem| format!("{problem}\n")).collect()
    }

    #[test]
    fn a_fit_machine_runs_glommio() {
        let probe = probe(&Tree::server("0-3").fit(), Ok(()));
        assert_eq!(problems(&probe, 16), "");
        assert_eq!(probe.driver(16, DriverChoice::Auto), (Driver::Glommio, None));
        assert_eq!(probe.driver(16, DriverChoice::Thread), (Driver::Thread, None));
        assert_eq!((probe.kernel, probe.descriptors_open), (Some((6, 18)), 1));
    }

    #[test]
    fn everything_that_is_missing_is_named_with_its_remedy() {
        let tree =
            Tree::server("0-3").fit().limits(64 << 10, 32).file("proc/sys/kernel/osrelease", "5.4.0-1\n");
        let probe = Probe { glommio_built: false, ..probe(&tree, Err(io::Error::from_raw_os_error(1))) };
        assert_eq!(problems(&probe, 2), include_str!("golden/unfit.txt"));
    }

    #[test]
    fn io_uring_is_allowed_where_it_was_forbidden() {
        let refused =
            |tree: &Tree, errno| problems(&probe(tree, Err(io::Error::from_raw_os_error(errno))), 1);
        let open = Tree::server("0-3").fit();
        let sysctl = Tree::server("0-3").fit().file("proc/sys/kernel/io_uring_disabled", "2\n");
        let texts = [refused(&sysctl, 1), refused(&open, 1), refused(&open, 12), refused(&open, 38)].concat();
        assert_eq!(texts, include_str!("golden/io_uring.txt"));
    }

    #[test]
    fn auto_falls_back_to_threads_and_says_why() {
        let probe = probe(&Tree::server("0-3").fit().limits(0, 1024), Ok(()));
        let (driver, why) = probe.driver(2, DriverChoice::Auto);
        assert_eq!(driver, Driver::Thread);
        assert_eq!(problems(&probe, 2), format!("{}\n", why.unwrap()));
        assert_eq!(probe.problems_for(2, DriverChoice::Auto), []);
    }

    #[test]
    fn an_old_kernel_locks_memory_for_each_executor() {
        let release = |release| {
            Tree::server("0-3").fit().limits(1 << 20, 1024).file("proc/sys/kernel/osrelease", release)
        };
        assert_eq!(problems(&probe(&release("5.12.1\n"), Ok(())), 3), "");
        assert_eq!(problems(&probe(&release("5.11.9\n"), Ok(())), 2), "");
        let text = problems(&probe(&release("5.11.9\n"), Ok(())), 3);
        assert!(text.contains("is 1024 KiB; glommio needs 1536 KiB here"), "{text}");
    }

    #[test]
    fn unlimited_is_no_limit() {
        assert_eq!(
            limit("Max open files            unlimited            unlimited   files", "Max open files"),
            None
        );
        assert_eq!(limit("Max open files            7         9      files", "Max open files"), Some(7));
    }

    #[test]
    fn this_machine_is_probed() {
        let probe = Probe::run(Path::new("/"));
        assert!(probe.descriptors_open >= 3 || cfg!(not(target_os = "linux")));
        assert!(!probe.topology.allowed.is_empty());
    }
}
