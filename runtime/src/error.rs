//! What can go wrong, by who can mend it.
//!
//! There are four sorts of failure while a job runs, treated differently: the **user's** (a closure failed or
//! panicked: the job stops), the **world's** (Kafka is away: the connector decides), a **bug** of this crate
//! (the job stops, please report it) and bad **data** (the operator's policy decides: fail, skip, dead
//! letter). A fifth one happens before anything runs: a **plan** that cannot be carried out, with every
//! problem listed at once.
//!
//! An [`Error`] is one pointer wide, so a `Result<()>` travels in a register.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Why an operator's own code failed, as the standard library boxes it: `"text".into()` makes one.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A result of this crate; the error can be replaced where a function has a narrower one.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any failure of the runtime, one pointer wide; [`kind`](Error::kind) says which sort it is.
///
/// The message names the place (operator, subtask, partition, offset) and the cause; `source()` gives the
/// cause itself, so that a closure's own error type can be had back by `downcast_ref`.
///
/// ```
/// use slotflow_runtime::error::{Error, ErrorKind};
///
/// let error = Error::user("price is negative").at("check price", 2);
/// assert_eq!(error.to_string(), r#"operator "check price", subtask 2: price is negative"#);
/// assert!(matches!(error.kind(), ErrorKind::User { .. }));
/// ```
pub struct Error(Box<ErrorKind>);

/// The sorts of failure, with what each one knows.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A closure of the user returned an error or panicked. The job stops.
    User {
        /// Where, once the subtask that ran the closure has filled it in.
        place: Option<Place>,
        /// What the closure returned, or the text it panicked with.
        cause: Cause,
    },
    /// Something outside the process refused or is away: a broker, a file, a limit of the machine.
    World {
        /// Where, once known.
        place: Option<Place>,
        /// What happened, naming the other side.
        what: String,
        /// What the operator of the host can do about it, naming the setting or the command.
        remedy: String,
    },
    /// This crate broke a promise of its own. The job stops.
    Bug(String),
    /// One record cannot be read or is not what the operator expects.
    Data {
        /// Where, once known.
        place: Option<Place>,
        /// The split that the record came from, for Kafka `topic-partition`.
        split: String,
        /// The record's offset in its split.
        offset: u64,
        /// What is wrong with the record.
        cause: Cause,
    },
    /// Everything that is wrong with a job, its configuration or its machine, found before anything started.
    Plan(Vec<Problem>),
}

/// Where in a job something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The operator's name, as the user gave it.
    pub operator: String,
    /// The index of the operator's subtask, from 0.
    pub subtask: usize,
}

/// One thing that is wrong before the start, with its remedy.
///
/// ```
/// use slotflow_runtime::error::Problem;
///
/// let problem = Problem::new("slots.count", "is 0", "leave it out or give at least 1");
/// assert_eq!(problem.to_string(), "slots.count: is 0; leave it out or give at least 1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it is about: a setting (`edges.capacity`), an operator or a limit of the machine.
    pub subject: String,
    /// What is wrong with it, without a full stop.
    pub what: String,
    /// How to put it right, without a full stop.
    pub remedy: String,
}

impl Problem {
    /// Puts the three parts together.
    pub fn new(subject: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject: subject.into(), what: what.into(), remedy: remedy.into() }
    }
}

impl Error {
    /// A closure's failure. The engine adds the place with [`at`](Error::at).
    pub fn user(cause: impl Into<Cause>) -> Self {
        ErrorKind::User { place: None, cause: cause.into() }.into()
    }

