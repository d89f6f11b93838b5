//! The example `kafka_uppercase` as a process of its own: what it prints, and how it exits.
//!
//! The example is compiled into this test, which starts itself again to be it: so what runs is what stands in
//! `examples/`, however the test was started.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../examples/kafka_uppercase/main.rs"]
mod kafka_uppercase;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use std::{env, fs, thread};

use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Native};
use slotflow::io::kafka::MockKafka;
use slotflow::runtime::IoCores;

/// Set in the process that is to be the example.
const AS_EXAMPLE: &str = "TEST_AS_EXAMPLE";

/// Nothing here takes longer than some seconds: an example that still runs then is killed, and has failed.
const HANGS: Duration = Duration::from_secs(120);

const TESTS: [(&str, fn()); 9] = [
    ("the_demo_verifies_its_result_and_exits_with_0", the_demo_verifies_its_result_and_exits_with_0),
    ("the_sink_has_half_of_the_parallelism_of_the_file", the_sink_has_half_of_the_parallelism_of_the_file),
    ("a_wrong_command_line_exits_with_1", a_wrong_command_line_exits_with_1),
    (
        "a_setting_that_is_unknown_is_shown_and_exits_with_1",
        a_setting_that_is_unknown_is_shown_and_exits_with_1,
    ),
    ("a_bounded_run_writes_each_line_once_for_its_group", a_bounded_run_writes_each_line_once_for_its_group),
    ("what_the_brokers_refuse_exits_with_1", what_the_brokers_refuse_exits_with_1),
    ("a_job_that_fails_on_the_way_exits_with_1", a_job_that_fails_on_the_way_exits_with_1),
    ("ctrl_c_and_sigterm_drain_and_exit_with_0", ctrl_c_and_sigterm_drain_and_exit_with_0),
    ("brokers_that_are_not_there_exit_with_1", brokers_that_are_not_there_exit_with_1),
];

fn main() -> ExitCode {
    if env::var_os(AS_EXAMPLE).is_some() {
        return kafka_uppercase::main();
    }
    for (name, test) in TESTS {
        test();
        println!("test {name} ... ok");
    }
    println!("test result: ok. {} passed; 0 failed", TESTS.len());
    ExitCode::SUCCESS
}

/// Runs the example to its end.
fn example(arguments: &[&str]) -> Output {
    let mut command = command(arguments);
    let example = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = example.id().to_string();
    let (ended, end) = channel::<()>();
    let watch = thread::spawn(move || {
        if end.recv_timeout(HANGS) == Err(RecvTimeoutError::Timeout) {
            drop(Command::new("kill").args(["-KILL", &id]).status());
        }
    });
    let output = example.wait_with_output().unwrap();
    drop(ended);
    watch.join().unwrap();
    output
}

/// The path of a configuration with this text.
fn configured(text: &str) -> String {
    let file = env::temp_dir().join(format!("slotflow-{}.toml", std::process::id()));
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().into()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    // Settings of whoever runs the tests are not to be seen here.
    env::vars().filter(|(name, _)| name.starts_with("SLOTFLOW_")).for_each(|(name, _)| {
        command.env_remove(name);
    });
    command.args(arguments).env(AS_EXAMPLE, "yes");
    command
}

/// The standard output of an example that is to succeed.
fn succeeds(arguments: &[&str]) -> String {
    let output = example(arguments);
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
    out
}

/// The last line on the standard error of an example that is to fail.
fn fails(arguments: &[&str]) -> String {
    refused(arguments).lines().last().unwrap_or_default().into()
}

/// All of its standard error.
fn refused(arguments: &[&str]) -> String {
    let output = example(arguments);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{err}");
    err
}

fn the_demo_verifies_its_result_and_exits_with_0() {
    let out = succeeds(&["--lines", "2_000"]);
    for expected in [
        "\n  1  LINES  x 2,",
        "\nslot dequeue to producer enqueue: p50 below ",
        "\nslot dequeue to acknowledgement (by the mock: no claim about a broker): p50 below ",
        "\nverified: all 2000 lines arrived exactly once\n",
    ] {
        assert!(out.contains(expected), "{expected:?} is not in\n{out}");
    }
}

fn the_sink_has_half_of_the_parallelism_of_the_file() {
    let file = configured("[job]\nparallelism = 6\n");
    let out = succeeds(&["--lines", "100", "--config", &file]);
    fs::remove_file(&file).unwrap();
    assert!(out.contains("\n  0  lines -> uppercase -> map  x 6,"), "{out}");
    assert!(out.contains("\n  1  LINES  x 3,"), "{out}");
}

fn a_wrong_command_line_exits_with_1() {
    assert_eq!(fails(&["--line", "3"]), "--line: no such argument; see the first lines of the example");
    assert_eq!(fails(&["--help"]), "--help: no such argument; see the first lines of the example");
    assert_eq!(fails(&["--lines"]), "--lines needs a value");
    assert_eq!(fails(&["--input", "words"]), "--input, --output and --bounded need --brokers");
    assert_eq!(fails(&["--lines", "many"]), "--lines many: invalid digit found in string");
    assert_eq!(fails(&["--brokers", "127.0.0.1:1"]), "--brokers needs --input and --output");
}

