//! Packets that are no ordinary query: damaged, unusual, or of another opcode.

use as112d::dns::consts::{HEADER_LEN, class, opcode, rcode, rtype};
use as112d::limits::QUERY_LEN_MAX;

use crate::generate::{Generator, Opt, Query, append_record};
use crate::wire::Record;

/// The key that signs, which nobody has, its algorithm, and time and fudge of its signatures.
const KEY: &[u8] = b"\x01k\0";
const ALGORITHM: &[u8] = b"\x0bhmac-sha256\0";
const TIME: [u8; 8] = [0, 0, 0x66, 0, 0, 0, 1, 44];

/// What is wrong or unusual with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// Under 12 bytes.
    Short,
    /// QR is set.
    Response,
    /// QDCOUNT is 0.
    QuestionAbsent,
    /// QDCOUNT is 0, and an OPT stands behind the header.
    OptAlone,
    /// QDCOUNT is 2, and two questions are there.
    TwoQuestions,
    /// The packet ends within its question.
    QuestionCut,
    /// A compression pointer or another label type in the question, or a name over 255 bytes.
    BadName,
    /// An opcode other than QUERY and UPDATE.
    Opcode,
    Update,
    /// The response code is not 0.
    Rcode,
    /// Bytes behind the last record.
    Trailing,
    /// Answer, authority or additional records that parse.
    Records,
    /// The packet ends before its records do.
    RecordCut,
    TwoOpts,
    /// OPT in the answer or authority section.
    OptMisplaced,
    /// OPT with an owner other than the root.
    OptOwner,
    /// Options that end behind the OPT, or before it.
    OptLies,
    /// EDNS version 1 or more.
    Version,
    /// Signed with a key that nobody has.
    Tsig,
    /// TSIG with a pointer in its names, or not the last record.
    TsigUnsound,
    /// A SIG(0) record.
    Sig0,
    /// More than the longest query that is read in full.
    TooLong,
}

/// All of them, each as often as it stands here.
const ODDITIES: [Oddity; 22] = [
    Oddity::Short,
    Oddity::Response,
    Oddity::QuestionAbsent,
    Oddity::OptAlone,
    Oddity::TwoQuestions,
    Oddity::QuestionCut,
    Oddity::BadName,
    Oddity::Opcode,
    Oddity::Update,
    Oddity::Rcode,
    Oddity::Trailing,
    Oddity::Records,
    Oddity::RecordCut,
    Oddity::TwoOpts,
    Oddity::OptMisplaced,
    Oddity::OptOwner,
    Oddity::OptLies,
    Oddity::Version,
    Oddity::Tsig,
    Oddity::TsigUnsound,
    Oddity::Sig0,
    Oddity::TooLong,
];

/// The TSIG that answers the one of [`Oddity::Tsig`].
pub fn bad_key() -> Record {
    let rdata = [ALGORITHM, &TIME, &[0; 4], &rcode::BADKEY.to_be_bytes(), &[0; 2]].concat();
    Record { owner: KEY.to_vec(), rtype: rtype::TSIG, class: class::ANY, ttl: 0, rdata }
}

impl Generator {
    /// A query with one oddity.
    pub fn odd(&mut self) -> Query {
        let oddity = self.random.pick(&ODDITIES);
        // One oddity at a time: which of two a server sees first is not what is compared.
        let mut query = self.query();
        while query.qclass != class::IN || [0, rtype::AXFR, rtype::IXFR].contains(&query.qtype) {
            query = self.query();
        }
        if !matches!(oddity, Oddity::Rcode | Oddity::Trailing | Oddity::Opcode | Oddity::TooLong) {
            // Nor is what is odd about a record, with an OPT beside it.
            query.packet.truncate(HEADER_LEN + query.question().len());
            query.packet[11] = 0;
            query.opt = None;
        }
        query.oddity = Some(oddity);
        match oddity {
            Oddity::Opcode | Oddity::Update | Oddity::Response | Oddity::Rcode | Oddity::Version => {
                self.header(&mut query, oddity);
            }
            Oddity::Short
            | Oddity::QuestionAbsent
            | Oddity::OptAlone
            | Oddity::TwoQuestions
            | Oddity::QuestionCut
            | Oddity::BadName => self.question(&mut query, oddity),
            Oddity::Trailing | Oddity::Records | Oddity::RecordCut | Oddity::TooLong => {
                self.records(&mut query, oddity);
            }
            Oddity::Tsig | Oddity::TsigUnsound | Oddity::Sig0 => self.signature(&mut query, oddity),
            _ => self.extension(&mut query, oddity),
        }
        query
    }

