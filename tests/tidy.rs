//! The style that a machine can check (CONTRIBUTING.md has the reasons).
//!
//! A rule is a function from a text to its violations, so each has a test with a text that breaks it and
//! one that keeps it. `RULES` says which files a rule is for; all violations of the whole tree are reported
//! at once.

#[path = "tidy/rust.rs"]
mod rust;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use rust::{Word, code_of, parts_of, product_of, tests_of, words};

/// The only files that may contain `unsafe`: small ones that do nothing else. Never of `ops` or the facade.
const UNSAFE: [&str; 21] = [
    "runtime/src/cells.rs",
    "runtime/src/machine/cycles.rs",
    "runtime/src/machine/sys.rs",
    "runtime/src/machine/prefetch.rs",
    "runtime/src/edge/moving.rs",
    "runtime/src/segments/home.rs",
    "runtime/src/segments/slots.rs",
    "runtime/src/segments/tables.rs",
    "runtime/src/segments/window.rs",
    "runtime/src/values/pages.rs",
    "runtime/src/testing/allocations.rs",
    "runtime/tests/no_syscall.rs",
    "io/src/files/uring.rs",
    "io/src/kafka/batch.rs",
    "io/src/kafka/queue.rs",
    "io/src/kafka/commit.rs",
    "io/src/kafka/member_id.rs",
    "io/src/kafka/produce.rs",
    "io/src/net/datagrams.rs",
    "io/src/kafka/token.rs",
    "io/src/shared_memory/map.rs",
];

/// Where a clock may be read; everybody else is handed the time, or a simulation could not repeat a run.
const CLOCKS: [&str; 5] = [
    "runtime/src/time.rs",
    "runtime/src/machine/cycles.rs",
    "runtime/src/slot",
    "runtime/src/job",
    "io/src/",
];

/// Where a lock may be: at the start, in the pool, on threads that are no slots, in connectors. Never in an operator, a
/// chain, an edge, a subtask or a core's round, where the record path is.
const LOCKS: [&str; 7] = [
    "runtime/src/install.rs",
    "runtime/src/job",
    "runtime/src/slot/park.rs",
    "runtime/src/slot/pool.rs",
    "runtime/src/slot/pulse.rs",
    "runtime/src/testing",
    "io/src/",
];

/// Words with another meaning in other systems, or with none (CONTRIBUTING.md, names).
const FORBIDDEN: [&str; 9] =
    ["task", "worker", "channel", "processor", "actor", "manager", "handler", "service", "util"];

const LINE_LENGTH: usize = 120;
const LINES_OF_PRODUCT: usize = 400;
const LINES_WITH_TESTS: usize = 600;

/// Name, the files it is for, what it finds in one.
type Rule = (&'static str, fn(&str) -> bool, fn(&str) -> Violations);

const RULES: [Rule; 20] = [
    ("opens with a line about itself", any, opens_with_a_module_line),
    ("short enough to read", product, short_enough),
    ("lines fit the width", any, lines_fit),
    ("nothing left to do", any, nothing_left_to_do),
    ("every test runs", any, no_ignored_test),
    ("tests do not sleep", any, |text| no_sleep(&tests_of(text))),
    ("tests do not sleep", test, no_sleep),
    ("no unwrap in the product", product, |text| no_unwrap(product_of(text))),
    ("a library does not print", product, |text| no_print(product_of(text))),
    ("names are ours", product, |text| names_without(&FORBIDDEN, product_of(text))),
    // Below the machine's own folder a node is a NUMA node, as the kernel calls it.
    (
        "names are ours",
        |path| product(path) && !path.contains("/machine/"),
        |text| names_without(&["node"], product_of(text)),
    ),
    ("no get_", product, |text| no_get(product_of(text))),
    (
        "clocks are handed in",
        |path| product(path) && !starts(&CLOCKS, path),
        |text| no_clock(product_of(text)),
    ),
    (
        "the record path takes no lock",
        |path| product(path) && !starts(&LOCKS, path),
        |text| no_lock(product_of(text)),
    ),
    ("unsafe only where listed", |path| !UNSAFE.contains(&path), no_unsafe),
    ("unsafe is explained", |path| UNSAFE.contains(&path), unsafe_is_explained),
    (
        "runtime names no connector",
        |path| path.starts_with("runtime/src/"),
        |text| without_name("kafka", text),
    ),
    (
        "runtime stands alone",
        |path| path.starts_with("runtime/src/"),
        |text| [without_name("slotflow_ops", text), without_name("slotflow_io", text)].concat(),
    ),
    ("ops and io never meet", |path| path.starts_with("ops/src/"), |text| without_name("slotflow_io", text)),
    ("ops and io never meet", |path| path.starts_with("io/src/"), |text| without_name("slotflow_ops", text)),
];

type Violations = Vec<Violation>;

/// A line (from 1) and what is wrong with it.
#[derive(Clone, Debug, PartialEq)]
struct Violation(usize, String);

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.0, self.1)
    }
}

