//! Threads that begin together, and a ring from each that sends to each that receives.

use std::ops::Range;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use rtrb::{Consumer, Producer, RingBuffer};

/// Records that a ring holds: what was best for `keyed` of 2^12 to 2^16, on machine A.
const CAPACITY: usize = 1 << 15;

/// A thread's ends of the rings.
pub struct Links<T> {
    /// By number of the target; none towards itself.
    to: Vec<Option<Producer<T>>>,
    /// With the number of the origin.
    from: Vec<(usize, Consumer<T>)>,
}

/// Rings between threads that are given by their numbers. A thread that is both has none to itself.
pub fn mesh<T: Copy>(threads: usize, origins: Range<usize>, targets: Range<usize>) -> Vec<Links<T>> {
    let mut links = (0..threads).map(|_| Links { to: vec![], from: vec![] }).collect::<Vec<_>>();
    for (number, origin) in origins.enumerate() {
        for target in targets.clone() {
            if target == origin {
                links[origin].to.push(None);
                continue;
            }
            let (writer, reader) = RingBuffer::new(CAPACITY);
            links[origin].to.push(Some(writer));
            links[target].from.push((number, reader));
        }
    }
    links
}

impl<T: Copy> Links<T> {
    /// How many origins this thread receives from.
    pub fn origins(&self) -> usize {
        self.from.len()
    }

    /// The targets that are other threads.
    pub fn others(&self) -> impl Iterator<Item = usize> + use<T> {
        let others = self.to.iter().enumerate().filter(|(_, ring)| ring.is_some()).map(|(target, _)| target);
        others.collect::<Vec<_>>().into_iter()
    }

    /// Hands over all that has arrived, and says whether that was anything.
    #[inline]
    pub fn drain(&mut self, mut take: impl FnMut(usize, T)) -> bool {
        let mut any = false;
        for (origin, ring) in &mut self.from {
            let Ok(chunk) = ring.read_chunk(ring.slots()) else { continue };
            any |= !chunk.is_empty();
            let (first, second) = chunk.as_slices();
            first.iter().for_each(|record| take(*origin, *record));
            second.iter().for_each(|record| take(*origin, *record));
            chunk.commit_all();
        }
        any
    }

    /// Sends records, and takes in what arrives while there is no room: two threads that waited for each other would
    /// do so for ever.
    #[inline]
    pub fn send(&mut self, target: usize, mut records: &[T], mut take: impl FnMut(usize, T)) {
        loop {
            if let Some(ring) = &mut self.to[target] {
                records = ring.push_partial_slice(records).1;
            }
            if records.is_empty() {
                return;
            }
            if !self.drain(&mut take) {
                std::hint::spin_loop();
            }
        }
    }
}

/// Runs a closure for each thread, each pinned, once all of them are ready; it gets a closure to be called when it is.
pub fn threads<L: Send, R: Send>(
    links: Vec<L>,
    run: impl Fn(usize, L, &dyn Fn() -> Instant) -> R + Sync,
) -> Vec<R> {
    let ready = Arc::new(Barrier::new(links.len()));
    let (run, ready) = (&run, &ready);
    std::thread::scope(|scope| {
        let threads = links.into_iter().enumerate().map(|(thread, links)| {
            scope.spawn(move || {
                peers::pin(thread);
                let start = || {
                    ready.wait();
                    Instant::now()
                };
                run(thread, links, &start)
            })
        });
        let threads = threads.collect::<Vec<_>>();
        threads.into_iter().map(|thread| thread.join().expect("a panic aborts")).collect()
    })
}
