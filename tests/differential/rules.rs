//! The differences that are meant. A rule makes of a peer's reply what it would be had the peer decided as we
//! do, and nothing more: what differs after that is a fault of one of us.

use std::net::SocketAddr;

use as112d::dns::consts::{EDE_NOT_AUTHORITATIVE, NAME_LEN_MAX, class, flag, option, rcode, rtype};
use as112d::limits::{CHAIN_LINKS_MAX, EDNS_UDP_SIZE_MAX};

use crate::common::peers::Kind;
use crate::exchange;
use crate::generate::{Opt, Query};
use crate::odd::Oddity;
use crate::wire::{self, Record, Reply};

/// One comparison.
pub struct Case<'a> {
    pub query: &'a Query,
    pub over_tcp: bool,
    pub peer: Kind,
    /// Where that peer is, for what a rule must ask it further.
    pub peer_at: SocketAddr,
    pub ours: Option<&'a Reply>,
    /// Where our own server is.
    pub ours_at: SocketAddr,
}

/// A difference that is meant.
pub struct Rule {
    pub name: &'static str,
    /// The decision.
    pub meant: &'static str,
    /// The reply as it would be, or `None` where the rule does not apply.
    pub apply: fn(&Case<'_>, Option<&Reply>) -> Option<Reply>,
}

/// All rules, in the order in which they are applied: first what is wrong with a packet, then what is asked.
pub const RULES: [Rule; 20] = [
    Rule {
        name: "header alone",
        meant: "FORMERR hdr; opcode: NOTIMP hdr, every other flag 0",
        apply: header_alone,
    },
    Rule { name: "OPT without a question", meant: "QDCOUNT=0 with OPT: FORMERR hdr + OPT", apply: opt_alone },
    Rule {
        name: "damaged records",
        meant: "a damaged record, two OPT, OPT misplaced, of an owner other than the root or of a length \
                that lies, TSIG unsound, longer than 2,048 bytes: FORMERR +Q, no OPT",
        apply: damaged_records,
    },
    Rule { name: "update", meant: "UPDATE: REFUSED +Q, other counts 0", apply: update },
    Rule {
        name: "unknown key",
        meant: "NOTAUTH +Q + TSIG with BADKEY: key name, algorithm, time, fudge and ID copied, empty MAC",
        apply: unknown_key,
    },
    Rule {
        name: "BADVERS",
        meant: "BADVERS +Q, OPT version 0 without options, no records; TC, AA, RA, Z, AD, CD are not echoed",
        apply: version,
    },
    Rule {
        name: "answered all the same",
        meant: "RCODE not 0, bytes after the last record, records that parse, SIG(0): ignore, answer",
        apply: answered,
    },
    Rule {
        name: "other class",
        meant: "class CH, anything else; other classes: REFUSED +Q",
        apply: other_class,
    },
    Rule { name: "transfer", meant: "AXFR, IXFR, over UDP or TCP: REFUSED", apply: transfer },
    Rule {
        name: "type like any other",
        meant: "qtype 0 and others: like any other type",
        apply: like_any_other,
    },
    Rule { name: "asked over TCP", meant: "TC=1 and the rcode and AA of the whole answer", apply: whole },
    Rule {
        name: "chain across zones",
        meant: "a chain is followed into any zone that we serve, and rcode and SOA are those of its last \
                name (as NSD; Knot and BIND stop at the zone's edge)",
        apply: across_zones,
    },
    Rule {
        name: "chain limit",
        meant: "at most 8 links, a loop ends it with NOERROR and the links so far",
        apply: chain_limit,
    },
    Rule {
        name: "YXDOMAIN",
        meant: "DNAME (RFC 6672, with YXDOMAIN when the new name is too long)",
        apply: name_too_long,
    },
    Rule { name: "ANY over TCP", meant: "ANY over TCP: every RRset", apply: any_whole },
    Rule {
        name: "ANY over UDP",
        meant: "ANY over UDP gives the SOA where there is one, else the RRset of the lowest type",
        apply: any_over_udp,
    },
    Rule {
        name: "DS at an apex",
        meant: "DS at the apex of a zone whose parent zone we serve too is answered from the parent (NODATA, \
                the parent's SOA)",
        apply: ds_at_apex,
    },
    Rule {
        name: "nothing added",
        meant: "nothing is added to a positive answer (NSD adds NS and glue, Knot glue)",
        apply: nothing_added,
    },
    Rule {
        name: "extended error",
        meant: "no zone of ours: REFUSED, with EDE 20; no other error has one",
        apply: extended_error,
    },
    Rule {
        name: "cut to header, question and OPT",
        meant: "what does not fit is sent as header, question and OPT with TC=1",
        apply: cut,
    },
];

impl Case<'_> {
    /// RD, where the query has it: the only flag of a query that a reply repeats.
    fn recursion_desired(&self) -> u16 {
        self.query.packet.get(2).map_or(0, |byte| u16::from(*byte) << 8 & flag::RD)
    }

