//! `as112d zones`: the zones that `run` would serve, as zone files.

use std::fmt::{self, Write as _};

use crate::cli::{ZonesFormat, ZonesOptions};
use crate::config::loaded::load;
use crate::problem::Problem;
use crate::zone::{self, ZoneSet};

/// Loads the zones as `run` would, and prints them in the order in which they were configured.
///
/// # Errors
/// All that would keep `run` from starting.
pub fn zones(options: &ZonesOptions) -> Result<String, Vec<Problem>> {
    let (_, zones, _) = load(options.config.config.as_deref(), &options.config.flags())?;
    let mut out = String::new();
    match options.format {
        ZonesFormat::Zone => write_all(&zones, &mut out).expect("a String takes all that is written"),
    }
    Ok(out)
}

/// One zone file after the other, each under its name as a comment.
fn write_all(zones: &ZoneSet, out: &mut String) -> fmt::Result {
    for (index, zone) in zones.zones.iter().enumerate() {
        if index > 0 {
            out.write_char('\n')?;
        }
        writeln!(out, "; zone {}", zone.apex)?;
        zone::write_zone(zone, out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::consts::rtype;
    use crate::dns::name::Name;
    use crate::zone::{Record, Service, Zone};

    #[test]
    fn zones_follow_each_other_under_their_names() {
        let zone = |apex: &[u8]| {
            let apex = Name::from_wire(apex).unwrap();
            let rdata = b"\x02ns\0".to_vec();
            let records = vec![Record { owner: apex.clone(), rtype: rtype::NS, ttl: 60, rdata }];
            Zone { apex, service: Service::Configured, records }
        };
        let zones = ZoneSet { zones: vec![zone(b"\x01a\0"), zone(b"\x01b\0")], ..ZoneSet::default() };
        let mut out = String::new();
        write_all(&zones, &mut out).unwrap();
        let mut one = String::new();
        zone::write_zone(&zones.zones[1], &mut one).unwrap();
        assert!(out.starts_with("; zone a.\n"), "{out}");
        assert!(out.ends_with(&format!("\n\n; zone b.\n{one}")), "{out}");
    }
}
