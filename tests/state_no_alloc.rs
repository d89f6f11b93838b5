//! Keyed state of known keys, timers, windows and joins allocate nothing.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use slotflow::prelude::*;
use slotflow::testing::{CountingAllocator, Harness, allocations, keyed_process};
use slotflow::{ReducingState, StateDescriptor, Timer, Ttl, ValueState};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Counts and adds up, and puts its timer off at each record.
struct Busy {
    seen: ValueState<u64>,
    sum: ReducingState<u64>,
    due: ValueState<i64>,
}

impl Busy {
    fn open(states: &mut StateDescriptors<'_>) -> Busy {
        let ttl = Ttl::event_time(std::time::Duration::from_millis(500));
        let seen = StateDescriptor::new("seen").ttl(ttl.renewed_by_reads());
        Busy {
            seen: states.value(seen),
            sum: states.reducing("sum", |sum, n| sum + n),
            due: states.value("due"),
        }
    }
}

impl KeyedProcessFunction<u64, u64> for Busy {
    type Out = u64;

    fn process(&mut self, n: u64, ctx: &mut ProcessContext<'_, u64, u64>) {
        *self.seen.value_or_default(ctx) += 1;
        self.sum.add(ctx, n);
        let due = ctx.timestamp() + 100;
        if let Some(before) = self.due.set(ctx, due) {
            ctx.delete_event_time_timer(before);
        }
        ctx.register_event_time_timer(due);
    }

    fn on_timer(&mut self, _: Timer, ctx: &mut ProcessContext<'_, u64, u64>) {
        self.sum.take(ctx);
    }
}

/// Allocations of a round over `keys` keys that are known, with a watermark behind it.
fn allocated(
    harness: &mut Harness<u64, u64, impl Operator<Owned<u64>, Out = Owned<u64>>>,
    round: u64,
) -> u64 {
    let before = allocations();
    for n in 0..5_000 {
        harness.push_at(n, (round * 5_000 + n) as i64).expect("it does not fail");
    }
    harness.watermark((round * 5_000 + 4_000) as i64).expect("it does not fail");
    allocations() - before
}

#[test]
fn states_of_known_keys_and_timers_allocate_nothing() {
    let mut harness = Harness::new(keyed_process(|n: &u64| n % 1_000, Busy::open)).expect("it can be built");
    let rounds: Vec<u64> = (0..8).map(|round| allocated(&mut harness, round)).collect();
    assert!(rounds[0] > 0, "the first round makes its keys");
    assert_eq!(rounds[3..], [0; 5], "{rounds:?}");
}

/// How many allocations the slot's thread had made when each window was given: by start, in windows.
struct Marks([AtomicU64; 64]);

impl Marks {
    const fn new() -> Marks {
        Marks([const { AtomicU64::new(0) }; 64])
    }

    /// A window that starts at this time is given; the last of its keys counts.
    fn note(&self, start: i64) {
        let mark = usize::try_from(start / WINDOW_MS).ok().and_then(|at| self.0.get(at));
        mark.into_iter().for_each(|mark| mark.store(allocations(), Relaxed));
    }

    /// What was allocated between the windows at 16 and at 60: state has all its keys, and panes are used again.
    fn steady(&self) -> u64 {
        assert!(
            self.0[..16].iter().all(|mark| mark.load(Relaxed) > 0),
            "all windows were given by one thread"
        );
        self.0[60].load(Relaxed) - self.0[16].load(Relaxed)
    }
}

/// What runs allocate in their steady states, of up to four tries the one that allocated nothing. A thread that is
/// interrupted takes shorter steps for a while, and other numbers of windows are open then than before: such things
/// only add, and what a record allocates is there at each try.
fn least<const RUNS: usize>(run: impl Fn() -> [u64; RUNS]) -> [u64; RUNS] {
    let mut tries = (0..3).map(|_| run());
    let nothing = [0; RUNS];
    tries.find(|allocated| *allocated == nothing).unwrap_or_else(run)
}

const WINDOW_MS: i64 = 100;

/// An environment whose slot's thread runs nothing but the engine: glommio's executor allocates by itself now and then.
/// Its steps are short and of one length: how many windows are open at once depends on how long steps are, and those
/// that the clock ends were longer behind the 16th window than before it, now and then.
fn environment() -> Environment {
    let settings = "[slots]\ndriver = \"thread\"\n[step]\nmin_records = 256\nbudget_us = 1";
    Environment::with(Config::from_toml(settings).expect("these are settings"))
}