    fn is(&self, oddities: &[Oddity]) -> bool {
        self.query.oddity.is_some_and(|oddity| oddities.contains(&oddity))
    }

    /// Whether this is a query of class IN that gets an answer.
    fn is_question(&self) -> bool {
        self.is_sound() && self.query.qclass == class::IN && !self.is_transfer()
    }

    /// Whether nothing is odd, or nothing that we look at.
    fn is_sound(&self) -> bool {
        use Oddity::{Rcode, Records, Sig0, Trailing};
        self.query.oddity.is_none() || self.is(&[Rcode, Records, Sig0, Trailing])
    }

    fn is_transfer(&self) -> bool {
        matches!(self.query.qtype, rtype::AXFR | rtype::IXFR)
    }

    /// An error of opcode QUERY, with the question.
    fn error(&self, rcode: u8) -> Reply {
        Reply {
            flags: self.recursion_desired(),
            question: self.query.question(),
            ..Reply::empty(0, rcode.into())
        }
    }

    /// Whether a peer takes the type for one of signed zones, or for none at all. Such zones we refuse to
    /// load, so that for us it is a type like any other.
    fn is_special_type(&self) -> bool {
        [0, rtype::RRSIG, rtype::NSEC, rtype::NSEC3].contains(&self.query.qtype)
    }

    /// The type to ask a peer for.
    fn qtype(&self) -> u16 {
        /// A type that nobody holds.
        const OTHER: u16 = 65_279;
        if self.is_special_type() { OTHER } else { self.query.qtype }
    }

    /// The same query without what is odd, for another name or type, to the peer.
    fn ask(&self, name: &[u8], qtype: u16, over_tcp: bool) -> Option<Reply> {
        let reply = exchange::one(self.peer_at, &self.plain(name, qtype), over_tcp)?;
        Some(Reply::decode(&reply).expect("peers write what parses"))
    }

    fn plain(&self, name: &[u8], qtype: u16) -> Query {
        let mut query = Query::new(name, qtype, self.query.qclass);
        query.packet[2..4].copy_from_slice(&self.recursion_desired().to_be_bytes());
        match &self.query.opt {
            Some(opt) => query.with_opt(opt.clone()),
            None => query,
        }
    }

    /// Outside of its zones Knot does not look at a TSIG.
    fn is_outside_of_knot(&self, reply: Option<&Reply>) -> bool {
        self.peer == Kind::Knot && is_rcode(reply, rcode::REFUSED)
    }

    /// NSD answers only so many errors in a second, over UDP, as we do: then it says nothing.
    fn is_nsd_silent(&self, reply: Option<&Reply>) -> bool {
        self.peer == Kind::Nsd && reply.is_none()
    }
}

fn is_rcode(reply: Option<&Reply>, rcode: u8) -> bool {
    reply.is_some_and(|reply| reply.rcode == u16::from(rcode))
}

fn header_alone(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    use Oddity::{BadName, Opcode, QuestionAbsent, QuestionCut, TwoQuestions};
    if case.is(&[Opcode]) {
        let opcode = case.query.packet[2] >> 3 & 0xF;
        // Both peers implement NOTIFY, and refuse it.
        let is_notify = opcode == 4 && reply.is_some_and(|reply| reply.rcode != u16::from(rcode::NOERROR));
        let is_meant = is_rcode(reply, rcode::NOTIMP) || is_notify || case.is_nsd_silent(reply);
        return is_meant.then(|| Reply::empty(opcode, u16::from(rcode::NOTIMP)));
    }
    // Knot drops what it cannot parse.
    let is_meant = is_rcode(reply, rcode::FORMERR) || reply.is_none();
    (case.is(&[QuestionAbsent, TwoQuestions, QuestionCut, BadName]) && is_meant)
        .then(|| Reply { question: Vec::new(), ..case.error(rcode::FORMERR) })
}