    /// A closure's panic, from what `catch_unwind` gave. A value that panics again when it is dropped is left:
    /// whoever catches panics must go on. One that was caught further in and has a place keeps it.
    pub fn panicked(payload: Box<dyn Any + Send>) -> Self {
        let payload = match payload.downcast::<Self>() {
            Ok(named) => return *named,
            Err(payload) => payload,
        };
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let error = Self::user(format!("panicked: {}", text.unwrap_or("with a value that is no text")));
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(again);
        }
        error
    }

    /// Calls code of a connector or of the user where a panic would be the host's: it is the outcome instead.
    pub(crate) fn caught<X>(work: impl FnOnce() -> Result<X>) -> Result<X> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Self::panicked(panic)))
    }

    /// Calls code that cannot return an error and whose caller does not know whose it is: a panic goes on as the error
    /// that names this place.
    #[inline(always)]
    pub(crate) fn named<X>(operator: &str, subtask: usize, work: impl FnOnce() -> X) -> X {
        let outcome = catch_unwind(AssertUnwindSafe(work));
        outcome.unwrap_or_else(|panic| resume_unwind(Box::new(Self::panicked(panic).at(operator, subtask))))
    }

    /// A failure of the outside, named together with what helps.
    pub fn world(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        ErrorKind::World { place: None, what: what.into(), remedy: remedy.into() }.into()
    }

    /// A promise that this crate made and did not keep.
    pub fn bug(what: impl Into<String>) -> Self {
        ErrorKind::Bug(what.into()).into()
    }

    /// A bad record, by its split and offset.
    pub fn data(split: impl Into<String>, offset: u64, cause: impl Into<Cause>) -> Self {
        ErrorKind::Data { place: None, split: split.into(), offset, cause: cause.into() }.into()
    }

    /// Everything that speaks against a start; a list of one is fine.
    pub fn plan(problems: Vec<Problem>) -> Self {
        ErrorKind::Plan(problems).into()
    }

    /// Says where it happened, unless something nearer has said so already. Bugs and plans have no place.
    #[must_use]
    pub fn at(mut self, operator: &str, subtask: usize) -> Self {
        if let Some(place) = self.0.place_mut() {
            place.get_or_insert_with(|| Place { operator: operator.into(), subtask });
        }
        self
    }

    /// The failure as problems before a start: a plan's own, or one about `subject`.
    pub fn into_problems(self, subject: &str) -> Vec<Problem> {
        let again = "mend that and start again";
        let (what, remedy) = match self.into_kind() {
            ErrorKind::Plan(problems) => return problems,
            ErrorKind::World { what, remedy, .. } => (what, remedy),
            ErrorKind::User { cause, .. } => (cause.to_string(), again.into()),
            kind @ ErrorKind::Data { .. } => (kind.to_string(), again.into()),
            ErrorKind::Bug(what) => (format!("a bug in slotflow: {what}"), "please report it".into()),
        };
        vec![Problem::new(subject, what, remedy)]
    }

    /// Which sort of failure this is.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// Takes the failure apart.
    pub fn into_kind(self) -> ErrorKind {
        *self.0
    }

    /// Where it happened, if that is known.
    pub fn place(&self) -> Option<&Place> {
        self.0.place()
    }
}

impl ErrorKind {
    fn place(&self) -> Option<&Place> {
        match self {
            Self::User { place, .. } | Self::World { place, .. } | Self::Data { place, .. } => place.as_ref(),
            Self::Bug(_) | Self::Plan(_) => None,
        }
    }

    fn place_mut(&mut self) -> Option<&mut Option<Place>> {
        match self {
            Self::User { place, .. } | Self::World { place, .. } | Self::Data { place, .. } => Some(place),
            Self::Bug(_) | Self::Plan(_) => None,
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::plan(vec![problem])
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.kind() {
            ErrorKind::User { cause, .. } | ErrorKind::Data { cause, .. } => Some(cause.as_ref()),
            ErrorKind::World { .. } | ErrorKind::Bug(_) | ErrorKind::Plan(_) => None,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.kind(), f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place() {
            write!(f, "{place}: ")?;
        }
        fmt::Display::fmt(self.kind(), f)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { cause, .. } => write!(f, "{cause}"),
            Self::World { what, remedy, .. } => write!(f, "{what}; {remedy}"),
            Self::Bug(what) => write!(f, "a bug in slotflow: {what}; please report it"),
            Self::Data { split, offset, cause, .. } => {
                write!(f, "bad record in {split} at offset {offset}: {cause}")
            }
            Self::Plan(problems) => write_problems(f, problems),
        }
    }
}

/// One problem stands on the message's own line; several get a line each, under their number.
fn write_problems(f: &mut fmt::Formatter<'_>, problems: &[Problem]) -> fmt::Result {
    if let [problem] = problems {
        return write!(f, "{problem}");
    }
    write!(f, "{} problems before the start", problems.len())?;
    problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operator \"{}\", subtask {}", self.operator, self.subtask)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.subject, self.what, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn bad_digit() -> std::num::ParseIntError {
        "x".parse::<u8>().unwrap_err()
    }

