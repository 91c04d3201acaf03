//! The numbers of the protocol that guests need most (IANA "DNS Parameters").

/// Types of records.
pub mod rtype {
    /// Host address.
    pub const A: u16 = 1;
    /// Name server.
    pub const NS: u16 = 2;
    /// Alias.
    pub const CNAME: u16 = 5;
    /// Start of authority.
    pub const SOA: u16 = 6;
    /// Pointer.
    pub const PTR: u16 = 12;
    /// Mail exchange.
    pub const MX: u16 = 15;
    /// Text.
    pub const TXT: u16 = 16;
    /// IPv6 host address.
    pub const AAAA: u16 = 28;
    /// Location.
    pub const LOC: u16 = 29;
    /// Service.
    pub const SRV: u16 = 33;
    /// Redirection of a subtree.
    pub const DNAME: u16 = 39;
    /// EDNS. The host's: no reply of a guest holds one.
    pub const OPT: u16 = 41;
    /// Binding of a service.
    pub const SVCB: u16 = 64;
    /// Binding of HTTPS.
    pub const HTTPS: u16 = 65;
    /// All types, in a query.
    pub const ANY: u16 = 255;
}

/// Classes.
pub mod class {
    /// The Internet.
    pub const IN: u16 = 1;
    /// Chaosnet: the names of the server itself.
    pub const CH: u16 = 3;
    /// Any.
    pub const ANY: u16 = 255;
}

/// Response codes.
pub mod rcode {
    /// No error.
    pub const NOERROR: u8 = 0;
    /// The query does not parse.
    pub const FORMERR: u8 = 1;
    /// The server cannot answer now.
    pub const SERVFAIL: u8 = 2;
    /// No such name.
    pub const NXDOMAIN: u8 = 3;
    /// Not implemented.
    pub const NOTIMP: u8 = 4;
    /// Refused by policy.
    pub const REFUSED: u8 = 5;
}

/// Extended errors (RFC 8914), for replies without records.
pub mod ede {
    /// Another reason.
    pub const OTHER: u16 = 0;
    /// A stale answer.
    pub const STALE: u16 = 3;
    /// The operator has it blocked for reasons of security.
    pub const BLOCKED: u16 = 15;
    /// Somebody else requires that it is blocked.
    pub const CENSORED: u16 = 16;
    /// The client has asked for it to be filtered.
    pub const FILTERED: u16 = 17;
    /// The client may not ask this.
    pub const PROHIBITED: u16 = 18;
    /// No zone of the server's.
    pub const NOT_AUTHORITATIVE: u16 = 20;
}
