//! Parquet files as a source and as a sink.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use slotflow::io::files::parquet::arrow_array::cast::AsArray;
use slotflow::io::files::parquet::arrow_array::types::Int64Type;
use slotflow::io::files::parquet::arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use slotflow::io::files::parquet::arrow_schema::ArrowError;
use slotflow::io::files::parquet::parquet::file::properties::WriterProperties;
use slotflow::io::files::parquet::{ParquetSink, ParquetSource};
use slotflow::io::files::{FileSource, Unfinished};
use slotflow::io::frames::Frame;
use slotflow::prelude::*;

use super::folder::{Folder, environment};

/// A file is open for as long as a test runs.
const LONG: Duration = Duration::from_secs(3_600);

/// Numbers, and the same as text.
fn batch(numbers: &[i64]) -> std::result::Result<RecordBatch, ArrowError> {
    let texts = StringArray::from_iter_values(numbers.iter().map(i64::to_string));
    let numbers: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
    RecordBatch::try_from_iter([("number", numbers), ("text", Arc::new(texts))])
}

fn numbers(batch: &RecordBatch) -> Vec<i64> {
    batch.column_by_name("number").unwrap().as_primitive::<Int64Type>().values().to_vec()
}

/// Writes the numbers below `count` into one file, with so many rows in a row group, and gives its path.
fn written(folder: &Folder, count: u64, group_rows: usize) -> String {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let sink = ParquetSink::rows(folder.path(), "n", batch).properties(properties).roll_after(LONG);
    let env = environment();
    env.source(generate(count, |i| i as i64)).sink(sink);
    env.run("write").unwrap();
    folder.file("n-0-000001.parquet")
}

/// The batches of a source.
fn batches(source: ParquetSource, parallelism: usize) -> Result<Vec<RecordBatch>> {
    let (env, batches) = (environment(), Collected::new());
    env.source(source).parallelism(parallelism).sink(batches.sink());
    env.run("read").map(|_| batches.take())
}

/// The numbers of a source, as they come.
fn read(source: ParquetSource) -> Vec<i64> {
    batches(source, 1).unwrap().iter().flat_map(numbers).collect()
}

fn error(source: ParquetSource) -> String {
    batches(source, 1).unwrap_err().to_string()
}

#[test]
fn every_row_comes_once_whatever_the_row_groups_the_batches_and_the_parallelism() {
    for (group_rows, batch_rows, parallelism) in [(1_000, 1, 1), (100, 33, 2), (7, 8_192, 3), (5_000, 0, 4)] {
        let folder = Folder::new("groups");
        let source = ParquetSource::files(written(&folder, 1_000, group_rows)).batch_rows(batch_rows);
        let batches = batches(source, parallelism).unwrap();
        let most = batches.iter().map(RecordBatch::num_rows).max().unwrap();
        assert_eq!(most, batch_rows.max(1).min(group_rows).min(1_000), "groups of {group_rows}");
        let mut rows: Vec<i64> = batches.iter().flat_map(numbers).collect();
        rows.sort();
        assert!(rows.into_iter().eq(0..1_000), "groups of {group_rows}, parallelism {parallelism}");
    }
}

#[test]
fn only_the_columns_that_are_wanted_come() {
    let folder = Folder::new("columns");
    let source = ParquetSource::files(written(&folder, 3, 10));
    let texts = &batches(source.columns(["text"]), 1).unwrap()[0];
    assert_eq!(texts.num_columns(), 1);
    assert_eq!(texts.column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["0", "1", "2"]);
}

#[test]
fn a_source_with_positions_reads_on_in_the_middle_of_a_row_group() {
    let folder = Folder::new("rows");
    let file = written(&folder, 30, 10);
    let store = folder.file("store");
    let source = || ParquetSource::files(folder.file("*.parquet")).positions(&store);
    assert!(read(source()).into_iter().eq(0..30));
    assert_eq!(read(source()), [0; 0]);
    let all = fs::read_to_string(&store).unwrap();
    let line = all.lines().find(|line| line.starts_with("1\t")).unwrap();
    let (begin, rest) = line.split_once("\t10\t").unwrap();
    fs::write(&store, all.replace(line, &format!("{begin}\t7\t{rest}"))).unwrap();
    assert_eq!(read(source()), [17, 18, 19]);

    let other = Folder::new("other");
    fs::rename(written(&other, 3, 10), &file).unwrap();
    assert_eq!(read(source()), [0, 1, 2], "another file is a new one");
    let bytes = folder.file("bytes");
    let (env, lines) = (environment(), FileSource::lines(&file).positions(&bytes));
    env.source(lines.unfinished(Unfinished::Record))
        .map(|line: Frame<'_>| line.bytes().len())
        .sink(callback(|_| ()));
    env.run("lines").unwrap();
    let refused = error(ParquetSource::files(&file).positions(&bytes));
    assert!(refused.contains(&format!("the positions of {file} are in bytes, and not in rows")), "{refused}");
}

#[test]
fn what_a_failed_job_had_not_written_is_read_and_written_again() {
    let folder = Folder::new("columns-failed");
    let lines: Vec<String> = (0..20_000).map(|line| line.to_string()).collect();
    let file = folder.write("in", lines.join("\n"));
    let run = |poison: i64| {
        let mut config = Config::default();
        config.job.commit_interval_ms = 1;
        let env = Environment::with(config);
        let source = FileSource::lines(&file).positions(folder.file("store"));
        env.source(source)
            .try_map(move |line: Frame<'_>| match line.text()?.parse::<i64>() {
                Ok(number) if number != poison => Ok(number),
                _ => Err(Error::user("poison")),
            })
            .sink(ParquetSink::rows(folder.path(), "out", batch).roll_bytes(10_000));
        env.run("copy")
    };
    assert!(run(15_000).unwrap_err().to_string().contains("poison"));
    run(-1).unwrap();
    let files: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let named = |end: &str| files.iter().filter(|name| name.to_string_lossy().ends_with(end)).count();
    assert!(named(".parquet") > 2 && named(".part") == 0, "{files:?}");
    let mut written = read(ParquetSource::files(folder.file("*.parquet")));
    written.sort();
    written.dedup();
    assert!(written.into_iter().eq(0..20_000), "a row is lost");
}

