//! What operators tell of themselves: how much state they keep, and what they have left out.
//!
//! 1. Operators count in fields of their own. Now and then, between two steps, the subtask asks all of them: so the
//!    record path pays nothing, and what is read of a running job is a little old (see [`Asked`]).
//! 2. What they tell is kept in a list that only grows. The subtask appends and writes, anybody reads.
//! 3. When all of the state is more than its budget, the job fails, and the operator that keeps most is named.

use std::sync::OnceLock;

use crate::context::Blame;
use crate::metrics::Count;
use crate::subtask::Step;
use crate::{Consumer, Error, Family, Result};

/// After so many records the operators are asked again (a guess: asking one that has ten million keys is some thousand
/// instructions, and the budget is exceeded by what so many records add at most).
const EVERY_RECORDS: usize = 16 * 1024;

/// After so long they are, too, although fewer have come (a guess: no person sees the difference).
const EVERY_NS: u64 = 100_000_000;

/// What one operator has told.
#[derive(Debug)]
struct Told {
    operator: u32,
    what: What,
    /// Keys that have state, records left out, or records that wait.
    count: Count,
    /// Of state.
    bytes: Count,
    /// For whom records wait.
    whom: OnceLock<String>,
}

/// What a count is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    State,
    Dropped(&'static str),
    Waiting,
}

/// A list that one thread appends to while others read it.
#[derive(Debug)]
struct Appended<X>(OnceLock<Box<(X, Appended<X>)>>);

impl<X> Appended<X> {
    fn iter(&self) -> impl Iterator<Item = &X> {
        std::iter::successors(self.0.get(), |entry| entry.1.0.get()).map(|entry| &entry.0)
    }

    /// The first that `is` the one, or a new one behind all others.
    fn find_or_append(&self, is: impl Fn(&X) -> bool, make: impl Fn() -> X) -> &X {
        let mut list = self;
        loop {
            let (known, rest) = &**list.0.get_or_init(|| Box::new((make(), Appended(OnceLock::new()))));
            if is(known) {
                return known;
            }
            list = rest;
        }
    }
}

/// What the operators of one subtask have told. Written by the subtask, on its slot; read by anybody.
#[derive(Debug)]
pub struct OperatorMeters(Appended<Told>);

impl Default for OperatorMeters {
    fn default() -> Self {
        OperatorMeters(Appended(OnceLock::new()))
    }
}

impl OperatorMeters {
    fn told(&self, operator: u32, what: What) -> &Told {
        let make = || {
            let (count, bytes, whom) = Default::default();
            Told { operator, what, count, bytes, whom }
        };
        self.0.find_or_append(|told| told.operator == operator && told.what == what, make)
    }

    /// Keys that have state, and what all of it takes, in bytes.
    pub fn state(&self) -> (usize, usize) {
        let states = self.0.iter().filter(|told| told.what == What::State);
        states.fold((0, 0), |sum, told| {
            (sum.0 + told.count.value() as usize, sum.1 + told.bytes.value() as usize)
        })
    }

    /// The values so far of each operator that has told any; `name` gives an operator's name by its number.
    pub fn snapshot(&self, name: impl Fn(u32) -> String) -> Vec<OperatorMetrics> {
        let mut all: Vec<(u32, OperatorMetrics)> = Vec::new();
        for told in self.0.iter() {
            let known = all.iter().position(|(operator, _)| *operator == told.operator);
            let at = known.unwrap_or_else(|| {
                all.push((told.operator, OperatorMetrics::of(name(told.operator))));
                all.len() - 1
            });
            all[at].1.add(told);
        }
        all.into_iter().map(|(_, metrics)| metrics).collect()
    }
}

/// What one operator of a subtask tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorMetrics {
    /// The operator's name.
    pub operator: String,
    /// Keys that have state; a key of windows counts once for each stretch of time that has something of it.
    pub state_keys: usize,
    /// What its state takes, in bytes. What keys and values own on the heap counts as far as their types tell: that of
    /// lists and maps of states, of what joins keep and of the records that windows keep; not that of a `String`, nor
    /// what sliding windows copy from pane to pane.
    pub state_bytes: usize,
    /// What it has left out, by reason.
    pub dropped: Vec<Dropped>,
    /// Records that have come in and have not gone on, because they wait for somebody outside.
    pub waiting_records: u64,
    /// For whom they wait, or did the first time; empty if none ever had to.
    pub waits_for: String,
}

