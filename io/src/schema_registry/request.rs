//! One question to the registry, and what becomes of it.

use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use slotflow_runtime::{Error, Result};
use ureq::http::{HeaderValue, StatusCode, header};
use ureq::{Agent, Body};

use super::client::SchemaRegistry;

/// The media type of its API.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The longest pause between two attempts.
const MOST_BACKOFF_MS: u64 = 60_000;

/// No schema is longer (a guess: a thousand times a long one).
const MOST_BYTES: u64 = 16 << 20;

/// So much of what it says is quoted.
const QUOTED_CHARS: usize = 300;

/// That there is no such thing, in the registry's own codes: no subject, no version, no schema. A 404 with none of
/// these comes from somebody else.
const MISSING: [u32; 3] = [40_401, 40_402, 40_403];

/// What an attempt came to.
enum Outcome {
    Answer(String),
    Missing,
    /// It may go better the next time.
    Away(String),
    /// It will not.
    Refused(String),
}

/// What the registry says when it does not do something.
#[derive(Default, Deserialize)]
struct Complaint {
    #[serde(default)]
    error_code: u32,
    #[serde(default)]
    message: String,
}

impl SchemaRegistry {
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        self.ask(path, None)?.map(|text| self.parsed(path, &text)).transpose()
    }

    /// What stands at a path where nothing ever changes: asked for once by all clones together.
    pub(super) fn asked_once<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let answer = self.answers.known_or_asked(path, || {
            if self.nobody_waits() {
                Err(self.away("whoever wanted to know has gone"))
            } else {
                self.ask(path, None)
            }
        })?;
        answer.map(|text| self.parsed(path, &text)).transpose()
    }

    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<Option<T>> {
        let body = serde_json::to_string(body);
        let body = body.map_err(|error| Error::bug(format!("a schema has no form in JSON: {error}")))?;
        self.ask(path, Some(&body))?.map(|text| self.parsed(path, &text)).transpose()
    }

    /// Asks as often as it may. `None` where there is no such thing.
    fn ask(&self, path: &str, body: Option<&str>) -> Result<Option<String>> {
        let agent = self.agent()?;
        let mut attempt = 1;
        loop {
            match self.attempt(&agent, path, body) {
                Outcome::Answer(text) => return Ok(Some(text)),
                Outcome::Missing => return Ok(None),
                Outcome::Refused(why) => return Err(self.refused(path, &why)),
                Outcome::Away(why) if attempt >= self.attempts || self.nobody_waits() => {
                    return Err(self.away(&why));
                }
                Outcome::Away(why) => {
                    tracing::warn!(attempt, "schema registry {} is asked again: {why}", self.url);
                    thread::sleep(self.backoff(attempt));
                    attempt += 1;
                }
            }
        }
    }

    fn backoff(&self, attempts: u32) -> Duration {
        let doubled = 1 << (attempts - 1).min(16);
        Duration::from_millis(self.backoff_ms.saturating_mul(doubled).min(MOST_BACKOFF_MS))
    }

    fn agent(&self) -> Result<Agent> {
        if without_user(&self.url) != &*self.url {
            return Err(
                self.unfit("its URL holds a user", "give it by .basic_auth(..), where it is not shown")
            );
        }
        if cfg!(not(feature = "schema-registry-tls")) && self.url.starts_with("https:") {
            return Err(self.unfit("this build has no TLS", "https needs the feature schema-registry-tls"));
        }
        let config = Agent::config_builder()
            .timeout_global(Some(Duration::from_millis(self.timeout_ms)))
            .http_status_as_error(false)
            .proxy(None)
            .user_agent(concat!("slotflow/", env!("CARGO_PKG_VERSION")));
        #[cfg(feature = "schema-registry-tls")]
        let config = config.tls_config(self.tls()?);
        Ok(config.build().new_agent())
    }

    /// One attempt.
    fn attempt(&self, agent: &Agent, path: &str, body: Option<&str>) -> Outcome {
        let url = format!("{}{path}", self.url);
        let answered = match body {
            None => self.headed(agent.get(url)).and_then(|request| request.call()),
            Some(body) => self
                .headed(agent.post(url))
                .and_then(|request| request.header(header::CONTENT_TYPE, MEDIA_TYPE).send(body)),
        };
        match answered {
            Ok(mut response) => {
                let status = response.status();
                outcome(status, read(response.body_mut()))
            }
            Err(error) => unanswered(error),
        }
    }

    fn headed<S>(&self, request: ureq::RequestBuilder<S>) -> Result<ureq::RequestBuilder<S>, ureq::Error> {
        let request = request.header(header::ACCEPT, MEDIA_TYPE);
        let Some(authorization) = &self.authorization else { return Ok(request) };
        let mut value = HeaderValue::from_str(authorization).map_err(ureq::http::Error::from)?;
        // So no log shows it.
        value.set_sensitive(true);
        Ok(request.header(header::AUTHORIZATION, value))
    }

    fn parsed<T: DeserializeOwned>(&self, path: &str, text: &str) -> Result<T> {
        let why = |error| format!("its answer is not what a registry says: {error}");
        serde_json::from_str(text).map_err(|error| self.refused(path, &why(error)))
    }

    fn away(&self, why: &str) -> Error {
        let SchemaRegistry { url, attempts, timeout_ms, backoff_ms, .. } = self;
        Error::world(
            format!("schema registry {url} does not answer, asked {attempts} times: {why}"),
            format!(
                "start it or mend its URL; longer attempts have .timeout_ms(..), now {timeout_ms}, and more of them \
                 .retry(..), now {attempts} and {backoff_ms} ms"
            ),
        )
    }

    fn refused(&self, path: &str, why: &str) -> Error {
        let remedy = "mend that, its URL, or who asks it by .basic_auth(..) or .bearer_token(..)";
        Error::world(format!("schema registry {} refuses {path}: {why}", self.url), remedy)
    }

    /// Nobody is asked with these settings.
    fn unfit(&self, why: &str, remedy: &str) -> Error {
        Error::world(format!("schema registry {} cannot be asked: {why}", without_user(&self.url)), remedy)
    }
}