/// Records of a thousand keys, ten a millisecond, in windows of one chain: reading, windows and sink are one thread.
fn windowed(slide_ms: i64, marks: &'static Marks) {
    let env = environment();
    let ms = |ms: i64| std::time::Duration::from_millis(ms as u64);
    env.source(generate(65 * 10 * WINDOW_MS as u64, |n| (n % 1_000, n as i64 / 10)))
        .with_timestamps(|record| record.1, Watermarks::bounded_out_of_orderness(ms(5)))
        .key_by_source_partition(|record| record.0)
        .window(Sliding::of(ms(WINDOW_MS), ms(slide_ms)))
        .reduce(|a, _| a)
        .sink(callback(move |window: WindowResult<u64, (u64, i64)>| marks.note(window.start)));
    env.run("windows").expect("it does not fail");
}

#[test]
fn windows_of_known_keys_allocate_nothing() {
    static TUMBLING: Marks = Marks::new();
    static SLIDING: Marks = Marks::new();
    let run = || {
        windowed(WINDOW_MS, &TUMBLING);
        windowed(WINDOW_MS / 5, &SLIDING);
        [TUMBLING.steady(), SLIDING.steady()]
    };
    assert_eq!(least(run), [0; 2]);
}

/// Records of a thousand keys, forty a millisecond, in windows that a trigger fires. First they are of four thousand,
/// so that more windows were open before than there can be later.
macro_rules! triggered {
    ($marks:ident, $windows:expr, $trigger:expr) => {{
        let env = environment();
        let keys = |time: i64| if time < 12 * WINDOW_MS { 4_000 } else { 1_000 };
        env.source(generate(65 * 40 * WINDOW_MS as u64, move |n| (n % keys(n as i64 / 40), n as i64 / 40)))
            .with_timestamps(|record| record.1, Watermarks::monotonous())
            .key_by_source_partition(|record| record.0)
            .window($windows)
            .trigger($trigger)
            .reduce(|_, b| b)
            .sink(callback(|window: WindowFiring<u64, (u64, i64)>| {
                $marks.note(window.value.1 / WINDOW_MS * WINDOW_MS)
            }));
        env.run("triggers").expect("it does not fail");
    }};
}

#[test]
fn windows_with_triggers_of_known_keys_allocate_nothing() {
    static EVENT_TIME: Marks = Marks::new();
    static EARLY: Marks = Marks::new();
    static COUNT: Marks = Marks::new();
    let window = std::time::Duration::from_millis(WINDOW_MS as u64);
    let run = || {
        triggered!(EVENT_TIME, Tumbling::of(window), EventTimeTrigger);
        let early = EarlyTrigger::every(window, ContinuousEventTimeTrigger::of(window / 4));
        triggered!(EARLY, Sliding::of(window, window / 2), PurgingTrigger::of(early));
        triggered!(COUNT, Global, PurgingTrigger::of(CountTrigger::of(1)));
        [EVENT_TIME.steady(), EARLY.steady(), COUNT.steady()]
    };
    assert_eq!(least(run), [0; 3]);
}

/// Records of a hundred keys, ten a millisecond, which are of either side in turn; joined in the chain that reads them,
/// so that neither side runs ahead.
macro_rules! joined {
    ($marks:ident, $method:ident, $($argument:expr),*) => {{
        let env = environment();
        let fact = |n: u64| (n / 2 % 100, n as i64 / 10);
        let either = move |n| if n % 2 == 0 { Either::First(fact(n)) } else { Either::Second(fact(n)) };
        let side = |either: &Either<(u64, i64), (u64, i64)>| match either {
            Either::First(fact) | Either::Second(fact) => *fact,
        };
        env.source(generate(65 * 10 * WINDOW_MS as u64, either))
            .with_timestamps(move |either| side(either).1, Watermarks::monotonous())
            .key_by_source_partition(move |either| side(either).0)
            .$method($($argument),*)
            .sink(callback(|time| $marks.note(time)));
        env.run("join").expect("it does not fail");
    }};
}

