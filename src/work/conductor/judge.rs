//! What a response is worth. Bytes in, a verdict out.

use super::query::{Asked, Question, question_of};
use crate::dns::consts::{HEADER_LEN, flag, rcode};
use crate::dns::message::Message;
use crate::dns::u16_at;
use crate::stats::labels::{FORGED_CASE, FORGED_COOKIE, FORGED_QUESTION};

/// What was sent, as far as the response must agree with it. Server, port and ID agree already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent<'a> {
    /// In the letter case that was sent.
    pub(super) qname: &'a [u8],
    pub(super) asked: &'a Asked,
    /// The letter case is random, so the response must have it.
    pub(super) is_case_random: bool,
    pub(super) has_edns: bool,
    /// Our part of the cookie, if it was sent.
    pub(super) cookie: Option<&'a [u8; 8]>,
    /// The server has given us its part, so it will do so again.
    pub(super) has_server_cookie: bool,
    /// It came over a connection: nobody else could have sent it.
    pub(super) is_stream: bool,
}

/// What a response is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is not about this query: a value of [`FORGED`](crate::stats::labels::FORGED).
    Forged(usize),
    /// It nearly is, but an attacker might have come as far, or the server does not keep what it should. A
    /// connection will tell.
    Doubtful(usize),
    /// No message.
    Malformed,
    /// Cut.
    Truncated,
    /// The server does not understand EDNS.
    WithoutEdns,
    /// The server wants its part of the cookie, which it has sent.
    BadCookie,
    /// It says nothing of the name.
    Error,
    /// It does.
    Answer,
}

/// A response that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judged<'m> {
    pub(super) verdict: Verdict,
    /// It has an OPT.
    pub(super) has_edns: bool,
    /// The server's part of the cookie; empty if there is none.
    pub(super) server_cookie: &'m [u8],
}

impl Verdict {
    const fn alone(self) -> Judged<'static> {
        Judged { verdict: self, has_edns: false, server_cookie: &[] }
    }
}

/// Judges a response to a query.
pub(super) fn judge<'m>(message: &'m [u8], sent: &Sent<'_>) -> Judged<'m> {
    let Some(flags) = u16_at(message, 2).filter(|_| message.len() >= HEADER_LEN) else {
        return Verdict::Forged(FORGED_QUESTION).alone();
    };
    let is_query_opcode = flags & 0x7800 == 0;
    let header_rcode = (flags & flag::RCODE) as u8;
    if flags & flag::QR == 0 || !is_query_opcode {
        return Verdict::Forged(FORGED_QUESTION).alone();
    }
    match question_of(message, sent.qname, sent.asked) {
        Question::Same => {}
        Question::OtherCase if !sent.is_case_random => {}
        Question::OtherCase if sent.is_stream => {}
        Question::OtherCase => return Verdict::Doubtful(FORGED_CASE).alone(),
        // Some servers repeat no question in what they have not understood.
        Question::Absent
            if matches!(header_rcode, rcode::FORMERR | rcode::NOTIMP | rcode::SERVFAIL | rcode::REFUSED)
                && message[6..HEADER_LEN - 1].iter().all(|&byte| byte == 0) => {}
        Question::Absent | Question::Other => return Verdict::Forged(FORGED_QUESTION).alone(),
    }
    if flags & flag::TC != 0 {
        let verdict = if sent.is_stream { Verdict::Malformed } else { Verdict::Truncated };
        return verdict.alone();
    }
    let Ok(read) = Message::read(message) else { return Verdict::Malformed.alone() };
    let opt = read.opt.as_ref();
    let mut judged = Judged { verdict: Verdict::Answer, has_edns: opt.is_some(), server_cookie: &[] };
    let cookie = opt.and_then(|opt| opt.cookie).map(|cookie| {
        let at = usize::from(cookie.at);
        &message[at..at + usize::from(cookie.len)]
    });
    if let Some(ours) = sent.cookie {
        match cookie.map(|cookie| cookie.split_first_chunk()) {
            Some(Some((client, server))) if client == ours => judged.server_cookie = server,
            // RFC 7873, section 5.3: what has a wrong cookie is discarded. Over a connection it is a server's
            // mistake.
            Some(_) if !sent.is_stream => return Verdict::Doubtful(FORGED_COOKIE).alone(),
            // It would be easy to leave out what cannot be guessed.
            None if sent.has_server_cookie && !sent.is_stream && header_rcode != rcode::FORMERR => {
                return Verdict::Doubtful(FORGED_COOKIE).alone();
            }
            _ => {}
        }
    }
    if let (Some(sent), Some(subnet)) = (sent.asked.subnet, opt.and_then(|opt| opt.subnet))
        && subnet.net(subnet.source) != sent.trunc()
    {
        // "MUST be ignored" (RFC 7871, section 7.3).
        return Verdict::Forged(FORGED_QUESTION).alone();
    }
    judged.verdict = by_rcode(read.rcode(), opt.is_some(), sent);
    judged
}

fn by_rcode(rcode: u16, has_opt: bool, sent: &Sent<'_>) -> Verdict {
    const NOERROR: u16 = rcode::NOERROR as u16;
    const NXDOMAIN: u16 = rcode::NXDOMAIN as u16;
    const YXDOMAIN: u16 = rcode::YXDOMAIN as u16;
    const FORMERR: u16 = rcode::FORMERR as u16;
    const NOTIMP: u16 = rcode::NOTIMP as u16;
    match rcode {
        NOERROR | NXDOMAIN | YXDOMAIN => Verdict::Answer,
        rcode::BADCOOKIE if sent.cookie.is_some() => Verdict::BadCookie,
        FORMERR | NOTIMP if sent.has_edns && !has_opt => Verdict::WithoutEdns,
        _ => Verdict::Error,
    }
}
