//! What a Kafka source and a Kafka sink are told alike, and the librdkafka configuration made of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use slotflow_runtime::{Error, IoCores, Problem, Result};

use super::kafka_settings::KafkaSettings;
use super::log::ClientLog;
use super::oauth::Tokens;
use super::preset::{Preset, Setting};
use super::security;
use super::token::TokenTaker;

/// How long a broker may take to answer before the start (a guess: a broker across the world that is
/// electing a leader needs less).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest topic name Kafka allows.
const TOPIC_NAME_MAX: usize = 249;

/// Second names that librdkafka has for what the presets set: under its own, the preset could win.
const ALIASES: [(&str, &str); 5] = [
    ("sasl.mechanisms", "sasl.mechanism"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("compression.codec", "compression.type"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
];

/// Where to connect, a sink's topic or what a source reads in one word, and settings by librdkafka's own names.
///
/// It has no `Debug`: settings hold passwords.
#[derive(Clone)]
pub(super) struct Settings {
    pub brokers: String,
    pub topic: String,
    pub connect_timeout: Duration,
    pub preset: Preset,
    pub tokens: Option<Tokens>,
    raw: Vec<(String, String)>,
}

impl Settings {
    pub fn new(brokers: impl Into<String>) -> Settings {
        Settings {
            brokers: brokers.into(),
            topic: String::new(),
            connect_timeout: CONNECT_TIMEOUT,
            preset: Preset::default(),
            tokens: None,
            raw: Vec::new(),
        }
    }

    pub fn of(brokers: &str, topic: &str) -> Settings {
        Settings { topic: topic.into(), ..Settings::new(brokers) }
    }

    pub fn set(&mut self, key: impl Into<String>, value: impl fmt::Display) {
        let key = key.into();
        let known = ALIASES.iter().find(|(alias, _)| *alias == key);
        let key = known.map_or(key, |(_, name)| (*name).into());
        self.raw.push((key, value.to_string()));
    }

    /// Adds what sources and sinks share; an address among it replaces the one there was.
    pub fn add(&mut self, shared: &KafkaSettings) {
        for (key, value) in &shared.all {
            match key.as_str() {
                "bootstrap.servers" => self.brokers.clone_from(value),
                key => self.set(key, value),
            }
        }
    }

    pub fn is_set(&self, key: &str) -> bool {
        self.raw.iter().any(|(known, _)| known == key)
    }

    pub fn describe(&self) -> String {
        format!("kafka({})", self.topic)
    }

    /// The value in force; it may be secret.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.raw.iter().rev().find(|(known, _)| known == key).map(|(_, value)| &**value)
    }

    /// The preset with the values in force, what is fixed, and the names of what else was set: those values may be
    /// secret.
    pub fn explain(&self, presets: &[Setting], fixed: &[(&str, &str)]) -> Vec<String> {
        let known =
            presets.iter().map(|(key, value)| format!("{key} = {}", self.value(key).unwrap_or(value)));
        let fixed = fixed.iter().map(|(key, value)| format!("{key} = {value}"));
        let mut lines = vec![
            format!("{}: {}", self.preset.name(), Vec::from_iter(known).join(", ")),
            format!("fixed: {}", Vec::from_iter(fixed).join(", ")),
        ];
        let is_preset = |key: &str| presets.iter().any(|(known, _)| *known == key);
        let mut more: Vec<&str> =
            self.raw.iter().map(|(key, _)| &**key).filter(|key| !is_preset(key)).collect();
        more.sort_unstable();
        more.dedup();
        if !more.is_empty() {
            lines.push(format!("also set: {}", more.join(", ")));
        }
        lines
    }

    /// What is wrong with these settings on their own; `own` lists those the connector decides.
    pub fn problems(&self, own: &[&str]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem = |what: &str, remedy: &str| {
            problems.push(Problem::new(self.describe(), what, remedy));
        };
        if self.brokers.trim().is_empty() {
            problem("has no brokers", "give at least one HOST:PORT");
        }
        if self.connect_timeout.is_zero() {
            problem("has a connect timeout of 0 s", "give .connect_timeout(..) at least some milliseconds");
        }
        security::problems(self, &mut problem);
        for (key, _) in self.raw.iter().filter(|(key, _)| own.contains(&key.as_str())) {
            problem(&format!("sets `{key}` by itself"), "leave that setting out");
        }
        problems
    }

    /// The configuration: `presets`, then what the user set, then what must be so.
    ///
    /// # Errors
    /// A setting that librdkafka does not have or whose value it refuses.
    pub fn config(&self, presets: &[(&str, &str)], fixed: &[(&str, &str)]) -> Result<ClientConfig> {
        let mut config = ClientConfig::new();
        let raw = self.raw.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in presets.iter().copied().chain(raw).chain(fixed.iter().copied()) {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config.set_log_level(log_level());
        config.create_native_config().map_err(|error| self.refused(&error))?;
        Ok(config)
    }

    /// Gives a client that was just made a token, where the brokers want one.
    pub fn authorise(&self, client: &impl TokenTaker) -> Result<()> {
        let give = |tokens: &Tokens| tokens.give(client, self.connect_timeout).map(drop);
        self.tokens.as_ref().map_or(Ok(()), give)
    }

    /// Sees to it that a client has a token as long as it lives.
    pub fn keep_authorised<C>(&self, client: &Arc<C>, log: &ClientLog, io: &IoCores) -> Result<()>
    where
        C: TokenTaker + Send + Sync + 'static,
    {
        let keep = |tokens: &Tokens| tokens.keep(client, log.until_gone(), self.connect_timeout, io);
        self.tokens.as_ref().map_or(Ok(()), keep)
    }

    /// What librdkafka has against the configuration as a whole.
    pub fn refused(&self, error: &KafkaError) -> Error {
        let told = |reason: &str| security::without_secrets(reason.trim_end_matches('.'), &self.raw);
        let (what, remedy) = match error {
            KafkaError::ClientConfig(_, reason, key, _) => (
                format!("setting `{key}` is refused: {}", told(reason)),
                security::remedy(reason)
                    .unwrap_or("see the list of settings, CONFIGURATION.md of librdkafka"),
            ),
            KafkaError::ClientCreation(reason) => (
                format!("its settings do not fit together: {}", told(reason)),
                security::remedy(reason).unwrap_or("change those named here"),
            ),
            other => (format!("no client can be made: {other}"), "check its settings"),
        };
        Problem::new(self.describe(), what, remedy).into()
    }
}

pub(super) fn is_topic_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    name.len() <= TOPIC_NAME_MAX && name.bytes().all(allowed) && name != "." && name != ".."
}

/// librdkafka's lines at debug level are many: they are made only when somebody listens.
fn log_level() -> RDKafkaLogLevel {
    if tracing::enabled!(target: "librdkafka", tracing::Level::DEBUG) {
        RDKafkaLogLevel::Debug
    } else {
        RDKafkaLogLevel::Info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::of("b:9092", "words")
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let mut settings = Settings { connect_timeout: Duration::ZERO, ..Settings::new(" ") };
        settings.topic = "words".into();
        settings.set("enable.auto.commit", true);
        assert_eq!(
            Error::plan(settings.problems(&["enable.auto.commit"])).to_string(),
            "3 problems before the start\n  \
             - kafka(words): has no brokers; give at least one HOST:PORT\n  \
             - kafka(words): has a connect timeout of 0 s; give .connect_timeout(..) at least some milliseconds\n  \
             - kafka(words): sets `enable.auto.commit` by itself; leave that setting out"
        );
    }

    #[test]
    fn a_topic_has_a_name_that_kafka_allows() {
        for name in ["words", "a.b-c_D9", &"x".repeat(249)] {
            assert!(is_topic_name(name), "{name}");
        }
        for name in ["two words", "a/b", ".", "..", "nul\0", &"x".repeat(250)] {
            assert!(!is_topic_name(name), "{name}");
        }
    }

    #[test]
    fn a_setting_that_does_not_exist_is_named() {
        let mut settings = settings();
        settings.set("fetch.wait", 1);
        assert_eq!(
            settings.config(&[], &[]).unwrap_err().to_string(),
            "kafka(words): setting `fetch.wait` is refused: No such configuration property: \"fetch.wait\"; \
             see the list of settings, CONFIGURATION.md of librdkafka"
        );
    }

    #[test]
    fn explain_prints_what_is_in_force_and_no_value_that_may_be_secret() {
        let mut settings = settings();
        settings.set("linger.ms", 7);
        settings.set("sasl.password", "canary");
        settings.set("sasl.password", "canary");
        assert_eq!(
            settings.explain(&[("linger.ms", "1"), ("check.crcs", "true")], &[("acks", "all")]),
            ["low latency: linger.ms = 7, check.crcs = true", "fixed: acks = all", "also set: sasl.password"]
        );
    }

    #[test]
    fn the_user_comes_after_the_presets_and_before_what_must_be_so() {
        let mut settings = settings();
        settings.set("queue.buffering.max.ms", 7);
        settings.set("acks", 1);
        let config = settings.config(&[("linger.ms", "1"), ("retries", "2")], &[("acks", "all")]).unwrap();
        let value = |key| config.get(key).unwrap();
        assert_eq!([value("linger.ms"), value("retries"), value("acks")], ["7", "2", "all"]);
    }
}
