//! Two contestants that take turns, and what came of it.

/// The middle of some values, and their ends.
pub struct Range {
    low: f64,
    pub middle: f64,
    high: f64,
}

impl Range {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Range {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Range { low: values[0], middle: values[values.len() / 2], high: values[values.len() - 1] }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Range { low, middle, high } = self;
        write!(f, "{middle:.2} ({low:.2} to {high:.2})")
    }
}

/// Lets both have so many turns, each a value of its own: `bare`, `ours` and `ours / bare` within the turns.
pub fn turns(count: usize, mut bare: impl FnMut() -> f64, mut ours: impl FnMut() -> f64) -> [Range; 3] {
    let pairs: Vec<(f64, f64)> = (0..count).map(|_| (bare(), ours())).collect();
    [
        Range::of(pairs.iter().map(|(bare, _)| *bare)),
        Range::of(pairs.iter().map(|(_, ours)| *ours)),
        Range::of(pairs.iter().map(|(bare, ours)| ours / bare)),
    ]
}

/// Pins the calling thread, where that is allowed.
pub fn pin(cpu: usize) {
    if let Err(error) = slotflow::runtime::machine::affinity::pin_current_thread(cpu) {
        eprintln!("{error}");
    }
}
