//! A server that says what a test wants it to say, and breaks off where a test wants it to.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A test that is still waiting after this has lost something.
const LOST: Duration = Duration::from_secs(60);

/// What comes of a command.
pub enum Reply {
    /// As it goes over the connection.
    Says(String),
    /// That, and the connection is closed.
    Breaks(String),
}

/// A command, and by which connection it came, from 0.
pub type Told = (usize, Vec<String>);

/// The server; it is there until the test program ends.
pub struct Fake {
    pub url: String,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Fake {
    /// Answers each command, by connection, as `answer` says.
    pub fn start(answer: impl Fn(usize, &[&str]) -> Reply + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let (told, answer) = (Arc::<Mutex<Vec<Told>>>::default(), Arc::new(answer));
        let all = told.clone();
        thread::spawn(move || {
            for (number, connection) in listener.incoming().enumerate() {
                let (answer, told) = (answer.clone(), all.clone());
                thread::spawn(move || serve(number, connection.unwrap(), &*answer, &told));
            }
        });
        Fake { url, told }
    }

    /// What it was told with this first word, in order.
    pub fn told(&self, first: &str) -> Vec<Told> {
        let told = self.told.lock().unwrap();
        told.iter().filter(|(_, words)| words[0] == first).cloned().collect()
    }

    /// Waits until it was told so much with this first word.
    pub fn wait_until_told(&self, first: &str, times: usize) -> Vec<Told> {
        wait_until(first, || Some(self.told(first)).filter(|told| told.len() >= times))
    }
}

/// Waits until there is something.
pub fn wait_until<X>(what: &str, mut look: impl FnMut() -> Option<X>) -> X {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < LOST, "in vain: {what}");
        thread::yield_now();
    }
}

fn serve(
    number: usize,
    connection: TcpStream,
    answer: &impl Fn(usize, &[&str]) -> Reply,
    told: &Mutex<Vec<Told>>,
) {
    let mut from = BufReader::new(connection.try_clone().unwrap());
    while let Some(words) = command(&mut from) {
        told.lock().unwrap().push((number, words.clone()));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (text, goes_on) = match answer(number, &words) {
            Reply::Says(text) => (text, true),
            Reply::Breaks(text) => (text, false),
        };
        if (&connection).write_all(text.as_bytes()).is_err() || !goes_on {
            break;
        }
    }
    let _ = connection.shutdown(std::net::Shutdown::Both);
}

/// The next command, if there is one.
fn command(from: &mut impl BufRead) -> Option<Vec<String>> {
    let count = number(from, '*')?;
    let word = |_| {
        let mut bytes = vec![0; number(from, '$')? + 2];
        from.read_exact(&mut bytes).ok()?;
        Some(String::from_utf8(bytes).unwrap().trim_end_matches("\r\n").to_owned())
    };
    (0..count).map(word).collect()
}

fn number(from: &mut impl BufRead, mark: char) -> Option<usize> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    line.trim_end().strip_prefix(mark)?.parse().ok()
}

pub const OK: &str = "+OK\r\n";
pub const NOTHING: &str = "*-1\r\n";

pub fn says(text: &str) -> Reply {
    Reply::Says(text.into())
}

pub fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

pub fn array(parts: impl IntoIterator<Item = String>) -> String {
    let parts: Vec<String> = parts.into_iter().collect();
    format!("*{}\r\n{}", parts.len(), parts.concat())
}

/// Entries `n-0` of one field, `n`, which has the same number for its value; a negative one was deleted.
pub fn entries(numbers: &[i64]) -> String {
    array(numbers.iter().map(|n| {
        let fields = if *n < 0 { NOTHING.to_owned() } else { array([bulk("n"), bulk(&n.to_string())]) };
        array([bulk(&format!("{}-0", n.abs())), fields])
    }))
}

/// An answer to XREADGROUP.
pub fn read(stream: &str, numbers: &[i64]) -> String {
    array([array([bulk(stream), entries(numbers)])])
}

/// An answer to XAUTOCLAIM that is the last.
pub fn claimed(numbers: &[i64]) -> String {
    array([bulk("0-0"), entries(numbers), array([])])
}
