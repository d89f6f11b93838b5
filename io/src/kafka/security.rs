//! What of librdkafka's settings is secret, what a build cannot do, and how brokers let in.

use super::settings::Settings;

/// Parts of the names of settings whose values nobody may see.
const SECRET: [&str; 6] = ["password", "secret", "pem", "private", "oauthbearer", "username"];

const PROTOCOL: &str = "security.protocol";
const MECHANISM: &str = "sasl.mechanism";
const OAUTHBEARER: &str = "OAUTHBEARER";

/// Other ways to a token than a program's own: librdkafka's by OpenID, and one that is not secure, for tests.
const OTHER_TOKENS: [&str; 2] = ["sasl.oauthbearer.method", "enable.sasl.oauthbearer.unsecure.jwt"];

/// How brokers are to let this client in, as errors name it: `SASL PLAIN`; nothing where they just do.
pub(super) fn mechanism(settings: &Settings) -> Option<&str> {
    let protocol = settings.value(PROTOCOL)?.to_ascii_lowercase();
    protocol.starts_with("sasl").then(|| settings.value(MECHANISM).unwrap_or("GSSAPI"))
}

/// What contradicts itself before any broker is asked, as problem and remedy.
pub(super) fn problems(settings: &Settings, problem: &mut impl FnMut(&str, &str)) {
    let bearer = mechanism(settings) == Some(OAUTHBEARER);
    let otherwise = OTHER_TOKENS.iter().any(|key| settings.is_set(key));
    match settings.tokens {
        Some(_) if !bearer => problem(
            "has OAuth tokens that nobody asks for",
            "set `sasl.mechanism` to OAUTHBEARER and `security.protocol` to sasl_ssl or sasl_plaintext",
        ),
        None if bearer && !otherwise => {
            problem(
                "is let in by SASL/OAUTHBEARER and has no tokens",
                "say where they come from: .oauth_tokens(..)",
            );
        }
        // librdkafka would not even try to be let in, and whatever listens there would be taken for the brokers. Who
        // names a protocol without SASL means it: the settings of another place are overridden like that.
        None if settings.is_set(MECHANISM) && !settings.is_set(PROTOCOL) => problem(
            "sets `sasl.mechanism` without `security.protocol`, so nobody is asked to let it in",
            "set `security.protocol` to sasl_ssl or sasl_plaintext, or leave `sasl.mechanism` out",
        ),
        _ => {}
    }
}

/// A reason of librdkafka's, unless it may quote what is secret.
pub(super) fn without_secrets(reason: &str, settings: &[(String, String)]) -> String {
    let is_secret = |key: &str| SECRET.iter().any(|part| key.contains(part));
    let mut secrets = settings.iter().filter(|(key, _)| is_secret(key));
    let quoted = |(key, value): &(String, String)| {
        reason.contains(key.as_str()) || !value.is_empty() && reason.contains(value.as_str())
    };
    match secrets.find(|setting| quoted(setting)) {
        Some((key, _)) => format!("see to `{key}`; more is not told, as it may be secret"),
        None => reason.into(),
    }
}

/// What helps where a build of librdkafka cannot do what it was told.
pub(super) fn remedy(reason: &str) -> Option<&'static str> {
    let is_about = |what: &str| reason.contains(what);
    if is_about("mechanism GSSAPI") {
        Some(
            "set `sasl.mechanism` to PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER: Kerberos is not built in",
        )
    } else if is_about("libcurl") {
        Some("fetch tokens by .oauth_tokens(..): librdkafka's own ways to them, over HTTP, are not built in")
    } else if is_about("OpenSSL") && is_about("at build time") || is_about("No provider for SASL mechanism") {
        Some("build with slotflow's feature `kafka-ssl`")
    } else if is_about("libzstd not available") {
        Some("build with slotflow's feature `kafka-zstd`")
    } else {
        None
    }
}