fn opt_alone(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let is_meant = case.is(&[Oddity::OptAlone]) && case.peer == Kind::Nsd && is_rcode(reply, rcode::NOERROR);
    is_meant.then_some(Reply { rcode: u16::from(rcode::FORMERR), ..reply.cloned()? })
}

fn damaged_records(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    use Oddity::{OptLies, OptMisplaced, OptOwner, RecordCut, TooLong, TsigUnsound, TwoOpts};
    let is_meant = match case.query.oddity? {
        RecordCut | TwoOpts | OptMisplaced | OptLies => {
            is_rcode(reply, rcode::FORMERR) || case.is_nsd_silent(reply)
        }
        OptOwner => is_rcode(reply, rcode::FORMERR) || case.is_nsd_silent(reply) || case.peer == Kind::Knot,
        // A TSIG that Knot cannot copy makes it SERVFAIL.
        TsigUnsound => {
            let is_error = [rcode::FORMERR, rcode::NOTAUTH, 2].iter().any(|&rcode| is_rcode(reply, rcode));
            is_error || case.is_nsd_silent(reply) || case.is_outside_of_knot(reply)
        }
        TooLong => reply.is_some(),
        _ => false,
    };
    is_meant.then(|| case.error(rcode::FORMERR))
}

fn update(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    // FORMERR is for a zone section whose type is not SOA: we do not look at that.
    let refusals = [rcode::NOTIMP, rcode::NOTAUTH, rcode::REFUSED, rcode::FORMERR];
    let is_meant = refusals.iter().any(|&rcode| is_rcode(reply, rcode)) || case.is_nsd_silent(reply);
    let refused = Reply { opcode: 5, flags: 0, ..case.error(rcode::REFUSED) };
    (case.is(&[Oddity::Update]) && is_meant).then_some(refused)
}

fn unknown_key(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let is_meant = is_rcode(reply, rcode::NOTAUTH) || case.is_outside_of_knot(reply);
    let tsig = crate::odd::bad_key();
    (case.is(&[Oddity::Tsig]) && is_meant).then(|| Reply { tsig: Some(tsig), ..case.error(rcode::NOTAUTH) })
}

fn version(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let mut reply = reply.cloned()?;
    if !case.is(&[Oddity::Version]) || reply.rcode != rcode::BADVERS {
        return None;
    }
    reply.flags = case.recursion_desired();
    reply.opt.as_mut()?.options.clear();
    Some(reply)
}

fn answered(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    use Oddity::{Rcode, Records, Sig0, Trailing};
    let refuses = match case.peer {
        Kind::Nsd => case.is(&[Rcode, Records, Sig0]),
        Kind::Knot => case.is(&[Trailing]),
    };
    let is_meant = refuses && (is_rcode(reply, rcode::FORMERR) || case.is_nsd_silent(reply));
    is_meant.then(|| case.ask(&case.query.name, case.query.qtype, case.over_tcp))?
}

fn other_class(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let is_identity = case.query.qclass == class::CH
        && case.query.qtype == rtype::TXT
        && ["id.server.", "hostname.bind."].contains(&&wire::text(&case.query.lower())[..]);
    (case.query.qclass != class::IN && !is_identity).then(|| refused(case, reply))?
}

fn transfer(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    (case.is_transfer() && reply?.sections.iter().all(Vec::is_empty)).then(|| refused(case, reply))?
}

/// The same reply as a refusal.
fn refused(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let mut opt = reply?.opt.clone();
    if let Some(opt) = &mut opt {
        opt.options.retain(|(code, _)| *code == option::NSID);
    }
    case.is_sound().then(|| Reply { opt, ..case.error(rcode::REFUSED) })
}

fn like_any_other(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let mut other = (case.is_question() && case.is_special_type())
        .then(|| case.ask(&case.query.name, case.qtype(), case.over_tcp))??;
    other.question.clone_from(&reply?.question);
    Some(other)
}

fn whole(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let reply = reply?;
    let is_cut = reply.has(flag::TC) || case.ours.is_some_and(|ours| ours.has(flag::TC));
    let is_any = case.query.qtype == rtype::ANY;
    let mut whole = (case.is_question() && !case.over_tcp && (is_cut || is_any))
        .then(|| case.ask(&case.query.name, case.qtype(), true))??;
    whole.question.clone_from(&reply.question);
    Some(whole)
}

