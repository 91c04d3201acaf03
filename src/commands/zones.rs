//! `as112d zones`: the zones that `run` would serve, as zone files.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::net::IpAddr;

use crate::cli::{ZonesFormat, ZonesOptions};
use crate::config::loaded::load;
use crate::problem::Problem;
use crate::zone::{self, Special, SpecialKind, ZoneSet};

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

/// One zone file after the other, each under its name as a comment, and what is not in it as others.
fn write_all(zones: &ZoneSet, out: &mut String) -> fmt::Result {
    let mut specials = specials(zones);
    for (index, zone) in zones.zones.iter().enumerate() {
        if index > 0 {
            out.write_char('\n')?;
        }
        writeln!(out, "; zone {}", zone.apex())?;
        zone::write_zone(zone, out)?;
        for special in specials.remove(&zone.apex_wire().to_ascii_lowercase()).into_iter().flatten() {
            write_special(zones, special, out)?;
        }
    }
    Ok(())
}

/// The names whose answers depend on who asks, by the apex of their zone in lower case.
fn specials(zones: &ZoneSet) -> HashMap<Vec<u8>, Vec<&Special>> {
    let apexes: HashSet<Vec<u8>> =
        zones.zones.iter().map(|zone| zone.apex_wire().to_ascii_lowercase()).collect();
    let mut specials = HashMap::<_, Vec<_>>::new();
    for special in &zones.specials {
        let name = special.name.to_lowercase();
        let apex = name.suffixes().find(|suffix| apexes.contains(*suffix));
        specials.entry(apex.unwrap_or_default().to_vec()).or_default().push(special);
    }
    specials
}

/// What a name has whose answers depend on who asks.
fn write_special(zones: &ZoneSet, special: &Special, out: &mut String) -> fmt::Result {
    let Some(owner) = special.owner() else { return Ok(()) };
    match special.kind {
        SpecialKind::Pool(pool) => {
            let Some(pool) = zones.pools.get(usize::from(pool)) else { return Ok(()) };
            let has = |family: fn(&IpAddr) -> bool| pool.variants.iter().flatten().any(family);
            let families = [(has(IpAddr::is_ipv4), " A"), (has(IpAddr::is_ipv6), " AAAA")];
            let types: String = families.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
            let pops = pool.variants.len();
            writeln!(out, "; {owner} {} IN{types}: tailored; PoPs: {pops}", pool.ttl)
        }
        SpecialKind::Identity => writeln!(out, "; {owner} IN A AAAA TXT: who asks, here and below"),
        SpecialKind::Beacon => writeln!(out, "; {owner}: queries below it are beacons"),
    }
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
            Zone::new(&apex, Service::Configured, &records)
        };
        let zones = ZoneSet { zones: vec![zone(b"\x01a\0"), zone(b"\x01b\0")], ..ZoneSet::default() };
        let mut out = String::new();
        write_all(&zones, &mut out).unwrap();
        let mut one = String::new();
        zone::write_zone(&zones.zones[1], &mut one).unwrap();
        assert!(out.starts_with("; zone a.\n"), "{out}");
        assert!(out.ends_with(&format!("\n\n; zone b.\n{one}")), "{out}");
    }

    #[test]
    fn what_depends_on_who_asks_stands_as_comments_after_its_zone() {
        let name = |wire: &[u8]| Name::from_wire(wire).unwrap();
        let zone = |apex: &[u8]| Zone::new(&name(apex), Service::Configured, &[]);
        let special = |wire: &[u8], is_wildcard, kind| Special { name: name(wire), is_wildcard, kind };
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let pool = |variants| zone::Pool { ttl: 60, variants };
        let zones = ZoneSet {
            zones: vec![zone(b"\x01a\0"), zone(b"\x01b\x01A\0")],
            pools: vec![
                pool(vec![addresses(&["192.0.2.1"]), addresses(&["192.0.2.2"])]),
                pool(vec![addresses(&["192.0.2.1", "2001:db8::1"])]),
            ],
            specials: vec![
                special(b"\x03www\x01a\0", false, SpecialKind::Pool(0)),
                special(b"\x01B\x01a\0", true, SpecialKind::Pool(1)),
                special(b"\x03who\x01a\0", false, SpecialKind::Identity),
                special(b"\x01t\x01a\0", false, SpecialKind::Beacon),
            ],
            ..ZoneSet::default()
        };
        let mut out = String::new();
        write_all(&zones, &mut out).unwrap();
        assert_eq!(
            out,
            "; zone a.
; www.a. 60 IN A: tailored; PoPs: 2
; who.a. IN A AAAA TXT: who asks, here and below
; t.a.: queries below it are beacons

; zone b.A.
; *.B.a. 60 IN A AAAA: tailored; PoPs: 1
"
        );
    }
}
