//! TLS to servers: who may have signed their certificates.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::limits::ROOTS_LEN_MAX;
pub use crate::policy::upstream::Roots;

/// Where systems keep the certificates of those who may sign.
pub const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

impl Roots {
    /// Reads a file of certificates in PEM, and checks each.
    ///
    /// # Errors
    ///
    /// It cannot be read, is too long, or has none or a malformed one.
    pub fn read(path: &Path) -> Result<Self, String> {
        let told = |what: String| format!("{}: {what}", path.display());
        let mut pem = Vec::new();
        let file = File::open(path).map_err(|error| told(error.to_string()))?;
        file.take(ROOTS_LEN_MAX + 1).read_to_end(&mut pem).map_err(|error| told(error.to_string()))?;
        if pem.len() as u64 > ROOTS_LEN_MAX {
            return Err(told(format!("it has more than {ROOTS_LEN_MAX} bytes")));
        }
        Self::parse(&pem).map_err(told)
    }

    /// As [`read`](Self::read), from the bytes of the file.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        let mut certificates = Vec::new();
        let mut store = RootCertStore::empty();
        for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
            let certificate = certificate.map_err(|error| format!("certificate {number}: {error}"))?;
            certificates.push(certificate.to_vec());
            store.add(certificate).map_err(|error| format!("certificate {number}: {error}"))?;
        }
        if certificates.is_empty() {
            return Err("it has no certificate in PEM".to_owned());
        }
        Ok(Self(Arc::new(certificates)))
    }
}

/// What connections to servers of one upstream have in common: whom they trust, and the sessions that are
/// resumed.
#[derive(Clone, Debug)]
pub(super) struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Client {
    /// `None` if the name is none, or there is nobody to trust.
    pub(super) fn new(name: &str, roots: &Roots) -> Option<Self> {
        let name = ServerName::try_from(name.to_owned()).ok()?;
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.0.iter().map(|der| CertificateDer::from(der.as_slice())));
        if store.is_empty() {
            return None;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
        let mut config = builder.with_root_certificates(store).with_no_client_auth();
        // RFC 7858 has no such name; RFC 9103 and servers that share a port do.
        config.alpn_protocols = vec![b"dot".to_vec()];
        Some(Self { config: Arc::new(config), name })
    }

    pub(super) fn connect(&self) -> Option<ClientConnection> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone()).ok()
    }
}
