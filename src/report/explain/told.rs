//! All that there is to tell of an answer.

use std::net::IpAddr;

use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt as _};
use domain::base::{Message, ParsedRecord};
use domain::rdata::AllRecordData;
use ipnet::IpNet;

use super::question::Question;
use crate::board::pops::{ByHand, State};
use crate::dns::arrival::{Arrival, Transport};
use crate::limits::{SLOT_PAYLOAD_LEN, TCP_REPLY_LEN_MAX};
use crate::serve::snapshot::Snapshot;
use crate::serve::{Verdict, serve};
use crate::stats::account::Account;
use crate::tailor::PopId;
use crate::tailor::spec::{Map, Spec};
use crate::tailor::why::Why;

/// An answer, and what it is from.
pub(super) struct Told<'a> {
    pub(super) asked: &'a Question,
    pub(super) answer: &'a Answer,
    /// If the answer depends on the client.
    pub(super) tailored: Option<Tailored<'a>>,
    pub(super) pops: &'a [State],
}

/// An answer that depends on the client.
pub(super) struct Tailored<'a> {
    pub(super) why: Why,
    pub(super) spec: &'a Spec,
    /// The pool, by its place there.
    pub(super) pool: usize,
    /// The resolver.
    pub(super) peer: IpAddr,
    /// The client's subnet.
    pub(super) client: Option<IpNet>,
}

impl<'a> Tailored<'a> {
    pub(super) fn map(&self) -> &'a Map {
        &self.spec.maps[self.spec.pools[self.pool].map]
    }

    pub(super) fn pop(&self, pop: PopId) -> &'a str {
        &self.spec.pops[usize::from(pop)].name
    }

    /// The PoPs that it was chosen from, in their order.
    pub(super) fn candidates(&self) -> impl Iterator<Item = PopId> {
        let pool = &self.spec.pools[self.pool];
        let of_pool = |list: &[PopId]| -> Vec<PopId> {
            list.iter().copied().filter(|pop| pool.variants.contains(pop)).collect()
        };
        let listed = of_pool(&self.why.list);
        let listed = if listed.is_empty() { of_pool(&self.map().default) } else { listed };
        listed.into_iter()
    }

    /// The client's address, where that was looked up.
    pub(super) fn client(&self) -> String {
        self.client.map_or_else(String::new, |client| client.to_string())
    }
}

impl Told<'_> {
    /// How a PoP is: `up`, `down`, `drained`.
    pub(super) fn health(&self, pop: &str) -> &'static str {
        match self.pops.iter().find(|state| state.name == pop) {
            Some(State { by_hand: Some(ByHand::Drain), .. }) => "drained",
            Some(state) if !state.up => "down",
            _ => "up",
        }
    }
}

/// The answer to a query.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) rcode: String,
    pub(super) is_truncated: bool,
    pub(super) records: Vec<Shown>,
    /// SCOPE, where the query had a subnet.
    pub(super) scope: Option<u8>,
    /// The pool that it is from.
    pub(super) pool: Option<u16>,
    /// The name asks who asks.
    pub(super) is_identity: bool,
}

/// A record of an answer.
#[derive(Debug)]
pub(super) struct Shown {
    /// All of it, as in a zone file.
    pub(super) text: String,
    /// The address, if it has one.
    pub(super) address: Option<IpAddr>,
}

impl Answer {
    pub(super) fn of(snapshot: &Snapshot, asked: &Question, arrival: &Arrival) -> Result<Self, String> {
        let packet = asked.packet();
        let is_tcp = arrival.transport != Transport::Udp;
        let mut slot = vec![0; if is_tcp { TCP_REPLY_LEN_MAX } else { SLOT_PAYLOAD_LEN }];
        slot[..packet.len()].copy_from_slice(&packet);
        let mut account = Account::default();
        let len = match serve(snapshot, arrival, &mut slot, packet.len(), &mut account) {
            Verdict::Reply(len) => len,
            Verdict::Drop => return Err("the server gives no reply to this query".to_owned()),
            Verdict::HandOff(_) => {
                let message = "a rule sends this query to a worker; `as112d query --why` says which";
                return Err(message.to_owned());
            }
        };
        let defect = "the reply does not parse: this is a defect of as112d; report it";
        let mut answer = Self::read(&slot[..len]).ok_or(defect)?;
        if let Some(client) = account.client {
            answer.pool = client.tailored.map(|tailored| tailored.place);
            answer.is_identity = client.identity.is_some();
        }
        Ok(answer)
    }

    fn read(reply: &[u8]) -> Option<Self> {
        let message = Message::from_octets(reply).ok()?;
        let subnet = message.opt().and_then(|opt| opt.opt().client_subnet());
        let record = |record: ParsedRecord<'_, &[u8]>| {
            let record = record.to_any_record::<AllRecordData<_, _>>().ok()?;
            let address = match record.data() {
                AllRecordData::A(data) => Some(IpAddr::V4(data.addr())),
                AllRecordData::Aaaa(data) => Some(IpAddr::V6(data.addr())),
                _ => None,
            };
            let text = record.display_zonefile(DisplayKind::Simple).to_string();
            Some(Shown { text, address })
        };
        let records: Option<Vec<Shown>> = message.answer().ok()?.map(|parsed| record(parsed.ok()?)).collect();
        Some(Self {
            rcode: message.opt_rcode().to_string(),
            is_truncated: message.header().tc(),
            records: records?,
            scope: subnet.map(|subnet| subnet.scope_prefix_len()),
            ..Self::default()
        })
    }

    /// The response code, for people.
    pub(super) fn outcome(&self) -> &str {
        match self.rcode.as_str() {
            "NOERROR" if self.is_truncated => "truncated: over TCP there is more",
            "NOERROR" => "NODATA",
            rcode => rcode,
        }
    }
}
