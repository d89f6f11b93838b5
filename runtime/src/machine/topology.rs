//! Which CPUs there are, which this process may use, and what lies between two of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::{Cpus, field, read};

const SYSTEM: &str = "sys/devices/system/cpu";

/// What an edge between two slots crosses, from near to far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Crossing {
    /// Nothing: both slots are on the same CPU.
    Slot,
    /// Two CPUs of one physical core: they share its first-level cache and compete for its units.
    Smt,
    /// Two cores behind one third-level cache.
    L3,
    /// Two third-level caches of one package.
    Package,
    /// Two sockets or NUMA nodes: the far memory.
    Socket,
    /// Not known, because the threads are not pinned.
    Unpinned,
}

impl fmt::Display for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Slot => "slot",
            Self::Smt => "SMT",
            Self::L3 => "L3",
            Self::Package => "package",
            Self::Socket => "socket",
            Self::Unpinned => "unpinned",
        })
    }
}

/// The CPUs of the machine, as this process sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// CPUs that this process may use and that are online.
    pub allowed: Cpus,
    /// CPUs that the kernel keeps free of other processes (`isolcpus`).
    pub isolated: Cpus,
    sites: BTreeMap<usize, Site>,
}

/// Where a CPU sits. Groups are named by their lowest CPU or by the kernel's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Site {
    node: usize,
    package: usize,
    l3: usize,
    pub(super) core: usize,
}

impl Topology {
    /// Reads the machine below `root`. What a container hides is taken for the simplest: CPUs without
    /// siblings, on one package, behind one cache.
    pub fn read(root: &Path) -> Self {
        let allowed = allowed(root);
        let online = cpus(root, "online").unwrap_or_else(|| allowed.clone());
        // The kernel's mask may name CPUs that do not exist: it is as wide as the machine could ever become.
        let allowed = allowed.within(&online).or(&online);
        let isolated = cpus(root, "isolated").unwrap_or_default();
        let sites = online.iter().map(|cpu| (cpu, site(root, cpu))).collect();
        Self { allowed, isolated, sites }
    }

    /// What lies between two CPUs; one that does not exist is as far as another socket.
    pub fn distance(&self, a: usize, b: usize) -> Crossing {
        if a == b {
            return Crossing::Slot;
        }
        let (Some(a), Some(b)) = (self.sites.get(&a), self.sites.get(&b)) else { return Crossing::Socket };
        if (a.node, a.package) != (b.node, b.package) {
            Crossing::Socket
        } else if a.core == b.core {
            Crossing::Smt
        } else if a.l3 == b.l3 {
            Crossing::L3
        } else {
            Crossing::Package
        }
    }

    /// Where a CPU sits; one that does not exist sits behind all others.
    pub(super) fn site(&self, cpu: usize) -> Site {
        let nowhere = Site { node: usize::MAX, package: usize::MAX, l3: usize::MAX, core: cpu };
        self.sites.get(&cpu).copied().unwrap_or(nowhere)
    }
}

/// The calling process's CPUs; where the system does not list them, as many as it counts.
fn allowed(root: &Path) -> Cpus {
    let status = read(root, "proc/self/status");
    let listed = status.and_then(|status| Cpus::parse(field(&status, "Cpus_allowed_list")?));
    listed.unwrap_or_else(|| (0..std::thread::available_parallelism().map_or(1, usize::from)).collect())
}

fn cpus(root: &Path, file: &str) -> Option<Cpus> {
    Cpus::parse(&read(root, &format!("{SYSTEM}/{file}"))?)
}

fn site(root: &Path, cpu: usize) -> Site {
    let package = number(root, cpu, "topology/physical_package_id").unwrap_or(0);
    let siblings = cpus(root, &format!("cpu{cpu}/topology/thread_siblings_list"));
    let core = siblings.and_then(|siblings| siblings.first()).unwrap_or(cpu);
    Site { node: node(root, cpu).unwrap_or(0), package, l3: l3(root, cpu).unwrap_or(0), core }
}

fn number(root: &Path, cpu: usize, file: &str) -> Option<usize> {
    read(root, &format!("{SYSTEM}/cpu{cpu}/{file}"))?.parse().ok()
}

/// The lowest CPU that shares the third-level cache, whatever its index among the caches.
fn l3(root: &Path, cpu: usize) -> Option<usize> {
    let third = |index: &usize| number(root, cpu, &format!("cache/index{index}/level")) == Some(3);
    // A CPU lists its caches from index 0 and has about four: data, instruction, second and third level.
    let index = (0..8).find(third)?;
    cpus(root, &format!("cpu{cpu}/cache/index{index}/shared_cpu_list"))?.first()
}

/// A CPU's directory has a link `nodeN` to its NUMA node.
fn node(root: &Path, cpu: usize) -> Option<usize> {
    let entries = std::fs::read_dir(root.join(format!("{SYSTEM}/cpu{cpu}"))).ok()?;
    entries.flatten().find_map(|entry| entry.file_name().to_str()?.strip_prefix("node")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fixture::Tree;

    #[test]
    fn a_server_has_all_crossings() {
        let topology = Topology::read(Tree::server("0-15").root());
        let to = |cpu| topology.distance(0, cpu);
        assert_eq!(
            [to(0), to(8), to(1), to(2), to(4)],
            [Crossing::Slot, Crossing::Smt, Crossing::L3, Crossing::Package, Crossing::Socket]
        );
        assert_eq!(topology.distance(4, 0), Crossing::Socket);
        assert_eq!(to(99), Crossing::Socket);
    }

    #[test]
    fn numa_nodes_of_one_package_are_far() {
        let tree = Tree::server("0-15").file("sys/devices/system/cpu/cpu16/node7/cpulist", "\n");
        let tree = tree.file("sys/devices/system/cpu/online", "0-16\n");
        assert_eq!(Topology::read(tree.root()).distance(0, 16), Crossing::Socket);
    }

    #[test]
    fn allowed_cpus_are_those_that_exist() {
        let tree = Tree::server("2-127");
        let topology = Topology::read(tree.root());
        assert_eq!(topology.allowed.to_string(), "2-15");
        assert!(topology.isolated.is_empty());
    }

    #[test]
    fn isolated_cpus_are_read() {
        let tree = Tree::server("0-15").file("sys/devices/system/cpu/isolated", "2-3\n");
        assert_eq!(Topology::read(tree.root()).isolated.to_string(), "2-3");
    }

    #[test]
    fn a_container_that_hides_sys_still_has_its_cpus() {
        let tree = Tree::new().file("proc/self/status", "Name:\tx\nCpus_allowed_list:\t3,5\n");
        let topology = Topology::read(tree.root());
        assert_eq!(topology.allowed.to_string(), "3,5");
        assert_eq!(topology.distance(3, 5), Crossing::L3);
    }

    #[test]
    fn an_empty_root_counts_cpus() {
        assert!(Topology::read(Tree::new().root()).allowed.contains(0));
    }

    #[test]
    fn this_machine_is_read() {
        let topology = Topology::read(Path::new("/"));
        let first = topology.allowed.first().unwrap();
        assert_eq!(topology.distance(first, first), Crossing::Slot);
    }
}