/// The links of an answer, from `name` on: the indices of the CNAME and, where that was made from one, of the
/// DNAME; and the name that each leads to. A loop ends it.
fn chain(reply: &Reply, name: &[u8], qtype: u16) -> Vec<(usize, Option<usize>, Vec<u8>)> {
    let answer = &reply.sections[0];
    let mut names = vec![name.to_vec()];
    let mut links = Vec::new();
    loop {
        let name = &names[names.len() - 1];
        let cname = answer.iter().position(|record| record.rtype == rtype::CNAME && record.owner == *name);
        let Some(cname) = cname else { return links };
        let is_above = |record: &Record| record.owner.len() < name.len() && name.ends_with(&record.owner);
        let dname = answer.iter().position(|record| record.rtype == rtype::DNAME && is_above(record));
        // A query for CNAME or ANY has its answer in a CNAME that stands in the zone.
        let is_asked = qtype == rtype::CNAME || (qtype == rtype::ANY && dname.is_none());
        let target = answer[cname].rdata.clone();
        let is_loop = names.contains(&target);
        if is_asked {
            return links;
        }
        links.push((cname, dname, target.clone()));
        if is_loop {
            return links;
        }
        names.push(target);
    }
}

/// The last name of the chain in an answer.
fn end(case: &Case<'_>, reply: &Reply) -> Vec<u8> {
    let start = case.query.lower();
    chain(reply, &start, case.query.qtype).pop().map_or(start, |(_, _, name)| name)
}

fn across_zones(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let mut reply = reply.cloned()?;
    if case.peer != Kind::Knot || !case.is_question() {
        return None;
    }
    let mut links = chain(&reply, &case.query.lower(), case.query.qtype).len();
    if links == 0 {
        return None;
    }
    while links <= CHAIN_LINKS_MAX {
        let chain = chain(&reply, &case.query.lower(), case.query.qtype);
        links = chain.len();
        let end = chain.last()?.2.clone();
        let more = case.ask(&end, case.qtype(), true)?;
        let [answer, authority, additional] = more.sections;
        if more.rcode == u16::from(rcode::REFUSED) {
            reply.rcode = u16::from(rcode::NOERROR);
        } else {
            reply.rcode = more.rcode;
        }
        reply.sections[1] = authority;
        reply.sections[2] = additional;
        reply.sections[0].extend(answer);
        if self::chain(&reply, &case.query.lower(), case.query.qtype).len() == links {
            break;
        }
    }
    Some(reply)
}

fn chain_limit(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let mut reply = reply.cloned()?;
    let chain = chain(&reply, &case.query.lower(), case.query.qtype);
    let (_, _, end) = chain.last()?;
    let names: Vec<&Vec<u8>> = chain.iter().map(|(_, _, name)| name).collect();
    let is_loop = *end == case.query.lower() || names[..names.len() - 1].contains(&end);
    if !case.is_question() || (chain.len() <= CHAIN_LINKS_MAX && !is_loop) {
        return None;
    }
    let links = &chain[..chain.len().min(CHAIN_LINKS_MAX)];
    let kept = links.iter().flat_map(|(cname, dname, _)| std::iter::once(*cname).chain(*dname));
    let answer = kept.map(|index| reply.sections[0][index].clone()).collect();
    reply.sections = [answer, Vec::new(), Vec::new()];
    reply.rcode = u16::from(rcode::NOERROR);
    Some(reply)
}

fn name_too_long(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let mut reply = reply.cloned()?;
    let chain = chain(&reply, &case.query.lower(), case.query.qtype);
    let end = end(case, &reply);
    let is_too_long = |dname: &Record| {
        dname.rtype == rtype::DNAME
            && end.len() > dname.owner.len()
            && end.ends_with(&dname.owner[..])
            && end.len() - dname.owner.len() + dname.rdata.len() > NAME_LEN_MAX
    };
    if case.peer != Kind::Knot || !reply.sections[0].iter().any(is_too_long) {
        return None;
    }
    reply.rcode = u16::from(rcode::YXDOMAIN);
    reply.sections[1].clear();
    // Where the DNAME leads below another one, Knot gives that too, although no name leads there.
    let dnames: Vec<usize> = chain.iter().filter_map(|(_, dname, _)| *dname).collect();
    let mut index = 0;
    reply.sections[0].retain(|record| {
        index += 1;
        record.rtype != rtype::DNAME || dnames.contains(&(index - 1)) || is_too_long(record)
    });
    Some(reply)
}

