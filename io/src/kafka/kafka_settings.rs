//! Settings of librdkafka that sources and sinks share, from code, a TOML file and the environment.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use slotflow_runtime::{Problem, Result};
use toml::{Table, Value};

/// Settings of librdkafka by their own names, for all who talk to one cluster: its address and how to be let in.
///
/// Later values replace earlier ones, so code wins over the environment and the environment over the file where they
/// are applied in that order. Values are never printed: `explain` lists the names alone, and so does `Debug`.
///
/// A value `${env:NAME}` is that of a variable, and `${file:PATH}` what stands in a file, without the line's end: so
/// that a password is in no file that others read.
///
/// ```
/// use slotflow_io::kafka::{KafkaSettings, KafkaSource};
///
/// let file = r#"
///     bootstrap.servers = "kafka.example:9093"
///     security.protocol = "sasl_plaintext"
///     sasl.mechanism = "PLAIN"
///     sasl.username = "orders"
///     sasl.password = "${env:HOME}"
/// "#;
/// let kafka = KafkaSettings::from_toml(file)?.with_environment("ORDERS_KAFKA_")?.set("client.id", "orders");
/// let orders = KafkaSource::new("").with_settings(&kafka).topic("orders").group("billing");
/// # Ok::<(), slotflow_runtime::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct KafkaSettings {
    pub(super) all: Vec<(String, String)>,
}

impl KafkaSettings {
    /// No setting yet.
    pub fn new() -> KafkaSettings {
        KafkaSettings::default()
    }

    /// Reads TOML: a setting of librdkafka in each line, under a table of any depth or by its whole name, whose value
    /// is a text, a number or a boolean. Names are looked at when a source or sink that has them starts.
    ///
    /// # Errors
    /// What is no TOML, with its line but not its text, which may be secret; a value of another kind; a reference that
    /// leads nowhere.
    pub fn from_toml(text: &str) -> Result<KafkaSettings> {
        parse(text, "Kafka's settings")
    }

    /// Reads a TOML file as [`from_toml`](Self::from_toml) does.
    ///
    /// # Errors
    /// As [`from_toml`](Self::from_toml), under the file's name; and a file that cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<KafkaSettings> {
        let name = path.as_ref().display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|cause| {
            Problem::new(&name, format!("cannot be read: {cause}"), "check path and rights")
        })?;
        parse(&text, &name)
    }

    /// Adds the process's variables whose names begin so: with `KAFKA_`, `KAFKA_SASL_PASSWORD` is `sasl.password`.
    /// What begins with `SLOTFLOW_` is the [`Config`](slotflow_runtime::config::Config)'s.
    ///
    /// # Errors
    /// A reference that leads nowhere; a value that is not UTF-8.
    pub fn with_environment(self, prefix: &str) -> Result<KafkaSettings> {
        self.with_variables(prefix, texts(prefix, std::env::vars_os())?)
    }

    /// As [`with_environment`](Self::with_environment), from any pairs of name and value.
    ///
    /// # Errors
    /// As [`with_environment`](Self::with_environment).
    pub fn with_variables(
        mut self,
        prefix: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<KafkaSettings> {
        for (name, value) in variables {
            if let Some(key) = name.strip_prefix(prefix).filter(|key| !key.is_empty()) {
                let key = key.to_lowercase().replace('_', ".");
                self.all.push((key, resolved(value, &name)?));
            }
        }
        Ok(self)
    }

    /// Adds one setting as it stands.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl fmt::Display) -> Self {
        self.all.push((key.into(), value.to_string()));
        self
    }
}

/// The names alone.
impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.all.iter().map(|(name, _)| name);
        f.write_str("KafkaSettings ")?;
        f.debug_set().entries(names).finish()
    }
}

/// The variables whose names begin so, as text.
fn texts(
    prefix: &str,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>> {
    let all = variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let ours = all.filter(|(name, _)| name.starts_with(prefix));
    let text = |(name, value): (String, OsString)| match value.into_string() {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(Problem::new(name, "is not UTF-8", "correct it").into()),
    };
    ours.map(text).collect()
}

/// The parser's own text of an error quotes the line, which may hold a password.
fn parse(text: &str, subject: &str) -> Result<KafkaSettings> {
    let table = text.parse::<Table>().map_err(|error| {
        let begin = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..begin].iter().filter(|byte| **byte == b'\n').count() + 1;
        Problem::new(subject, format!("is no TOML in line {line}: {}", error.message()), "correct that line")
    })?;
    let mut settings = KafkaSettings::new();
    settings.add(String::new(), table, subject)?;
    Ok(settings)
}

impl KafkaSettings {
    /// Dots in a name are tables to TOML.
    fn add(&mut self, prefix: String, table: Table, subject: &str) -> Result<()> {
        for (name, value) in table {
            let name = format!("{prefix}{name}");
            let text = match value {
                Value::Table(inner) => {
                    self.add(name + ".", inner, subject)?;
                    continue;
                }
                Value::String(text) => text,
                Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
                _ => {
                    let what = format!("gives `{name}` something else: {}", value.type_str());
                    return Err(Problem::new(subject, what, "write a text, a number or a boolean").into());
                }
            };
            let text = resolved(text, &name)?;
            self.all.push((name, text));
        }
        Ok(())
    }
}

