//! Tokens for SASL/OAUTHBEARER, which the program fetches and every client is given before the last one expires.
//!
//! librdkafka asks for a token through a client's own queue. That queue is drained by a slot, or by nobody while the
//! job is held up, so we do not wait to be asked: a thread of the client's on the I/O cores sets a new token when most
//! of the last one's time is over. A token that cannot be had is told, and tried for again soon.
//!
//! What fetches tokens is the program's, and may never come back: a thread of its own calls it, and nobody waits for
//! that for longer than the connect timeout.

use std::convert::Infallible;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use slotflow_runtime::{Error, IoCores, Result};

use super::repeats::worth_saying;
use super::token::TokenTaker;

/// After this part of a token's time there is a new one: librdkafka's own rule.
const RENEWED_AFTER: f64 = 0.8;

/// Between two tries for a token (a guess: a server of tokens is not to be flooded).
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// No token is kept for longer, so that the clock's arithmetic holds whatever `expires` says.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A token for SASL/OAUTHBEARER. Its `Debug` leaves the token out.
#[derive(Clone)]
pub struct OauthToken {
    /// The token, as the brokers want it.
    pub token: String,
    /// The principal that it is for.
    pub principal: String,
    /// Until when it can be used; must lie ahead.
    pub expires: SystemTime,
}

impl fmt::Debug for OauthToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OauthToken { principal, expires, .. } = self;
        f.debug_struct("OauthToken")
            .field("principal", principal)
            .field("expires", expires)
            .finish_non_exhaustive()
    }
}

type Fetch = dyn Fn() -> std::result::Result<OauthToken, String> + Send + Sync;

/// Where tokens come from, and the last one, which all clients of a source or sink use.
#[derive(Clone)]
pub(super) struct Tokens {
    fetch: Arc<Fetch>,
    last: Arc<(Mutex<Fetched>, Condvar)>,
}

/// What has come of fetching a token.
#[derive(Default)]
struct Fetched {
    /// A thread is at it, one for all clients.
    under_way: bool,
    outcome: Option<std::result::Result<Last, String>>,
}

#[derive(Clone)]
struct Last {
    token: OauthToken,
    renew_at: Instant,
}

impl Fetched {
    fn fresh(&self) -> Option<&Last> {
        self.outcome.as_ref()?.as_ref().ok().filter(|last| Instant::now() < last.renew_at)
    }
}

impl Tokens {
    pub fn new(
        fetch: impl Fn() -> std::result::Result<OauthToken, String> + Send + Sync + 'static,
    ) -> Tokens {
        Tokens { fetch: Arc::new(fetch), last: Arc::default() }
    }

    /// Gives a client the token, and says when to do so again. Waits for a new one where the last one is old, but not
    /// longer than `patience`.
    pub fn give(&self, client: &impl TokenTaker, patience: Duration) -> Result<Instant> {
        self.last(patience).and_then(|last| last.given_to(client)).map_err(none)
    }