#[test]
fn batches_stay_batches_from_file_to_file() {
    let folder = Folder::new("batches");
    let file = written(&folder, 1_000, 10);
    let env = environment();
    env.source(ParquetSource::files(&file)).sink(ParquetSink::batches(folder.path(), "copy").without_fsync());
    env.run("copy").unwrap();
    assert!(read(ParquetSource::files(folder.file("copy-*"))).into_iter().eq(0..1_000));
}

#[test]
fn batches_that_are_made_beyond_the_room_are_bounded_by_their_bytes() {
    let folder = Folder::new("expanding");
    let run = |expand: fn(i64) -> Vec<RecordBatch>| {
        let mut config = Config::default();
        config.edges.overflow_bytes = 1 << 20;
        let env = Environment::with(config);
        let sink = ParquetSink::batches(folder.path(), "expanded").without_fsync();
        env.source(generate(1, |i| i as i64)).flat_map(expand).sink(sink).name("out");
        env.run("expand")
    };
    run(|_| {
        let whole = batch(&Vec::from_iter(0..1_000)).unwrap();
        (0..1_000).map(|row| whole.slice(row, 1)).collect()
    })
    .unwrap();
    assert!(read(ParquetSource::files(folder.file("expanded-*"))).into_iter().eq(0..1_000));
    let failed = run(|_| (0..1_000).map(|_| batch(&Vec::from_iter(0..1_000)).unwrap()).collect());
    let failed = failed.unwrap_err().to_string();
    assert!(failed.starts_with("operator \"out\", subtask 0: "), "{failed}");
    assert!(failed.contains("more than edges.overflow_bytes = 1048576 allows; emit fewer"), "{failed}");
}

/// What a job fails with whose batches are made so.
fn write_error(
    folder: &Folder,
    to_batch: fn(&[i64]) -> std::result::Result<RecordBatch, ArrowError>,
) -> String {
    let env = environment();
    env.source(generate(2_000, |i| i as i64))
        .sink(ParquetSink::rows(folder.path(), "bad", to_batch).roll_after(LONG));
    env.run("write").unwrap_err().to_string()
}

#[test]
fn what_makes_no_batch_or_one_of_another_schema_fails_the_job_by_name() {
    let folder = Folder::new("schema");
    let part = folder.file(".bad-0.part");
    let refused = write_error(&folder, |_| Err(ArrowError::ComputeError("no such thing".into())));
    assert!(
        refused.contains(&format!("{part} cannot be written: Compute error: no such thing")),
        "{refused}"
    );
    assert!(refused.contains("mend what makes its records; what has no name yet"), "{refused}");
    let panicked = write_error(&folder, |_| panic!("a closure's"));
    assert!(panicked.contains("cannot be written: ") && panicked.contains("a closure's"), "{panicked}");
    let other = write_error(&folder, |rows| match rows[0] {
        0 => batch(rows),
        _ => RecordBatch::try_from_iter([("other", Arc::new(Int64Array::from(rows.to_vec())) as _)]),
    });
    assert!(
        other.contains(&format!("{part} cannot be written: ")) && other.contains("mend what makes"),
        "{other}"
    );
    assert!(!fs::exists(folder.file("bad-0-000001.parquet")).unwrap());
}

#[test]
fn what_cannot_be_read_is_told_before_the_start() {
    let folder = Folder::new("no-parquet");
    let file = written(&folder, 3, 10);
    let missing = folder.file("*.other");
    assert!(error(ParquetSource::files(&missing)).contains(&format!("no file is {missing}; mend the path")));
    let none = folder.write("none", "a line\n");
    let refused = error(ParquetSource::files(&none));
    assert!(refused.contains(&format!("{none} is no Parquet file that can be read: ")), "{refused}");
    let refused = error(ParquetSource::files(&file).columns(["text", "price"]));
    assert!(refused.contains(&format!("{file} has no column \"price\"")), "{refused}");
}

#[test]
fn any_byte_of_a_file_may_be_wrong_and_the_job_ends_with_rows_or_an_error_that_names_it() {
    let folder = Folder::new("flipped");
    let whole = fs::read(written(&folder, 20, 10)).unwrap();
    let mut failed = 0;
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        let file = folder.write("flipped", bytes);

        let Err(error) = batches(ParquetSource::files(&file), 1) else { continue };
        failed += 1;
        assert!(error.to_string().contains(&file), "byte {at}: {error}");
    }
    assert!(failed > 0, "nothing was broken");
}
