//! The three system calls that no safe crate of ours wraps.
#![allow(unsafe_code)]

use std::io;

use super::Cpus;

/// One more than the largest CPU number that a mask of the C library can hold.
#[cfg(target_os = "linux")]
pub(super) const MASK_CPUS: usize = libc::CPU_SETSIZE as usize;
#[cfg(not(target_os = "linux"))]
pub(super) const MASK_CPUS: usize = 1024;

/// Makes a small ring and closes it again, which is the only way to know whether io_uring is allowed: a
/// seccomp filter can forbid it on any kernel.
#[cfg(target_os = "linux")]
pub(super) fn try_io_uring() -> io::Result<()> {
    use std::os::fd::{FromRawFd, OwnedFd, RawFd};

    // `struct io_uring_params` is 30 words; zero asks for a plain ring.
    let mut params = [0_u32; 30];
    // SAFETY: the kernel reads and writes only the 120 bytes of `params`, which lives until the call returns.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 2_u32, params.as_mut_ptr()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    drop(unsafe { OwnedFd::from_raw_fd(fd as RawFd) });
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn try_io_uring() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Lets the calling thread, and threads that it will start, run on these CPUs only. Numbers from
/// [`MASK_CPUS`] on are left out.
#[cfg(target_os = "linux")]
pub(super) fn set_mask(cpus: &Cpus) -> io::Result<()> {
    // SAFETY: a `cpu_set_t` is an array of integers, for which all zeros is a value: the empty mask.
    let mut mask: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for cpu in cpus.iter().filter(|cpu| *cpu < MASK_CPUS) {
        // SAFETY: `cpu` is below the mask's size, and the mask is ours alone.
        unsafe { libc::CPU_SET(cpu, &mut mask) };
    }
    // SAFETY: the kernel reads `size_of` bytes of the mask, which lives until the call returns; 0 is this
    // thread.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &mask) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn set_mask(_: &Cpus) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How many columns and rows the terminal at the standard output has; `None` where there is none or it does not say.
#[cfg(target_os = "linux")]
pub(crate) fn terminal_size() -> Option<(usize, usize)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel writes one `winsize`, which lives until the call returns.
    let asked = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) };
    let told = asked == 0 && size.ws_col > 0 && size.ws_row > 0;
    told.then_some((size.ws_col.into(), size.ws_row.into()))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn terminal_size() -> Option<(usize, usize)> {
    None
}