    fn header(&mut self, query: &mut Query, oddity: Oddity) {
        let Self { random, .. } = self;
        let packet = &mut query.packet;
        match oddity {
            Oddity::Response => packet[2] |= 0x80,
            Oddity::Rcode => packet[3] |= 1 + random.below(15) as u8,
            Oddity::Update => {
                packet[2] |= opcode::UPDATE << 3;
                let type_at = packet.len() - 4;
                // The type of a zone section is SOA; mostly it is sound.
                if random.percent(70) {
                    packet[type_at..type_at + 2].copy_from_slice(&rtype::SOA.to_be_bytes());
                    query.qtype = rtype::SOA;
                }
            }
            Oddity::Opcode => {
                let others = [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
                packet[2] |= random.pick(&others) << 3;
                if random.percent(20) {
                    packet.truncate(HEADER_LEN);
                    packet[4..].fill(0);
                }
            }
            _ => {
                let opt = Opt { size: 1232, version: 1 + random.below(255) as u8, ..Opt::default() };
                append_record(packet, 2, &opt.record(&[0]));
                query.opt = Some(opt);
            }
        }
    }

    fn question(&mut self, query: &mut Query, oddity: Oddity) {
        let Self { random, .. } = self;
        let packet = &mut query.packet;
        match oddity {
            Oddity::Short => packet.truncate(2 + random.below(HEADER_LEN - 2)),
            Oddity::QuestionAbsent | Oddity::OptAlone => {
                packet.truncate(HEADER_LEN);
                packet[5] = 0;
                if oddity == Oddity::OptAlone {
                    let opt = Opt { size: 1232, ..Opt::default() };
                    append_record(packet, 2, &opt.record(&[0]));
                    query.opt = Some(opt);
                }
            }
            Oddity::TwoQuestions => {
                packet[5] = 2;
                packet.extend_from_within(HEADER_LEN..);
            }
            Oddity::QuestionCut => packet.truncate(HEADER_LEN + random.below(packet.len() - HEADER_LEN)),
            _ => {
                packet.truncate(HEADER_LEN);
                match random.below(4) {
                    0 => packet.extend([1, b'a', 0xC0, 12]),
                    1 => packet.extend([0x41, 8, 1, 2, 3, 4, 5, 6, 7, 8]),
                    2 => packet.extend([0x80, 1, 2]),
                    _ => (0..4).for_each(|_| packet.extend([&[63][..], &[b'x'; 63]].concat())),
                }
                packet.extend([0, 0, 1, 0, 1]);
            }
        }
    }

    fn records(&mut self, query: &mut Query, oddity: Oddity) {
        let Self { random, .. } = self;
        let packet = &mut query.packet;
        let record = [&[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..], &[192, 0, 2, 1]].concat();
        match oddity {
            Oddity::Trailing => {
                let len = 1 + random.below(40);
                packet.extend(random.bytes(len));
            }
            Oddity::TooLong => packet.resize(QUERY_LEN_MAX + 1 + random.below(500), 0),
            _ => {
                let section = random.below(3);
                (0..=random.below(3)).for_each(|_| append_record(packet, section, &record));
                if oddity == Oddity::RecordCut {
                    packet.truncate(packet.len() - 1 - random.below(record.len()));
                }
            }
        }
    }

    fn signature(&mut self, query: &mut Query, oddity: Oddity) {
        let packet = &mut query.packet;
        // A key `k.`, and SIG covering nothing as RFC 2931 has it.
        let (owner, kind): (&[u8], u16) =
            if oddity == Oddity::Sig0 { (&[0], 24) } else { (KEY, rtype::TSIG) };
        let mut rdata: Vec<u8> = match oddity {
            Oddity::Sig0 => vec![0, 0, 8, 0, 0, 0, 0, 0, 0x7F, 0, 0, 0, 0x60, 0, 0, 0, 0, 1, 1, b'k', 0],
            _ => ALGORITHM.to_vec(),
        };
        let pointer_in_name = oddity == Oddity::TsigUnsound && self.random.percent(50);
        if oddity == Oddity::Sig0 {
            rdata.extend([0x55; 64]);
        } else {
            if pointer_in_name {
                rdata = vec![0xC0, 12];
            }
            // Time, fudge, MAC, original ID, error, other data.
            rdata.extend(TIME);
            rdata.extend([0, 32]);
            rdata.extend([0xAA; 32]);
            rdata.extend([0, 0, 0, 0, 0, 0]);
        }
        let mut record = owner.to_vec();
        record.extend(kind.to_be_bytes());
        record.extend(255_u16.to_be_bytes());
        record.extend([0; 4]);
        record.extend((rdata.len() as u16).to_be_bytes());
        record.extend(rdata);
        append_record(packet, 2, &record);
        if oddity == Oddity::TsigUnsound && !pointer_in_name {
            append_record(packet, 2, &Opt { size: 1232, ..Opt::default() }.record(&[0]));
        }
    }

    fn extension(&mut self, query: &mut Query, oddity: Oddity) {
        let Self { random, .. } = self;
        let mut opt = Opt { size: 1232, ..Opt::default() };
        let packet = &mut query.packet;
        match oddity {
            Oddity::TwoOpts => (0..2).for_each(|_| append_record(packet, 2, &opt.record(&[0]))),
            Oddity::OptMisplaced => append_record(packet, random.below(2), &opt.record(&[0])),
            Oddity::OptOwner => append_record(packet, 2, &opt.record(b"\x01a\0")),
            _ => {
                // NSID that claims more than there is, or one byte that is no option.
                opt.options = if random.percent(50) { vec![0, 3, 0, 9, 1] } else { vec![0] };
                append_record(packet, 2, &opt.record(&[0]));
            }
        }
    }
}
