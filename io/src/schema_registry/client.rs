//! The client: settings, and what can be asked.

use std::fmt;
use std::sync::{Arc, Weak};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use slotflow_runtime::{Error, Result};

use super::answers::Answers;
use super::schema::{Registered, Schema};

/// A client of a Confluent Schema Registry. Its clones share what it knows: the schema of an id never changes, so none
/// is asked for twice, also when several threads, and the subtasks of a job, want to know at once. Its methods that ask
/// wait for the answer: call them before a job starts, never on a slot.
///
/// An attempt may take 10 s, and 5 are made in 6 s and more when the registry cannot be reached, answers nothing, or
/// says that it is not well or has too much to do (408, 429, 5xx). The defaults are guesses: a registry that is
/// restarted is got over.
///
/// ```
/// use slotflow::io::schema_registry::{Schema, SchemaRegistry};
/// # use std::io::{Read, Write};
/// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// # let url = format!("http://{}", listener.local_addr()?);
/// # std::thread::spawn(move || for mut stream in listener.incoming().flatten() {
/// #     let _request = stream.read(&mut [0; 4096]);
/// #     let body = r#"{"id": 7, "schema": "\"long\""}"#;
/// #     let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
/// #     let _gone = stream.write_all((head + body).as_bytes());
/// # });
///
/// let password = std::env::var("REGISTRY_PASSWORD").unwrap_or_default();
/// let registry = SchemaRegistry::new(url).basic_auth("trades", &password);
/// let schema = Schema::avro(r#""long""#);
/// let id = registry.register("prices-value", &schema)?;
/// assert_eq!(registry.schema(id)?, Some(schema));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SchemaRegistry {
    pub(super) url: Arc<str>,
    /// The header, which holds the password.
    pub(super) authorization: Option<Arc<str>>,
    #[cfg(feature = "schema-registry-tls")]
    pub(super) ca_file: Option<Arc<std::path::Path>>,
    pub(super) timeout_ms: u64,
    pub(super) attempts: u32,
    pub(super) backoff_ms: u64,
    /// Whoever waits for the answers, if that may go.
    waiting: Option<Weak<()>>,
    pub(super) answers: Arc<Answers>,
}

/// No password.
impl fmt::Debug for SchemaRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SchemaRegistry { url, timeout_ms, attempts, backoff_ms, .. } = self;
        f.debug_struct("SchemaRegistry")
            .field("url", &super::request::without_user(url))
            .field("timeout_ms", timeout_ms)
            .field("attempts", attempts)
            .field("backoff_ms", backoff_ms)
            .finish_non_exhaustive()
    }
}

impl SchemaRegistry {
    /// The registry at this URL, `http://HOST:PORT` and perhaps a path; `https://` with the feature
    /// `schema-registry-tls`. Whether it is there is seen when it is asked. Proxies that the environment names are not
    /// used.
    pub fn new(url: impl Into<String>) -> SchemaRegistry {
        let url: String = url.into();
        SchemaRegistry {
            url: url.trim_end_matches('/').into(),
            authorization: None,
            #[cfg(feature = "schema-registry-tls")]
            ca_file: None,
            timeout_ms: 10_000,
            attempts: 5,
            backoff_ms: 400,
            waiting: None,
            answers: Arc::default(),
        }
    }

    /// How it lets in: a user and a password, or an API key and its secret. Over `http://` anybody on the way can read
    /// them.
    #[must_use]
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        let both = BASE64_STANDARD.encode(format!("{user}:{password}"));
        SchemaRegistry { authorization: Some(format!("Basic {both}").into()), ..self }
    }

    /// How it lets in: a token. It is not renewed.
    #[must_use]
    pub fn bearer_token(self, token: &str) -> Self {
        SchemaRegistry { authorization: Some(format!("Bearer {token}").into()), ..self }
    }

    /// The certificates that the registry's own has to be signed by, a file in PEM; default those of Mozilla.
    #[cfg(feature = "schema-registry-tls")]
    #[must_use]
    pub fn ca_file(self, path: impl AsRef<std::path::Path>) -> Self {
        SchemaRegistry { ca_file: Some(path.as_ref().into()), ..self }
    }

    /// How long one attempt may take, in milliseconds, all in all; default 10,000, at least 1.
    #[must_use]
    pub fn timeout_ms(self, timeout_ms: u64) -> Self {
        SchemaRegistry { timeout_ms: timeout_ms.max(1), ..self }
    }

    /// How often a question is asked before it is given up, at least once; default 5 times. Before the second attempt
    /// `backoff_ms` pass, 400 by default, before each later one twice as much as before the last, and never more than
    /// a minute.
    #[must_use]
    pub fn retry(self, attempts: u32, backoff_ms: u64) -> Self {
        SchemaRegistry { attempts: attempts.max(1), backoff_ms, ..self }
    }

    /// The schema of this id; `None` if there is none.
    ///
    /// # Errors
    /// The registry does not answer, or refuses to; so for all that is asked.
    pub fn schema(&self, id: u32) -> Result<Option<Schema>> {
        self.asked_once(&format!("/schemas/ids/{id}"))
    }

    /// Registers a schema under a subject, which for the values of a topic is `TOPIC-value`, and gives its id. One that
    /// is registered already has the id that it had.
    ///
    /// # Errors
    /// Also that the subject's rules of compatibility do not allow it.
    pub fn register(&self, subject: &str, schema: &Schema) -> Result<u32> {
        #[derive(Deserialize)]
        struct Id {
            id: u32,
        }
        let path = format!("/subjects/{}/versions", encoded(subject));
        let id: Option<Id> = self.post(&path, schema)?;
        let no_such =
            || Error::world(format!("schema registry {} cannot register anything", self.url), "mend its URL");
        id.map(|id| id.id).ok_or_else(no_such)
    }

    /// What this schema is registered as under a subject; `None` if it is not. For programs that must not register.
    ///
    /// # Errors
    /// As for [`schema`](SchemaRegistry::schema).
    pub fn lookup(&self, subject: &str, schema: &Schema) -> Result<Option<Registered>> {
        self.post(&format!("/subjects/{}", encoded(subject)), schema)
    }

    /// The latest schema of a subject; `None` if there is no such subject.
    ///
    /// # Errors
    /// As for [`schema`](SchemaRegistry::schema).
    pub fn latest(&self, subject: &str) -> Result<Option<Registered>> {
        self.get(&format!("/subjects/{}/versions/latest", encoded(subject)))
    }

    /// Asks nothing again once `who` has gone: a job that is over must not leave threads behind that try for hours.
    #[cfg(any(feature = "avro", feature = "protobuf"))]
    pub(super) fn on_behalf_of(&self, who: &Arc<()>) -> Self {
        SchemaRegistry { waiting: Some(Arc::downgrade(who)), ..self.clone() }
    }

    pub(super) fn nobody_waits(&self) -> bool {
        self.waiting.as_ref().is_some_and(|who| who.strong_count() == 0)
    }
}

/// A subject as a part of a path: it may hold anything.
pub(super) fn encoded(subject: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    subject.bytes().map(one).collect()
}
