//! Sources and a sink of one's own, run and checked.
//!
//! run: 100
//!
//! `table.rs` is the shortest with splits that are read on where was committed; `journal.rs` is one of files, which
//! lends its records and says what is to be mended; `udp.rs` has what is read as it comes, an operator and a sink.

// An example prints its result.
#![allow(clippy::print_stdout)]

mod journal;
mod table;
mod udp;

type Checked = Result<(), Box<dyn std::error::Error>>;

fn main() -> Checked {
    let lines: usize = std::env::args().nth(1).map_or(Ok(100), |lines| lines.parse())?;
    udp::run(lines)?;
    table::run(lines)?;
    journal::run(lines)
}

/// Whether what came is what was to come.
fn check<X: PartialEq + std::fmt::Debug>(came: X, expected: X) -> Checked {
    if came == expected { Ok(()) } else { Err(format!("{came:?} came, and not {expected:?}").into()) }
}
