//! The zones of an AS112 node: those of RFC 7534, section 3.5, from its own zone files, and two younger ones.
//!
//! The files in `zones/` stand there as the RFC prints them. Those of the hostname zones are forms that each
//! node fills in: record by record, what is the node's own is put in place of the sample or left out.

use std::net::IpAddr;

use super::contents::{Contents, Placed};
use super::file::read_text;
use super::{Identity, loc, name_from_text};
use crate::dns::consts::rtype;
use crate::dns::name::Name;
use crate::limits::NSID_LEN_MAX;
use crate::problem::Problem;

/// home.arpa (RFC 8375) and service.arpa (RFC 9665) are delegated to the direct servers, and hold what their
/// zones do.
pub(super) const SPECIAL_USE: [&str; 2] = ["home.arpa", "service.arpa"];
/// Where DNAMEs lead (RFC 7535).
pub(super) const DNAME: &str = "empty.as112.arpa";

/// The zones that are delegated to the direct servers (RFC 7534, section 2.2).
pub(super) fn direct() -> impl Iterator<Item = String> {
    let private = (16..=31).map(|second| format!("{second}.172.in-addr.arpa"));
    let fixed = |name: &str| std::iter::once(name.to_owned());
    fixed("10.in-addr.arpa")
        .chain(private)
        .chain(fixed("168.192.in-addr.arpa"))
        .chain(fixed("254.169.in-addr.arpa"))
}

/// The records of a direct zone.
pub(super) fn dd_empty(apex: &Name) -> Contents {
    read_text("db.dd-empty", include_str!("../../zones/db.dd-empty"), apex)
}

/// The records of empty.as112.arpa.
pub(super) fn dr_empty(apex: &Name) -> Contents {
    read_text("db.dr-empty", include_str!("../../zones/db.dr-empty"), apex)
}

/// One of the two zones that say who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hostname {
    /// hostname.as112.net, on the direct servers.
    Net,
    /// hostname.as112.arpa, on the server of RFC 7535.
    Arpa,
}

impl Hostname {
    /// The apex, as text.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Net => "hostname.as112.net",
            Self::Arpa => "hostname.as112.arpa",
        }
    }

    fn form(self, apex: &Name) -> Contents {
        match self {
            Self::Net => {
                read_text("db.hostname.as112.net", include_str!("../../zones/db.hostname.as112.net"), apex)
            }
            Self::Arpa => {
                read_text("db.hostname.as112.arpa", include_str!("../../zones/db.hostname.as112.arpa"), apex)
            }
        }
    }

    /// The SOA of the empty zone on the same servers: what a node says that has no names of its own to give.
    fn sister_soa(self, apex: &Name) -> Soa {
        let sister = match self {
            Self::Net => dd_empty(apex),
            Self::Arpa => dr_empty(apex),
        };
        let soa = sister.records.iter().find(|placed| placed.record.rtype == rtype::SOA);
        Soa::from_rdata(&soa.expect("both files have a SOA").record.rdata)
    }
}

/// What a node says of itself, each field fit for its record.
#[derive(Debug, Default)]
pub(super) struct Card {
    /// The strings of the first TXT record.
    place: Vec<String>,
    /// The string of the TXT record with the node's own addresses.
    unique_ip: Option<String>,
    extra_txt: Vec<String>,
    loc: Option<Vec<u8>>,
    mname: Option<Name>,
    rname: Option<Name>,
}

impl Card {
    /// Checks every field of `identity`.
    pub(super) fn new(identity: &Identity) -> Result<Self, Vec<Problem>> {
        let mut wrong = Vec::new();
        if identity.node.is_empty() || identity.node.len() > NSID_LEN_MAX {
            let message = format!("node has {} bytes: use 1 to {NSID_LEN_MAX}", identity.node.len());
            wrong.push(message);
        }
        let mut place = Vec::new();
        for (key, value) in [("facility", &identity.facility), ("location", &identity.location)] {
            place.extend(value.as_ref().map(|value| string(key, value, &mut wrong)));
        }
        if place.is_empty() {
            place.push(identity.node.clone());
        }
        let extra_txt = identity.extra_txt.iter().map(|text| string("extra_txt", text, &mut wrong)).collect();
        let unique_ip = (!identity.unique_ip.is_empty()).then(|| {
            let addresses: Vec<String> = identity.unique_ip.iter().map(IpAddr::to_string).collect();
            string("unique_ip", &format!("Unique IP: {}.", addresses.join(" and ")), &mut wrong)
        });
        let loc = identity.loc.as_ref().and_then(|text| {
            location(text).map_err(|message| wrong.push(format!("loc: {message}"))).ok().map(Vec::from)
        });
        let mname = own_name("hostname_soa_mname", identity.hostname_soa_mname.as_deref(), &mut wrong);
        let rname = own_name("hostname_soa_rname", identity.hostname_soa_rname.as_deref(), &mut wrong);
        if wrong.is_empty() {
            return Ok(Self { place, unique_ip, extra_txt, loc, mname, rname });
        }
        let problem = |message| Problem::plain(format!("identity: {message}"));
        Err(wrong.into_iter().map(problem).collect())
    }

