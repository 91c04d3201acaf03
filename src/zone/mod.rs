//! What we serve: zones as checked records, from zone files and built in (RFC 7534, RFC 7535).
//!
//! A [`ZoneSet`] that exists is fit to be compiled: whatever a zone may not hold was refused when it was
//! loaded.

mod apexes;
mod builtin;
mod check;
mod contents;
mod entries;
mod field;
mod file;
mod generate;
mod lint;
mod load;
mod loc;
mod pack;
mod print;
mod rdata;
mod records;
mod special;
mod svcb;
#[cfg(test)]
mod tests;
mod text;

use std::net::IpAddr;
use std::path::PathBuf;

pub use apexes::Apexes;
pub use builtin::{check_location, missing};
pub use load::load;
pub use print::write_zone;
pub use records::compressible;
pub use text::name_from_text;

use self::records::Records;
use crate::dns::name::Name;
use crate::problem::Problem;

/// Which zones to serve, and with whose name.
#[derive(Clone, Debug, Default)]
pub struct ZoneOptions {
    /// The 19 zones delegated to the direct addresses (RFC 7534).
    pub direct: bool,
    /// empty.as112.arpa (RFC 7535).
    pub dname: bool,
    /// home.arpa and service.arpa.
    pub special_use: bool,
    /// A directory whose `*.zone` files are served: `example.com.zone` is the zone example.com.
    pub dir: Option<PathBuf>,
    /// Files with many zones.
    pub packs: Vec<PathBuf>,
    /// Zones named one by one.
    pub entries: Vec<ZoneEntry>,
    /// What the hostname zones say.
    pub identity: Identity,
    /// Addresses by PoP.
    pub pools: Vec<Pool>,
    /// Names whose answers are made for whoever asks.
    pub specials: Vec<SpecialEntry>,
}

/// A name whose answers depend on who asks, as it was configured.
#[derive(Clone, Debug)]
pub struct SpecialEntry {
    /// The name, and what it gets.
    pub special: Special,
    /// Where it was configured (`as112d.toml:40:10`), for messages; empty when there is no such place.
    pub place: String,
}

/// A zone that the operator named.
#[derive(Clone, Debug)]
pub struct ZoneEntry {
    /// The apex, as text.
    pub name: String,
    /// Where its records come from.
    pub source: ZoneSource,
    /// Serve it although its name is broader than anybody means (`.`, `arpa`, `in-addr.arpa`, `ip6.arpa`).
    pub force: bool,
    /// Where it was configured (`as112d.toml:12:8`), for messages; empty when there is no such place.
    pub place: String,
}

/// Where the records of a zone come from.
#[derive(Clone, Debug)]
pub enum ZoneSource {
    /// A zone file.
    File(PathBuf),
    /// The records of the direct zones (RFC 7534, section 3.5, db.dd-empty).
    DdEmpty,
    /// The records of empty.as112.arpa (RFC 7534, section 3.5, db.dr-empty).
    DrEmpty,
}

/// Who this node is (RFC 7534, section 3.5).
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The node's name: at most [`NSID_LEN_MAX`](crate::limits::NSID_LEN_MAX) bytes.
    pub node: String,
    /// "Name of Facility or similar".
    pub facility: Option<String>,
    /// "City, Country".
    pub location: Option<String>,
    /// A LOC record in presentation form.
    pub loc: Option<String>,
    /// Further TXT records of one string each.
    pub extra_txt: Vec<String>,
    /// The node's own addresses, for hostname.as112.net alone.
    pub unique_ip: Vec<IpAddr>,
    /// MNAME of the hostname zones.
    pub hostname_soa_mname: Option<String>,
    /// RNAME of the hostname zones, as a domain name.
    pub hostname_soa_rname: Option<String>,
}

/// One resource record of class IN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The owner, with the letter case of the file.
    pub owner: Name,
    /// The type.
    pub rtype: u16,
    /// Time to live, in seconds.
    pub ttl: u32,
    /// The rdata in wire form; names in it are not compressed.
    pub rdata: Vec<u8>,
}

