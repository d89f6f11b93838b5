//! Which certificates a server's own has to be signed by.

use std::path::Path;

use ::redis::{Client, TlsCertificates};
use rustls::crypto::{CryptoProvider, ring};
use slotflow_runtime::{Error, Result};

/// Where a host has built in other cryptography, too, rustls does not choose by itself, and panics.
pub(super) fn choose_cryptography() {
    if CryptoProvider::get_default().is_none() {
        // Whoever was quicker has chosen.
        let _ = ring::default_provider().install_default();
    }
}

/// The same client, which trusts those in this file and no others.
///
/// # Errors
/// The file cannot be read or holds none, or the client's URL is not one of TLS.
pub(super) fn trusting(client: &Client, path: &Path) -> Result<Client> {
    let failed = |what: String| {
        let what = format!("certificates for redis, file {}: {what}", path.display());
        Error::world(what, "see to what .ca_file(..) was given, and that the URL begins with rediss:")
    };
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    if !pem.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return Err(failed("it holds none".into()));
    }
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
    // The crate says only what is wrong, never the URL.
    Client::build_with_tls(client.get_connection_info().clone(), certificates)
        .map_err(|error| failed(error.to_string()))
}

/// How a certificate begins in PEM.
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
