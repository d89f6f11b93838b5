//! `keyed`: each thread makes records, splits them by key, keeps its own part and sends the others'.
//!
//! `crossing`: threads that make records keep no state, so every record goes through a ring. `fanout`: one thread makes
//! all records. `zipf`: keys of unequal frequency.

use peers::args::{Args, no_such_workload};
use peers::keyed::{Keys, Record, Running, add, checksum};
use peers::report::{Part, report_parts};
use peers::share_len;
use rustc_hash::FxHashMap;

use crate::mesh::{Links, mesh, threads};

/// Records that are made and split at a time: the best of 64 to 4,096, on machine A.
const BATCH: usize = 1024;

/// No record has this value, so it says that its origin has ended.
const END: Record = (0, u32::MAX);

/// Which threads make records, and which keep state.
struct Roles {
    threads: usize,
    makers: usize,
    /// The first thread that keeps state.
    keepers_from: usize,
}

impl Roles {
    fn of(args: &Args) -> Roles {
        let makers = if args.has("fanout") { 1 } else { args.parallelism };
        let keepers_from = if args.has("crossing") { makers } else { 0 };
        Roles { threads: keepers_from + args.parallelism, makers, keepers_from }
    }
}

pub fn run(args: &Args) {
    match args.parallelism {
        1 => run_by::<1>(args),
        2 => run_by::<2>(args),
        4 => run_by::<4>(args),
        _ => no_such_workload(),
    }
}

/// The parallelism is known to the compiler, so that no key has to be divided.
fn run_by<const P: usize>(args: &Args) {
    let roles = Roles::of(args);
    let links = mesh(roles.threads, 0..roles.makers, roles.keepers_from..roles.threads);
    let parts = threads(links, |thread, links, start| {
        let keys = Keys::of(args);
        if args.has("hash") {
            let run = Thread::<_, P>::new(args, &roles, thread, links, FxHashMap::default());
            run.work(keys, start)
        } else {
            let states = vec![(0, 0); args.keys as usize / P + 1];
            let run = Thread::<_, P>::new(args, &roles, thread, links, Dense::<P>(states));
            run.work(keys, start)
        }
    });
    report_parts("hand", args, &parts);
}

/// Sums and counts by key.
trait States {
    fn add(&mut self, record: Record) -> Running;
}

struct Dense<const P: usize>(Vec<(u64, u64)>);

impl<const P: usize> States for Dense<P> {
    #[inline(always)]
    fn add(&mut self, record: Record) -> Running {
        add(&mut self.0[record.0 as usize / P], record)
    }
}

impl States for FxHashMap<u32, (u64, u64)> {
    #[inline(always)]
    fn add(&mut self, record: Record) -> Running {
        add(self.entry(record.0).or_default(), record)
    }
}

/// What a thread keeps, and how many of its origins have not ended.
struct Keeper<S> {
    states: S,
    sum: u64,
    live: usize,
}

impl<S: States> Keeper<S> {
    #[inline(always)]
    fn take(&mut self, record: Record) {
        if record.1 == END.1 {
            self.live -= 1;
        } else {
            self.sum = self.sum.wrapping_add(checksum(&self.states.add(record)));
        }
    }
}

struct Thread<S, const P: usize> {
    links: Links<Record>,
    keeper: Keeper<S>,
    /// First record, stride and number of what this thread makes.
    made: (u64, u64, u64),
    /// Which target this thread is itself; none of them if it only makes records.
    own: usize,
    batch: usize,
}

impl<S: States, const P: usize> Thread<S, P> {
    fn new(args: &Args, roles: &Roles, thread: usize, links: Links<Record>, states: S) -> Self {
        let count = if thread < roles.makers { share_len(args.records, thread, roles.makers) } else { 0 };
        let keeper = Keeper { states, sum: 0, live: links.origins() };
        Thread {
            links,
            keeper,
            made: (thread as u64, roles.makers as u64, count),
            own: thread.checked_sub(roles.keepers_from).unwrap_or(usize::MAX),
            batch: args.batch_or(BATCH),
        }
    }

    fn work(mut self, keys: Keys, start: &dyn Fn() -> std::time::Instant) -> Part {
        let began = start();
        if keys.is_usual() {
            self.make(Keys::usual);
        } else {
            self.make(|i| keys.record(i));
        }
        let (links, keeper) = (&mut self.links, &mut self.keeper);
        // A thread that makes nothing has no rings to others.
        links.others().for_each(|target| links.send(target, &[END], |_, record| keeper.take(record)));
        while keeper.live > 0 {
            links.drain(|_, record| keeper.take(record));
        }
        Part::since(began, keeper.sum)
    }

    fn make(&mut self, record: impl Fn(u64) -> Record) {
        let (first, stride, count) = self.made;
        let (links, keeper) = (&mut self.links, &mut self.keeper);
        let mut parts: [Vec<Record>; P] = std::array::from_fn(|_| vec![(0, 0); self.batch]);
        for from in (0..count).step_by(self.batch) {
            let mut lengths = [0; P];
            for i in from..count.min(from + self.batch as u64) {
                let record = record(i * stride + first);
                let target = record.0 as usize % P;
                // Without a branch on the key, which nobody could predict.
                parts[target][lengths[target]] = record;
                lengths[target] += 1;
            }
            for target in (0..P).filter(|target| *target != self.own) {
                links.send(target, &parts[target][..lengths[target]], |_, record| keeper.take(record));
            }
            if let Some(own) = parts.get(self.own) {
                own[..lengths[self.own]].iter().for_each(|record| keeper.take(*record));
            }
            links.drain(|_, record| keeper.take(record));
        }
    }
}
