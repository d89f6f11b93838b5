//! Files as a source and as a sink.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

use slotflow::Job;
use slotflow::io::files::{FileSink, FileSource, Unfinished};
use slotflow::io::formats::{decode, decode_or_skip, text};
use slotflow::io::frames::{Frame, Framing};
use slotflow::io::{Egress, egress};
use slotflow::prelude::*;

use super::folder::{Folder, environment};

/// A test that is still waiting after this has lost something.
const LOST: Duration = Duration::from_secs(60);

fn owned(frame: Frame<'_>) -> String {
    frame.text().unwrap().to_owned()
}

/// The frames of a source, in the order in which they come.
fn read(source: FileSource) -> Result<Vec<String>> {
    let (env, lines) = (environment(), Collected::new());
    env.source(source).map(owned).sink(lines.sink());
    env.run("read").map(|_| lines.take())
}

fn error(source: FileSource) -> String {
    read(source).unwrap_err().to_string()
}

/// Waits for records.
fn receive(egress: &mut Egress<String>, count: usize) -> Vec<String> {
    (0..count).map(|_| egress.recv(LOST).expect("the record is lost")).collect()
}

#[test]
fn every_line_comes_once_whatever_the_ranges_and_the_parallelism() {
    let folder = Folder::new("ranges");
    let mut all = Vec::new();
    for name in ["a", "b", "c"] {
        let lines: Vec<String> = (0..3_000).map(|line| format!("{name}{line}")).collect();
        folder.write(name, lines.join("\n"));
        all.extend(lines);
    }
    all.sort();
    for (parallelism, range) in [(1, None), (2, Some(997)), (4, Some(5_000))] {
        let source = FileSource::lines(folder.file("?"));
        let source = range.into_iter().fold(source, FileSource::ranges_of);
        let (env, lines) = (environment(), Collected::new());
        env.source(source).parallelism(parallelism).map(owned).sink(lines.sink());
        env.run("read").unwrap();
        let mut lines = lines.take();
        lines.sort();
        assert!(lines == all, "parallelism {parallelism}, ranges of {range:?}");
    }
}

#[test]
fn half_a_line_at_the_end_is_a_record_a_failure_or_left() {
    let folder = Folder::new("half");
    let file = folder.write("a", "one\r\ntwo\nhal");
    let lines = || FileSource::lines(&file);
    assert_eq!(read(lines()).unwrap(), ["one", "two", "hal"]);
    assert_eq!(read(lines().unfinished(Unfinished::Leave)).unwrap(), ["one", "two"]);
    assert_eq!(
        error(lines().unfinished(Unfinished::Fail)),
        format!(
            "operator \"files({file})\", subtask 0: bad record in {file}, line 3 at offset 9: the last frame is \
             not whole: 3 bytes of it are there"
        )
    );
    let frames = folder.write("b", b"\0\0\0\x02a\n\0\0\0\0\0\0\0\x03x");
    let error = error(FileSource::length_delimited(&frames));
    assert!(error.contains("at offset 10: the last frame is not whole: 5 bytes"), "{error}");
    let frames = FileSource::length_delimited(&frames).unfinished(Unfinished::Leave);
    assert_eq!(read(frames).unwrap(), ["a\n", ""]);
}

#[test]
fn what_cannot_be_read_is_told_before_the_start() {
    let folder = Folder::new("wrong");
    let missing = folder.file("*.csv");
    assert_eq!(
        error(FileSource::lines(&missing)),
        format!(
            "operator \"files({missing})\": no file is {missing}; mend the path, or say watch_every to wait for files"
        )
    );
    let file = folder.write("a", "x\n");
    let source = FileSource::length_delimited(&file).ranges_of(0).skip_lines(1);
    let all = error(source.watch_every(LOST).unfinished(Unfinished::Record));
    for part in
        ["4 problems", "ranges_of is for lines", "files that do not grow", "skip_lines", "files that end"]
    {
        assert!(part == "4 problems" || all.contains(part), "{part} is not in {all}");
    }
    fs::create_dir(folder.file("folder")).unwrap();
    let folder_as_store = FileSource::lines(&file).positions(folder.file("folder"));
    assert!(error(folder_as_store).contains("cannot be read"));
    let store = folder.write("store", "no position\n");
    let broken = error(FileSource::lines(&file).positions(&store));
    assert!(broken.contains(&format!("line 1 of the positions {store} is none; mend it")), "{broken}");
}

