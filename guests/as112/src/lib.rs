//! The zones of an AS112 node, as an application: static zones in memory, indexed as a tree.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod card;
mod loc;
mod tree;
mod zones;

use as112_guest::{class, ede, rcode, App, Phase, Query, Reply, Start, StartError, Verdict};

use card::Card;
use tree::Tree;
use zones::Zone;

/// Transfers, which nobody gets.
const TRANSFERS: [u16; 2] = [251, 252];

/// The application.
pub struct As112(Tree<Zone>);

impl App for As112 {
    fn start(start: &mut Start<'_>) -> Result<Self, StartError> {
        let card = Card::read(start.config())?;
        let mut tree = Tree::new();
        for zone in zones::all(&card)? {
            tree.insert(zone.apex(), zone);
        }
        Ok(Self(tree))
    }

    fn query(&mut self, query: Query<'_>, reply: Reply<'_>) -> Verdict {
        // What the server says of itself is the node's.
        if query.phase() != Phase::Request || query.qclass() == class::CH {
            return Verdict::pass();
        }
        let qtype = query.qtype();
        if query.qclass() != class::IN || TRANSFERS.contains(&qtype) {
            return Verdict::rcode(rcode::REFUSED);
        }
        let (apex, zone) = match self.0.find(query.qname(), query.packet()) {
            Some(found) => found,
            None => return Verdict::rcode(rcode::REFUSED).because(ede::NOT_AUTHORITATIVE),
        };
        let answer = match apex.len() == query.qname().len() {
            true => zone.at_apex(qtype, query.is_tcp()),
            false => zone.below(),
        };
        reply.prepared(answer, apex).send()
    }
}

as112_guest::export!(As112);
