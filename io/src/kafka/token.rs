//! Giving a client its token for SASL/OAUTHBEARER. The unsafe part of it.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::UNIX_EPOCH;

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};

use super::delivery::Deliveries;
use super::log::ClientLog;
use super::lookup::code_of;
use super::oauth::OauthToken;
use super::off_slot::OffSlot;

/// How long a reason may be: librdkafka's own texts are shorter.
const REASON_BYTES: usize = 512;

/// Who can be given a token.
pub(super) trait TokenTaker {
    /// Takes a token; why it is refused, in words.
    fn take(&self, token: &OauthToken) -> Result<(), String>;
}

impl TokenTaker for BaseConsumer<ClientLog> {
    fn take(&self, token: &OauthToken) -> Result<(), String> {
        set(self.client(), token)
    }
}

impl TokenTaker for BaseProducer<Deliveries> {
    fn take(&self, token: &OauthToken) -> Result<(), String> {
        set(self.client(), token)
    }
}

impl<C: TokenTaker + Send + Sync> TokenTaker for OffSlot<C> {
    fn take(&self, token: &OauthToken) -> Result<(), String> {
        (**self).take(token)
    }
}

fn set(client: &Client<impl ClientContext>, token: &OauthToken) -> Result<(), String> {
    let OauthToken { token, principal, expires } = token;
    let expires = expires.duration_since(UNIX_EPOCH).unwrap_or_default();
    let expires_ms = i64::try_from(expires.as_millis()).unwrap_or(i64::MAX);
    let c_string =
        |text: &str| CString::new(text).map_err(|_| "it, or its principal, has a 0 in it".to_string());
    let (token, principal) = (c_string(token)?, c_string(principal)?);
    let mut reason: [c_char; REASON_BYTES] = [0; REASON_BYTES];
    // SAFETY: the client is alive, both texts are C strings and are copied; there are no extensions, and `reason` has
    // the length that is named.
    let code = unsafe {
        native::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            token.as_ptr(),
            expires_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            reason.as_mut_ptr(),
            reason.len(),
        )
    };
    // SAFETY: librdkafka ends what it writes there with a 0, and where it writes nothing there is one.
    let reason = || unsafe { CStr::from_ptr(reason.as_ptr()) }.to_string_lossy().into_owned();
    code_of(code).map_or(Ok(()), |_| Err(reason()))
}
