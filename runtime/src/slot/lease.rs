//! How a pool leases its slots to jobs, and by which names it refuses to.

use super::command::{Command, Deployment};
use super::park::Waker;
use super::pool::{Seat, Slots};
use crate::error::Problem;
use crate::machine::Cpus;
use crate::{Error, Result};

/// Slots that a job has; they are free again when this is dropped.
pub(crate) struct Lease {
    pool: Slots,
    slots: Vec<usize>,
}

impl Lease {
    /// The pool's numbers of the slots.
    pub(crate) fn slots(&self) -> &[usize] {
        &self.slots
    }

    /// What wakes the core of each slot.
    pub(crate) fn wakers(&self) -> Vec<Waker> {
        let seats = self.pool.seats();
        self.slots.iter().map(|slot| self.pool.0.cores[seats[*slot].core].waker.clone()).collect()
    }

    /// Sends the subtasks to their slots; their slot numbers are the job's own until here.
    pub(crate) fn deploy(&self, deployments: Vec<Deployment>) {
        let mut of_core: Vec<Vec<Deployment>> = self.pool.0.cores.iter().map(|_| Vec::new()).collect();
        for mut deployment in deployments {
            deployment.slot = self.slots[deployment.slot];
            let core = self.pool.seats()[deployment.slot].core;
            of_core[core].push(deployment);
        }
        for (core, deployments) in self.pool.0.cores.iter().zip(of_core) {
            if !deployments.is_empty() {
                core.send(Command::Deploy(deployments));
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut seats = self.pool.seats();
        self.slots.iter().for_each(|slot| seats[*slot].job = None);
    }
}

impl Slots {
    /// The slots that a job would get now: one for each entry of `wanted`, the CPUs that it may use.
    ///
    /// # Errors
    /// A plan error that says how many are free and who has the others, or which CPUs none of them is on.
    pub fn choose(&self, job: &str, wanted: &[Option<Cpus>]) -> Result<Vec<usize>> {
        self.pick(&self.seats(), job, wanted).map_err(Error::plan)
    }

    /// What stands in the way of leasing slots to a job now; nothing if [`choose`](Slots::choose) would find them.
    pub fn lacking(&self, job: &str, wanted: &[Option<Cpus>]) -> Vec<Problem> {
        self.pick(&self.seats(), job, wanted).err().unwrap_or_default()
    }

    /// Leases slots to a job, chosen as by [`choose`](Slots::choose).
    ///
    /// # Errors
    /// As [`choose`](Slots::choose).
    pub(crate) fn lease(&self, job: &str, wanted: &[Option<Cpus>]) -> Result<Lease> {
        let mut seats = self.seats();
        let slots = self.pick(&seats, job, wanted).map_err(Error::plan)?;
        slots.iter().for_each(|slot| seats[*slot].job = Some(job.into()));
        drop(seats);
        Ok(Lease { pool: self.clone(), slots })
    }

    /// The slots, or all that stands in the way.
    fn pick(
        &self,
        seats: &[Seat],
        job: &str,
        wanted: &[Option<Cpus>],
    ) -> std::result::Result<Vec<usize>, Vec<Problem>> {
        let mut free: Vec<usize> = (0..seats.len()).filter(|slot| seats[*slot].job.is_none()).collect();
        if free.len() < wanted.len() {
            return Err(vec![too_few(seats, job, wanted.len(), free.len())]);
        }
        let cpu = |slot: usize| self.0.cores[seats[slot].core].cpu;
        let (mut picked, mut problems) = (vec![0; wanted.len()], Vec::new());
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        // Those that may use the fewest CPUs choose first.
        order.sort_by_key(|slot| wanted[*slot].as_ref().map_or(usize::MAX, Cpus::len));
        for slot in order {
            let fits = |free: &usize| {
                let cpus = wanted[slot].as_ref();
                cpus.is_none_or(|cpus| cpu(*free).is_some_and(|cpu| cpus.contains(cpu)))
            };
            // In a pool made for the job, its slot is the one with the same number.
            let own = free.iter().position(|free| *free == slot && fits(free));
            match own.or_else(|| free.iter().position(fits)) {
                Some(index) => picked[slot] = free.remove(index),
                None => problems.push(nowhere(job, wanted[slot].as_ref())),
            }
        }
        if problems.is_empty() { Ok(picked) } else { Err(problems) }
    }
}

fn nowhere(job: &str, wanted: Option<&Cpus>) -> Problem {
    let wanted = wanted.cloned().unwrap_or_default();
    let what = format!("needs a slot on CPU {wanted}, but no free slot of the pool is pinned there");
    let remedy = "make a pool with these CPUs in slots.cores, or take them out of operators.NAME.cores";
    Problem::new(format!("job \"{job}\""), what, remedy)
}

fn too_few(seats: &[Seat], job: &str, needed: usize, free: usize) -> Problem {
    let mut holders: Vec<&String> = seats.iter().filter_map(|seat| seat.job.as_ref()).collect();
    holders.sort_unstable();
    holders.dedup();
    let shares: Vec<String> = holders
        .iter()
        .map(|holder| {
            let count = seats.iter().filter(|seat| seat.job.as_ref() == Some(holder)).count();
            format!("{count} by job \"{holder}\"")
        })
        .collect();
    let held = if shares.is_empty() { String::new() } else { format!("; held: {}", shares.join(", ")) };
    let what = format!("needs {needed} slots, but {free} of the pool's {} are free{held}", seats.len());
    Problem::new(
        format!("job \"{job}\""),
        what,
        "make a larger pool (slots.count), or wait for the other job",
    )
}
