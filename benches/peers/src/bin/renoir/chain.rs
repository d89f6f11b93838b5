//! `chain`: an operator for each step, which Renoir fuses.

use peers::args::Args;
use peers::chain::{add_one, expand, is_kept, multiply};
use peers::{share, splitmix64};
use renoir::prelude::*;

use crate::{mode, run as run_job};

pub fn run(args: &Args, env: StreamContext) {
    let count = args.records;
    let records =
        move |index: u64, stride: u64| share(count, index as usize, stride as usize).map(splitmix64);
    let stream = env.stream_par_iter(records).batch_mode(mode(args));
    let stream = stream.map(multiply).filter(is_kept).map(add_one).flat_map(expand);
    run_job(args, env, stream);
}
