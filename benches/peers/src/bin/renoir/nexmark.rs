//! Nexmark's q0, q1, q2 and q5.

use std::mem::take;
use std::sync::{Arc, Mutex};
use std::vec::IntoIter;

use peers::args::Args;
use peers::nexmark::{
    Event, Hot, SLIDE_MS, WINDOW_MS, all_events, bid, hot_checksum, in_euros, is_selected, priced_checksum,
    same_price, selected_checksum,
};
use renoir::prelude::*;

use crate::aligned::{Aligned, map_timed};
use crate::{mode, run};

/// How often a source says a watermark, in milliseconds of event time. Each visits every open key; at each millisecond
/// that was nearly all the work.
const WATERMARK_EVERY_MS: i64 = 100;

/// A copy of the source takes its share of the events that are ready.
fn shares(args: &Args) -> impl FnOnce(u64, u64) -> IntoIter<Event> + Clone + Send + 'static {
    let shares = Arc::new(all_events(args).into_iter().map(Mutex::new).collect::<Vec<_>>());
    move |index, _| take(&mut *shares[index as usize].lock().expect("no holder panics")).into_iter()
}

pub fn stateless(args: &Args, env: StreamContext) {
    let bids = env.stream_par_iter(shares(args)).batch_mode(mode(args)).filter_map(bid);
    match args.workload.as_str() {
        "q0" => run(args, env, bids.map(same_price).map(|priced| priced_checksum(&priced))),
        "q1" => run(args, env, bids.map(in_euros).map(|priced| priced_checksum(&priced))),
        _ => run(args, env, bids.filter(is_selected).map(|bid| selected_checksum(&bid))),
    }
}

pub fn hottest(args: &Args, env: StreamContext) {
    let (size_ms, slide_ms) = (WINDOW_MS as i64, SLIDE_MS as i64);
    let mut said_ms = 0;
    let watermark = move |_: &(u64, u64), time_ms: &i64| {
        let due = *time_ms >= said_ms + WATERMARK_EVERY_MS;
        due.then(|| {
            said_ms = *time_ms;
            said_ms
        })
    };
    let bids = env.stream_par_iter(shares(args)).batch_mode(mode(args)).filter_map(bid);
    let counts = bids
        .map(|bid| (bid.auction as u64, bid.date_time))
        .add_timestamps(|bid: &(u64, u64)| bid.1 as i64, watermark)
        .group_by(|bid| bid.0)
        .window(Aligned { size_ms, slide_ms })
        .fold(0u64, |count, _| *count += 1)
        .rich_map_custom(move |mut elements| {
            map_timed(elements.next(), |(auction, count), last_ms| {
                ((last_ms + 1 - size_ms) as u64, Hot { count, auction })
            })
        });
    let best = counts
        .group_by(|(start_ms, _): &(u64, Hot)| *start_ms)
        .window(Aligned { size_ms: slide_ms, slide_ms })
        .fold(Hot { count: 0, auction: 0 }, |best, (_, hot)| *best = (*hot).max(*best));
    run(args, env, best.unkey().map(|(start_ms, hot)| hot_checksum(start_ms, hot)));
}