#[cfg(test)]
#[path = "../../tests/handles/log.rs"]
mod log;

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use rdkafka::consumer::{BaseConsumer, Consumer};
    use slotflow_runtime::Error;

    use super::super::failure::Purpose;
    use super::super::log::ClientLog;
    use super::super::lookup::Lookup;
    use super::super::oauth::{OauthToken, Tokens};
    use super::log::Log;
    use super::*;

    /// Everything that can hold a secret holds this.
    const CANARY: &str = "canary-7f3a";

    const HOLDERS: [&str; 12] = [
        "sasl.username",
        "sasl.password",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "ssl.certificate.pem",
        "ssl.ca.pem",
    ];

    fn settings(all: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::of("b:9092", "words");
        all.iter().for_each(|(key, value)| settings.set(*key, value));
        settings
    }

    fn problems_of(settings: &Settings) -> Vec<String> {
        let mut problems = Vec::new();
        super::problems(settings, &mut |what, remedy| problems.push(format!("{what}; {remedy}")));
        problems
    }

    fn canary_token() -> Result<OauthToken, String> {
        Ok(OauthToken { token: CANARY.into(), principal: "me".into(), expires: SystemTime::now() })
    }

    #[test]
    fn no_setting_that_can_hold_a_secret_is_ever_quoted() {
        for protocol in ["sasl_plaintext", "sasl_ssl", "ssl", "plaintext"] {
            for mechanism in ["PLAIN", "SCRAM-SHA-512", OAUTHBEARER, "GSSAPI"] {
                for holder in HOLDERS {
                    let all =
                        [("security.protocol", protocol), ("sasl.mechanism", mechanism), (holder, CANARY)];
                    let settings = settings(&all);
                    let mut told = settings.explain(&[("linger.ms", "1")], &[]).concat();
                    told += &problems_of(&settings).concat();
                    let more = [("enable.sasl.oauthbearer.unsecure.jwt", "true")];
                    match settings.config(&more, &[]) {
                        Err(error) => told += &error.to_string(),
                        Ok(config) => {
                            let made: Result<BaseConsumer, _> = config.create();
                            told += &made
                                .err()
                                .map(|error| settings.refused(&error).to_string())
                                .unwrap_or_default();
                        }
                    }
                    assert!(told.contains(holder) && !told.contains(CANARY), "{told}");
                }
            }
        }
    }

    #[test]
    fn no_line_of_the_log_holds_a_secret_however_much_is_logged() {
        let log = Log::default();
        tracing::subscriber::with_default(log.clone(), || {
            let mut settings = Settings::of("127.0.0.1:1", "words");
            let all =
                [("debug", "all"), ("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "PLAIN")];
            all.into_iter().for_each(|(key, value)| settings.set(key, value));
            ["sasl.username", "sasl.password"].into_iter().for_each(|key| settings.set(key, CANARY));
            settings.connect_timeout = Duration::from_millis(300);
            let config = settings.config(&[("group.id", "g")], &[]).unwrap();
            let client: BaseConsumer<ClientLog> = config.create_with_context(ClientLog::default()).unwrap();
            let lookup = Lookup { settings: &settings, purpose: Purpose::Read, log: client.context() };
            let serve = || drop(client.poll(Duration::ZERO));
            let text = lookup.partitions("words", client.client(), serve).unwrap_err().to_string();
            assert!(!text.contains(CANARY), "{text}");
        });
        let lines = log.text();
        assert!(lines.contains("sasl.password") && !lines.contains(CANARY), "{lines}");
    }

    #[test]
    fn what_may_be_secret_is_named_and_not_told() {
        let settings = [("sasl.password".to_string(), CANARY.to_string()), ("a.pem".into(), "".into())];
        let told = |reason: &str| without_secrets(reason, &settings);
        assert_eq!(told("linger.ms is wrong"), "linger.ms is wrong");
        let withheld = "see to `sasl.password`; more is not told, as it may be secret";
        assert_eq!([told(&format!("bad: {CANARY}!")), told("sasl.password: begins at: nary")], [withheld; 2]);
    }

    #[test]
    fn tokens_and_their_mechanism_need_each_other() {
        let bearer = settings(&[("security.protocol", "SASL_SSL"), ("sasl.mechanisms", OAUTHBEARER)]);
        assert!(problems_of(&bearer)[0].starts_with("is let in by SASL/OAUTHBEARER and has no tokens; "));
        let with_tokens = |mut settings: Settings| {
            settings.tokens = Some(Tokens::new(canary_token));
            settings
        };
        assert!(problems_of(&with_tokens(bearer)).is_empty());
        let plain = with_tokens(settings(&[("security.protocol", "sasl_ssl"), ("sasl.mechanism", "PLAIN")]));
        assert!(problems_of(&plain)[0].starts_with("has OAuth tokens that nobody asks for; set `sasl."));
        let own = settings(&[
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", OAUTHBEARER),
            ("sasl.oauthbearer.method", "oidc"),
        ]);
        assert!(problems_of(&own).is_empty());
    }

    #[test]
    fn a_mechanism_needs_a_protocol_and_one_without_sasl_is_meant() {
        for key in ["sasl.mechanism", "sasl.mechanisms"] {
            let alone = problems_of(&settings(&[(key, OAUTHBEARER)]));
            assert!(alone.len() == 1 && alone[0].starts_with("sets `sasl.mechanism` without "), "{alone:?}");
            let protocols = ["plaintext", "ssl", "sasl_ssl"];
            let with = |protocol| problems_of(&settings(&[(key, "PLAIN"), ("security.protocol", protocol)]));
            assert!(protocols.map(with).iter().all(Vec::is_empty));
        }
    }

    #[test]
    fn a_mechanism_is_named_only_where_there_is_one() {
        let of = |all: &[(&str, &str)]| mechanism(&settings(all)).map(str::to_owned);
        assert_eq!(of(&[("sasl.mechanism", "PLAIN")]), None);
        assert_eq!(of(&[("security.protocol", "ssl"), ("sasl.mechanism", "PLAIN")]), None);
        assert_eq!(
            of(&[("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanisms", "PLAIN")]).unwrap(),
            "PLAIN"
        );
        assert_eq!(of(&[("security.protocol", "sasl_ssl")]).unwrap(), "GSSAPI");
    }

    /// What this build lacks is an error with the feature that brings it; what it has is none.
    #[test]
    fn what_a_build_cannot_do_names_the_feature_to_switch_on() {
        let refusal = |all: &[(&str, &str)]| {
            let settings = settings(all);
            let config = settings.config(&[], &[]).map_err(|error| error.to_string());
            let made = config.and_then(|config| {
                let made: rdkafka::error::KafkaResult<BaseConsumer> = config.create();
                made.map(drop).map_err(|error| settings.refused(&error).to_string())
            });
            made.err().unwrap_or_default()
        };
        let sasl = |mechanism| {
            let more = [("sasl.username", "me"), ("sasl.password", "it")];
            refusal(
                &[&[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", mechanism)], &more[..]]
                    .concat(),
            )
        };
        assert_eq!(sasl("PLAIN"), "");
        assert!(sasl("GSSAPI").ends_with("Kerberos is not built in"), "{}", sasl("GSSAPI"));
        let oidc = refusal(&[("sasl.oauthbearer.method", "oidc")]);
        assert!(oidc.contains("; fetch tokens by .oauth_tokens(..): "), "{oidc}");
        let zstd = refusal(&[("group.id", "g"), ("compression.codec", "zstd")]);
        let needs_ssl = [sasl("SCRAM-SHA-512"), refusal(&[("security.protocol", "ssl")])];
        for refused in needs_ssl {
            let lacking = refused.ends_with("; build with slotflow's feature `kafka-ssl`");
            assert!(if cfg!(feature = "kafka-ssl") { refused.is_empty() } else { lacking }, "{refused}");
        }
        let lacking = zstd.ends_with("; build with slotflow's feature `kafka-zstd`");
        assert!(if cfg!(feature = "kafka-zstd") { !zstd.contains("zstd") } else { lacking }, "{zstd}");
    }

    #[test]
    fn an_error_about_tokens_does_not_hold_one() {
        let refused = |_: &OauthToken| Err("it is expired".to_string());
        struct Client<F>(F);
        impl<F: Fn(&OauthToken) -> Result<(), String>> super::super::token::TokenTaker for Client<F> {
            fn take(&self, token: &OauthToken) -> Result<(), String> {
                (self.0)(token)
            }
        }
        let error: Error =
            Tokens::new(canary_token).give(&Client(refused), Duration::from_secs(60)).unwrap_err();
        assert!(error.to_string().contains("it is expired") && !format!("{error:?}").contains(CANARY));
    }
}
