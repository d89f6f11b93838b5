//! `keyed`: an exchange by key, then state that Renoir keeps for each key.

use peers::args::Args;
use peers::keyed::{Keys, add, checksum};
use peers::share;
use renoir::prelude::*;

use crate::{mode, run as run_job};

pub fn run(args: &Args, env: StreamContext) {
    let (count, keys) = (args.records, Keys::of(args));
    let records = move |index: u64, stride: u64| {
        share(count, index as usize, stride as usize).map(move |i| keys.record(i))
    };
    let keyed = env.stream_par_iter(records).batch_mode(mode(args)).group_by(|record| record.0);
    let mut state = (0u64, 0u64);
    let running = keyed.rich_map(move |(_, record)| add(&mut state, record));
    run_job(args, env, running.drop_key().map(|running| checksum(&running)));
}