#[test]
fn every_source_keeps_the_rules() {
    let sources = sources();
    assert!(sources.len() >= 4, "the facade, runtime, ops and io have a source each; found {sources:?}");
    let mut found = Vec::new();
    for path in sources {
        let text = read(&path);
        for (name, _, rule) in RULES.iter().filter(|(_, is_for, _)| is_for(&path)) {
            found.extend(rule(&text).iter().map(|violation| format!("{path}:{violation} ({name})")));
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_planted_bug_is_listed() {
    let patches = files_under("tests/mutants", "patch");
    let lists = read("CONTRIBUTING.md") + &read("tests/mutants/README.md");
    let missing = names_missing(patches.iter().map(|path| stem(path)), &lists);
    assert!(missing.is_empty(), "not listed in CONTRIBUTING.md or tests/mutants/README.md: {missing:?}");
}

#[test]
fn documents_name_examples_that_exist() {
    let documents = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "PERF.md"];
    let named = documents.iter().flat_map(|document| examples_named(&read(document))).collect::<Vec<_>>();
    let missing = names_missing(named.iter().map(String::as_str), &example_names().join(" "));
    assert!(missing.is_empty(), "documents name examples that are not there: {missing:?}");
}

#[test]
fn the_readme_lists_every_setting() {
    let declared = ["runtime/src/config/mod.rs", "runtime/src/config/sections.rs"].map(read).concat();
    let missing = names_missing(fields(&declared), &settings_listed(&read("README.md")));
    assert!(missing.is_empty(), "the README's configuration lacks {missing:?}");
}

#[test]
fn every_example_names_its_short_run() {
    let silent = example_files().into_iter().filter(|path| !names_a_run(&read(path))).collect::<Vec<_>>();
    assert!(silent.is_empty(), "scripts/examples needs a line `//! run: ARGUMENTS` at the top of {silent:?}");
}

// --- Which files ---

fn any(_: &str) -> bool {
    true
}

fn product(path: &str) -> bool {
    starts(&["src/", "runtime/src/", "ops/src/", "io/src/"], path) && !test(path)
}

/// By their names: the test programs, and files that a module declares for its tests only.
fn test(path: &str) -> bool {
    path.contains("tests/") || path.ends_with("/tests.rs") || path.ends_with("/fixture.rs")
}

fn starts(prefixes: &[&str], path: &str) -> bool {
    prefixes.iter().any(|prefix| path.starts_with(prefix))
}

fn lines_where(text: &str, what: &str, wrong: impl Fn(&str) -> bool) -> Violations {
    let wrong = (1..).zip(text.lines()).filter(|(_, line)| wrong(line));
    wrong.map(|(number, line)| Violation(number, format!("{what}: {}", line.trim()))).collect()
}

// --- Rules about a file as it is written ---

fn opens_with_a_module_line(text: &str) -> Violations {
    let opens = text.starts_with("//! ");
    if opens { vec![] } else { vec![Violation(1, "the first line is `//! ` and what the file is".into())] }
}

fn short_enough(text: &str) -> Violations {
    let (all, product) = (text.lines().count(), product_of(text).lines().count());
    let mut found = vec![];
    if product > LINES_OF_PRODUCT {
        found.push(Violation(
            product,
            format!("over {LINES_OF_PRODUCT} lines before its tests: split the file"),
        ));
    }
    if all > LINES_WITH_TESTS {
        found.push(Violation(all, format!("over {LINES_WITH_TESTS} lines with its tests: split the file")));
    }
    found
}

fn lines_fit(text: &str) -> Violations {
    lines_where(text, "too long", |line| line.chars().count() > LINE_LENGTH)
}

fn nothing_left_to_do(text: &str) -> Violations {
    // Written in two parts, as this file is checked too.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    lines_where(text, "do it now or write an issue", |line| {
        words(line).any(|word| marks.contains(&word.text))
    })
}