fn any_whole(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    /// All types that the zones hold.
    const TYPES: [u16; 20] =
        [1, 2, 5, 6, 12, 13, 15, 16, 17, 18, 28, 29, 33, 35, 36, 39, 64, 65, 257, 65_280];
    let mut reply = reply.cloned()?;
    if case.query.qtype != rtype::ANY || !case.is_question() {
        return None;
    }
    let end = end(case, &reply);
    // No data, no name, and what has none of its own: a referral.
    reply.sections[0].iter().find(|record| record.owner == end)?;
    for rtype in TYPES {
        let [answer, ..] = case.ask(&end, rtype, true)?.sections;
        reply.sections[0]
            .extend(answer.into_iter().filter(|record| record.rtype == rtype && record.owner == end));
    }
    Some(reply)
}

fn any_over_udp(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let mut reply = reply.cloned()?;
    if case.query.qtype != rtype::ANY || case.over_tcp || !case.is_question() {
        return None;
    }
    let chain = chain(&reply, &case.query.lower(), rtype::ANY);
    let end = end(case, &reply);
    let types = || reply.sections[0].iter().filter(|record| record.owner == end).map(|record| record.rtype);
    let lowest = types().min()?;
    let kept = types().find(|rtype| *rtype == rtype::SOA).unwrap_or(lowest);
    let dnames: Vec<Option<usize>> = chain.iter().map(|(_, dname, _)| *dname).collect();
    let mut index = 0;
    reply.sections[0].retain(|record| {
        index += 1;
        record.owner != end || record.rtype == kept || dnames.contains(&Some(index - 1))
    });
    Some(reply)
}

fn ds_at_apex(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let mut reply = reply.cloned()?;
    let is_meant = case.is_question() && case.query.qtype == rtype::DS && case.peer == Kind::Knot;
    if !is_meant || reply.rcode != u16::from(rcode::NXDOMAIN) {
        return None;
    }
    // Where no delegation leads to a child, Knot says that there is none; but the name is the apex of a zone.
    let end = end(case, &reply);
    let [soa, ..] = case.ask(&end, rtype::SOA, true)?.sections;
    reply.rcode = u16::from(rcode::NOERROR);
    soa.iter().any(|record| record.rtype == rtype::SOA && record.owner == end).then_some(reply)
}

fn nothing_added(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let mut reply = reply.cloned()?;
    let [answer, authority, additional] = &mut reply.sections;
    let is_positive = !answer.is_empty() && authority.is_empty();
    (case.is_question() && is_positive).then(|| additional.clear())?;
    Some(reply)
}

fn extended_error(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let mut reply = reply.cloned()?;
    let options = &mut reply.opt.as_mut()?.options;
    options.retain(|(code, _)| *code != option::EDE);
    if reply.rcode == u16::from(rcode::REFUSED) {
        options.push((option::EDE, EDE_NOT_AUTHORITATIVE.to_be_bytes().to_vec()));
    }
    case.is_question().then_some(reply)
}

fn cut(case: &Case<'_>, reply: Option<&Reply>) -> Option<Reply> {
    let mut reply = reply.cloned()?;
    if !case.is_question() || case.over_tcp {
        return None;
    }
    let size = case.query.opt.as_ref().map_or(512, |opt: &Opt| usize::from(opt.size).max(512));
    let whole = exchange::one(case.ours_at, &case.plain(&case.query.name, case.query.qtype), true)?;
    let has_keepalive = |opt: &wire::Opt| opt.options.iter().any(|(code, _)| *code == option::TCP_KEEPALIVE);
    // Keepalive is for TCP alone: without it the reply is 6 bytes shorter.
    let is_longer = Reply::decode(&whole).ok()?.opt.is_some_and(|opt| has_keepalive(&opt));
    if whole.len() - if is_longer { 6 } else { 0 } <= size.min(EDNS_UDP_SIZE_MAX) {
        return None;
    }
    reply.sections = [const { Vec::new() }; 3];
    reply.flags |= flag::TC;
    Some(reply)
}
