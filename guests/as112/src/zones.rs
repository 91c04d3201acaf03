//! The zones, and what each answers.

use alloc::string::String;
use alloc::vec::Vec;

use as112_guest::{name, rcode, rtype, BuildError, Data, Name, NameBuf, Prepared, Reply, Soa, StartError};

use crate::card::Card;

/// TTL of all records, and all times of a SOA but the retry: a week.
const WEEK: u32 = 604_800;
/// A minute.
const RETRY: u32 = 60;

/// The text that all nodes give.
const SEE: &str = "See http://www.as112.net/ for more information.";

/// The zones of RFC 7534, and the two younger ones that are delegated to the same servers.
const DIRECT: [Name<'static>; 21] = [
    name!("10.in-addr.arpa"),
    name!("16.172.in-addr.arpa"),
    name!("17.172.in-addr.arpa"),
    name!("18.172.in-addr.arpa"),
    name!("19.172.in-addr.arpa"),
    name!("20.172.in-addr.arpa"),
    name!("21.172.in-addr.arpa"),
    name!("22.172.in-addr.arpa"),
    name!("23.172.in-addr.arpa"),
    name!("24.172.in-addr.arpa"),
    name!("25.172.in-addr.arpa"),
    name!("26.172.in-addr.arpa"),
    name!("27.172.in-addr.arpa"),
    name!("28.172.in-addr.arpa"),
    name!("29.172.in-addr.arpa"),
    name!("30.172.in-addr.arpa"),
    name!("31.172.in-addr.arpa"),
    name!("168.192.in-addr.arpa"),
    name!("254.169.in-addr.arpa"),
    name!("home.arpa"),
    name!("service.arpa"),
];

/// A zone with nothing below its apex.
pub struct Zone {
    apex: Name<'static>,
    /// What the apex holds, by type.
    sets: Vec<(u16, Prepared)>,
    /// All of it.
    any: Prepared,
    /// Nothing of a type.
    nodata: Prepared,
    nxdomain: Prepared,
}

impl Zone {
    pub fn apex(&self) -> Name<'static> {
        self.apex
    }

    /// What the apex itself answers. Over UDP ANY gets the SOA (RFC 8482).
    pub fn at_apex(&self, qtype: u16, is_tcp: bool) -> &Prepared {
        let qtype = match qtype {
            rtype::ANY if is_tcp => return &self.any,
            rtype::ANY => rtype::SOA,
            qtype => qtype,
        };
        self.sets.iter().find(|(held, _)| *held == qtype).map_or(&self.nodata, |(_, set)| set)
    }

    /// What every name below the apex gets.
    pub fn below(&self) -> &Prepared {
        &self.nxdomain
    }
}

/// What a zone is made of.
struct Contents<'a> {
    apex: Name<'static>,
    soa: Soa<'a>,
    servers: &'static [Name<'static>],
    /// The strings of each TXT record.
    texts: Vec<Vec<&'a [u8]>>,
    loc: Option<[u8; 16]>,
}

impl Contents<'_> {
    /// Adds what the apex holds of a type.
    fn add<'r>(&self, mut reply: Reply<'r>, rtype: u16) -> Reply<'r> {
        let apex = self.apex;
        match rtype {
            rtype::SOA => reply = reply.answer(apex, WEEK, Data::Soa(self.soa)),
            rtype::NS => {
                for server in self.servers {
                    reply = reply.answer(apex, WEEK, Data::Ns(*server));
                }
            }
            rtype::TXT => {
                for text in &self.texts {
                    reply = reply.answer(apex, WEEK, Data::Txt(text));
                }
            }
            _ => {
                if let Some(loc) = &self.loc {
                    reply = reply.answer(apex, WEEK, Data::Other(rtype::LOC, loc));
                }
            }
        }
        reply
    }

    #[inline(never)]
    fn compile(self) -> Result<Zone, BuildError> {
        let apex = self.apex;
        // In the order of their numbers.
        let types = [
            (rtype::NS, true),
            (rtype::SOA, true),
            (rtype::TXT, !self.texts.is_empty()),
            (rtype::LOC, self.loc.is_some()),
        ];
        let held: Vec<u16> = types.iter().filter(|(_, is_held)| *is_held).map(|(rtype, _)| *rtype).collect();
        let mut sets = Vec::new();
        for rtype in &held {
            sets.push((*rtype, Prepared::new(apex, |reply| self.add(reply.authoritative(), *rtype))?));
        }
        let any = Prepared::new(apex, |reply| {
            held.iter().fold(reply.authoritative(), |reply, rtype| self.add(reply, *rtype))
        })?;
        let negative = |rcode: u8| {
            Prepared::new(apex, |reply| {
                reply.rcode(rcode).authoritative().authority(apex, WEEK, Data::Soa(self.soa))
            })
        };
        let (nodata, nxdomain) = (negative(rcode::NOERROR)?, negative(rcode::NXDOMAIN)?);
        Ok(Zone { sets, any, nodata, nxdomain, apex: self.apex })
    }
}

/// The SOA of the direct zones, and their servers.
const DIRECT_SOA: Soa<'static> = soa(name!("prisoner.iana.org"), name!("hostmaster.root-servers.org"));
const DIRECT_SERVERS: &[Name<'static>] = &[name!("blackhole-1.iana.org"), name!("blackhole-2.iana.org")];
/// Those of the zone to which DNAMEs lead.
const DNAME_SOA: Soa<'static> = soa(name!("blackhole.as112.arpa"), name!("noc.dns.icann.org"));
const DNAME_SERVERS: &[Name<'static>] = &[name!("blackhole.as112.arpa")];

const fn soa<'a>(mname: Name<'a>, rname: Name<'a>) -> Soa<'a> {
    Soa { mname, rname, serial: 1, refresh: WEEK, retry: RETRY, expire: WEEK, minimum: WEEK }
}

/// All zones of a node.
pub fn all(card: &Card) -> Result<Vec<Zone>, StartError> {
    let empty = |apex, soa, servers| Contents { apex, soa, servers, texts: Vec::new(), loc: None };
    let direct = DIRECT.iter().map(|apex| empty(*apex, DIRECT_SOA, DIRECT_SERVERS));
    let dname = empty(name!("empty.as112.arpa"), DNAME_SOA, DNAME_SERVERS);
    let hostnames = [
        hostname(card, name!("hostname.as112.net"), DIRECT_SOA, DIRECT_SERVERS, card.unique_ip.as_ref()),
        hostname(card, name!("hostname.as112.arpa"), DNAME_SOA, DNAME_SERVERS, None),
    ];
    let mut zones = Vec::new();
    for contents in direct.chain([dname]).chain(hostnames) {
        zones.push(contents.compile()?);
    }
    Ok(zones)
}

/// A zone that says who answers.
fn hostname<'a>(
    card: &'a Card,
    apex: Name<'static>,
    soa: Soa<'static>,
    servers: &'static [Name<'static>],
    unique_ip: Option<&'a String>,
) -> Contents<'a> {
    let mut texts = alloc::vec![card.place.iter().map(|text| text.as_bytes()).collect::<Vec<_>>()];
    texts.push(alloc::vec![SEE.as_bytes()]);
    texts.extend(unique_ip.into_iter().chain(&card.extra_txt).map(|text| alloc::vec![text.as_bytes()]));
    let mname = card.mname.as_ref().map_or(soa.mname, NameBuf::as_name);
    let rname = card.rname.as_ref().map_or(soa.rname, NameBuf::as_name);
    Contents { apex, soa: Soa { mname, rname, ..soa }, servers, texts, loc: card.loc }
}