#[test]
fn malformed_lines_name_file_line_and_offset_or_are_counted() {
    let folder = Folder::new("malformed");
    let file = folder.write("a", b"head\nok\n\xff\nfine\n");
    let source = || FileSource::lines(&file).skip_lines(1);
    let env = environment();
    env.source(source()).then("decode", decode(text())).map(str::len).sink(callback(|_| ()));
    let failed = env.run("fails").unwrap_err().to_string();
    assert!(failed.contains(&format!("bad record in {file}, line 3 at offset 8: invalid utf-8")), "{failed}");

    let (env, lines) = (environment(), Collected::new());
    let decoded = env.source(source()).then("decode", decode_or_skip(text()));
    decoded.map(str::to_owned).sink(lines.sink());
    env.run("skips").unwrap();
    assert_eq!(lines.take(), ["ok", "fine"]);
}

#[test]
fn a_line_that_is_too_long_fails_by_name() {
    let folder = Folder::new("long");
    let file = folder.write("a", format!("short\n{}\n", "x".repeat(200_000)));
    let error = error(FileSource::framed(&file, Framing::lines().max_bytes(100)));
    assert!(error.contains("offset 6") && error.contains("longer than max_bytes = 100"), "{error}");
}

#[test]
fn a_source_with_positions_reads_on_where_it_stopped() {
    let folder = Folder::new("resumed");
    let (file, store) = (folder.write("a", "1\n2\nha"), folder.file("store"));
    let source = || FileSource::lines(folder.file("a*")).unfinished(Unfinished::Leave).positions(&store);
    assert_eq!(read(source()).unwrap(), ["1", "2"]);
    let mut more = OpenOptions::new().append(true).open(&file).unwrap();
    more.write_all(b"lf\n3\n").unwrap();
    folder.write("a2", "new\n");
    assert_eq!(read(source()).unwrap(), ["half", "3", "new"]);
    assert_eq!(read(source()).unwrap(), [""; 0]);
    let other = error(source().ranges_of(2));
    assert!(
        other.contains("are those of ranges of 0 bytes (0 is all); give ranges_of what it had"),
        "{other}"
    );
    folder.write("a", "1\n");
    let shorter = error(source());
    assert!(shorter.contains("was read up to byte 11 and has 2 bytes now"), "{shorter}");
    // Longer than what was read of the one before it.
    folder.write("other", "another\nfile\n");
    fs::rename(folder.file("other"), &file).unwrap();
    assert_eq!(read(source()).unwrap(), ["another", "file"], "it is a new one");
    assert_eq!(read(source()).unwrap(), [""; 0]);
}

#[test]
fn what_a_failed_job_had_not_written_is_read_again() {
    let folder = Folder::new("failed");
    let lines: Vec<String> = (0..20_000).map(|line| line.to_string()).collect();
    let file = folder.write("in", lines.join("\n"));
    let run = |poison: &'static str| {
        let mut config = Config::default();
        config.job.commit_interval_ms = 1;
        let env = Environment::with(config);
        let source = FileSource::lines(&file).positions(folder.file("store"));
        let sink = FileSink::lines(folder.path(), "out").suffix("txt").roll_bytes(10_000);
        env.source(source)
            .try_map(move |line: Frame<'_>| {
                let line = line.text()?;
                if line == poison { Err(Error::user("poison")) } else { Ok(line.to_owned()) }
            })
            .sink(sink);
        env.run("copy")
    };
    assert!(run("15000").unwrap_err().to_string().contains("poison"));
    run("none").unwrap();
    let files = folder.files(".txt");
    let mut written: Vec<u32> =
        files.iter().flat_map(|(_, text)| text.lines()).map(|line| line.parse().unwrap()).collect();
    written.sort();
    written.dedup();
    assert!(written.into_iter().eq(0..20_000), "a line is lost");
    assert_eq!(folder.files(".part"), [], "what was not finished is gone");
}

