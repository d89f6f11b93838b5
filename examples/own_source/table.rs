//! A source of one's own in forty lines: with splits, a poll that never waits, and offsets that are stored.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use slotflow::prelude::*;
use slotflow::runtime::{
    Committer, Offset, Offsets, Polled, Source, SourceReader, SplitId, Splits, SubtaskContext, Untimed,
};

use super::{Checked, check};

/// The rows of a table in parts. How many rows of a part were read stands in a file of this folder, by the part's
/// number; one that is not there begins at its first row.
struct Table(Arc<[Vec<u64>]>, PathBuf);

/// A subtask's parts, each with the rows that are left.
struct Rows(Arc<[Vec<u64>]>, Vec<(SplitId, Range<usize>)>, PathBuf);

type Row = Owned<u64>;

impl Source for Table {
    type Reader = Rows;
    fn describe(&self) -> String {
        "table".into()
    }
    fn commits(&self) -> bool {
        true
    }
    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::Count(self.0.len() as u32))
    }
    fn open(&mut self, _: &SubtaskContext, parts: &[SplitId]) -> Result<Rows> {
        let read = |part: &SplitId| fs::read_to_string(self.1.join(part.to_string())).unwrap_or_default();
        let left = |part: &SplitId| (*part, read(part).parse().unwrap_or(0)..self.0[*part as usize].len());
        Ok(Rows(self.0.clone(), parts.iter().map(left).collect(), self.1.clone()))
    }
}

impl SourceReader for Rows {
    type Item = Row;
    type Time = Untimed;
    fn poll<'s>(&'s mut self, n: usize, ctx: &mut Context<'s>, out: &mut impl Output<Row>) -> Result<Polled> {
        let unread = self.1.iter_mut().find(|(_, left)| !left.is_empty());
        let Some((part, left)) = unread else { return Ok(Polled::End) };
        ctx.set_split(*part);
        Ok(Polled::Records(left.take(n).map(|row| out.push(self.0[*part as usize][row], ctx)).count()))
    }
    fn offsets(&self) -> Offsets {
        self.1.iter().map(|(part, left)| (*part, left.start as Offset)).collect()
    }
    fn committer(&mut self) -> Option<Box<dyn Committer>> {
        let folder = self.2.clone();
        Some(Box::new(move |offsets: &Offsets| {
            let store = |it: &(SplitId, Offset)| fs::write(folder.join(it.0.to_string()), it.1.to_string());
            offsets.iter().try_for_each(store).map_err(Error::user)
        }))
    }
}

/// Runs a job over three parts, lets them grow, and runs it again: only what is new comes.
pub fn run(rows: usize) -> Checked {
    let folder = std::env::temp_dir().join(format!("slotflow-table-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut parts = vec![Vec::new(); 3];
    for round in 0..2 {
        let new = |part: u64| (0..rows as u64).map(move |row| (round * 3 + part) * 1_000_000 + row);
        parts.iter_mut().zip(0..).for_each(|(rows, part)| rows.extend(new(part)));
        let (env, seen) = (Environment::new()?.parallelism(2), Collected::new());
        env.source(Table(parts.clone().into(), folder.clone())).sink(seen.sink());
        env.run("table")?;
        let mut seen: Vec<u64> = seen.take();
        seen.sort_unstable();
        check(seen, (0..3).flat_map(new).collect())?;
    }
    fs::remove_dir_all(&folder)?;
    println!("table: each of {} rows came once, over two runs", 2 * 3 * rows);
    Ok(())
}