    /// What fetches tokens may never come back, and would hold whoever calls it: it has a thread of its own. That one
    /// stays until it is over, and there is no second one beside it.
    fn last(&self, patience: Duration) -> std::result::Result<Last, String> {
        let (fetched, over) = &*self.last;
        let mut fetched = fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = fetched.fresh() {
            return Ok(last.clone());
        }
        if !fetched.under_way {
            self.begin()?;
            fetched.under_way = true;
        }
        let waited = over.wait_timeout_while(fetched, patience, |fetched| fetched.under_way);
        let (fetched, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match &fetched.outcome {
            Some(outcome) if !fetched.under_way => outcome.clone(),
            _ => Err(format!("fetching it has not come to an end within {patience:?}, the connect timeout")),
        }
    }

    /// The thread has the cores of whoever needs the token: an I/O thread, or the one that starts the job.
    fn begin(&self) -> std::result::Result<(), String> {
        let tokens = self.clone();
        let spawned = thread::Builder::new().name("slotflow-fetch".into()).spawn(move || {
            let outcome = tokens.fetched().and_then(sound).map(Last::new);
            let (fetched, over) = &*tokens.last;
            *fetched.lock().unwrap_or_else(PoisonError::into_inner) =
                Fetched { under_way: false, outcome: Some(outcome) };
            over.notify_all();
        });
        spawned.map(drop).map_err(|error| format!("there is no thread that fetches it: {error}"))
    }

    /// A panic is no reason to let the last token expire: it is tried for again. Its text may hold what was fetched.
    fn fetched(&self) -> std::result::Result<OauthToken, String> {
        let fetched = catch_unwind(AssertUnwindSafe(|| (self.fetch)()));
        fetched.unwrap_or_else(|panic| {
            drop(Error::panicked(panic));
            Err("fetching it panicked".into())
        })
    }

    /// Starts the thread that renews a client's token, until the other end of `gone` is dropped with the client.
    pub fn keep<C>(
        &self,
        client: &Arc<C>,
        gone: Receiver<Infallible>,
        patience: Duration,
        io: &IoCores,
    ) -> Result<()>
    where
        C: TokenTaker + Send + Sync + 'static,
    {
        let (tokens, client) = (self.clone(), Arc::downgrade(client));
        io.spawn("slotflow-token", move || tokens.renew(&client, &gone, patience)).map(drop)
    }

    fn renew(&self, client: &Weak<impl TokenTaker>, gone: &Receiver<Infallible>, patience: Duration) {
        let mut wait = Duration::ZERO;
        while gone.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            // A client that is let go meanwhile must not stay until there is a token for it.
            let last = self.last(patience);
            let Some(client) = client.upgrade() else { return };
            wait = match last.and_then(|last| last.given_to(&*client)) {
                Ok(again) => again.saturating_duration_since(Instant::now()),
                Err(what) => {
                    warn(&none(what).to_string());
                    TRY_AGAIN
                }
            };
        }
    }
}

fn none(what: String) -> Error {
    let what = format!("no token for SASL/OAUTHBEARER: {what}");
    Error::world(what, "see to what .oauth_tokens(..) was given")
}

/// A token that librdkafka has nothing to say against, as it would say it with the token.
fn sound(token: OauthToken) -> std::result::Result<OauthToken, String> {
    let is_sound = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    if token.token.bytes().all(is_sound) {
        Ok(token)
    } else {
        Err("it has characters that none may have".into())
    }
}

impl Last {
    fn new(token: OauthToken) -> Last {
        let left = token.expires.duration_since(SystemTime::now()).unwrap_or_default();
        Last { token, renew_at: Instant::now() + left.mul_f64(RENEWED_AFTER).min(LONGEST) }
    }

    /// Says when there has to be the next one.
    fn given_to(&self, client: &impl TokenTaker) -> std::result::Result<Instant, String> {
        client.take(&self.token).map(|()| self.renew_at)
    }
}

