//! What contradicts itself in a configuration, all of it at once.

use super::{Config, EdgesConfig, JobConfig, OperatorConfig, Pin, SlotsConfig, StepConfig};
use crate::error::Problem;

/// Flink's bound. Each key group has its own tables, so more of them would cost memory and buy nothing.
pub(crate) const MOST_KEY_GROUPS: usize = 1 << 15;

/// One for each key group: a slot sharing group of the largest parallelism there is fits in.
pub(crate) const MOST_SLOTS: usize = MOST_KEY_GROUPS;

/// Records in a ring: 16 times what is known to fall out of a core's cache. A ring is allocated whole, and one that
/// cannot be allocated ends the process.
const MOST_CAPACITY: usize = 1 << 20;

/// A year: what is longer is a slip, and its nanoseconds have to fit into 64 bits with the clock's.
const LONGEST_MS: u64 = 365 * 24 * 3_600_000;

impl Config {
    /// Everything that cannot be meant, with its remedy; nothing when all is well. What depends on the
    /// machine (may this process use core 7?) is for the placement to find.
    ///
    /// The start of a job calls it; a host that wants to know earlier can, on any thread.
    ///
    /// ```
    /// use slotflow_runtime::config::Config;
    ///
    /// let config = Config::from_toml("[edges]\ncapacity = 1000")?;
    /// assert_eq!(config.check()[0].to_string(), "edges.capacity: is 1000, no power of two; give 512 or 1024");
    /// # Ok::<(), slotflow_runtime::error::Error>(())
    /// ```
    pub fn check(&self) -> Vec<Problem> {
        let mut found = Found(Vec::new());
        found.job(&self.job);
        found.slots(&self.slots);
        found.edges(&self.edges);
        found.step(&self.step, &self.slots);
        found.cores("io.cores", self.io.cores.as_deref());
        found.zero("state.budget_bytes", self.state.budget_bytes == Some(0));
        for (name, operator) in &self.operators {
            found.operator(name, operator, self);
        }
        found.0
    }
}

struct Found(Vec<Problem>);

