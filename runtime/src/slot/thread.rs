//! The thread driver: a plain pinned thread. Serves wherever io_uring does not.

use std::time::Duration;

use super::core::{Core, CoreTurn};

/// Turns `core` until it is done.
pub fn run(mut core: Core) {
    loop {
        match core.turn() {
            CoreTurn::Again => std::hint::spin_loop(),
            CoreTurn::Yield => std::thread::yield_now(),
            CoreTurn::Sleep(until_ns) => sleep(&mut core, until_ns),
            CoreTurn::Exit => return,
        }
    }
}

/// Sleeps in the core's park, until woken or until `until_ns`.
pub fn sleep(core: &mut Core, until_ns: u64) {
    let since_ns = core.now_ns();
    let timeout = (until_ns != u64::MAX).then(|| Duration::from_nanos(until_ns.saturating_sub(since_ns)));
    core.park().clone().sleep(timeout);
    core.woke(since_ns);
}
