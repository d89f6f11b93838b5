//! Pinning threads, and proving it by reading the mask back.
//!
//! Threads inherit the mask of the one that starts them: a thread that is to start others (librdkafka's, say)
//! sets its own first. The kernel widens a mask when asked, past what `taskset` gave the process; so callers
//! ask only for CPUs of [`Topology::allowed`](super::Topology::allowed), as [`Placement`](super::Placement)
//! does.

use core_affinity::CoreId;

use super::sys::{MASK_CPUS, set_mask};
use super::{Cpus, field};
use crate::error::{Error, Result};

/// Pins the calling thread to one CPU, by the kernel's number.
///
/// # Errors
/// A world error when the kernel refuses or does something else.
///
/// ```
/// use slotflow_runtime::machine::affinity;
///
/// std::thread::spawn(|| {
///     let cpu = affinity::current_mask()?.first().expect("a thread runs somewhere");
///     affinity::pin_current_thread(cpu)
/// })
/// .join()
/// .expect("no panic")?;
/// # Ok::<(), slotflow_runtime::error::Error>(())
/// ```
pub fn pin_current_thread(cpu: usize) -> Result<()> {
    let wanted = Cpus::from_iter([cpu]);
    // The crate indexes a mask of fixed size with the number and panics beyond it.
    if cpu >= MASK_CPUS {
        return Err(refused(&wanted, &format!("a mask ends at {}", MASK_CPUS - 1)));
    }
    if !core_affinity::set_for_current(CoreId { id: cpu }) {
        return Err(refused(&wanted, &std::io::Error::last_os_error().to_string()));
    }
    verify(&wanted)
}

/// Lets the calling thread run on these CPUs only: for threads that start I/O threads.
///
/// # Errors
/// As [`pin_current_thread`].
pub fn set_current_mask(cpus: &Cpus) -> Result<()> {
    set_mask(cpus).map_err(|error| refused(cpus, &error.to_string()))?;
    verify(cpus)
}

/// The CPUs that the calling thread may run on.
///
/// # Errors
/// A world error where `/proc` does not say.
pub fn current_mask() -> Result<Cpus> {
    mask_at("/proc/thread-self/status")
}

/// The CPUs that a thread of this process may run on, by its id in `/proc/self/task`.
///
/// # Errors
/// As [`current_mask`]; and when the thread has ended.
pub fn mask_of(thread: u32) -> Result<Cpus> {
    mask_at(&format!("/proc/self/task/{thread}/status"))
}

fn mask_at(path: &str) -> Result<Cpus> {
    let status = std::fs::read_to_string(path).unwrap_or_default();
    let mask = field(&status, "Cpus_allowed_list").and_then(Cpus::parse);
    mask.ok_or_else(|| {
        Error::world(
            format!("{path} tells no mask"),
            "check that /proc is mounted and that the thread still runs",
        )
    })
}

/// A mask that names CPUs outside the cpuset is narrowed in silence, so only reading it back tells.
fn verify(wanted: &Cpus) -> Result<()> {
    let mask = current_mask()?;
    if mask == *wanted { Ok(()) } else { Err(refused(wanted, &format!("the kernel gave {mask}"))) }
}

fn refused(cpus: &Cpus, why: &str) -> Error {
    let what = format!("the thread cannot be pinned to CPUs {cpus}: {why}");
    Error::world(what, "name CPUs that this process may run on, or set slots.pin = false")
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    /// Pins must not leak into the threads of other tests.
    fn aside<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(test).join().unwrap()
    }

    #[test]
    fn a_pinned_thread_reads_its_cpu_back() {
        let (cpu, mask) = aside(|| {
            let cpu = current_mask().unwrap().iter().last().unwrap();
            pin_current_thread(cpu).unwrap();
            (cpu, current_mask().unwrap())
        });
        assert_eq!(mask, Cpus::from_iter([cpu]));
    }

    #[test]
    fn a_mask_of_all_cpus_is_given_back() {
        let (all, mask, own) = aside(|| {
            let all = current_mask().unwrap();
            pin_current_thread(all.first().unwrap()).unwrap();
            set_current_mask(&all).unwrap();
            let link = std::fs::read_link("/proc/thread-self").unwrap();
            let id = link.file_name().unwrap().to_str().unwrap().parse().unwrap();
            (all, mask_of(id).unwrap(), current_mask().unwrap())
        });
        assert_eq!([&mask, &own], [&all, &all]);
    }

    #[test]
    fn cpus_that_do_not_exist_are_refused_without_a_panic() {
        for cpu in [1023, 1 << 20] {
            let text = aside(move || pin_current_thread(cpu)).unwrap_err().to_string();
            assert!(text.starts_with(&format!("the thread cannot be pinned to CPUs {cpu}: ")), "{text}");
        }
        let text = aside(|| set_current_mask(&Cpus::default())).unwrap_err().to_string();
        assert!(
            text.ends_with("; name CPUs that this process may run on, or set slots.pin = false"),
            "{text}"
        );
    }

    #[test]
    fn a_mask_that_the_kernel_narrows_is_an_error() {
        let wider = |cpus: Cpus| cpus.iter().chain([1023]).collect::<Cpus>();
        let text = aside(move || set_current_mask(&wider(current_mask().unwrap()))).unwrap_err().to_string();
        assert!(text.contains("the kernel gave"), "{text}");
    }

    #[test]
    fn an_ended_thread_is_named() {
        assert_eq!(
            mask_of(u32::MAX).unwrap_err().to_string(),
            "/proc/self/task/4294967295/status tells no mask; check that /proc is mounted and that the thread still \
             runs"
        );
    }
}
