//! TLS to servers: who may have signed their certificates.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::policy::upstream::Roots;

/// What connections to servers of one upstream have in common: whom they trust, and the sessions that are
/// resumed.
#[derive(Clone, Debug)]
pub(super) struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Client {
    /// `None` without a valid name, or without anybody to trust.
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