/// How many records an operator has left out for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// A word, such as `late`.
    pub reason: &'static str,
    /// How many there were.
    pub records: u64,
}

impl OperatorMetrics {
    fn of(operator: String) -> Self {
        OperatorMetrics { operator, ..OperatorMetrics::default() }
    }

    fn add(&mut self, told: &Told) {
        match told.what {
            What::State => {
                (self.state_keys, self.state_bytes) =
                    (told.count.value() as usize, told.bytes.value() as usize);
            }
            What::Dropped(reason) => self.dropped.push(Dropped { reason, records: told.count.value() }),
            What::Waiting => {
                self.waiting_records = told.count.value();
                self.waits_for = told.whom.get().cloned().unwrap_or_default();
            }
        }
    }

    /// How many records it has left out for this reason.
    pub fn dropped(&self, reason: &str) -> u64 {
        self.dropped.iter().filter(|dropped| dropped.reason == reason).map(|dropped| dropped.records).sum()
    }

    /// What came since an earlier look; state, and what waits, is that of now.
    pub(crate) fn subtract(&mut self, earlier: &OperatorMetrics) {
        for dropped in &mut self.dropped {
            dropped.records = dropped.records.saturating_sub(earlier.dropped(dropped.reason));
        }
    }
}

/// Takes down what an operator tells: handed to [`Operator::measure`](crate::Operator::measure).
pub struct Measures<'m> {
    meters: &'m OperatorMeters,
    operator: u32,
    /// What the one told that keeps most, and which it is.
    largest: (usize, u32),
}

impl<'m> Measures<'m> {
    /// Nothing yet, for `meters`.
    pub fn of(meters: &'m OperatorMeters) -> Self {
        Measures { meters, operator: 0, largest: (0, 0) }
    }

    /// What `call` tells is of the operator of this number. Called by the links of a chain.
    pub fn by(&mut self, operator: u32, call: impl FnOnce(&mut Self)) {
        self.operator = operator;
        call(self);
    }

    /// This many keys have state, and it takes so many bytes, all in all.
    pub fn state(&mut self, keys: usize, bytes: usize) {
        let told = self.meters.told(self.operator, What::State);
        told.count.set(keys as u64);
        told.bytes.set(bytes as u64);
        self.largest = self.largest.max((bytes, self.operator));
    }

    /// So many records have been left out for this reason, all in all; a reason is a word that never changes.
    pub fn dropped(&mut self, reason: &'static str, records: u64) {
        if records > 0 {
            self.meters.told(self.operator, What::Dropped(reason)).count.set(records);
        }
    }

    /// So many records have come in and have not gone on, because they wait for `whom`, somebody outside: a server, the
    /// other side of a sink. Told as long as the operator lives, also when it is 0 again.
    pub fn waiting(&mut self, records: usize, whom: impl FnOnce() -> String) {
        let told = self.meters.told(self.operator, What::Waiting);
        told.count.set(records as u64);
        if records > 0 {
            told.whom.get_or_init(whom);
        }
    }

    fn check(self, budget_bytes: Option<usize>, blame: &Blame) -> Result<()> {
        let (keys, bytes) = self.meters.state();
        match budget_bytes {
            Some(budget) if bytes > budget => {
                blame.note(self.largest.1);
                Err(Error::world(
                    format!(
                        "the state of {keys} keys takes {bytes} bytes, more than state.budget_bytes = {budget} allows"
                    ),
                    "raise it, let state expire (a time to live, a retention, shorter windows), or raise the \
                     operator's parallelism",
                ))
            }
            _ => Ok(()),
        }
    }
}

