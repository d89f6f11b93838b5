//! How many records a step may take in: time, by way of a learned cost.

/// A step takes at least the configured minimum of records unless that would take longer than this;
/// a slow operator must not keep its slot's neighbours waiting (a guess: ten steps' worth).
const HOG_NS: f64 = 300_000.0;

/// What a step takes before a record's cost is known: a guess that a slow operator (1 ms) pays for with 16
/// ms, not with a stall, and from which a fast one learns within two steps.
const FIRST_RECORDS: usize = 16;

/// The largest budget; past it the cut no longer shows (PERF.md, chain).
const BUDGET_MAX: usize = 1 << 18;

/// Learns what a record costs one subtask, and turns a step's time into a number of records.
#[derive(Debug)]
pub struct Pace {
    budget_ns: f64,
    min_records: f64,
    cost_ns: f64,
    budget: usize,
}

impl Pace {
    /// A pace that allows a few records until it has learned what one costs.
    pub fn new(budget_ns: u64, min_records: usize) -> Pace {
        Pace {
            budget_ns: budget_ns as f64,
            min_records: min_records as f64,
            cost_ns: 0.0,
            budget: min_records.clamp(1, FIRST_RECORDS),
        }
    }

    /// The budget of the next step, in records.
    #[inline]
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// A step took in `records` in `took_ns`. Steps of few records are mostly fixed cost and teach
    /// nothing, unless they were slow.
    #[inline]
    pub fn learn(&mut self, records: usize, took_ns: u64) {
        if records * 4 < self.budget && (took_ns as f64) < self.budget_ns {
            return;
        }
        let cost_ns = took_ns as f64 / records.max(1) as f64;
        // An interrupted step looks expensive: let one of them count an eighth.
        self.cost_ns = if self.cost_ns == 0.0 { cost_ns } else { self.cost_ns * 0.875 + cost_ns * 0.125 };
        let by_time = self.budget_ns / self.cost_ns.max(0.01);
        let least = self.min_records.min(HOG_NS / self.cost_ns.max(0.01));
        self.budget = (by_time.max(least) as usize).clamp(1, BUDGET_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cheap_records_get_long_steps_and_dear_ones_short() {
        let mut cheap = Pace::new(30_000, 1024);
        (0..50).for_each(|_| cheap.learn(cheap.budget(), cheap.budget() as u64 / 2));
        assert!(cheap.budget() > 50_000, "{cheap:?}");
        let mut dear = Pace::new(30_000, 1024);
        (0..50).for_each(|_| dear.learn(dear.budget(), dear.budget() as u64 * 20_000));
        assert!(dear.budget() <= 15, "{dear:?}");
    }

    #[test]
    fn the_first_step_of_a_slow_operator_is_short() {
        assert_eq!([Pace::new(30_000, 1024).budget(), Pace::new(30_000, 4).budget()], [16, 4]);
    }

    #[test]
    fn one_interruption_does_not_ruin_the_budget() {
        let mut pace = Pace::new(30_000, 1024);
        (0..50).for_each(|_| pace.learn(pace.budget(), pace.budget() as u64));
        pace.learn(pace.budget(), 4_000_000);
        assert!(pace.budget() >= 1024, "{pace:?}");
    }
}
