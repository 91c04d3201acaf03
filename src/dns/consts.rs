//! The numbers of the protocol: value, meaning, RFC (IANA "DNS Parameters", as of 2026-10).

/// Bytes of the header (RFC 1035, section 4.1.1).
pub const HEADER_LEN: usize = 12;
/// Longest name on the wire, its root label included (RFC 1035, section 2.3.4).
pub const NAME_LEN_MAX: usize = 255;
/// Longest label (RFC 1035, section 2.3.4).
pub const LABEL_LEN_MAX: usize = 63;
/// Most labels of a name, the root not counted: 127 of one byte each.
pub const LABELS_MAX: usize = 127;
/// The two high bits of a compression pointer (RFC 1035, section 4.1.4).
pub const POINTER: u16 = 0xC000;
/// Highest offset that a compression pointer can name.
pub const POINTER_TARGET_MAX: usize = 0x3FFF;
/// Highest TTL (RFC 2181, section 8).
pub const TTL_MAX: u32 = 0x7FFF_FFFF;
/// Largest UDP payload without EDNS (RFC 1035, section 4.2.1).
pub const UDP_LEN_MAX: usize = 512;

/// Resource record types and query types.
pub mod rtype {
    /// Host address (RFC 1035).
    pub const A: u16 = 1;
    /// Name server (RFC 1035).
    pub const NS: u16 = 2;
    /// Canonical name (RFC 1035).
    pub const CNAME: u16 = 5;
    /// Start of authority (RFC 1035).
    pub const SOA: u16 = 6;
    /// Mail destination (RFC 1035, obsolete).
    pub const MD: u16 = 3;
    /// Mail forwarder (RFC 1035, obsolete).
    pub const MF: u16 = 4;
    /// Mailbox (RFC 1035, obsolete).
    pub const MB: u16 = 7;
    /// Mail group member (RFC 1035, obsolete).
    pub const MG: u16 = 8;
    /// Mail rename (RFC 1035, obsolete).
    pub const MR: u16 = 9;
    /// Pointer (RFC 1035).
    pub const PTR: u16 = 12;
    /// Mailbox information (RFC 1035, obsolete).
    pub const MINFO: u16 = 14;
    /// Mail exchange (RFC 1035).
    pub const MX: u16 = 15;
    /// Text (RFC 1035).
    pub const TXT: u16 = 16;
    /// Responsible person (RFC 1183).
    pub const RP: u16 = 17;
    /// Server of the Andrew file system (RFC 1183).
    pub const AFSDB: u16 = 18;
    /// Route through (RFC 1183).
    pub const RT: u16 = 21;
    /// Signature (RFC 2535, obsolete but for SIG(0)).
    pub const SIG: u16 = 24;
    /// Pointer to X.400 (RFC 2163).
    pub const PX: u16 = 26;
    /// IPv6 host address (RFC 3596).
    pub const AAAA: u16 = 28;
    /// Location (RFC 1876).
    pub const LOC: u16 = 29;
    /// Next name (RFC 2535, obsolete).
    pub const NXT: u16 = 30;
    /// Service (RFC 2782).
    pub const SRV: u16 = 33;
    /// Naming authority pointer (RFC 3403).
    pub const NAPTR: u16 = 35;
    /// Key exchanger (RFC 2230).
    pub const KX: u16 = 36;
    /// Redirection of a subtree (RFC 6672).
    pub const DNAME: u16 = 39;
    /// EDNS pseudo-record (RFC 6891).
    pub const OPT: u16 = 41;
    /// Delegation signer (RFC 4034).
    pub const DS: u16 = 43;
    /// Signature (RFC 4034).
    pub const RRSIG: u16 = 46;
    /// Next secure name (RFC 4034).
    pub const NSEC: u16 = 47;
    /// Zone key (RFC 4034).
    pub const DNSKEY: u16 = 48;
    /// Hashed next name (RFC 5155).
    pub const NSEC3: u16 = 50;
    /// Parameters of NSEC3 (RFC 5155).
    pub const NSEC3PARAM: u16 = 51;
    /// Child copy of DS (RFC 7344).
    pub const CDS: u16 = 59;
    /// Child copy of DNSKEY (RFC 7344).
    pub const CDNSKEY: u16 = 60;
    /// Key exchange (RFC 2930).
    pub const TKEY: u16 = 249;
    /// Transaction signature (RFC 8945).
    pub const TSIG: u16 = 250;
    /// Incremental transfer (RFC 1995).
    pub const IXFR: u16 = 251;
    /// Zone transfer (RFC 5936).
    pub const AXFR: u16 = 252;
    /// All types (RFC 1035, RFC 8482).
    pub const ANY: u16 = 255;
}

