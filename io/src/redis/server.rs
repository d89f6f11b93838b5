//! One server: where it is, how it is asked, and what its refusals mean. Its password is never shown.

use std::fmt;
use std::time::Duration;

use ::redis::{
    Arg, Client, Cmd, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisError,
    RedisResult, ServerErrorKind, Value,
};
use slotflow_runtime::{Error, Result};

#[cfg(feature = "redis-tls")]
use super::tls;

/// What a URL can be.
const FORMS: &str =
    "give redis[s]://[USER:PASSWORD@]HOST[:PORT][/DB] or unix:PATH[?db=DB&user=USER&pass=PASSWORD]";

/// A server by its URL, which may hold a password; `Debug` and errors show the address alone.
#[derive(Clone)]
pub(super) struct Server {
    client: std::result::Result<Client, &'static str>,
    #[cfg(feature = "redis-tls")]
    ca_file: Option<std::sync::Arc<std::path::Path>>,
}

impl Server {
    /// What is wrong with the URL is told when it is [checked](Server::check).
    pub fn new(url: &str) -> Server {
        Server {
            client: client(url),
            #[cfg(feature = "redis-tls")]
            ca_file: None,
        }
    }

    /// # Errors
    /// The URL is none, or what else it names cannot be read.
    pub fn check(&mut self) -> Result<()> {
        #[cfg(feature = "redis-tls")]
        self.trust()?;
        let wrong = |what: &&'static str| {
            Error::world(format!("the URL of a Redis server cannot be used: {what}"), FORMS)
        };
        self.client.as_ref().map(drop).map_err(wrong)
    }

    /// Connects, and lets each answer take as long as that may.
    pub fn connect(&self, timeout: Duration) -> std::result::Result<Link, Failure> {
        let client = self.client.as_ref().map_err(|what| Failure::lasting(what, "mend the URL"))?;
        let connect = || {
            let connection = client.get_connection_with_timeout(timeout)?;
            connection.set_read_timeout(Some(timeout))?;
            connection.set_write_timeout(Some(timeout))?;
            Ok(connection)
        };
        let connection = connect().map_err(|error| self.failure("a connection", &error))?;
        Ok(Link { server: self.clone(), connection })
    }

    fn failure(&self, what: &str, error: &RedisError) -> Failure {
        let said = self.without_password(error.to_string());
        let text = format!("{self} does not give {what}: {said}");
        Failure { text, remedy: remedy(error), passes: passes(error), code: error.code().map(Into::into) }
    }

    /// A server or proxy that does not know a command says it back, and AUTH has the password in it.
    fn without_password(&self, text: String) -> String {
        let password =
            self.client.as_ref().ok().and_then(|it| it.get_connection_info().redis_settings().password());
        match password {
            Some(password) if !password.is_empty() => text.replace(password, "***"),
            _ => text,
        }
    }
}

#[cfg(feature = "redis-tls")]
impl Server {
    /// Its certificate has to be signed by one of those in this file.
    pub fn set_ca_file(&mut self, path: &std::path::Path) {
        self.ca_file = Some(path.into());
    }

    /// Reads that file, if there is one.
    fn trust(&mut self) -> Result<()> {
        if let (Some(path), Ok(client)) = (&self.ca_file, &mut self.client) {
            *client = tls::trusting(client, path)?;
        }
        Ok(())
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.client {
            Ok(client) => write!(f, "redis at {}", client.get_connection_info().addr()),
            Err(_) => f.write_str("redis"),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn client(url: &str) -> std::result::Result<Client, &'static str> {
    let is_tls = url.starts_with("rediss:") || url.starts_with("valkeys:");
    if is_tls && cfg!(not(feature = "redis-tls")) {
        return Err("TLS needs the feature redis-tls");
    }
    let info = url.into_connection_info().map_err(|_| "it is no such URL")?;
    // A password with a /, a ? or a # ends the address in its midst, and would be shown as a part of it.
    if !matches!(info.addr(), ConnectionAddr::Unix(_)) && has_at_behind_the_address(url) {
        return Err("what stands in front of its @ is not percent-encoded");
    }
    let settings = info.redis_settings().clone();
    let settings = settings.set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
    #[cfg(feature = "redis-tls")]
    if is_tls {
        tls::choose_cryptography();
    }
    Client::open(info.set_redis_settings(settings)).map_err(|_| "it is no such URL")
}

fn has_at_behind_the_address(url: &str) -> bool {
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    address.find(['/', '?', '#']).is_some_and(|end| address[end..].contains('@'))
}

/// Whether it may be over the next time.
fn passes(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => true,
        // While another server takes over, what was the first one takes no writes.
        ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain) => true,
        // What it says to who waits while it becomes a replica; while a script runs, its replicas are away, or its disk
        // is full; and while others have all of its connections.
        _ => match error.code() {
            Some("UNBLOCKED" | "BUSY" | "NOREPLICAS" | "MISCONF") => true,
            Some("ERR") => error.to_string().contains("max number of clients"),
            _ => false,
        },
    }
}

fn remedy(error: &RedisError) -> &'static str {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "mend user and password in its URL";
    }
    if error.to_string().contains("certificate") {
        return "name by ca_file(..) what its certificate is signed by, and in the URL the host that is in it";
    }
    match error.code() {
        Some("NOAUTH" | "WRONGPASS") => "mend user and password in its URL",
        Some("NOPERM") => "let this user do it, with ACL SETUSER on the server",
        Some("NOGROUP") => "start the job again: it makes the stream and its group if they are not there",
        Some("WRONGTYPE") => "name a key that holds a stream, or nothing yet",
        Some("OOM") => "raise its maxmemory, or bound what the sink leaves there by max_len",
        Some("MOVED" | "ASK" | "CROSSSLOT") => "name a server that is no part of a cluster",
        Some("ERR") if error.to_string().contains("unknown command") => "use Redis 6.2 or newer",
        _ => "start it, look into its log, or mend its URL",
    }
}

