//! The schema registry: a server of the test's own, the client, and jobs that ask it.

mod client;
mod jobs;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use slotflow::io::schema_registry::SchemaRegistry;

/// What was asked.
#[derive(Clone, Debug, Default, PartialEq)]
struct Asked {
    /// Method and path.
    line: String,
    authorization: Option<String>,
    content_type: Option<String>,
    body: String,
}

/// A registry on the loopback that answers as the test says, one question after the other.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `answer` gives a status and a body for method and path.
    fn start(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, over) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(AtomicBool::new(false)));
        let (to, until) = (asked.clone(), over.clone());
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if until.load(Ordering::Relaxed) {
                    return;
                }
                serve(&stream.unwrap(), &to, &answer);
            }
        });
        Server { address, asked, over, thread: Some(thread) }
    }

    /// Asked once and never again, so that a test sees every failure.
    fn client(&self) -> SchemaRegistry {
        SchemaRegistry::new(format!("http://{}", self.address)).retry(1, 0)
    }

    fn lines(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|asked| asked.line.clone()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_some_and(|ended| ended.is_ok()), "the server has panicked");
    }
}

fn serve(mut stream: &TcpStream, to: &Mutex<Vec<Asked>>, answer: &impl Fn(&str) -> (u16, String)) {
    let mut lines = BufReader::new(stream);
    let (mut asked, mut length) = (Asked::default(), 0);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let line = line.trim_end();
        match line.split_once(": ") {
            None if line.is_empty() => break,
            None => asked.line = line.trim_end_matches(" HTTP/1.1").into(),
            Some((name, value)) => match &*name.to_lowercase() {
                "authorization" => asked.authorization = Some(value.into()),
                "content-type" => asked.content_type = Some(value.into()),
                "content-length" => length = value.parse().unwrap(),
                _ => {}
            },
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).unwrap();
    asked.body = String::from_utf8(body).unwrap();
    let line = asked.line.clone();
    to.lock().unwrap().push(asked);
    let (status, body) = answer(&line);
    let head = format!("HTTP/1.1 {status} OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // Whoever has asked may not have waited.
    drop(stream.write_all((head + &body).as_bytes()));
}

/// What a registry says of something that it does not have.
fn missing() -> (u16, String) {
    (404, r#"{"error_code": 40403, "message": "Schema not found"}"#.into())
}

/// A schema as an answer, with more around it.
fn schema(text: &str, more: &str) -> (u16, String) {
    (200, format!("{{\"schema\": {text:?}{more}}}"))
}