fn no_ignored_test(text: &str) -> Violations {
    let mark = concat!("#[", "ignore");
    lines_where(&code_of(text), "a test that does not run proves nothing", |line| line.contains(mark))
}

// --- Rules about code: comments and the insides of strings do not count ---

fn no_sleep(text: &str) -> Violations {
    let mark = concat!("thread::", "sleep");
    lines_where(&code_of(text), "wait for the event, not for time to pass", |line| line.contains(mark))
}

fn no_unwrap(text: &str) -> Violations {
    let remedy = "return an error, or `expect` why it cannot fail";
    lines_where(&code_of(text), remedy, |line| line.contains(".unwrap()"))
}

fn no_print(text: &str) -> Violations {
    let macros = ["print", "println", "eprint", "eprintln", "dbg"];
    lines_where(&code_of(text), "use tracing", |line| {
        words(line).any(|word| macros.contains(&word.text) && word.after.starts_with('!'))
    })
}

fn names_without(forbidden: &[&str], text: &str) -> Violations {
    lines_where(&code_of(text), "a name of another system, or of nothing", |line| {
        words(line).filter(Word::is_declared).any(|word| {
            parts_of(word.text).iter().any(|part| forbidden.contains(&part.strip_suffix('s').unwrap_or(part)))
        })
    })
}

fn no_get(text: &str) -> Violations {
    lines_where(&code_of(text), "name the thing, not the getting", |line| {
        words(line).any(|word| word.before == "fn" && word.text.starts_with("get_"))
    })
}

fn no_clock(text: &str) -> Violations {
    lines_where(&code_of(text), "time is handed in: see runtime/src/time.rs", |line| {
        ["Instant::now", "SystemTime::now", "clock_gettime", "cycles()"]
            .iter()
            .any(|clock| line.contains(clock))
    })
}

fn no_lock(text: &str) -> Violations {
    lines_where(&code_of(text), "a lock near the record path: see LOCKS in tests/tidy.rs", |line| {
        words(line).any(|word| ["Mutex", "RwLock", "Condvar"].contains(&word.text))
    })
}

fn no_unsafe(text: &str) -> Violations {
    lines_where(&code_of(text), "unsafe outside the files that tests/tidy.rs lists", |line| {
        words(line).any(|word| word.text == "unsafe") || line.contains("allow(unsafe_code")
    })
}

fn unsafe_is_explained(text: &str) -> Violations {
    let has = |mark: &str| text.contains(mark);
    let excused = has("#![allow(unsafe_code)]") && has("// SAFETY: ") && !no_unsafe(text).is_empty();
    let remedy =
        "has `#![allow(unsafe_code)]`, `// SAFETY: ` and unsafe code, or leaves the list of tests/tidy.rs";
    if excused { vec![] } else { vec![Violation(1, remedy.into())] }
}

fn without_name(name: &str, text: &str) -> Violations {
    lines_where(&code_of(text), &format!("{name} is beyond this crate"), |line| {
        words(line).any(|word| word.text.to_lowercase().contains(name))
    })
}

// --- Rules about documents and examples ---

/// The names that a list does not contain as a word of its own.
fn names_missing<'a>(names: impl Iterator<Item = &'a str>, list: &str) -> Vec<&'a str> {
    let listed = list.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').collect::<Vec<_>>();
    names.filter(|name| !listed.contains(name)).collect()
}

