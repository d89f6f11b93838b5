//! The command line that every contestant has, in Rust and in Java: words `NAME=VALUE`.
//!
//! `consumer.NAME` and `producer.NAME` are settings of Kafka's clients.

use std::collections::HashMap;
use std::fmt::Display;
use std::process::exit;
use std::str::FromStr;

use rdkafka::ClientConfig;

/// The words of the command line.
pub struct Words(HashMap<String, String>);

impl Words {
    /// Reads the command line; a word that is none ends the process.
    pub fn of_process() -> Words {
        let words = std::env::args().skip(1).map(|word| match word.split_once('=') {
            Some((name, value)) => (name.to_string(), value.to_string()),
            None => fail(&format!("{word}: not a word like NAME=VALUE")),
        });
        Words(words.collect())
    }

    /// A word that must be there.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| fail(&format!("{name}=VALUE is missing")))
    }

    /// A word that may be left out.
    pub fn text_or<'a>(&'a self, name: &str, otherwise: &'a str) -> &'a str {
        self.0.get(name).map_or(otherwise, String::as_str)
    }

    /// A number that must be there.
    pub fn number<N: FromStr<Err: Display>>(&self, name: &str) -> N {
        let text = self.text(name);
        text.parse().unwrap_or_else(|error| fail(&format!("{name}={text}: {error}")))
    }

    /// The settings of one of Kafka's clients.
    pub fn settings<'a>(&'a self, client: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let of_client = move |name: &'a str| name.strip_prefix(client)?.strip_prefix('.');
        self.0.iter().filter_map(move |(name, value)| Some((of_client(name)?, value.as_str())))
    }

    /// The configuration of one of librdkafka's clients.
    pub fn client(&self, client: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.text("brokers"));
        for (name, value) in self.settings(client) {
            config.set(name, value);
        }
        config
    }
}

/// Says that this contestant does not have the workload.
pub fn no_such_workload() -> ! {
    eprintln!("no such workload here");
    exit(3)
}

/// Ends the process with a reason.
pub fn fail(why: &str) -> ! {
    eprintln!("{why}");
    exit(2)
}
