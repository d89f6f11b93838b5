//! What the control group of this process allows: CPU time, and CPUs of its own. Both versions are read.

use std::path::Path;

use super::read;

/// CPU time and exclusiveness, as far as the container shows them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cgroup {
    /// CPUs' worth of time that all threads together may use; beyond it the kernel stops them for a while.
    /// `None` is no bound.
    pub quota: Option<f64>,
    /// Whether no other group may run on this one's CPUs.
    pub exclusive: bool,
}

/// A controller's directory below `sys/fs/cgroup` and the group's path inside it.
struct Group {
    mount: String,
    path: String,
}

impl Cgroup {
    /// Reads the groups of this process below `root`; what is not readable sets no bound.
    pub fn read(root: &Path) -> Self {
        let groups = read(root, "proc/self/cgroup").unwrap_or_default();
        // A machine may show both versions; then version 2 has its own directory and no controllers.
        let unified = || group(root, &groups, "", &["/unified", ""]);
        let time = group(root, &groups, "cpu", &["/cpu", "/cpu,cpuacct"]).or_else(unified);
        let cpus = group(root, &groups, "cpuset", &["/cpuset"]).or_else(unified);
        Self {
            quota: time.and_then(|group| group.quota(root)),
            exclusive: cpus.is_some_and(|group| group.exclusive(root)),
        }
    }
}

/// The group of a version 1 controller, or with no controller that of version 2, under the first mount there
/// is.
fn group(root: &Path, groups: &str, controller: &str, mounts: &[&str]) -> Option<Group> {
    let path = groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    })?;
    let mut mounts = mounts.iter().map(|mount| format!("sys/fs/cgroup{mount}"));
    let mount = mounts.find(|mount| root.join(mount).is_dir())?;
    Some(Group { mount, path: path.to_owned() })
}

impl Group {
    /// The group and those around it. In a container the path may be the host's; then only the mount is
    /// there.
    fn ancestors(&self) -> impl Iterator<Item = String> + '_ {
        let paths = Path::new(&self.path).ancestors().filter_map(|path| path.to_str());
        paths.map(|path| format!("{}/{}", self.mount, path.trim_start_matches('/')))
    }

    /// The tightest bound on the way up: a group cannot use more than those around it.
    fn quota(&self, root: &Path) -> Option<f64> {
        let bounds =
            self.ancestors().filter_map(|group| quota_v2(root, &group).or_else(|| quota_v1(root, &group)));
        bounds.min_by(f64::total_cmp)
    }

    /// Version 2: a partition root, which the root of all groups never is. Version 1: the group's own flag;
    /// there the root has it too and means nothing by it.
    fn exclusive(&self, root: &Path) -> bool {
        let partition = |group: String| {
            let state = read(root, &format!("{group}/cpuset.cpus.partition"));
            state.is_some_and(|state| state == "root" || state == "isolated")
        };
        let flag = read(root, &format!("{}{}/cpuset.cpu_exclusive", self.mount, self.path));
        self.ancestors().any(partition) || (self.path != "/" && flag.as_deref() == Some("1"))
    }
}

fn quota_v2(root: &Path, group: &str) -> Option<f64> {
    let text = read(root, &format!("{group}/cpu.max"))?;
    let (quota, period) = text.split_once(' ')?;
    ratio(quota, period)
}

fn quota_v1(root: &Path, group: &str) -> Option<f64> {
    let quota = read(root, &format!("{group}/cpu.cfs_quota_us"))?;
    ratio(&quota, &read(root, &format!("{group}/cpu.cfs_period_us"))?)
}

/// Version 2 says `max` and version 1 says -1 where there is no bound.
fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fixture::Tree;

    fn v2() -> Tree {
        Tree::new().file("proc/self/cgroup", "0::/pod/job\n")
    }

    #[test]
    fn nothing_readable_is_no_bound() {
        assert_eq!(Cgroup::read(Tree::new().root()), Cgroup::default());
        assert_eq!(Cgroup::read(v2().root()), Cgroup::default());
    }

    #[test]
    fn the_tightest_quota_of_version_2_holds() {
        for (job, pod, quota) in
            [("max", "150000", 1.5), ("200000", "150000", 1.5), ("100000", "150000", 1.0)]
        {
            let tree = v2()
                .file("sys/fs/cgroup/pod/job/cpu.max", &format!("{job} 100000\n"))
                .file("sys/fs/cgroup/pod/cpu.max", &format!("{pod} 100000\n"));
            assert_eq!(Cgroup::read(tree.root()).quota, Some(quota));
        }
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_mount() {
        let tree = v2().file("sys/fs/cgroup/cpu.max", "50000 100000\n");
        assert_eq!(Cgroup::read(tree.root()).quota, Some(0.5));
    }

    #[test]
    fn a_quota_of_version_1_is_read() {
        let tree = |quota| {
            Tree::new()
                .file("proc/self/cgroup", "4:cpu,cpuacct:/job\n0::/\n")
                .file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
                .file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
                .file("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", quota)
                .file("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n")
        };
        assert_eq!(Cgroup::read(tree("250000\n").root()).quota, Some(2.5));
        assert_eq!(Cgroup::read(tree("-1\n").root()).quota, None);
    }

    #[test]
    fn a_partition_around_the_group_is_exclusive() {
        let state = |state| v2().file("sys/fs/cgroup/pod/cpuset.cpus.partition", state);
        let exclusive = |text| Cgroup::read(state(text).root()).exclusive;
        let states =
            ["root\n", "isolated\n", "member\n", "root invalid (Cpu list in cpuset.cpus not exclusive)\n"];
        assert_eq!(states.map(exclusive), [true, true, false, false]);
    }

    #[test]
    fn the_root_group_of_version_1_is_not_exclusive() {
        let tree = |path: &str| {
            Tree::new()
                .file("proc/self/cgroup", &format!("3:cpuset:{path}\n"))
                .file("sys/fs/cgroup/cpuset/cpuset.cpu_exclusive", "1\n")
                .file("sys/fs/cgroup/cpuset/job/cpuset.cpu_exclusive", "1\n")
        };
        assert!(Cgroup::read(tree("/job").root()).exclusive);
        assert!(!Cgroup::read(tree("/").root()).exclusive);
    }
}