    /// The records of a hostname zone with this node's data.
    pub(super) fn fill(&self, zone: Hostname, apex: &Name) -> Contents {
        let mut contents = zone.form(apex);
        let mut soa = zone.sister_soa(apex);
        soa.mname = self.mname.clone().unwrap_or(soa.mname);
        soa.rname = self.rname.clone().unwrap_or(soa.rname);

        let mut txts_seen = 0;
        contents.records.retain_mut(|Placed { record, .. }| {
            txts_seen += u8::from(record.rtype == rtype::TXT);
            // The second TXT record says where to read of AS112, and is the same for all.
            match (record.rtype, txts_seen, &self.unique_ip, &self.loc) {
                (rtype::SOA, ..) => record.rdata = soa.to_rdata(),
                (rtype::TXT, 1, ..) => record.rdata = txt(&self.place),
                (rtype::TXT, 3, Some(text), _) => record.rdata = txt(std::slice::from_ref(text)),
                (rtype::LOC, .., Some(rdata)) => record.rdata.clone_from(rdata),
                (rtype::TXT, 3, None, _) | (rtype::LOC, .., None) => return false,
                _ => {}
            }
            true
        });
        let txt_at = contents.records.iter().rposition(|placed| placed.record.rtype == rtype::TXT);
        let txt_at = txt_at.expect("both forms have TXT records");
        for text in self.extra_txt.iter().rev() {
            let mut more = contents.records[txt_at].clone();
            more.record.rdata = txt(std::slice::from_ref(text));
            contents.records.insert(txt_at + 1, more);
        }
        contents
    }
}

/// Whether `text` is a location as the LOC record of RFC 1876 has it.
///
/// # Errors
/// A sentence for people that says what is wrong with it and what to write.
pub fn check_location(text: &str) -> Result<(), String> {
    location(text).map(|_| ())
}

/// The rdata of the LOC record that `text` says.
fn location(text: &str) -> Result<[u8; 16], String> {
    let rdata = loc::from_text(&text.split_whitespace().collect::<Vec<_>>());
    rdata.map_err(|refusal| format!("{}; write it as in `45 25 0 N 75 42 0 W 80m`", refusal.message))
}

/// What the operator should still say of the node, one sentence each.
#[must_use]
pub fn missing(identity: &Identity) -> Vec<String> {
    let fields = [
        (
            identity.facility.is_none(),
            "facility: name the facility that hosts the node, such as \"Example IX\"",
        ),
        (identity.location.is_none(), "location: give its city and country, such as \"Ottawa, Canada\""),
        (identity.unique_ip.is_empty(), "unique_ip: give the address at which this node alone is reached"),
        (
            identity.hostname_soa_mname.is_none(),
            "hostname_soa_mname: name this server, such as ns1.example.net",
        ),
        (
            identity.hostname_soa_rname.is_none(),
            "hostname_soa_rname: give your mailbox as a domain name: noc.example.net for noc@example.net",
        ),
    ];
    fields.into_iter().filter(|&(is_missing, _)| is_missing).map(|(_, text)| text.to_owned()).collect()
}

/// `value`, which becomes one string of a TXT record (RFC 1035, section 3.3).
fn string(key: &str, value: &str, wrong: &mut Vec<String>) -> String {
    if value.is_empty() {
        wrong.push(format!("{key} is empty: give a value, or leave the key out"));
    } else if value.len() > usize::from(u8::MAX) {
        wrong.push(format!("{key} has {} bytes, over the 255 of a TXT string: shorten it", value.len()));
    }
    value.to_owned()
}

fn own_name(key: &str, value: Option<&str>, wrong: &mut Vec<String>) -> Option<Name> {
    let text = value?;
    if text.contains('@') {
        wrong.push(format!("{key}: `{text}` has an @; write a mailbox as a domain name, `noc.example.net`"));
        return None;
    }
    name_from_text(text).map_err(|message| wrong.push(format!("{key}: {message}"))).ok()
}

/// The rdata of a TXT record with these strings.
fn txt(strings: &[String]) -> Vec<u8> {
    let mut rdata = Vec::new();
    for text in strings {
        rdata.push(u8::try_from(text.len()).expect("the strings were measured"));
        rdata.extend_from_slice(text.as_bytes());
    }
    rdata
}

/// The rdata of a SOA: two names and five numbers.
#[derive(Debug)]
struct Soa {
    mname: Name,
    rname: Name,
    numbers: Vec<u8>,
}

impl Soa {
    fn from_rdata(rdata: &[u8]) -> Self {
        let name_at = |at: usize| Name::from_wire(&rdata[at..]).expect("the rdata of a SOA that was read");
        let mname = name_at(0);
        let rname = name_at(mname.as_wire().len());
        let numbers = rdata[mname.as_wire().len() + rname.as_wire().len()..].to_vec();
        Self { mname, rname, numbers }
    }

    fn to_rdata(&self) -> Vec<u8> {
        [self.mname.as_wire(), self.rname.as_wire(), &self.numbers].concat()
    }
}