/// An open connection.
pub(super) struct Link {
    server: Server,
    connection: Connection,
}

impl Link {
    /// The server's answer. Behind a failure the connection is of no use, unless the server has refused.
    pub fn ask(&mut self, command: &Cmd) -> std::result::Result<Value, Failure> {
        let asked = self.connection.send_packed_command(&command.get_packed_command());
        let answer = asked.and_then(|()| self.connection.recv_response()).and_then(Value::extract_error);
        answer.map_err(|error| self.server.failure(&name(command), &error))
    }

    /// Sends so many commands at once, and reads all of the answers.
    pub fn ask_all(&mut self, commands: &[u8], count: usize) -> std::result::Result<(), Failure> {
        self.answers(commands, count).map_err(|error| self.server.failure("XADD", &error))
    }

    /// What one command is refused with is told behind the last answer.
    fn answers(&mut self, commands: &[u8], count: usize) -> RedisResult<()> {
        self.connection.send_packed_command(commands)?;
        let mut first = Ok(());
        for _ in 0..count {
            let answer = self.connection.recv_response()?;
            first = first.and(answer.extract_error().map(drop));
        }
        first
    }

    /// An answer that no server gives.
    pub fn garbled(&self, command: &Cmd) -> Failure {
        let text = format!("{} answers {} with what is no answer to it", self.server, name(command));
        Failure::lasting(&text, "use Redis 6.2 or newer")
    }
}

/// Its first word.
fn name(command: &Cmd) -> String {
    match command.args_iter().next() {
        Some(Arg::Simple(word)) => String::from_utf8_lossy(word).into_owned(),
        _ => "an answer".into(),
    }
}

/// What came instead of an answer.
#[derive(Debug)]
pub(super) struct Failure {
    text: String,
    remedy: &'static str,
    /// Whether it may be over the next time.
    pub passes: bool,
    /// The word with which the server refuses.
    code: Option<String>,
}

impl Failure {
    fn lasting(text: &str, remedy: &'static str) -> Failure {
        Failure { text: text.into(), remedy, passes: false, code: None }
    }

    /// The same, with the stream that it is about.
    pub fn about(self, stream: &str) -> Failure {
        Failure { text: format!("{} (stream {stream})", self.text), ..self }
    }

    /// Whether the server refuses with this word.
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    pub fn into_error(self) -> Error {
        Error::world(self.text, self.remedy)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::{Owned, Sink, Source};

    use super::super::{RedisRecord, RedisSink, RedisSource};
    use super::*;

    #[test]
    fn what_a_server_says_in_passing_is_waited_for() {
        let passes = |said: &str| {
            let answer = ::redis::parse_redis_value(format!("-{said}\r\n").as_bytes()).unwrap();
            passes(&answer.extract_error().unwrap_err())
        };
        for said in [
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
            "BUSY Redis is busy running a script",
            "NOREPLICAS Not enough good replicas to write.",
            "MISCONF Redis is configured to save RDB snapshots",
            "ERR max number of clients reached",
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
        ] {
            assert!(passes(said), "{said}");
        }
        for said in
            ["NOGROUP No such key", "WRONGTYPE Operation", "ERR unknown command", "NOPERM no", "OOM command"]
        {
            assert!(!passes(said), "{said}");
        }
    }

    /// Each message says what happened; the remedy stands behind the semicolon.
    #[test]
    fn every_refusal_has_its_golden_text() {
        let server = Server::new("redis://me:secret@h:6379");
        let refused = |said: &str| {
            let answer = ::redis::parse_redis_value(format!("-{said}\r\n").as_bytes()).unwrap();
            server.failure("XADD", &answer.extract_error().unwrap_err()).about("words").into_error()
        };
        let mut texts: Vec<Error> = [
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair",
            "NOPERM this user has no permissions",
            "NOGROUP No such key",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "MOVED 3999 h:6381",
            "CROSSSLOT Keys in request don't hash to the same slot",
            "ERR unknown command 'XAUTOCLAIM'",
            "ERR unknown command 'AUTH', with args beginning with: 'secret'",
            "LOADING Redis is loading the dataset in memory",
        ]
        .map(refused)
        .into();
        texts.extend(["nowhere", "redis://h/?a@b"].map(|url| Server::new(url).check().unwrap_err()));
        let source = || RedisSource::new("redis://h:6379");
        let sources = [source(), source().stream("words").stream("words").group("g")];
        texts.extend(sources.map(|mut source| source.splits().unwrap_err()));
        let mut sink = RedisSink::new("redis://h:6379");
        texts.push(Sink::<Owned<RedisRecord>>::check(&mut sink).unwrap_err());
        let texts: String = texts.iter().map(|error| format!("{error}\n")).collect();
        assert_eq!(texts, include_str!("golden/refusals.txt"));
    }

    #[test]
    fn no_part_of_a_password_is_taken_for_the_host() {
        for url in ["redis://me:a@b?9@h:6379", "redis://me:a/b@h", "redis://:a#b@h:1/2", "redis://me:a?b@h"] {
            let mut server = Server::new(url);
            assert!(server.check().is_err(), "{url}");
            assert_eq!(format!("{server} {server:?}"), "redis redis", "{url}");
        }
        assert_eq!(Server::new("redis://me:a%40b@h:1/2").to_string(), "redis at h:1");
    }
}
