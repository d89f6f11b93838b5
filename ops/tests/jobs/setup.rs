//! What a random job is like.

use slotflow_runtime::Config;

use super::Random;

/// How the stages are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Rebalance, then by key: all-to-all over three stages.
    Exchange,
    /// Rescale, custom, shuffle.
    Spread,
    /// Two ways at different paces that meet again.
    Diamond,
    /// One to one, in chains of their own.
    Chain,
}

/// How the job ends before its input does.
#[derive(Clone, Copy, Debug)]
pub enum Leave {
    Drain(u64),
    Stop(u64),
    Abort(u64),
}

/// A stage that fails at one record.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    pub stage: usize,
    pub seq: u64,
    pub panics: bool,
}

/// A random job.
#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub shape: Shape,
    pub capacity: usize,
    /// Of source, middle, last and sink.
    pub parallelism: [usize; 4],
    pub groups: [&'static str; 3],
    pub splits: u32,
    /// In each split.
    pub records: u64,
    /// Copies that a stage makes of some records.
    pub fan: [u64; 3],
    /// Most records have one key.
    pub hot: bool,
    /// The sink acknowledges late and has no room now and then.
    pub slow: bool,
    /// The source has somewhere to commit.
    pub commits: bool,
    /// The second stage keeps records back until a watermark, so nothing can be committed.
    pub holds: bool,
    /// The engine makes the watermarks, split by split; otherwise the source says them by itself.
    pub timed: bool,
    /// A source without splits stays, as if it might get some: time must not end.
    pub lingers: bool,
    pub failure: Option<Failure>,
    pub leave: Option<Leave>,
}

impl Setup {
    pub fn random(seed: u64) -> Setup {
        let mut random = Random(seed ^ 0x5EED);
        let mut below = |bound| random.below(bound);
        let parallelism = std::array::from_fn(|_| 1 + below(4) as usize);
        let separate = below(3) == 0;
        let holds = below(4) == 0;
        let longest = if below(4) == 0 { 150 } else { 40 };
        let records = below(longest);
        Setup {
            seed,
            shape: [Shape::Exchange, Shape::Exchange, Shape::Spread, Shape::Diamond, Shape::Chain]
                [below(5) as usize],
            capacity: 1 << below(3),
            parallelism,
            groups: if separate { ["a", "b", "c"] } else { ["a", "a", "a"] },
            splits: 1 + below(5) as u32,
            records,
            fan: std::array::from_fn(|_| [0, 1, 2, 3, 9][below(5) as usize]),
            hot: below(3) == 0,
            slow: below(2) == 0,
            commits: !holds && below(4) != 0,
            holds,
            timed: seed.is_multiple_of(2),
            lingers: false,
            failure: (below(6) == 0).then(|| Failure {
                stage: below(3) as usize,
                seq: below(records + 1),
                panics: below(2) == 0,
            }),
            leave: match below(6) {
                0 => Some(Leave::Drain(below(400))),
                1 => Some(Leave::Stop(below(400))),
                2 if below(3) == 0 => Some(Leave::Abort(below(400))),
                _ => None,
            },
        }
    }

    /// The same, with sources that stay until the job is drained.
    pub fn lingering(self) -> Setup {
        let lingers =
            matches!(self.leave, Some(Leave::Drain(_))) && self.parallelism[0] > self.splits as usize;
        Setup { lingers, ..self }
    }

    /// The setting of the job, with the shortest interval between barriers there is.
    pub fn config(&self) -> Config {
        let mut config = Config::default();
        config.edges.capacity = Some(self.capacity);
        config.job.max_parallelism = 8;
        config.job.commit_interval_ms = 1;
        config.job.best_effort = true;
        config
    }

    /// How many copies a stage makes of a record.
    pub fn copies(&self, stage: usize, seq: u64) -> u64 {
        if (seq + stage as u64).is_multiple_of(7) { self.fan[stage] } else { 1 }
    }

    /// How many copies of a record arrive in the end.
    pub fn arriving(&self, seq: u64) -> u64 {
        (0..3).map(|stage| self.copies(stage, seq)).product()
    }

    /// Event time goes at another pace in each split, not always forwards, and begins before 1970.
    pub fn timestamp(&self, split: u32, seq: u64) -> i64 {
        let pace = 10 + 7 * i64::from(split);
        seq as i64 * pace - (seq * 31 % 5) as i64 * (pace / 5) - 1_000
    }

    /// Every record from `seq` on is later than this.
    pub fn watermark(&self, split: u32, seq: u64) -> i64 {
        let pace = 10 + 7 * i64::from(split);
        (seq as i64 - 1) * pace - 4 * (pace / 5) - 1_000
    }
}