#[test]
fn a_watched_folder_gives_what_comes_and_what_grows() {
    let folder = Folder::new("watched");
    let first = folder.write("a.log", "1\nhal");
    let (env, (mut lines, sink)) = (environment(), egress(16));
    let source = FileSource::lines(folder.file("*.log")).watch_every(Duration::from_millis(5));
    env.source(source.positions(folder.file("store"))).map(owned).sink(sink);
    let job: Job = env.start("watch").unwrap();
    assert_eq!(receive(&mut lines, 1), ["1"]);
    let lock = fs::File::open(folder.file(".store.lock")).unwrap();
    assert!(lock.try_lock().is_err(), "another job could use the same positions");
    let mut more = OpenOptions::new().append(true).open(&first).unwrap();
    more.write_all(b"f\n2\n").unwrap();
    assert_eq!(receive(&mut lines, 2), ["half", "2"]);
    // Written under a name that no pattern means, and then moved: it is never seen half.
    folder.write(".b", "new\n");
    fs::rename(folder.file(".b"), folder.file("b.log")).unwrap();
    assert_eq!(receive(&mut lines, 1), ["new"]);
    fs::remove_file(&first).unwrap();
    folder.write("c.log", "last\n");
    assert_eq!(receive(&mut lines, 1), ["last"]);
    job.drain(LOST).unwrap();
    let store = fs::read_to_string(folder.file("store")).unwrap();
    assert_eq!(store.lines().count(), 2, "the positions of the files that are there: {store}");
}

#[test]
fn a_watched_file_that_another_replaces_is_read_from_its_beginning() {
    let folder = Folder::new("replaced");
    folder.write("a.log", "1\n");
    let (env, (mut lines, sink)) = (environment(), egress(16));
    let source = FileSource::lines(folder.file("*.log")).watch_every(Duration::from_millis(5));
    env.source(source.positions(folder.file("store"))).map(owned).sink(sink);
    let job: Job = env.start("watch").unwrap();
    assert_eq!(receive(&mut lines, 1), ["1"]);
    // At no moment is there no file, and the new one is longer than what was read.
    folder.write(".a", "new\nfile\n");
    fs::rename(folder.file(".a"), folder.file("a.log")).unwrap();
    assert_eq!(receive(&mut lines, 2), ["new", "file"]);
    folder.write(".a", "x\n");
    fs::rename(folder.file(".a"), folder.file("a.log")).unwrap();
    assert_eq!(receive(&mut lines, 1), ["x"], "a shorter one is no file that shrank");
    job.drain(LOST).unwrap();
    let store = fs::read_to_string(folder.file("store")).unwrap();
    assert!(store.starts_with("0\t0\t2\t") && store.lines().count() == 1, "{store}");
}

#[test]
fn a_start_leaves_alone_what_another_job_writes_beside_it() {
    let folder = Folder::new("beside");
    let under_way = folder.write(".out-0.part", "of the job whose prefix is out");
    let env = environment();
    env.source(from_iterator(["x"])).sink(FileSink::lines(folder.path(), "out-0"));
    env.run("beside").unwrap();
    assert_eq!(fs::read_to_string(under_way).unwrap(), "of the job whose prefix is out");
}

#[test]
fn files_roll_by_size_go_on_with_their_numbers_and_are_whole() {
    let folder = Folder::new("rolled");
    for begin in [0, 1_000] {
        let env = environment();
        let sink = FileSink::lines(folder.path(), "n").suffix("txt").roll_bytes(1);
        env.source(generate(1_000, move |i| (begin + i).to_string())).sink(sink);
        env.run("numbers").unwrap();
    }
    let files = folder.files(".txt");
    assert!(files.len() > 2 && files[0].0 == "n-0-000001.txt", "{files:?}");
    let text: String = files.into_iter().map(|(_, text)| text).collect();
    assert!(text.lines().map(|line| line.parse::<u64>().unwrap()).eq(0..2_000));
}

#[test]
fn a_file_is_finished_by_time_while_the_job_runs() {
    let folder = Folder::new("timed");
    let (mut ingress, source) = slotflow::io::ingress(4);
    let env = environment();
    env.source(source).sink(FileSink::lines(folder.path(), "t").roll_after(Duration::from_millis(1)));
    let job = env.start("timed").unwrap();
    ingress.try_push("x").unwrap();
    let began = std::time::Instant::now();
    while !fs::exists(folder.file("t-0-000001")).unwrap() {
        assert!(began.elapsed() < LOST, "it is never finished");
        std::thread::yield_now();
    }
    assert_eq!(fs::read_to_string(folder.file("t-0-000001")).unwrap(), "x\n");
    job.stop().unwrap();
}

