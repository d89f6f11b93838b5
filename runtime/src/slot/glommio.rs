//! The glommio driver: each core thread is one executor with one long-lived future.
//!
//! The executor brings io_uring to the slot. The data path touches none of its channels, timers or
//! wakers: rings are polled from this loop, and an idle core sleeps in its own park, since glommio
//! 0.9.0 can sleep for ever with runnable work when its own parking meets an early preempt timer.
//! The default preempt timer stays, for the same reason. Yielding to the executor can meet the same
//! fault; the watchdog then pokes the future, which was measured to free it every time.

use std::future::poll_fn;
use std::task::Poll;

use glommio::{LocalExecutorBuilder, Placement, yield_if_needed};

use super::Pulse;
use super::core::{Core, CoreTurn};
use super::thread::sleep;
use crate::{Error, Result};

/// Registered memory of an executor. The default of 10 MiB is for disks; slots do next to no disk
/// I/O, and 64 KiB keeps memlock limits out of the way.
const IO_MEMORY_BYTES: usize = 64 * 1024;

/// Turns `core` inside an executor on the calling thread until it is done. An executor that cannot
/// be made gives the core back, with the reason.
pub fn run(core: Core, pulse: &Pulse) -> Result<(), Box<(Core, Error)>> {
    // `core_affinity` has pinned the thread already, and only one may set the mask.
    let executor = LocalExecutorBuilder::new(Placement::Unbound).io_memory(IO_MEMORY_BYTES).make();
    match executor {
        Ok(executor) => {
            executor.run(async {
                pulse.set_poke(poll_fn(|cx| Poll::Ready(cx.waker().clone())).await);
                turn(core).await;
            });
            Ok(())
        }
        Err(error) => {
            let remedy = "set slots.driver = \"thread\", or raise the limit that the reason names";
            Err(Box::new((core, Error::world(format!("glommio cannot start: {error}"), remedy))))
        }
    }
}

/// How many turns may pass before the executor is asked whether it needs the thread: asking costs as much as a
/// glance at an idle slot.
const TURNS: u32 = 32;

async fn turn(mut core: Core) {
    let mut turns = 0u32;
    loop {
        match core.turn() {
            CoreTurn::Again => {
                turns += 1;
                if turns == TURNS {
                    turns = 0;
                    yield_if_needed().await;
                }
            }
            CoreTurn::Yield => {
                std::thread::yield_now();
                yield_if_needed().await;
            }
            CoreTurn::Sleep(until_ns) => sleep(&mut core, until_ns),
            CoreTurn::Exit => return,
        }
    }
}