fn a_setting_that_is_unknown_is_shown_and_exits_with_1() {
    let file = configured("[job]\nparallelism = 3\n\n[slots]\ncuont = 3\n");
    // Nobody is there: the configuration is looked at before the brokers.
    let kafka = ["--brokers", "127.0.0.1:1", "--input", "lines", "--output", "LINES"];
    let error = refused(&[&kafka[..], &["--config", &file]].concat());
    fs::remove_file(&file).unwrap();
    let shown = "TOML parse error at line 5, column 1\n  |\n5 | cuont = 3\n  | ^^^^^\nunknown field `cuont`, expected";
    assert!(error.contains(&format!("{file}: {shown} one of `count`, ")), "{error}");
}

fn a_bounded_run_writes_each_line_once_for_its_group() {
    let kafka = MockKafka::start(&IoCores::default()).unwrap();
    kafka.create_topic("lines", 4).unwrap();
    kafka.create_topic("LINES", 2).unwrap();
    kafka.fill("lines", (0..1_000).map(|n| (n % 4, format!("line {n}")))).unwrap();
    let topics = ["--brokers", kafka.bootstrap(), "--input", "lines", "--output", "LINES"];
    let run = || succeeds(&[&topics[..], &["--group", "g", "--parallelism", "3", "--bounded"]].concat());
    let out = run();
    assert!(out.contains("\n  0  lines -> uppercase -> map  x 3,"), "{out}");
    assert!(out.contains("\n  1  LINES  x 2,"), "{out}");
    let ending = |out: &str| out.lines().last().unwrap_or_default().to_owned();
    let last = ending(&out);
    assert!(last.starts_with("job \"uppercase\" finished after "), "{last}");
    assert!(last.ends_with(" with 1000 records"), "{last}");
    let written = || {
        let lines = kafka.read("LINES").unwrap().concat().into_iter();
        let mut lines: Vec<String> =
            lines.map(|line| String::from_utf8(line.payload.to_vec()).unwrap()).collect();
        lines.sort();
        lines
    };
    let mut expected: Vec<String> = (0..1_000).map(|n| format!("LINE {n}")).collect();
    expected.sort();
    assert_eq!(written(), expected);
    // The group has what was written: its next run finds nothing, and one of another group would find all.
    let last = ending(&run());
    assert!(last.ends_with(" with 0 records"), "{last}");
    assert_eq!(written(), expected);
}

fn what_the_brokers_refuse_exits_with_1() {
    let kafka = MockKafka::start(&IoCores::default()).unwrap();
    kafka.create_topic("lines", 2).unwrap();
    let run = |input, output| {
        refused(&["--brokers", kafka.bootstrap(), "--input", input, "--output", output, "--bounded"])
    };
    let unknown = |topic| {
        let brokers = kafka.bootstrap();
        format!(
            "topic \"{topic}\" does not exist on {brokers}; create it, or correct the name given \
             to .topic(..)"
        )
    };
    let both = run("wrong", "LINES");
    assert!(both.contains(&unknown("wrong")) && both.contains(&unknown("LINES")), "{both}");
    let one = run("lines", "LINES");
    assert!(one.contains(&unknown("LINES")) && !one.contains("\"lines\""), "{one}");
}

fn a_job_that_fails_on_the_way_exits_with_1() {
    let kafka = MockKafka::start(&IoCores::default()).unwrap();
    kafka.create_topic("lines", 1).unwrap();
    kafka.create_topic("LINES", 1).unwrap();
    kafka.fill("lines", [(0, "line")]).unwrap();
    let refused = [Native::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED];
    kafka.with(move |cluster| cluster.request_errors(Api::Produce, &refused)).unwrap();
    let error =
        fails(&["--brokers", kafka.bootstrap(), "--input", "lines", "--output", "LINES", "--bounded"]);
    assert!(error.starts_with("operator \"LINES\", subtask "), "{error}");
    assert!(error.contains(": a record for topic \"LINES\", partition 0 was not delivered: "), "{error}");
}

fn ctrl_c_and_sigterm_drain_and_exit_with_0() {
    ["-INT", "-TERM"].into_iter().for_each(drains_and_exits_with_0);
}

fn drains_and_exits_with_0(signal: &str) {
    let kafka = MockKafka::start(&IoCores::default()).unwrap();
    kafka.create_topic("lines", 1).unwrap();
    kafka.create_topic("LINES", 1).unwrap();
    kafka.fill("lines", [(0, "line"); 1_000]).unwrap();
    let mut command = command(&["--brokers", kafka.bootstrap(), "--input", "lines", "--output", "LINES"]);
    let mut example = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(example.stdout.take().unwrap()).lines().map(Result::unwrap);
    let reads = |line: &String| line.contains(" records/s") && !line.starts_with("0 ");
    said.find(reads).expect("it reads the line, and shows that");
    let pressed = Command::new("kill").args([signal, &example.id().to_string()]).status().unwrap();
    assert!(pressed.success());
    let last = said.last().unwrap();
    assert_eq!(example.wait().unwrap().code(), Some(0));
    assert!(last.starts_with("job \"uppercase\" drained after "), "{last}");
    // What was read is written, whatever more there was to read.
    let written = kafka.read("LINES").unwrap().concat();
    assert!(last.ends_with(&format!(" with {} records", written.len())), "{last}, written {}", written.len());
    assert!(!written.is_empty() && written.iter().all(|line| line.payload == b"LINE"[..]));
}

fn brokers_that_are_not_there_exit_with_1() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = fails(&["--brokers", &nobody, "--input", "lines", "--output", "LINES"]);
    assert!(error.contains(&format!(": no broker of {nobody} answered within 10 s (")), "{error}");
}