#[test]
fn a_drain_finishes_the_file_that_is_open_and_a_stop_leaves_none() {
    let folder = Folder::new("drained");
    let run = |prefix: &str| {
        let ((mut ingress, source), env) = (slotflow::io::ingress(4), environment());
        let sink = FileSink::lines(folder.path(), prefix).suffix("txt").roll_after(LOST * 60);
        env.source(source).sink(sink);
        let job = env.start("open").unwrap();
        ingress.try_push("x").unwrap();
        let hidden = folder.file(&format!(".{prefix}-0.part"));
        let began = std::time::Instant::now();
        while !fs::read(&hidden).is_ok_and(|text| text == b"x\n") {
            assert!(began.elapsed() < LOST, "it is never written");
            std::thread::yield_now();
        }
        (ingress, job)
    };
    let (ingress, job) = run("drained");
    job.drain(LOST).unwrap();
    drop(ingress);
    assert_eq!(folder.files(".txt"), [("drained-0-000001.txt".to_owned(), "x\n".to_owned())]);
    let (ingress, job) = run("stopped");
    job.stop().unwrap();
    drop(ingress);
    assert!(!fs::exists(folder.file("stopped-0-000001.txt")).unwrap(), "it was not finished");
}

/// How many records there are.
#[derive(Clone)]
struct Count;

impl Aggregate<()> for Count {
    type Acc = u64;
    type Out = u64;
    fn create(&self) -> u64 {
        0
    }
    fn add(&self, count: &mut u64, (): ()) {
        *count += 1;
    }
    fn result(&self, count: &u64) -> u64 {
        *count
    }
}

impl Merge<()> for Count {
    fn merge(&self, count: &mut u64, other: &u64) {
        *count += other;
    }
}

#[test]
fn event_time_goes_from_file_to_file_and_makes_nothing_late() {
    let folder = Folder::new("timed-files");
    for file in 0..3 {
        let times = (file * 1_000..(file + 1) * 1_000).map(|time| format!("{time}\n"));
        folder.write(&format!("f{file}"), times.collect::<String>());
    }
    let (env, counts) = (environment(), Collected::new());
    let time = |line: &Frame<'_>| line.text().unwrap().parse().unwrap();
    env.source(FileSource::lines(folder.file("f?")))
        .with_timestamps(time, Watermarks::monotonous())
        .map(|_: Frame<'_>| ())
        .key_by(|_| 0)
        .window(Tumbling::of(Duration::from_millis(100)))
        .aggregate(Count)
        .map(|window| window.value)
        .sink(counts.sink());
    env.run("windows").unwrap();
    assert_eq!(counts.take(), [100; 30]);
}

#[test]
fn a_full_disk_fails_the_job_with_a_remedy() {
    let folder = Folder::new("full");
    let hidden = folder.file(".f-0.part");
    std::os::unix::fs::symlink("/dev/full", &hidden).unwrap();
    let env = environment();
    env.source(generate(10, |i| i.to_string())).sink(FileSink::lines(folder.path(), "f")).name("out");
    let error = env.run("full").unwrap_err().to_string();
    let text = format!("operator \"out\", subtask 0: {hidden} cannot be written: No space left on device");
    assert!(error.starts_with(&text) && error.contains("; make room on its file system"), "{error}");
}

#[test]
fn a_folder_or_a_record_that_cannot_be_written_is_named() {
    let folder = Folder::new("unwritable");
    let file = folder.write("a", "");
    let run = |record: &'static str, sink: FileSink| {
        let env = environment();
        env.source(from_iterator([record])).sink(sink);
        env.run("write").unwrap_err().to_string()
    };
    let error = run("x", FileSink::lines(&file, "f"));
    assert!(error.contains(&format!("the folder {file} cannot be written")), "{error}");
    let error = run("x", FileSink::lines(folder.path(), "a/b"));
    assert!(error.contains("a prefix without a slash"), "{error}");
    let error = run("x", FileSink::lines(folder.path(), "f").suffix("a/b"));
    assert!(error.contains("\"a/b\" cannot end the name of a file"), "{error}");
    let error = run("a\nb", FileSink::lines(folder.path(), "f"));
    assert!(error.contains("a record with a line break cannot be a line"), "{error}");
}