impl Found {
    fn note(&mut self, subject: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Problem::new(subject, what, remedy));
    }

    fn zero(&mut self, subject: &str, is_zero: bool) {
        if is_zero {
            self.note(subject, "is 0", "give at least 1 or leave it out");
        }
    }

    fn at_most(&mut self, subject: &str, value: u64, most: u64) {
        if value > most {
            self.note(subject, format!("is {value}, more than can be meant"), format!("give at most {most}"));
        }
    }

    fn job(&mut self, job: &JobConfig) {
        self.parallelism("job.parallelism", job.parallelism, job.max_parallelism);
        self.zero("job.max_parallelism", job.max_parallelism == 0);
        if job.max_parallelism > MOST_KEY_GROUPS {
            let what = format!("is {}, more key groups than there can be", job.max_parallelism);
            self.note("job.max_parallelism", what, format!("give at most {MOST_KEY_GROUPS}"));
        }
        self.zero("job.commit_interval_ms", job.commit_interval_ms == 0);
        self.at_most("job.commit_interval_ms", job.commit_interval_ms, LONGEST_MS);
        self.at_most("job.leave_timeout_ms", job.leave_timeout_ms, LONGEST_MS);
    }

    fn parallelism(&mut self, subject: &str, parallelism: usize, max: usize) {
        self.zero(subject, parallelism == 0);
        if parallelism > max {
            let what = format!("is {parallelism}, above job.max_parallelism, {max}");
            self.note(subject, what, "lower it or raise job.max_parallelism");
        }
    }

    fn slots(&mut self, slots: &SlotsConfig) {
        self.zero("slots.count", slots.count == Some(0));
        self.at_most("slots.count", slots.count.unwrap_or(0) as u64, MOST_SLOTS as u64);
        self.cores("slots.cores", slots.cores.as_deref());
        self.unpinned("slots.cores", slots.cores.is_some(), slots);
        self.at_most("slots.spin_us", slots.spin_us, LONGEST_MS * 1000);
        self.zero("slots.stall_ms", slots.stall_ms == 0);
        self.at_most("slots.stall_ms", slots.stall_ms, LONGEST_MS);
    }

    fn unpinned(&mut self, subject: &str, named: bool, slots: &SlotsConfig) {
        if named && slots.pin == Pin::Never {
            self.note(
                subject,
                "names cores, but slots.pin is false",
                "set slots.pin = \"auto\" or name no cores",
            );
        }
    }

    fn cores(&mut self, subject: &str, cores: Option<&[usize]>) {
        let Some(cores) = cores else { return };
        if cores.is_empty() {
            self.note(subject, "is empty", "name at least one core or leave it out");
        }
        let repeats = |(i, core): (usize, &usize)| (cores[..i].contains(core)).then_some(*core);
        let mut repeated: Vec<_> = cores.iter().enumerate().filter_map(repeats).collect();
        repeated.sort_unstable();
        repeated.dedup();
        for core in repeated {
            self.note(subject, format!("names core {core} more than once"), "name each core once");
        }
    }

    fn edges(&mut self, edges: &EdgesConfig) {
        match edges.capacity {
            Some(0) => self.zero("edges.capacity", true),
            Some(capacity) if !capacity.is_power_of_two() => {
                let what = format!("is {capacity}, no power of two");
                let below = 1_usize << capacity.ilog2();
                let above = capacity.checked_next_power_of_two();
                let above = above.map(|above| format!(" or {above}")).unwrap_or_default();
                self.note("edges.capacity", what, format!("give {below}{above}"));
            }
            Some(capacity) => self.at_most("edges.capacity", capacity as u64, MOST_CAPACITY as u64),
            None => {}
        }
        self.zero("edges.budget_bytes", edges.budget_bytes == 0);
        self.zero("edges.overflow_bytes", edges.overflow_bytes == 0);
    }

    fn step(&mut self, step: &StepConfig, slots: &SlotsConfig) {
        self.zero("step.budget_us", step.budget_us == 0);
        self.at_most("step.budget_us", step.budget_us, LONGEST_MS * 1000);
        self.zero("step.min_records", step.min_records == 0);
        if slots.stall_ms > 0 && step.budget_us / 1000 >= slots.stall_ms {
            let what = format!("is {} us, not below slots.stall_ms, {} ms", step.budget_us, slots.stall_ms);
            self.note(
                "step.budget_us",
                what,
                "lower it, or raise slots.stall_ms: each step would count as a stall",
            );
        }
    }

    fn operator(&mut self, name: &str, operator: &OperatorConfig, config: &Config) {
        let subject = |key: &str| format!("operators.\"{name}\".{key}");
        if let Some(parallelism) = operator.parallelism {
            self.parallelism(&subject("parallelism"), parallelism, config.job.max_parallelism);
        }
        if operator.slot_sharing_group.as_deref() == Some("") {
            self.note(&subject("slot_sharing_group"), "is empty", "give it a name or leave it out");
        }
        self.cores(&subject("cores"), operator.cores.as_deref());
        self.unpinned(&subject("cores"), operator.cores.is_some(), &config.slots);
        self.outside(&subject("cores"), operator, &config.slots);
    }

    fn outside(&mut self, subject: &str, operator: &OperatorConfig, slots: &SlotsConfig) {
        let (Some(cores), Some(pool)) = (&operator.cores, &slots.cores) else { return };
        for core in cores.iter().filter(|core| !pool.contains(core)) {
            self.note(subject, format!("names core {core}, which slots.cores does not"), "name it in both");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(toml: &str) -> String {
        let problems = Config::from_toml(toml).unwrap().check();
        problems.iter().map(|problem| format!("{problem}\n")).collect()
    }

    #[test]
    fn every_contradiction_is_listed_at_once() {
        let text = found(
            r#"
job = { parallelism = 5, max_parallelism = 4, commit_interval_ms = 0 }
slots = { count = 0, cores = [1, 2, 1, 1], pin = false, stall_ms = 0 }
edges = { capacity = 1000, budget_bytes = 0, overflow_bytes = 0 }
step = { budget_us = 0, min_records = 0 }
io = { cores = [] }
state = { budget_bytes = 0 }
[operators."kafka sink"]
parallelism = 0
slot_sharing_group = ""
cores = [3]
"#,
        );
        assert_eq!(text, include_str!("golden/check.txt"));
    }

    #[test]
    fn bounds_are_checked_from_above() {
        assert_eq!(
            found(
                "[job]\nmax_parallelism = 32769\n[operators.a]\nparallelism = 40000\n[step]\nbudget_us = 100000"
            ),
            "job.max_parallelism: is 32769, more key groups than there can be; give at most 32768\n\
             step.budget_us: is 100000 us, not below slots.stall_ms, 100 ms; lower it, or raise slots.stall_ms: \
             each step would count as a stall\n\
             operators.\"a\".parallelism: is 40000, above job.max_parallelism, 32769; lower it or raise \
             job.max_parallelism\n"
        );
    }

    #[test]
    fn numbers_that_would_overflow_a_clock_or_the_memory_are_refused() {
        let text = found(
            r#"
job = { commit_interval_ms = 9223372036854775807, leave_timeout_ms = 31536000001 }
slots = { count = 32769, spin_us = 31536000000001, stall_ms = 31536000001 }
edges = { capacity = 2097152 }
step = { budget_us = 31536000000001 }
"#,
        );
        let subjects: Vec<&str> = text.lines().filter_map(|line| line.split(": is ").next()).collect();
        let settings = ["job.commit_interval_ms", "job.leave_timeout_ms", "slots.count", "slots.spin_us"];
        assert_eq!(subjects[..4], settings);
        assert_eq!(subjects[4..], ["slots.stall_ms", "edges.capacity", "step.budget_us"]);
        let capacity = "edges.capacity: is 2097152, more than can be meant; give at most 1048576";
        assert!(text.contains(capacity), "{text}");
        let most = "job = { commit_interval_ms = 31536000000 }\nslots = { count = 32768, stall_ms = 31536000000 }\n\
                    edges = { capacity = 1048576 }";
        assert_eq!(found(most), "");
    }

    #[test]
    fn the_largest_capacities_are_told_without_overflow() {
        let mut config = Config::default();
        config.edges.capacity = Some(usize::MAX);
        assert_eq!(config.check()[0].remedy, format!("give {}", 1_usize << 63));
    }

    #[test]
    fn shared_cores_of_io_and_slots_are_no_contradiction() {
        assert_eq!(found("[slots]\ncores = [0, 1]\n[io]\ncores = [1]\n"), "");
    }
}