fn read(body: &mut Body) -> Result<String, ureq::Error> {
    body.with_config().limit(MOST_BYTES).lossy_utf8(true).read_to_string()
}

fn outcome(status: StatusCode, body: Result<String, ureq::Error>) -> Outcome {
    let text = match body {
        Ok(text) => text,
        Err(error) => return unanswered(error),
    };
    if status.is_success() {
        return Outcome::Answer(text);
    }
    let Complaint { error_code, message } = serde_json::from_str(&text).unwrap_or_default();
    if status == StatusCode::NOT_FOUND && MISSING.contains(&error_code) {
        return Outcome::Missing;
    }
    let message: String = message.chars().take(QUOTED_CHARS).collect();
    let why = format!("{status}, {error_code} {message:?}");
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    if passing || status.is_server_error() { Outcome::Away(why) } else { Outcome::Refused(why) }
}

/// What is wrong with the network passes, what is wrong with the settings does not.
fn unanswered(error: ureq::Error) -> Outcome {
    use ureq::Error::{ConnectionFailed, HostNotFound, Io, Protocol, Timeout};
    match error {
        Io(_) | Timeout(_) | HostNotFound | ConnectionFailed | Protocol(_) => {
            Outcome::Away(error.to_string())
        }
        _ => Outcome::Refused(error.to_string()),
    }
}

/// The URL without what stands in front of an `@`: it may be a password.
pub(super) fn without_user(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each message says what happened; the remedy stands behind the semicolon.
    #[test]
    fn every_failure_has_its_golden_text() {
        let registry = SchemaRegistry::new("http://registry:8081").timeout_ms(500).retry(3, 100);
        let refused = registry.parsed::<u32>("/schemas/ids/3", "a page").unwrap_err();
        let with_user = SchemaRegistry::new("http://me:secret@registry:8081").schema(1).unwrap_err();
        let texts = [
            registry.away("Connection refused"),
            registry.refused("/schemas/ids/3", "401 Unauthorized"),
            refused,
            with_user,
            registry.unfit("this build has no TLS", "https needs the feature schema-registry-tls"),
        ];
        let texts: String = texts.iter().map(|error| format!("{error}\n")).collect();
        assert_eq!(texts, include_str!("golden/failures.txt"));
    }
}