/// Asks the operators of a chain what they have to tell.
///
/// # Errors
/// All the state together takes more than the budget; blames the operator that keeps most.
#[inline(never)]
pub(crate) fn measure<F: Family, C: Consumer<F>>(
    chain: Option<&C>,
    meters: &OperatorMeters,
    budget_bytes: Option<usize>,
    blame: &Blame,
) -> Result<()> {
    let mut measures = Measures::of(meters);
    chain.into_iter().for_each(|chain| chain.measure(&mut measures));
    measures.check(budget_bytes, blame)
}

/// When the operators of a subtask are asked: before it idles or is blocked, at its end, and while it is busy after
/// 16 Ki records or a tenth of a second.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Records since they were asked.
    records: usize,
    /// Something has happened since.
    fresh: bool,
    next_ns: u64,
}

impl Asked {
    /// Something has happened, whatever its step comes to.
    pub(crate) fn freshen(&mut self) {
        self.fresh = true;
    }

    /// Whether to ask now, after a step.
    #[inline(always)]
    pub(crate) fn is_due(&mut self, step: &Step, now_ns: u64) -> bool {
        let due = match step {
            Step::Progress(records) => {
                self.fresh = true;
                self.records += records;
                self.records >= EVERY_RECORDS || now_ns >= self.next_ns
            }
            Step::Idle(_) | Step::Blocked(_) => self.fresh,
            // The last answer stands in the report. What a sink has learnt of since, its steps do not tell.
            Step::Done => true,
            Step::Failed(_) => false,
        };
        if due {
            *self = Asked { records: 0, fresh: false, next_ns: now_ns + EVERY_NS };
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(
        meters: &OperatorMeters,
        budget_bytes: usize,
        states: &[(u32, usize)],
    ) -> (Result<()>, Option<u32>) {
        let (mut measures, blame) = (Measures::of(meters), Blame::default());
        for (operator, bytes) in states {
            measures.by(*operator, |measures| measures.state(1, *bytes));
        }
        (measures.check(Some(budget_bytes), &blame), blame.operator())
    }

    #[test]
    fn all_state_counts_and_the_operator_with_most_of_it_is_named() {
        let meters = OperatorMeters::default();
        assert!(ask(&meters, 100, &[(1, 60), (2, 40)]).0.is_ok());
        let (refused, blamed) = ask(&meters, 100, &[(1, 30), (2, 80)]);
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("2 keys takes 110 bytes, more than state.budget_bytes = 100"), "{said}");
        assert_eq!(blamed, Some(2));
    }

    #[test]
    fn each_operator_has_its_own_values_and_reasons() {
        let meters = OperatorMeters::default();
        for late in [0, 3, 5] {
            let mut measures = Measures::of(&meters);
            measures.by(7, |measures| {
                measures.state(2, 64);
                measures.dropped("late", late);
            });
            measures.by(9, |measures| measures.dropped("skipped", 1));
        }
        let [window, parse] = &meters.snapshot(|number| format!("op {number}"))[..] else {
            panic!("two told")
        };
        assert_eq!((&*window.operator, window.state_keys, window.state_bytes), ("op 7", 2, 64));
        assert_eq!([window.dropped("late"), window.dropped("skipped"), parse.dropped("skipped")], [5, 0, 1]);
    }

    #[test]
    fn they_are_asked_now_and_then_while_busy_and_before_it_rests() {
        let mut asked = Asked::default();
        assert!(asked.is_due(&Step::Progress(1), 1), "at the first step, or a short job would never tell");
        assert!(!asked.is_due(&Step::Progress(EVERY_RECORDS - 1), 2));
        assert!(asked.is_due(&Step::Progress(1), 2));
        assert!(!asked.is_due(&Step::Idle(9), 3), "nothing has happened since");
        for rests in [Step::Idle(9), Step::Blocked(9)] {
            assert!(!asked.is_due(&Step::Progress(0), 3) && asked.is_due(&rests, 3));
        }
        assert!(asked.is_due(&Step::Progress(0), 3 + EVERY_NS));
        assert!(asked.is_due(&Step::Done, 3 + EVERY_NS), "its last answer is the report's");
    }
}
