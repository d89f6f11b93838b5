//! A live view of a job, for a terminal or a log.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io::{self, Write};
use std::time::Duration;

use super::handle::Job;
use super::shares::SlotMetrics;
use super::snapshot::{EdgeMetrics, JobMetrics, SubtaskMetrics};
use crate::machine::terminal_size;

/// How often `stop` is asked between two drawings (a guess: sooner than a person can tell).
const STOP_INTERVAL: Duration = Duration::from_millis(20);

/// What a job does, drawn again and again. From [`Job::view`]; for a thread of the host.
///
/// ```
/// use std::io::{IsTerminal, stdout};
///
/// # fn show(job: &slotflow_runtime::Job) -> std::io::Result<()> {
/// let terminal = stdout().is_terminal();
/// job.view().show_until(&mut stdout(), terminal, || false)
/// # }
/// ```
pub struct View<'j> {
    job: &'j Job,
    earlier: JobMetrics,
    every: Duration,
    columns: Option<usize>,
    rows: Option<usize>,
}

impl<'j> View<'j> {
    pub(super) fn new(job: &'j Job) -> View<'j> {
        View { job, earlier: job.metrics(), every: Duration::from_secs(1), columns: None, rows: None }
    }

    /// Sets the time from one drawing to the next; default 1 s.
    #[must_use]
    pub fn every(mut self, every: Duration) -> View<'j> {
        self.every = every;
        self
    }

    /// Cuts the lines on a terminal to this many characters; by default to as many columns as the terminal at the
    /// standard output has at each drawing, and not at all where there is none. A line that wrapped would push the next
    /// drawing out of its place. Characters of two columns count as one.
    #[must_use]
    pub fn columns(mut self, columns: usize) -> View<'j> {
        self.columns = Some(columns);
        self
    }

    /// Cuts a drawing on a terminal to this many rows, at least 2, of which the last is the cursor's; by default to as
    /// many as the terminal at the standard output has at each drawing. What scrolled out at the top could not be drawn
    /// over. The last line says how many are left out.
    #[must_use]
    pub fn rows(mut self, rows: usize) -> View<'j> {
        self.rows = Some(rows);
        self
    }

    /// What the job did since the last look. Its `Display` is the view's text, its
    /// [`line`](JobMetrics::line) the short form.
    pub fn look(&mut self) -> JobMetrics {
        let now = self.job.metrics();
        let lately = now.since(&self.earlier);
        self.earlier = now;
        lately
    }

    /// Draws until `stop` says so or the job has ended, and then once more: the whole text in its place on a
    /// terminal, a plain line each time elsewhere. `stop` is asked before each drawing, and every 20 ms on the way to
    /// the next one.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn show_until(
        &mut self,
        out: &mut impl Write,
        terminal: bool,
        mut stop: impl FnMut() -> bool,
    ) -> io::Result<()> {
        let mut drawn = 0;
        loop {
            let last = self.is_over(&mut stop);
            let lately = self.look();
            if terminal {
                drawn = draw_over(out, drawn, &lately.to_string(), self.size())?;
            } else {
                writeln!(out, "{}", lately.line())?;
            }
            out.flush()?;
            if last {
                return Ok(());
            }
        }
    }

    fn size(&self) -> (usize, usize) {
        let (columns, rows) = terminal_size().unwrap_or((usize::MAX, usize::MAX));
        (self.columns.unwrap_or(columns), self.rows.unwrap_or(rows))
    }

    /// Waits for the next drawing; `true` when it is the last.
    fn is_over(&self, stop: &mut impl FnMut() -> bool) -> bool {
        let mut left = self.every;
        loop {
            let pause = left.min(STOP_INTERVAL);
            if stop() || self.job.ends_within(pause) {
                return true;
            }
            left -= pause;
            if left.is_zero() {
                return false;
            }
        }
    }
}

