//! Latencies as the fields of a line. The race on Kafka, a package without this one's dependencies, has this file, too.

use hdrhistogram::Histogram;

/// The fields, in microseconds, of latencies in nanoseconds.
pub fn quantiles(latency: &Histogram<u64>) -> String {
    let us = |quantile| latency.value_at_quantile(quantile) as f64 / 1000.0;
    format!(
        "\"samples\":{},\"p50_us\":{:.3},\"p90_us\":{:.3},\"p99_us\":{:.3},\"p999_us\":{:.3},\"p9999_us\":{:.3},\
         \"max_us\":{:.3}",
        latency.len(),
        us(0.5),
        us(0.9),
        us(0.99),
        us(0.999),
        us(0.9999),
        latency.max() as f64 / 1000.0
    )
}
