//! How the brokers let in. What needs the feature `kafka-ssl` is checked where the tests were built with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use slotflow::io::kafka::{KafkaSettings, KafkaSink, KafkaSource, Message};
use slotflow::{Environment, Error, JobReport, Result};

use crate::kafka::Topics;
use crate::with_topics;

/// What a broker that does not let in is waited for.
const SOON: Duration = Duration::from_secs(2);

/// The file of this name beside the broker that `scripts/kafka up` has started.
fn beside_the_broker(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".kafka").join(name)
}

/// Runs a test with topics and the address where the broker wants this: `sasl` or `tls`.
fn with_address(of: &str, test: impl FnOnce(&Topics, &str)) {
    let address = std::fs::read_to_string(beside_the_broker(&format!("bootstrap.{of}")));
    with_topics(of, |topics| {
        topics.fill(0..1_000);
        test(topics, address.expect("scripts/kafka up says where the broker listens").trim());
    });
}

fn sasl(address: &str, mechanism: &str, password: &str) -> KafkaSettings {
    let toml = format!(
        "bootstrap.servers = \"{address}\"\nsecurity.protocol = \"sasl_plaintext\"\nsasl.username = \"me\"\n\
         sasl.mechanism = \"{mechanism}\"\nsasl.password = \"{password}\"\n"
    );
    KafkaSettings::from_toml(&toml).unwrap()
}

/// The ends of the job over these settings.
fn ends(topics: &Topics, kafka: &KafkaSettings) -> (KafkaSource, KafkaSink) {
    (topics.source().with_settings(kafka).bounded(), topics.sink().with_settings(kafka))
}

fn run((source, sink): (KafkaSource, KafkaSink)) -> Result<JobReport> {
    let env = Environment::new()?;
    env.source(source).map(|line: Message<'_>| line.payload().to_ascii_uppercase()).sink(sink);
    env.run("let in")
}

fn is_let_in(topics: &Topics, ran: Result<JobReport>) {
    assert_eq!(ran.unwrap().records, 1_000);
    assert_eq!(topics.compare(0..1_000), (vec![], vec![]));
}

fn is_refused(ran: Result<JobReport>, why: &str) {
    let text = ran.map(drop).map_err(|error: Error| error.to_string()).unwrap_err();
    assert!(text.contains(why) && !text.contains("canary"), "{text}");
}

#[test]
fn a_password_lets_in_and_a_wrong_one_is_told_with_its_mechanism() {
    with_address("sasl", |topics, address| {
        is_refused(
            run(ends(topics, &sasl(address, "PLAIN", "canary"))),
            "refuse the credentials by SASL PLAIN: ",
        );
        is_let_in(topics, run(ends(topics, &sasl(address, "PLAIN", "it's me"))));
    });
}

#[test]
fn what_a_plain_client_is_told_at_a_port_for_sasl_names_the_setting() {
    with_address("sasl", |topics, address| {
        let plain = KafkaSettings::new().set("bootstrap.servers", address);
        let (source, sink) = ends(topics, &plain);
        let refused = run((source.connect_timeout(SOON), sink.connect_timeout(SOON)));
        is_refused(refused, "whether it wants TLS or SASL: the setting `security.protocol`");
    });
}

/// Needs OpenSSL.
#[cfg(feature = "kafka-ssl")]
mod ssl {
    use std::time::SystemTime;

    use slotflow::io::kafka::OauthToken;

    use super::*;

    /// Nobody has signed it: `{"alg":"none"}`, and `{"sub":"me","iat":1700000000,"exp":4102444800}`.
    const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSIsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjo0MTAyNDQ0ODAwfQ.";

    #[test]
    fn scram_lets_in_and_refuses_a_wrong_password() {
        with_address("sasl", |topics, address| {
            let why = "refuse the credentials by SASL SCRAM-SHA-512: ";
            is_refused(run(ends(topics, &sasl(address, "SCRAM-SHA-512", "canary"))), why);
            is_refused(
                run(ends(topics, &sasl(address, "SCRAM-SHA-256", "it's me"))),
                "by SASL SCRAM-SHA-256: ",
            );
            is_let_in(topics, run(ends(topics, &sasl(address, "SCRAM-SHA-512", "it's me"))));
        });
    }

    #[test]
    fn tokens_let_in_and_a_wrong_one_is_refused() {
        with_address("sasl", |topics, address| {
            let kafka = KafkaSettings::new().set("bootstrap.servers", address);
            let kafka = kafka.set("security.protocol", "sasl_plaintext").set("sasl.mechanism", "OAUTHBEARER");
            let with = |token: &'static str| {
                let fetch = move || {
                    let expires = SystemTime::now() + Duration::from_secs(600);
                    Ok(OauthToken { token: token.into(), principal: "me".into(), expires })
                };
                let (source, sink) = ends(topics, &kafka);
                run((source.oauth_tokens(fetch), sink.oauth_tokens(fetch)))
            };
            is_refused(with("canary"), "refuse the credentials by SASL OAUTHBEARER: ");
            is_let_in(topics, with(TOKEN));
        });
    }

    #[test]
    fn tls_is_spoken_where_the_certificate_is_known_and_only_there() {
        with_address("tls", |topics, address| {
            let tls = KafkaSettings::new().set("bootstrap.servers", address).set("security.protocol", "ssl");
            let (source, sink) = ends(topics, &tls);
            let unknown = run((source.connect_timeout(SOON), sink.connect_timeout(SOON)));
            is_refused(unknown, &format!("no connection by TLS to {address}: "));
            let known = tls.set("ssl.ca.location", beside_the_broker("tls.pem").display());
            is_let_in(topics, run(ends(topics, &known)));
        });
    }
}

#[test]
#[cfg(feature = "kafka-zstd")]
fn zstd_is_written_and_read() {
    with_topics("zstd", |topics| {
        topics.fill(0..1_000);
        let ends = (topics.source().bounded(), topics.sink().setting("compression.type", "zstd"));
        is_let_in(topics, run(ends));
    });
}
