//! Sources and a sink of one's own, run and checked.
//!
//! run: 100
//!
//! `udp.rs` has what is read as it comes and lent for a step, `journal.rs` what is divided into splits and read on
//! where it was committed.

// An example prints its result.
#![allow(clippy::print_stdout)]

mod journal;
mod udp;

type Checked = Result<(), Box<dyn std::error::Error>>;

fn main() -> Checked {
    let lines: usize = std::env::args().nth(1).map_or(Ok(100), |lines| lines.parse())?;
    udp::run(lines)?;
    journal::run(lines)
}

/// Whether what came is what was to come.
fn check<X: PartialEq + std::fmt::Debug>(came: X, expected: X) -> Checked {
    if came == expected { Ok(()) } else { Err(format!("{came:?} came, and not {expected:?}").into()) }
}