#[test]
fn joins_of_known_keys_allocate_nothing() {
    static AS_OF: Marks = Marks::new();
    static ENRICH: Marks = Marks::new();
    static INTERVAL: Marks = Marks::new();
    joined!(AS_OF, as_of_join, |fact: (u64, i64), _| Some(fact.1));
    joined!(ENRICH, enrich, |fact: (u64, i64), _| Some(fact.1));
    joined!(INTERVAL, interval_join, 0..=50, |fact: &(u64, i64), _| fact.1);
    assert_eq!((AS_OF.steady(), ENRICH.steady(), INTERVAL.steady()), (0, 0, 0));
}

/// Sessions of a thousand keys, of three records each that are a hundred milliseconds apart; then there is none for two
/// hundred, and a hundred and fifty end a session.
fn sessions(lateness_ms: u64, marks: &'static Marks) {
    let (env, ms) = (environment(), std::time::Duration::from_millis);
    env.source(generate(65 * 3_000, |n| (n % 1_000, (n / 10 + n / 3_000 * 100) as i64)))
        .with_timestamps(|record| record.1, Watermarks::bounded_out_of_orderness(ms(5)))
        .key_by_source_partition(|record| record.0)
        .window(Session::with_gap(ms(150)))
        .allowed_lateness(ms(lateness_ms))
        .reduce(|a, _| a)
        .sink(callback(move |session: WindowResult<u64, (u64, i64)>| marks.note(session.start / 4)));
    env.run("sessions").expect("it does not fail");
}

#[test]
fn sessions_of_known_keys_allocate_nothing_and_a_key_that_comes_back_has_one_list_of_them() {
    static KNOWN: Marks = Marks::new();
    static FORGOTTEN: Marks = Marks::new();
    let run = || {
        sessions(200, &KNOWN);
        [KNOWN.steady()]
    };
    assert_eq!(least(run), [0]);
    sessions(0, &FORGOTTEN);
    let (sessions, lists) = ((60 - 16) * 1_000, FORGOTTEN.steady());
    // How many are begun behind the last mark depends on where its step ends.
    assert!(lists > sessions / 2 && lists <= sessions + 1_000, "{lists} lists of {sessions} sessions");
}

/// Records of a thousand keys, ten a millisecond, in windows of so many.
macro_rules! counted {
    ($marks:ident, |$keyed:ident| $windows:expr) => {{
        let env = environment();
        let $keyed = env
            .source(generate(65 * 40 * WINDOW_MS as u64, |n| (n % 1_000, n as i64 / 10)))
            .key_by_source_partition(|record| record.0);
        $windows.reduce(|_, b| b).sink(callback(|window: (u64, (u64, i64))| $marks.note(window.1.1 / 4)));
        env.run("counts").expect("it does not fail");
    }};
}

#[test]
fn count_windows_of_known_keys_allocate_nothing() {
    static TUMBLING: Marks = Marks::new();
    static SLIDING: Marks = Marks::new();
    let run = || {
        counted!(TUMBLING, |keyed| keyed.count_window(4));
        counted!(SLIDING, |keyed| keyed.count_window(4).every(2));
        [TUMBLING.steady(), SLIDING.steady()]
    };
    assert_eq!(least(run), [0; 2]);
}

/// Five records a window of either side of each of a hundred keys.
fn grouped(marks: &'static Marks) {
    let fact = |n: u64| (n / 2 % 100, n as i64 / 10);
    let either = move |n| if n % 2 == 0 { Either::First(fact(n)) } else { Either::Second(fact(n)) };
    let side = |either: &Either<(u64, i64), (u64, i64)>| match either {
        Either::First(fact) | Either::Second(fact) => *fact,
    };
    let env = environment();
    env.source(generate(65 * 10 * WINDOW_MS as u64, either))
        .with_timestamps(move |either| side(either).1, Watermarks::monotonous())
        .key_by_source_partition(move |either| side(either).0)
        .window(Tumbling::of(std::time::Duration::from_millis(WINDOW_MS as u64)))
        .co_group(|window| window.start)
        .sink(callback(move |start| marks.note(start)));
    env.run("groups").expect("it does not fail");
}

/// A list of five has room for four at first, then for eight, and is given away as a copy. How many are begun behind
/// the last window depends on how long steps are.
#[test]
fn groups_of_known_keys_allocate_nothing_but_their_lists() {
    static GROUPS: Marks = Marks::new();
    grouped(&GROUPS);
    let (windows, lists) = (60 - 16, 100 * 2);
    let allocated = GROUPS.steady();
    assert!(allocated <= (windows + 1) * lists * 3, "{allocated} for {} lists", windows * lists);
}
