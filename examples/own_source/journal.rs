//! A source of one's own with splits and offsets: each file is a split, and beside it lies how far it has been read.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use slotflow::prelude::*;
use slotflow::runtime::{
    Committer, Offset, Offsets, Polled, Source, SourceReader, SplitId, Splits, SubtaskContext, Untimed,
};

use super::{Checked, check};

/// The lines of some files, as far as they go when the job starts.
struct Journal(Vec<PathBuf>);

impl Source for Journal {
    type Reader = JournalReader;
    fn describe(&self) -> String {
        "journal".into()
    }
    fn commits(&self) -> bool {
        true
    }
    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::Count(self.0.len() as u32))
    }
    fn open(&mut self, _: &SubtaskContext, splits: &[SplitId]) -> Result<JournalReader> {
        let files = splits.iter().map(|split| File::open(*split, &self.0[*split as usize]));
        Ok(JournalReader(files.collect::<Result<_>>()?))
    }
}

/// One file: it is read here, on the thread that starts the job, since a slot must not wait for a disk.
struct File {
    split: SplitId,
    bookmark: PathBuf,
    text: String,
    /// How many bytes were given.
    given: usize,
}

impl File {
    fn open(split: SplitId, path: &Path) -> Result<File> {
        let (text, bookmark) = (fs::read_to_string(path), path.with_extension("bookmark"));
        let given = match bookmark.exists() {
            true => fs::read_to_string(&bookmark).map_err(|error| unreadable(&bookmark, error))?,
            false => "0".into(),
        };
        let given = given.parse().map_err(|error| unreadable(&bookmark, error))?;
        Ok(File { split, bookmark, text: text.map_err(|error| unreadable(path, error))?, given })
    }
}

fn unreadable(path: &Path, error: impl Display) -> Error {
    Error::world(format!("{}: {error}", path.display()), "mend the file or take it away")
}

/// The files of one subtask, perhaps none.
struct JournalReader(Vec<File>);

impl SourceReader for JournalReader {
    type Item = Borrowed<str>;
    type Time = Untimed;
    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Borrowed<str>>,
    ) -> Result<Polled> {
        let unread = self.0.iter_mut().find(|file| file.given < file.text.len());
        let Some(File { split, text, given, .. }) = unread else { return Ok(Polled::End) };
        ctx.set_split(*split);
        let lines = text[*given..].split_inclusive('\n').take(budget);
        let count = lines.clone().count();
        for line in lines {
            *given += line.len();
            out.push(line.trim_end(), ctx);
        }
        Ok(Polled::Records(count))
    }
    fn offsets(&self) -> Offsets {
        self.0.iter().map(|file| (file.split, file.given as Offset)).collect()
    }
    fn committer(&mut self) -> Option<Box<dyn Committer>> {
        let bookmarks = self.0.iter().map(|file| (file.split, file.bookmark.clone())).collect();
        Some(Box::new(Bookmarks(bookmarks)))
    }
}

/// Notes how far each file has been read, once all sinks have what was read.
struct Bookmarks(Vec<(SplitId, PathBuf)>);

impl Committer for Bookmarks {
    fn commit(&mut self, offsets: &Offsets) -> Result<()> {
        for (split, offset) in offsets {
            let Some((_, path)) = self.0.iter().find(|(own, _)| own == split) else { continue };
            fs::write(path, offset.to_string()).map_err(|error| unreadable(path, error))?;
        }
        Ok(())
    }
}

/// Runs a job over three files, lets them grow, and runs it again: only what is new comes.
pub fn run(lines: usize) -> Checked {
    let folder = std::env::temp_dir().join(format!("slotflow-journal-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let files: Vec<PathBuf> = (0..3).map(|file| folder.join(format!("{file}.log"))).collect();
    let mut texts = vec![String::new(); files.len()];
    for round in ["first", "second"] {
        let new = |file: usize| (0..lines).map(move |line| format!("{round} {file} {line:06}"));
        for (file, path) in files.iter().enumerate() {
            new(file).for_each(|line| texts[file] += &(line + "\n"));
            fs::write(path, &texts[file])?;
        }
        let (env, seen) = (Environment::new()?.parallelism(2), Collected::new());
        env.source(Journal(files.clone())).map(|line| line.to_owned()).sink(seen.sink());
        env.run("journal")?;
        let mut seen: Vec<String> = seen.take();
        seen.sort();
        check(seen, (0..files.len()).flat_map(new).collect())?;
    }
    fs::remove_dir_all(&folder)?;
    println!("journal: each of {} lines came once, over two runs", 2 * files.len() * lines);
    Ok(())
}
