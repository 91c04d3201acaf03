//! Names that say who asks: the address of a resolver, as A or AAAA, and as TXT all that the node knows of
//! the query. A client that asks for such a name sees the resolver that asks for it, and what that says of
//! the client.

use std::net::IpAddr;

use super::Service;
use super::tailored::Asked;
use crate::answer::dname::End;
use crate::answer::made::Records;
use crate::dns::consts::{HEADER_LEN, flag, rtype};
use crate::dns::message::Message;
use crate::dns::text::Text;
use crate::stats::account::Account;
use crate::tailor::Asking;

impl Service<'_> {
    /// The records that say who asks, after those of the tail in `ready` if there are any; where there are
    /// none for the type, that is the answer.
    pub(super) fn identity<'a>(&mut self, asked: &Asked, ready: End<'a>, account: &mut Account) -> End<'a> {
        let wants = |rtype: u16| asked.qtype == rtype || asked.qtype == rtype::ANY;
        if ![rtype::A, rtype::AAAA, rtype::TXT].into_iter().any(wants) {
            return ready;
        }
        if asked.is_alias && self.subnet.is_some() {
            return End::default();
        }
        account.client.get_or_insert_default().identity = Some(asked.qtype);
        let has_ready = ready.tail.is_some_and(|tail| tail.answers() > 0);
        // ANY over UDP gets one set (RFC 8482).
        let is_one_set = !self.is_over_tcp();
        if has_ready && is_one_set {
            return ready;
        }
        let ttl = self.snapshot.identity_zone.as_ref().map_or(0, |zone| zone.ttl);
        let mut records = Records::default();
        match self.arrival.peer.ip().to_canonical() {
            IpAddr::V4(address) if wants(rtype::A) => records.push(rtype::A, ttl, &[&address.octets()]),
            IpAddr::V6(address) if wants(rtype::AAAA) => records.push(rtype::AAAA, ttl, &[&address.octets()]),
            _ => {}
        }
        if wants(rtype::TXT) && (records.is_empty() || !is_one_set) {
            self.texts(asked, ttl, &mut records);
            // The subnet is in it, so it holds for nobody else.
            if let Some(subnet) = self.subnet {
                self.set_scope(subnet.source(), account);
            }
        }
        match records.is_empty() {
            true => ready,
            false => End { tail: ready.tail.filter(|_| has_ready), records: Some(records), ..End::default() },
        }
    }

    /// TXT of two strings each: what it is, and that.
    fn texts(&self, asked: &Asked, ttl: u32, records: &mut Records) {
        let mut push = |key: &str, text: &[u8]| {
            let lens = [key.len() as u8, text.len() as u8];
            records.push(rtype::TXT, ttl, &[&lens[..1], key.as_bytes(), &lens[1..], text]);
        };
        let peer = self.arrival.peer;
        push("ns", text(|text| text.address(peer.ip().to_canonical())).as_bytes());
        push("port", text(|text| text.number(peer.port())).as_bytes());
        push("proto", if self.is_over_tcp() { b"tcp" } else { b"udp" });
        if let Some(subnet) = &self.subnet {
            let ecs = text(|text| {
                text.address(subnet.address());
                for _ in ["SOURCE", "SCOPE"] {
                    text.bytes(b"/");
                    text.number(u16::from(subnet.source()));
                }
            });
            push("ecs", ecs.as_bytes());
        }
        push("node", self.snapshot.chaos.node());
        let pool = self.snapshot.identity_zone.as_ref().and_then(|zone| zone.pool);
        if let Some((pool, tailor)) = pool.zip(self.snapshot.tailor.as_ref()) {
            let asking = Asking { peer: peer.ip().to_canonical(), id: asked.id, subnet: self.subnet };
            let pop = usize::from(tailor.choose(pool, &asking).pop);
            tailor.pop_names().nth(pop).into_iter().for_each(|name| push("pop", name.as_bytes()));
        }
    }
}

fn text(make: impl FnOnce(&mut Text)) -> Text {
    let mut text = Text::default();
    make(&mut text);
    text
}

/// Whether the reply to a query, of which this is known, holds texts that say who asks.
#[must_use]
pub fn has_texts(account: &Account) -> bool {
    let identity = account.client.as_ref().and_then(|client| client.identity);
    identity == Some(rtype::TXT)
}

/// Takes all records but OPT out of the reply in the first `len` bytes of `slot`, and sets TC: whoever asked
/// for them comes back over TCP. Returns the new length.
#[cold]
pub fn emptied(slot: &mut [u8], len: usize) -> usize {
    let Ok(message) = Message::read(&slot[..len]) else { return len };
    let end = message.question.end;
    let opt = message.opt.map_or(end..end, |opt| opt.span);
    slot.copy_within(opt.clone(), end);
    let flags = (message.flags | flag::TC).to_be_bytes();
    slot[2..4].copy_from_slice(&flags);
    slot[6..HEADER_LEN].copy_from_slice(&[0, 0, 0, 0, 0, u8::from(!opt.is_empty())]);
    end + opt.len()
}