    #[test]
    fn every_failure_is_a_problem_before_the_start() {
        let text = |error: Error| error.into_problems("operator \"in\"")[0].to_string();
        assert_eq!(text(Error::world("no answer", "start it")), "operator \"in\": no answer; start it");
        assert_eq!(
            text(Error::user(bad_digit())),
            "operator \"in\": invalid digit found in string; mend that and start again"
        );
        assert_eq!(
            text(Error::data("a.csv", 3, bad_digit())),
            "operator \"in\": bad record in a.csv at offset 3: invalid digit found in string; mend that and start again"
        );
        assert_eq!(text(Error::bug("x")), "operator \"in\": a bug in slotflow: x; please report it");
        assert_eq!(text(Problem::new("slots.count", "is 0", "give 1").into()), "slots.count: is 0; give 1");
    }

    #[test]
    fn an_error_is_one_pointer_wide_and_crosses_threads() {
        fn crosses<T: Send + Sync + 'static>() {}
        crosses::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn every_sort_has_its_golden_text() {
        let texts = [
            (
                Error::user(bad_digit()).at("parse", 1),
                "operator \"parse\", subtask 1: invalid digit found in string",
            ),
            (
                Error::world("broker b:9092 does not answer", "check `brokers`").at("orders", 0),
                "operator \"orders\", subtask 0: broker b:9092 does not answer; check `brokers`",
            ),
            (Error::bug("ring lost its end"), "a bug in slotflow: ring lost its end; please report it"),
            (
                Error::data("orders-3", 812, bad_digit()).at("parse", 2),
                "operator \"parse\", subtask 2: bad record in orders-3 at offset 812: invalid digit found in string",
            ),
            (
                Problem::new("slots.count", "is 0", "give at least 1").into(),
                "slots.count: is 0; give at least 1",
            ),
        ];
        for (error, text) in texts {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn a_plan_lists_all_its_problems() {
        let error =
            Error::plan(vec![Problem::new("a", "is 1", "give 2"), Problem::new("b", "is 3", "give 4")]);
        assert_eq!(
            error.to_string(),
            "2 problems before the start\n  - a: is 1; give 2\n  - b: is 3; give 4"
        );
    }

    #[test]
    fn the_nearest_place_wins() {
        let error = Error::user("no").at("inner", 1).at("outer", 2);
        assert_eq!(error.place(), Some(&Place { operator: "inner".into(), subtask: 1 }));
        assert_eq!(Error::bug("no").at("outer", 2).place(), None);
    }

    #[test]
    fn the_closures_own_error_comes_back() {
        let error = Error::user(bad_digit());
        assert!(error.source().unwrap().is::<std::num::ParseIntError>());
        assert!(Error::bug("x").source().is_none());
        assert!(matches!(error.into_kind(), ErrorKind::User { place: None, .. }));
    }

    #[test]
    fn a_panic_keeps_its_text() {
        assert_eq!(Error::panicked(Box::new("boom")).to_string(), "panicked: boom");
        assert_eq!(Error::panicked(Box::new(String::from("boom 7"))).to_string(), "panicked: boom 7");
        assert_eq!(Error::panicked(Box::new(7_u8)).to_string(), "panicked: with a value that is no text");
    }
}