fn warn(text: &str) {
    if let Some(repeats) = worth_saying(text) {
        tracing::warn!(repeats, "{text}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A test that waits for longer has lost something.
    const LOST: Duration = Duration::from_secs(60);

    /// Notes the tokens that it is given.
    #[derive(Default)]
    struct Client(Mutex<Vec<String>>);

    impl TokenTaker for Client {
        fn take(&self, token: &OauthToken) -> std::result::Result<(), String> {
            self.0.lock().unwrap().push(token.token.clone());
            Ok(())
        }
    }

    /// Numbered tokens that last so long, except the second.
    fn tokens(lasting: Duration) -> Tokens {
        let count = AtomicUsize::new(0);
        Tokens::new(move || match count.fetch_add(1, Ordering::Relaxed) {
            1 => Err("the server is away".into()),
            number => {
                let token = format!("token {number}");
                Ok(OauthToken { token, principal: "me".into(), expires: SystemTime::now() + lasting })
            }
        })
    }

    #[test]
    fn a_token_serves_all_clients_until_most_of_its_time_is_over() {
        let (client, long) = (Client::default(), tokens(Duration::from_secs(1_000)));
        let until = [(); 2].map(|()| long.give(&client, LOST).unwrap() - Instant::now());
        assert!(until.iter().all(|left| (790..=800).contains(&left.as_secs())), "{until:?}");
        assert_eq!(*client.0.lock().unwrap(), ["token 0", "token 0"]);
        let (client, short) = (Client::default(), tokens(Duration::ZERO));
        short.give(&client, LOST).unwrap();
        let text = short.give(&client, LOST).unwrap_err().to_string();
        assert_eq!(
            text,
            "no token for SASL/OAUTHBEARER: the server is away; see to what .oauth_tokens(..) was given"
        );
        short.give(&client, LOST).unwrap();
        assert_eq!(*client.0.lock().unwrap(), ["token 0", "token 2"]);
    }

    #[test]
    fn a_client_has_its_token_renewed_as_long_as_it_lives() {
        let (client, (alive, gone)) = (Arc::new(Client::default()), std::sync::mpsc::channel());
        let tokens = Tokens { last: Arc::default(), ..tokens(Duration::from_millis(1)) };
        assert!(tokens.give(&*client, LOST).is_ok() && (tokens.fetch)().is_err(), "the second is none");
        tokens.keep(&client, gone, LOST, &IoCores::default()).unwrap();
        while client.0.lock().unwrap().len() < 5 {
            std::thread::yield_now();
        }
        drop(alive);
        while Arc::strong_count(&tokens.fetch) > 1 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_client_that_is_let_go_does_not_wait_for_its_next_token() {
        let ((begun, begins), (let_go, held)) =
            (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
        let held = Mutex::new(held);
        let tokens = Tokens::new(move || {
            begun.send(()).unwrap();
            let _gone = held.lock().unwrap().recv();
            Err("none".into())
        });
        let (client, (alive, gone)) = (Arc::new(Client::default()), std::sync::mpsc::channel());
        tokens.keep(&client, gone, LOST, &IoCores::default()).unwrap();
        begins.recv().unwrap();
        assert_eq!(Arc::strong_count(&client), 1, "its last owner closes it");
        drop((alive, client, let_go));
        while Arc::strong_count(&tokens.fetch) > 1 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_panic_where_tokens_are_fetched_is_told_and_the_next_try_is_made() {
        let count = AtomicUsize::new(0);
        let tokens = Tokens::new(move || {
            assert!(count.fetch_add(1, Ordering::Relaxed) > 0, "canary");
            let expires = SystemTime::now() + Duration::from_secs(1_000);
            Ok(OauthToken { token: "token".into(), principal: "me".into(), expires })
        });
        let client = Client::default();
        let text = tokens.give(&client, LOST).unwrap_err().to_string();
        assert!(text.contains("fetching it panicked") && !text.contains("canary"), "{text}");
        assert!(tokens.give(&client, LOST).is_ok() && client.0.lock().unwrap().len() == 1);
    }

    #[test]
    fn what_never_comes_back_with_a_token_holds_nobody_and_is_not_called_beside_itself() {
        let (calls, (let_go, held)) = (Arc::new(AtomicUsize::new(0)), std::sync::mpsc::channel::<()>());
        let (counted, held) = (calls.clone(), Mutex::new(held));
        let tokens = Tokens::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let _gone = held.lock().unwrap().recv();
            let expires = SystemTime::now() + Duration::from_secs(1_000);
            Ok(OauthToken { token: "token".into(), principal: "me".into(), expires })
        });
        let client = Client::default();
        for _ in 0..2 {
            assert_eq!(
                tokens.give(&client, Duration::from_millis(1)).unwrap_err().to_string(),
                "no token for SASL/OAUTHBEARER: fetching it has not come to an end within 1ms, the connect timeout; \
                 see to what .oauth_tokens(..) was given"
            );
        }
        drop(let_go);
        tokens.give(&client, LOST).unwrap();
        assert_eq!((calls.load(Ordering::Relaxed), client.0.lock().unwrap().len()), (1, 1));
    }

    #[test]
    fn a_token_is_not_shown() {
        let token = OauthToken { token: "canary".into(), principal: "me".into(), expires: SystemTime::now() };
        let shown = format!("{token:?}");
        assert!(shown.contains("\"me\"") && !shown.contains("canary"), "{shown}");
        let text = sound(OauthToken { token: "canary\u{e9}".into(), ..token }).unwrap_err();
        assert_eq!(text, "it has characters that none may have");
    }
}
