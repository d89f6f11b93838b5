//! The core's own counter of time.
#![allow(unsafe_code)]

use std::path::Path;

use super::read;

/// How many cycles the core has counted, at a pace of their own; `None` where there is no counter that can be asked. To
/// ask it costs a third of what the system's clock does, which asks it, too, and waits for all instructions before it
/// (PERF.md, latency).
#[inline(always)]
pub fn cycles() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 core has the instruction. Where a system forbids it, it forbids its own clock, too.
    let counted = Some(unsafe { std::arch::x86_64::_rdtsc() });
    #[cfg(not(target_arch = "x86_64"))]
    let counted = None;
    counted
}

/// Whether the counter goes on at the same pace whatever the core does, as the processor says (AMD64 Architecture
/// Programmer's Manual 3, CPUID 8000_0007h, EDX bit 8), and the same on all cores, as the system has found: it takes
/// its own time from it.
pub fn cycles_are_even() -> bool {
    const SOURCE: &str = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    read(Path::new("/"), SOURCE).is_some_and(|source| source == "tsc") && counts_evenly()
}

fn counts_evenly() -> bool {
    #[cfg(target_arch = "x86_64")]
    let are_even = {
        const MOST: u32 = 0x8000_0000;
        const POWER: u32 = 0x8000_0007;
        let (most, power) = (std::arch::x86_64::__cpuid(MOST), std::arch::x86_64::__cpuid(POWER));
        most.eax >= POWER && power.edx & (1 << 8) != 0
    };
    #[cfg(not(target_arch = "x86_64"))]
    let are_even = false;
    are_even
}
