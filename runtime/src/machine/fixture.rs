//! Machines for tests: a directory with the files that a kernel would show.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A root directory of its own, removed when it is dropped.
pub(crate) struct Tree(PathBuf);

impl Tree {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("slotflow-machine-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        Self(root)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Two sockets of four cores with two threads each; cores 0-1, 2-3, 4-5, 6-7 share an L3, CPU n + 8 is
    /// the sibling of n. The process may use `allowed`.
    pub(crate) fn server(allowed: &str) -> Self {
        let tree = Self::new()
            .file("sys/devices/system/cpu/online", "0-15\n")
            .file("sys/devices/system/cpu/isolated", "\n")
            .file("proc/self/status", &format!("Name:\tjob\nCpus_allowed_list:\t{allowed}\n"));
        (0..16).fold(tree, |tree, cpu| tree.cpu(cpu))
    }

    fn cpu(self, cpu: usize) -> Self {
        let core = cpu % 8;
        let (socket, l3) = (core / 4, core / 2 * 2);
        let of = |file: &str| format!("sys/devices/system/cpu/cpu{cpu}/{file}");
        self.file(&of("topology/physical_package_id"), &format!("{socket}\n"))
            .file(&of("topology/thread_siblings_list"), &format!("{core},{}\n", core + 8))
            .file(&of("cache/index2/level"), "2\n")
            .file(&of("cache/index3/level"), "3\n")
            .file(&of("cache/index3/shared_cpu_list"), &format!("{l3}-{},{}-{}\n", l3 + 1, l3 + 8, l3 + 9))
            .file(&of(&format!("node{socket}/cpulist")), "\n")
    }

    /// Limits and kernel that let glommio run; a test overwrites what it wants otherwise.
    pub(crate) fn fit(self) -> Self {
        self.limits(8 << 20, 1024)
            .file("proc/sys/kernel/osrelease", "6.18.44-cloud\n")
            .file("proc/self/fd/0", "")
    }

    pub(crate) fn limits(self, memlock: usize, files: usize) -> Self {
        let text = format!(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max open files            {files}                 20000                files     \n\
             Max locked memory         {memlock}              unlimited              bytes     \n"
        );
        self.file("proc/self/limits", &text)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // What is left behind in a temporary directory harms nobody, and a drop must not panic.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