fn examples_named(document: &str) -> Vec<String> {
    let after = document.split("--example ").skip(1);
    let names =
        after.map(|rest| words(rest.lines().next().unwrap_or("")).next().map_or("", |word| word.text));
    // A placeholder such as NAME is no example.
    names.filter(|name| !name.is_empty() && name.to_uppercase() != *name).map(String::from).collect()
}

/// What a source declares as public fields.
fn fields(source: &str) -> impl Iterator<Item = &str> {
    let public = source.lines().filter_map(|line| line.trim_start().strip_prefix("pub "));
    public.filter_map(|line| line.split_once(": ")).map(|(name, _)| name).filter(|name| !name.contains(' '))
}

/// The TOML of a document, without its comments.
fn settings_listed(document: &str) -> String {
    let blocks = document.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.split('#').next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

fn names_a_run(example: &str) -> bool {
    example.lines().take_while(|line| line.starts_with("//")).any(|line| line.starts_with("//! run:"))
}

// --- Reading the tree ---

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file that is not there yet has no violations.
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

fn sources() -> Vec<String> {
    let folders = ["src", "runtime", "ops", "io", "examples", "benches", "tests"];
    folders.iter().flat_map(|folder| files_under(folder, "rs")).collect()
}

fn example_files() -> Vec<String> {
    let files = files_under("examples", "rs").into_iter();
    files.filter(|path| path.matches('/').count() == 1 || path.ends_with("/main.rs")).collect()
}

fn example_names() -> Vec<String> {
    example_files().iter().map(|path| stem(path.trim_end_matches("/main.rs")).to_string()).collect()
}

fn stem(path: &str) -> &str {
    Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or(path)
}

/// All files with an extension below a folder, sorted, as paths from the root.
fn files_under(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let path = path.strip_prefix(root()).expect("it was found below the root");
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// Without build results and the contestants of the benchmarks, which are a workspace of their own.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| !path.ends_with("target") && !path.ends_with("benches/peers")).collect()
}

// --- Each rule, with a text that breaks it and one that keeps it ---

/// The rule finds something on the bad text's only wrong line, and nothing in the good one.
fn check(rule: impl Fn(&str) -> Violations, line: usize, bad: &str, good: &str) {
    let lines = rule(bad).iter().map(|violation| violation.0).collect::<Vec<_>>();
    assert_eq!(lines, [line], "in the bad text: {bad}");
    assert_eq!(rule(good), [], "in the good text: {good}");
}

#[test]
fn a_file_opens_with_a_line_about_itself() {
    check(opens_with_a_module_line, 1, "use std::io;\n", "//! Reads.\nuse std::io;\n");
}

#[test]
fn a_file_is_short_before_its_tests_and_with_them() {
    let (product, tests) = ("fn f() {}\n", "#[cfg(test)]\nmod tests {\n");
    let limit = product.repeat(LINES_OF_PRODUCT);
    check(short_enough, LINES_OF_PRODUCT + 1, &(limit.clone() + product), &(limit.clone() + tests));
    let rest = LINES_WITH_TESTS - LINES_OF_PRODUCT - 2;
    let whole = limit + tests + &product.repeat(rest);
    check(short_enough, LINES_WITH_TESTS + 1, &(whole.clone() + product), &whole);
}

#[test]
fn a_line_fits_the_width() {
    check(lines_fit, 2, &format!("\n{}", "é".repeat(LINE_LENGTH + 1)), &"é".repeat(LINE_LENGTH));
}

#[test]
fn nothing_is_left_to_do() {
    check(nothing_left_to_do, 1, concat!("// TO", "DO: more"), "// MAXXXL, TODOS");
}

#[test]
fn every_test_is_run() {
    check(no_ignored_test, 2, concat!("#[test]\n#[", "ignore]"), concat!("#[test] // not #[", "ignore]"));
}

#[test]
fn a_test_does_not_sleep() {
    let call = concat!("thread::", "sleep(x);\n");
    check(no_sleep, 1, call, "park.sleep(x); // not like a thread");
    let in_tests = "#[test]\nfn waits() {\n".to_string() + call;
    check(|text| no_sleep(&tests_of(text)), 4, &(call.to_string() + &in_tests), call);
}

#[test]
fn the_product_does_not_unwrap() {
    check(no_unwrap, 1, "a.unwrap();", "/// a.unwrap();\na.unwrap_or(0);");
}

#[test]
fn the_product_does_not_print() {
    check(no_print, 2, "fn f() {\n    println!(\"x\");", "fn print() { write!(out, \"print!\") }");
}

#[test]
fn names_are_not_those_of_other_systems() {
    let rule = |text: &str| names_without(&FORBIDDEN, text);
    check(rule, 1, "struct SlotManager;", "struct Slot; // a manager of subtasks");
    check(rule, 1, "fn start(workers: usize)", "fn start(subtasks: usize)");
    check(rule, 1, "mod utils;", "let it = mpsc::channel();");
    check(rule, 1, "let mut event_handler = 1;", "let mut event = std::panic::handler();");
}

#[test]
fn a_function_names_the_thing_and_not_the_getting() {
    check(no_get, 1, "pub fn get_slot(&self)", "pub fn slot(&self) { self.map.get_mut(1) }");
}

#[test]
fn time_is_handed_in() {
    check(no_clock, 1, "let start = Instant::now();", "// Instant::now\nlet start = clock.now();");
}

#[test]
fn locks_stay_off_the_record_path() {
    check(no_lock, 1, "use std::sync::Mutex;", "// a Mutex would do\nuse std::sync::atomic::AtomicU64;");
    check(no_lock, 2, "\nlet a = RwLock::new(0);", "let text = \"Mutex\";");
    check(no_lock, 1, "waits: Condvar,", "unlock();");
}

#[test]
fn unsafe_stays_where_it_is_listed() {
    check(no_unsafe, 2, "\nlet x = unsafe { y };", "#![forbid(unsafe_code)] // unsafe\nlet x = \"unsafe\";");
    check(no_unsafe, 1, "#![allow(unsafe_code)]", "#![deny(unsafe_code)]");
    assert!(UNSAFE.iter().all(|path| !starts(&["src/", "ops/"], path)), "never in ops or the facade");
}

#[test]
fn listed_unsafe_is_explained() {
    let good = "//! Calls.\n#![allow(unsafe_code)]\n// SAFETY: it lives.\nunsafe { f() }";
    check(unsafe_is_explained, 1, &good.replace("SAFETY", "Safe"), good);
    check(unsafe_is_explained, 1, &good.replace("allow", "deny"), good);
}

#[test]
fn the_runtime_names_no_connector() {
    check(|text| without_name("kafka", text), 1, "struct KafkaSource;", "/// As Kafka does.\nstruct Source;");
    check(|text| without_name("slotflow_ops", text), 1, "use slotflow_ops::Map;", "use crate::Operator;");
}

#[test]
fn names_are_missing_when_the_list_has_them_only_as_part_of_another() {
    assert_eq!(
        names_missing(["end-lost", "early"].into_iter(), "- `end-lost` (seeds 1-9), early-commit"),
        ["early"]
    );
}

#[test]
fn examples_are_found_in_documents() {
    assert_eq!(examples_named("`cargo run --example word_count -- x`, --example NAME"), ["word_count"]);
}

#[test]
fn settings_are_fields_and_are_listed_in_toml() {
    let source = "/// pub a: b\nstruct X {\n    pub count: usize,\n    y: u8,\n}\npub fn f(z: u8) {}";
    assert_eq!(fields(source).collect::<Vec<_>>(), ["count"]);
    assert_eq!(settings_listed("count\n```toml\n[x]\na = 1 # b\n```\nc").trim_end(), "[x]\na = 1");
}

#[test]
fn a_short_run_stands_in_the_first_comment() {
    assert!(names_a_run("//! Counts.\n//!\n//! run: --records 9\nfn main() {}"));
    assert!(!names_a_run("//! Counts.\nfn main() {}\n//! run: too late"));
}
