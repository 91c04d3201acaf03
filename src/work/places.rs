//! Where clients are. Whoever starts the workers knows the databases.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Where a client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The country, as ISO 3166 has it.
    pub country: Option<[u8; 2]>,
    /// The number of the autonomous system.
    pub asn: Option<u32>,
}

/// Looks addresses up. Workers ask once for a query, and only where a rule wants to know.
#[derive(Clone, Default)]
pub struct Places(Option<Arc<dyn Fn(IpAddr) -> Place + Send + Sync>>);

impl Places {
    /// What `look` says of an address.
    #[must_use]
    pub fn new(look: impl Fn(IpAddr) -> Place + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(look)))
    }

    /// Where an address is, as far as that is known.
    #[must_use]
    pub fn look(&self, address: IpAddr) -> Place {
        self.0.as_ref().map_or_else(Place::default, |look| look(address))
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Places").field(&self.0.is_some()).finish()
    }
}
