//! Which certificates the registry's own has to be signed by.

use slotflow_runtime::{Error, Result};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::client::SchemaRegistry;

impl SchemaRegistry {
    /// Mozilla's, or those of a file.
    pub(super) fn tls(&self) -> Result<TlsConfig> {
        let Some(path) = &self.ca_file else { return Ok(TlsConfig::default()) };
        let failed = |what: String| {
            let what =
                format!("certificates of schema registry {}, file {}: {what}", self.url, path.display());
            Error::world(what, "see to what .ca_file(..) was given")
        };
        let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let certificates = certificates(&pem).map_err(|error| failed(error.to_string()))?;
        if certificates.is_empty() {
            return Err(failed("it holds none".into()));
        }
        Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&certificates)).build())
    }
}

fn certificates(pem: &[u8]) -> std::result::Result<Vec<Certificate<'static>>, ureq::Error> {
    let of_items = parse_pem(pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    of_items.collect()
}