/// Classes.
pub mod class {
    /// The Internet (RFC 1035).
    pub const IN: u16 = 1;
    /// Chaosnet; today the server's own identity (RFC 4892).
    pub const CH: u16 = 3;
    /// Any class (RFC 1035); the class of TSIG (RFC 8945).
    pub const ANY: u16 = 255;
}

/// Operation codes (RFC 6895, section 2.2).
pub mod opcode {
    /// A standard query (RFC 1035).
    pub const QUERY: u8 = 0;
    /// A dynamic update (RFC 2136).
    pub const UPDATE: u8 = 5;
}

/// Response codes (RFC 6895, section 2.3).
pub mod rcode {
    /// No error (RFC 1035).
    pub const NOERROR: u8 = 0;
    /// The query does not parse (RFC 1035).
    pub const FORMERR: u8 = 1;
    /// The server cannot answer now (RFC 1035).
    pub const SERVFAIL: u8 = 2;
    /// No such name (RFC 1035, RFC 8020).
    pub const NXDOMAIN: u8 = 3;
    /// The operation is not supported (RFC 1035).
    pub const NOTIMP: u8 = 4;
    /// Refused by policy (RFC 1035).
    pub const REFUSED: u8 = 5;
    /// A name exists that should not: a DNAME made a name too long (RFC 6672, section 2.2).
    pub const YXDOMAIN: u8 = 6;
    /// Not authorised: here a TSIG with an unknown key (RFC 8945, section 5.2).
    pub const NOTAUTH: u8 = 9;
    /// EDNS version not supported: 16, whose high bits travel in OPT (RFC 6891, section 9).
    pub const BADVERS: u16 = 16;
    /// The server's part of the cookie is absent or not valid: 23, whose high bits travel in OPT (RFC 7873).
    pub const BADCOOKIE: u16 = 23;
    /// The error field of a TSIG whose key is unknown (RFC 8945, section 5.2.1).
    pub const BADKEY: u16 = 17;
}

/// EDNS option codes (RFC 6891, section 9).
pub mod option {
    /// Name server identifier (RFC 5001).
    pub const NSID: u16 = 3;
    /// Client subnet (RFC 7871).
    pub const CLIENT_SUBNET: u16 = 8;
    /// Cookie (RFC 7873).
    pub const COOKIE: u16 = 10;
    /// TCP keepalive (RFC 7828).
    pub const TCP_KEEPALIVE: u16 = 11;
    /// Padding (RFC 7830).
    pub const PADDING: u16 = 12;
    /// Extended error (RFC 8914).
    pub const EDE: u16 = 15;
}

/// The version of the server's part of a cookie (RFC 9018, section 4.1).
pub const COOKIE_VERSION: u8 = 1;

/// Extended error code "Not Authoritative" (RFC 8914, section 4.21).
pub const EDE_NOT_AUTHORITATIVE: u16 = 20;

/// Bits of the header's second 16-bit word (RFC 1035, section 4.1.1).
pub mod flag {
    /// This is a response.
    pub const QR: u16 = 0x8000;
    /// Authoritative answer.
    pub const AA: u16 = 0x0400;
    /// Truncated.
    pub const TC: u16 = 0x0200;
    /// Recursion desired.
    pub const RD: u16 = 0x0100;
    /// Recursion available.
    pub const RA: u16 = 0x0080;
    /// Authentic data (RFC 4035).
    pub const AD: u16 = 0x0020;
    /// Checking disabled (RFC 4035).
    pub const CD: u16 = 0x0010;
    /// The response code, as far as the header has it.
    pub const RCODE: u16 = 0x000F;
}
