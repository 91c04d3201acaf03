//! What a client is told of a resolution.

use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::Record;
use hickory_resolver::recursor::RecursorError;

/// The UDP payload that we can take, in bytes (RFC 9715).
const UDP_SIZE: u16 = 1232;
/// Without EDNS.
const UDP_LEN_MAX: usize = 512;

/// A query that is answered.
pub(super) struct Asked {
    message: Message,
}

impl Asked {
    /// Reads a query; `None` for anything else, which gets no reply. The second is the code that it gets at
    /// once, if anything is wrong with it.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, Option<ResponseCode>)> {
        let message =
            Message::from_vec(bytes).ok().filter(|message| message.message_type == MessageType::Query)?;
        let version = message.edns.as_ref().map_or(0, Edns::version);
        let code = match message.queries.len() {
            _ if message.op_code != OpCode::Query => Some(ResponseCode::NotImp),
            1 if version > 0 => Some(ResponseCode::BADVERS),
            1 => None,
            _ => Some(ResponseCode::FormErr),
        };
        Some((Self { message }, code))
    }

    pub(super) fn query(&self) -> hickory_resolver::proto::op::Query {
        self.message.queries.first().cloned().unwrap_or_default()
    }

    /// The DO bit.
    pub(super) fn dnssec_ok(&self) -> bool {
        self.message.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok)
    }

    /// The CD bit: the client validates itself.
    pub(super) fn checking_disabled(&self) -> bool {
        self.message.checking_disabled
    }

    fn begin(&self, code: ResponseCode) -> Message {
        let mut reply = Message::response(self.message.id, self.message.op_code);
        reply.metadata.recursion_desired = self.message.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.metadata.checking_disabled = self.message.checking_disabled;
        reply.metadata.response_code = code;
        reply.add_queries(self.message.queries.iter().cloned());
        if self.message.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_SIZE).set_dnssec_ok(self.dnssec_ok());
            edns.set_rcode_high(code.high());
            reply.set_edns(edns);
        }
        reply
    }

    /// A reply without records.
    pub(super) fn code(&self, code: ResponseCode) -> Message {
        self.begin(code)
    }

    /// What came of resolving it. With validation, what is bogus is SERVFAIL; AD is for those that ask for it
    /// (RFC 6840, section 5.7).
    pub(super) fn told(&self, outcome: Result<Message, RecursorError>, is_validating: bool) -> Message {
        let (code, answers, authorities) = match outcome {
            Ok(message) => (message.response_code, message.answers, message.authorities),
            Err(error) => match negative(error) {
                Some(negative) => negative,
                None => return self.code(ResponseCode::ServFail),
            },
        };
        let mut all = answers.iter().chain(&authorities);
        let is_bogus = is_validating && all.clone().any(|record| record.proof == Proof::Bogus);
        if is_bogus {
            return self.code(ResponseCode::ServFail);
        }
        let has_records = !(answers.is_empty() && authorities.is_empty());
        let is_secure = is_validating && has_records && all.all(|record| record.proof == Proof::Secure);
        let mut reply = self.begin(code);
        reply.metadata.authentic_data = is_secure && (self.dnssec_ok() || self.message.authentic_data);
        reply.answers = answers;
        reply.authorities = authorities;
        reply.maybe_strip_dnssec_records(self.dnssec_ok())
    }

    /// The bytes of a reply over UDP: cut to what the client can take.
    pub(super) fn to_datagram(&self, reply: &Message) -> Option<Vec<u8>> {
        let most = self
            .message
            .edns
            .as_ref()
            .map_or(UDP_LEN_MAX, |edns| usize::from(edns.max_payload().min(UDP_SIZE)).max(UDP_LEN_MAX));
        let bytes = reply.to_vec().ok()?;
        if bytes.len() <= most { Some(bytes) } else { reply.truncate().to_vec().ok() }
    }
}

/// NXDOMAIN and NODATA come as errors.
fn negative(error: RecursorError) -> Option<(ResponseCode, Vec<Record>, Vec<Record>)> {
    let code = |is_nx_domain| if is_nx_domain { ResponseCode::NXDomain } else { ResponseCode::NoError };
    match error {
        RecursorError::Negative(data) => {
            let soa = data.soa.as_deref().map(|soa| soa.clone().into_record_of_rdata());
            let authorities =
                soa.into_iter().chain(data.authorities.iter().flat_map(|all| all.iter().cloned()));
            Some((code(data.is_nx_domain()), Vec::new(), once_each(authorities)))
        }
        RecursorError::Net(NetError::Dns(DnsError::NoRecordsFound(none))) => {
            let NoRecords { soa, response_code, authorities, .. } = none;
            let soa = soa.map(|soa| soa.into_record_of_rdata());
            let authorities = soa.into_iter().chain(authorities.iter().flat_map(|all| all.iter().cloned()));
            let is_negative = matches!(response_code, ResponseCode::NXDomain | ResponseCode::NoError);
            is_negative.then(|| (response_code, Vec::new(), once_each(authorities)))
        }
        RecursorError::Net(NetError::Dns(DnsError::Nsec { response, .. })) => {
            let message = response.into_message();
            Some((message.response_code, message.answers, message.authorities))
        }
        _ => None,
    }
}

fn once_each(records: impl Iterator<Item = Record>) -> Vec<Record> {
    let mut all = Vec::new();
    for record in records {
        if !all.contains(&record) {
            all.push(record);
        }
    }
    all
}
