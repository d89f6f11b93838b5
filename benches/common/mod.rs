//! How every benchmark here measures: few, short samples, so that all of them end within a few minutes.

use std::time::Duration;

use criterion::Criterion;

/// Ten samples in about a second; the command line has the last word.
pub fn criterion() -> Criterion {
    let quick = Criterion::default().sample_size(10).without_plots();
    quick
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args()
}