/// Draws over what stands there: up by the lines of the last drawing, then each line after clearing it, and
/// clears what is left below (ECMA-48 sequences). It is cut to the columns and rows that there are; gives how many
/// lines it has. A drawing that was higher than a terminal that has become lower is covered as far as it can be seen.
fn draw_over(
    out: &mut impl Write,
    drawn: usize,
    text: &str,
    (columns, rows): (usize, usize),
) -> io::Result<usize> {
    let room = rows.max(2) - 1;
    if drawn > 0 {
        write!(out, "\x1b[{}A", drawn.min(room))?;
    }
    let lines = text.lines().count();
    let shown = if lines > room { room - 1 } else { lines };
    text.lines().take(shown).try_for_each(|line| draw(out, line, columns))?;
    if shown < lines {
        draw(out, &format!("  {} lines more than the terminal has rows for", lines - shown), columns)?;
    }
    write!(out, "\x1b[J")?;
    Ok(lines.min(room))
}

/// Draws a line, cut to the columns that there are: these may be more than a precision of `write!` can be.
fn draw(out: &mut impl Write, line: &str, columns: usize) -> io::Result<()> {
    let end = line.char_indices().nth(columns).map_or(line.len(), |(end, _)| end);
    writeln!(out, "\x1b[2K{}", &line[..end])
}

impl JobMetrics {
    /// The short form: rate, latency and the culprit.
    pub fn line(&self) -> String {
        let records_per_s = self.records_in() as f64 * 1e9 / self.since_ns.max(1) as f64;
        let latency = match self.latency.count() {
            0 => String::new(),
            _ => format!(", latency p50 {}, p99 {}", time(self.p_ns(0.5)), time(self.p_ns(0.99))),
        };
        format!("{} records/s{latency}; {}", amount(records_per_s), self.why_slow())
    }

    fn p_ns(&self, q: f64) -> f64 {
        self.latency.quantile_ns(q) as f64
    }

    /// Of the subtasks of a chain, the mean share of a time.
    fn mean(&self, chain: &[&SubtaskMetrics], of: impl Fn(&SubtaskMetrics) -> u64) -> f64 {
        let sum: u64 = chain.iter().map(|subtask| of(subtask)).sum();
        percent(sum, self.since_ns * chain.len() as u64)
    }

    fn chain(&self, f: &mut Formatter<'_>, chain: &[&SubtaskMetrics]) -> fmt::Result {
        let records: u64 = chain.iter().map(|subtask| subtask.records).sum();
        let records_per_s = amount(records as f64 * 1e9 / self.since_ns.max(1) as f64);
        let (busy, blocked) = (self.mean(chain, |it| it.busy_ns), self.mean(chain, |it| it.blocked_ns));
        let (name, parallelism) = (&chain[0].chain, chain.len());
        let name = format!("{name} x {parallelism}");
        writeln!(f, "  {name:<40} {records_per_s:>9}/s  busy {busy:>3.0} %  backpressured {blocked:>3.0} %")?;
        dropped(chain).into_iter().try_for_each(|((operator, reason), records)| {
            writeln!(f, "    {operator:<38} left out, {reason}: {}", amount(records as f64))
        })
    }

    fn edge(&self, f: &mut Formatter<'_>, rings: &[&EdgeMetrics]) -> fmt::Result {
        let fill: f64 = rings.iter().map(|edge| edge.ring.mean_fill()).sum::<f64>() / rings.len() as f64;
        let fullest = rings.iter().map(|edge| edge.ring.mean_fill()).fold(0.0, f64::max);
        let name = format!("{} => {}", rings[0].from.0, rings[0].to.0);
        let (fill, fullest) = (fill * 100.0, fullest * 100.0);
        writeln!(f, "  {name:<40} rings {fill:>3.0} % full, the fullest {fullest:>3.0} %")
    }
}

impl Display for JobMetrics {
    /// A line for the job, one for each chain and what its operators have left out, one for each edge and slot.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.line())?;
        let chains = self.subtasks.iter().map(|subtask| subtask.chain_number);
        for number in distinct(chains) {
            let chain: Vec<_> =
                self.subtasks.iter().filter(|subtask| subtask.chain_number == number).collect();
            self.chain(f, &chain)?;
        }
        for edge in distinct(self.edges.iter().map(|edge| edge.chains)) {
            let rings: Vec<_> = self.edges.iter().filter(|ring| ring.chains == edge).collect();
            self.edge(f, &rings)?;
        }
        self.slots.iter().try_for_each(|slot| writeln!(f, "  {}", shares(slot)))
    }
}

