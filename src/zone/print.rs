//! A zone as a zone file (RFC 1035, section 5).

use std::fmt;

use domain::base::iana::Rtype;

use super::{Zone, rdata};

/// Writes `zone` so that it loads to the same records: one line each, `owner TTL IN type rdata`, every name
/// absolute.
///
/// # Errors
/// Those of `out`.
pub fn write_zone(zone: &Zone, out: &mut impl fmt::Write) -> fmt::Result {
    for record in zone.records() {
        let (rtype, rdata) = (Rtype::from_int(record.rtype), rdata::to_text(record.rtype, &record.rdata));
        writeln!(out, "{} {} IN {rtype} {rdata}", record.owner, record.ttl)?;
    }
    Ok(())
}