/// What a reference stands for; anything else is itself.
fn resolved(value: String, name: &str) -> Result<String> {
    let reference = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    match reference.and_then(|reference| reference.split_once(':')) {
        Some(("env", variable)) => std::env::var(variable).map_err(|_| {
            let what = format!("refers to the variable {variable}, which is not set, or not UTF-8");
            Problem::new(name, what, "set it").into()
        }),
        Some(("file", path)) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).into()),
            Err(cause) => {
                let what = format!("refers to the file {path}, which cannot be read: {cause}");
                Err(Problem::new(name, what, "check path and rights").into())
            }
        },
        _ => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn refused(toml: &str) -> String {
        KafkaSettings::from_toml(toml).unwrap_err().to_string()
    }

    fn pairs(settings: &KafkaSettings) -> Vec<(&str, &str)> {
        settings.all.iter().map(|(name, value)| (&**name, &**value)).collect()
    }

    #[test]
    fn names_are_librdkafkas_however_toml_writes_them() {
        let toml = "sasl.username = \"me\"\n\"linger.ms\" = 7\n[sasl]\npassword = \"it\"\n";
        assert!(KafkaSettings::from_toml(toml).is_err(), "TOML extends no table that dots have made");
        let toml =
            "\"linger.ms\" = 7\n[sasl]\nusername = \"me\"\n[enable.ssl.certificate]\nverification = false";
        let settings = KafkaSettings::from_toml(toml).unwrap();
        let mut all = pairs(&settings);
        all.sort_unstable();
        assert_eq!(
            all,
            [("enable.ssl.certificate.verification", "false"), ("linger.ms", "7"), ("sasl.username", "me")]
        );
    }

    #[test]
    fn variables_come_behind_the_file_and_code_behind_both() {
        let variables = [("K_SASL_PASSWORD", "two"), ("K_", "x"), ("PATH", "/bin")];
        let variables = variables.map(|(name, value)| (name.to_string(), value.to_string()));
        let settings = KafkaSettings::from_toml("sasl.password = 'one'").unwrap();
        let settings = settings.with_variables("K_", variables).unwrap().set("sasl.password", "three");
        assert_eq!(pairs(&settings), ["one", "two", "three"].map(|value| ("sasl.password", value)));
    }

    #[test]
    fn a_variable_that_is_no_text_is_named_without_its_value_and_those_of_others_are_passed_over() {
        let no_text = || OsString::from_vec(b"canary\xff".to_vec());
        let variables =
            [(no_text(), "x".into()), ("OTHER".into(), no_text()), ("K_ACKS".into(), "all".into())];
        assert_eq!(texts("K_", variables.clone().into_iter()).unwrap(), [("K_ACKS".into(), "all".into())]);
        let ours = ("K_SASL_PASSWORD".into(), no_text());
        let error = texts("K_", variables.into_iter().chain([ours])).unwrap_err().to_string();
        assert_eq!(error, "K_SASL_PASSWORD: is not UTF-8; correct it");
    }

    #[test]
    fn a_reference_stands_for_what_it_names() {
        let path = std::env::temp_dir().join(format!("slotflow-secret-{}", std::process::id()));
        std::fs::write(&path, "canary\n").unwrap();
        let value = resolved(format!("${{file:{}}}", path.display()), "sasl.password");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(value.unwrap(), "canary");
        assert_eq!(resolved("${env:PATH}".into(), "x").unwrap(), std::env::var("PATH").unwrap());
        assert_eq!(resolved("$ecret".into(), "x").unwrap(), "$ecret");
        assert_eq!(
            refused("sasl.password = \"${env:NO_SUCH_VARIABLE}\""),
            "sasl.password: refers to the variable NO_SUCH_VARIABLE, which is not set, or not UTF-8; set it"
        );
        let no_file = "No such file or directory (os error 2); check path and rights";
        assert_eq!(
            refused("a = \"${file:/no/such}\""),
            format!("a: refers to the file /no/such, which cannot be read: {no_file}")
        );
        let error = KafkaSettings::from_file("/no/such").unwrap_err().to_string();
        assert_eq!(error, format!("/no/such: cannot be read: {no_file}"));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_value() {
        let text = refused("linger.ms = 1\nsasl.password = \"canary\n");
        assert!(
            text.starts_with("Kafka's settings: is no TOML in line 2: ")
                && text.ends_with("; correct that line")
                && !text.contains("canary"),
            "{text}"
        );
        assert_eq!(
            refused("sasl.password = [\"canary\"]"),
            "Kafka's settings: gives `sasl.password` something else: array; write a text, a number or a boolean"
        );
        for wrong in [
            "canary",
            "canary # x",
            "\"a\\canary\"",
            "'canary",
            "12canary",
            "canary.x = 1",
            "[canary",
            "{ canary",
        ] {
            let text = refused(&format!("sasl.username = 'me'\nsasl.password = {wrong}"));
            assert!(text.contains("line 2") && !text.contains("canary"), "{text}");
        }
        for wrong in ["sasl.password canary", "sasl.password: canary", "= canary", "a = 'b' canary"] {
            let text = refused(wrong);
            assert!(text.contains("line 1") && !text.contains("canary"), "{text}");
        }
        let text = KafkaSettings::from_file("/no/such").unwrap_err().to_string();
        assert!(text.starts_with("/no/such: cannot be read: "), "{text}");
        let shown = format!("{:?}", KafkaSettings::new().set("sasl.password", "canary"));
        assert_eq!(shown, "KafkaSettings {\"sasl.password\"}");
    }
}