/// What the operators of a chain have left out, by operator and reason.
fn dropped<'m>(chain: &[&'m SubtaskMetrics]) -> BTreeMap<(&'m str, &'static str), u64> {
    let mut sums = BTreeMap::new();
    for operator in chain.iter().flat_map(|subtask| &subtask.operators) {
        for dropped in operator.dropped.iter().filter(|dropped| dropped.records > 0) {
            *sums.entry((&*operator.operator, dropped.reason)).or_insert(0) += dropped.records;
        }
    }
    sums
}

fn distinct<X: Ord>(items: impl Iterator<Item = X>) -> Vec<X> {
    let mut items: Vec<X> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

fn shares(slot: &SlotMetrics) -> String {
    let share = |ns| percent(ns, slot.total_ns());
    let cpu = slot.cpu.map(|cpu| format!(" on CPU {cpu}")).unwrap_or_default();
    format!(
        "slot {}{cpu}: useful {:.0} %, spinning {:.0} %, parked {:.0} %, blocked {:.0} %, stalled {:.0} %",
        slot.slot,
        share(slot.useful_ns),
        share(slot.spinning_ns),
        share(slot.parked_ns),
        share(slot.blocked_ns),
        share(slot.stalled_ns)
    )
}

fn percent(part: u64, whole: u64) -> f64 {
    (part as f64 * 100.0 / whole.max(1) as f64).min(100.0)
}

/// A number as people read it: `950`, `12.3 k`, `4.56 M`.
fn amount(number: f64) -> String {
    match number {
        n if n < 1e3 => format!("{n:.0}"),
        n if n < 1e6 => format!("{:.1} k", n / 1e3),
        n => format!("{:.2} M", n / 1e6),
    }
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} us", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_covers_the_one_before() {
        let mut out = Vec::new();
        let drawn = draw_over(&mut out, 0, "a\nb\n", (80, 24)).unwrap();
        draw_over(&mut out, drawn, "c\n", (80, 24)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "\x1b[2Ka\n\x1b[2Kb\n\x1b[J\x1b[2A\x1b[2Kc\n\x1b[J");
    }

    #[test]
    fn a_line_is_cut_to_the_terminal_and_stays_one() {
        let mut out = Vec::new();
        assert_eq!(draw_over(&mut out, 0, "übers\nab\n", (3, 24)).unwrap(), 2);
        assert_eq!(String::from_utf8(out).unwrap(), "\x1b[2Kübe\n\x1b[2Kab\n\x1b[J");
    }

    #[test]
    fn a_drawing_is_no_higher_than_the_terminal_and_tells_what_it_leaves_out() {
        let mut out = Vec::new();
        let drawn = draw_over(&mut out, 0, "a\nb\nc\nd\n", (80, 4)).unwrap();
        draw_over(&mut out, drawn, "a\nb\nc\n", (80, 4)).unwrap();
        let first = "\x1b[2Ka\n\x1b[2Kb\n\x1b[2K  2 lines more than the terminal has rows for\n\x1b[J";
        let second = "\x1b[3A\x1b[2Ka\n\x1b[2Kb\n\x1b[2Kc\n\x1b[J";
        assert_eq!(String::from_utf8(out).unwrap(), format!("{first}{second}"));
    }

    #[test]
    fn a_drawing_goes_up_no_further_than_a_terminal_that_has_become_lower() {
        let mut out = Vec::new();
        let drawn = draw_over(&mut out, 9, "a\nb\nc\n", (80, 3)).unwrap();
        let text = "\x1b[2A\x1b[2Ka\n\x1b[2K  2 lines more than the terminal has rows for\n\x1b[J";
        assert_eq!((&*String::from_utf8(out).unwrap(), drawn), (text, 2));
    }

    #[test]
    fn a_terminal_that_does_not_say_how_large_it_is_gets_whole_lines() {
        let mut out = Vec::new();
        draw_over(&mut out, 0, "übers\n", (usize::MAX, usize::MAX)).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\x1b[2Kübers\n\x1b[J");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([950.0, 12_345.0, 4_561_000.0].map(amount), ["950", "12.3 k", "4.56 M"]);
        assert_eq!([950.0, 12_345.0, 4_561_000.0].map(time), ["950 ns", "12.3 us", "4.6 ms"]);
    }
}