/// What a zone is for: the dimension by which statistics are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The zones delegated to the direct addresses (RFC 7534, section 2.2).
    Direct,
    /// empty.as112.arpa, where DNAMEs lead (RFC 7535).
    Dname,
    /// hostname.as112.net and hostname.as112.arpa: who answers here.
    Hostname,
    /// home.arpa and service.arpa, delegated to the same servers (RFC 8375, RFC 9665).
    Special,
    /// A zone that the operator configured.
    Configured,
}

/// One zone, checked: one SOA and at least one NS at the apex, every record inside. A node has up to a
/// million, so it is small.
#[derive(Clone, Debug)]
pub struct Zone {
    /// The apex in wire form.
    apex: Box<[u8]>,
    /// What it is for.
    pub service: Service,
    records: Records,
}

impl Zone {
    /// The zone `apex` with these records, the SOA first.
    #[must_use]
    pub fn new<'r>(apex: &Name, service: Service, records: impl IntoIterator<Item = &'r Record>) -> Self {
        Self { apex: apex.as_wire().into(), service, records: Records::new(apex, records) }
    }

    /// The apex.
    ///
    /// # Panics
    /// Never: it was a name when the zone was made.
    #[must_use]
    pub fn apex(&self) -> Name {
        Name::from_wire(&self.apex).expect("it was a name")
    }

    /// The apex in wire form.
    #[must_use]
    pub fn apex_wire(&self) -> &[u8] {
        &self.apex
    }

    /// The records, in the order of the file; the SOA comes first.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.records.iter(&self.apex)
    }

    /// The zones of the set in which these records stand as well have the same value: where their apexes have
    /// one parent and first labels of one length they answer alike, each for itself, as long as no other zone
    /// is below them. `None` where that is so of none, or where it does not follow.
    #[must_use]
    pub fn alike(&self) -> Option<usize> {
        self.records.shared().filter(|_| self.records.are_alike())
    }
}

/// Names whose answers are made for whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Special {
    /// The name; its zone is one of the set. The zone has no other data there that contradict.
    pub name: Name,
    /// The names below it that do not exist, instead of itself (`*.cdn.example.net`).
    pub is_wildcard: bool,
    /// What they get.
    pub kind: SpecialKind,
}

impl Special {
    /// The name whose records it stands for; `None` where that would be too long.
    #[must_use]
    pub fn owner(&self) -> Option<Name> {
        if self.is_wildcard { self.name.prepend(b"*") } else { Some(self.name.clone()) }
    }
}

/// What a [`Special`] name gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialKind {
    /// The addresses of a PoP: the pool, by its place in [`ZoneSet::pools`].
    Pool(u16),
    /// Who asks: the name, and every name below it.
    Identity,
    /// What the zone has there; that somebody asks for a name below it is noted.
    Beacon,
}

/// Addresses by PoP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// TTL of the addresses, in seconds.
    pub ttl: u32,
    /// The addresses of each variant: for all of them there are some of a family, or for none.
    pub variants: Vec<Vec<IpAddr>>,
}

/// All zones of a node, none twice.
#[derive(Clone, Debug, Default)]
pub struct ZoneSet {
    /// The zones, in the order in which they were configured.
    pub zones: Vec<Zone>,
    /// Addresses by PoP, for names among `specials`.
    pub pools: Vec<Pool>,
    /// Names whose answers are made for whoever asks; each name is there once.
    pub specials: Vec<Special>,
    /// What is served although it is hardly meant, a bounded number of it.
    pub warnings: Vec<Problem>,
}

impl ZoneSet {
    /// How many zones there are, and the warnings. Nobody needs the rest once it is compiled: it is freed.
    #[must_use]
    pub fn counted(self) -> (usize, Vec<Problem>) {
        (self.zones.len(), self.warnings)
    }
}
