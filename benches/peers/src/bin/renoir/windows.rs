//! `window` and `sliding`: an exchange by key, then aligned windows.

use peers::args::Args;
use peers::reading::{Fired, Progress, Reading, checksum, reading, size_and_slide_ms};
use peers::share;
use renoir::prelude::*;

use crate::aligned::{Aligned, map_timed};
use crate::{mode, run as run_job};

pub fn run(args: &Args, env: StreamContext) {
    let count = args.records;
    let (size_ms, slide_ms) = size_and_slide_ms(&args.workload);
    let readings = move |index: u64, stride: u64| share(count, index as usize, stride as usize).map(reading);
    let mut progress = Progress::default();
    // To Renoir, a watermark is the first time that may still come.
    let watermark = move |reading: &Reading, _: &i64| {
        progress.watermark(reading.time_ms).map(|watermark_ms| i64::from(watermark_ms) + 1)
    };
    let timed = env
        .stream_par_iter(readings)
        .batch_mode(mode(args))
        .add_timestamps(|reading: &Reading| i64::from(reading.time_ms), watermark);
    let count_and_max = |(count, max): &mut (u32, u32), reading: &Reading| {
        (*count, *max) = (*count + 1, reading.value.max(*max));
    };
    let checksums = timed
        .group_by(|reading| reading.key)
        .window(Aligned { size_ms: i64::from(size_ms), slide_ms: i64::from(slide_ms) })
        .fold((0u32, 0u32), count_and_max)
        .rich_map_custom(move |mut elements| {
            map_timed(elements.next(), |(key, (count, max)), last_ms| {
                checksum(&Fired { start_ms: (last_ms + 1) as u32 - size_ms, key, count, max })
            })
        });
    run_job(args, env, checksums);
}
