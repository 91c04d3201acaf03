//! What `as112d check` says of maps and pools: above all what they cost the caches of resolvers.

use crate::limits::POOL_TTL_SHORT;
use crate::tailor::{Summary, Tailor};
use crate::zone::{Apexes, SpecialKind, ZoneSet};

/// Lines, with their keys.
pub(super) fn told(tailor: &Tailor, zones: &ZoneSet) -> Vec<(&'static str, String)> {
    let spec = tailor.spec();
    let mut lines = Vec::new();
    for (map, summary) in spec.maps.iter().zip(tailor.summaries()) {
        lines.push(("map", format!("{}: {}", map.name, costs(summary))));
        let of = [(summary.unseen[0], "/24"), (summary.unseen[1], "/56")];
        for (count, length) in of.into_iter().filter(|(count, _)| *count > 0) {
            let networks = if count == 1 { "network is" } else { "networks are" };
            let text = format!("{count} {networks} longer than {length}: most resolvers do not tell so much");
            lines.push(("note", format!("map {}: {text}", map.name)));
        }
    }
    for (pool, served) in spec.pools.iter().zip(&zones.pools) {
        if u64::from(served.ttl) < POOL_TTL_SHORT.as_secs() {
            let text = "few answers come from the caches of resolvers";
            lines.push(("note", format!("pool {}: with a TTL of {} s {text}", pool.name, served.ttl)));
        }
    }
    let tailored = tailored(zones);
    if !tailored.is_empty() {
        let text = "must have the same maps: what one of them answers for everybody is kept for everybody";
        lines.push(("note", format!("all name servers of {} {text}", tailored.join(", "))));
    }
    lines
}

/// How many answers there are, and for how many clients each is.
fn costs(summary: &Summary) -> String {
    let family = |at: usize, name: &str| {
        let blocks = summary.blocks[at];
        let median = summary.median_scope[at].map(|scope| format!(", median SCOPE {scope}"));
        format!("{blocks} of {name}{}", median.unwrap_or_default())
    };
    let (ipv4, ipv6) = (family(0, "IPv4"), family(1, "IPv6"));
    format!(
        "answers for blocks of clients: {ipv4}; {ipv6}. A resolver that tells its clients' subnets may keep \
         as many for each name"
    )
}

/// The zones that have names in pools.
fn tailored(zones: &ZoneSet) -> Vec<String> {
    let is_in_pool = |kind| matches!(kind, SpecialKind::Pool(_));
    let (mut apexes, places) = (Vec::<String>::new(), Apexes::new(&zones.zones));
    for special in zones.specials.iter().filter(|special| is_in_pool(special.kind)) {
        let Some(place) = places.above(&zones.zones, special.name.as_wire()) else { continue };
        let apex = zones.zones[place].apex().to_string().trim_end_matches('.').to_owned();
        if !apexes.contains(&apex) {
            apexes.push(apex);
        }
    }
    apexes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Flags;
    use crate::config::loaded::load;

    /// What is said of a node of two PoPs with these networks and this TTL.
    fn lines(networks: &str, ttl: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("n.zone", "$TTL 60\n@ SOA a. b. 1 2 3 4 5\n@ NS ns.example.org.\n");
        write("networks.txt", networks);
        let config = format!(
            "[[zone]]\nname = 'example.net'\nfile = 'n.zone'\n[[pop]]\nname = 'sfo'\n[[pop]]\nname = 'nrt'\n\
             [[map]]\nname = 'world'\nnetworks = ['networks.txt']\ndefault = ['sfo']\n\
             [[pool]]\nname = 'web'\nmap = 'world'\nnames = ['www.example.net', 'example.net']\n\
             ttl = '{ttl}'\naddresses = {{ sfo = ['192.0.2.1'], nrt = ['192.0.2.2'] }}\n"
        );
        write("as112d.toml", &config);
        let (_, zones, snapshot) = load(Some(&dir.path().join("as112d.toml")), &Flags::default()).unwrap();
        let tailor = Arc::clone(snapshot.tailor().unwrap());
        told(&tailor, &zones).into_iter().map(|(key, text)| format!("{key} {text}")).collect()
    }

    #[test]
    fn caches_are_told_what_maps_cost_them() {
        let same = "note all name servers of example.net must have the same maps: what one of them answers \
                    for everybody is kept for everybody";
        let told = lines("11.0.0.0/8 nrt\n11.1.2.128/25 sfo\n11.1.3.0/24 sfo\n2400::/12 nrt\n", "29s");
        assert!(told[0].starts_with("map world: answers for blocks of clients: "), "{told:#?}");
        assert_eq!(
            told[1..],
            [
                "note map world: 1 network is longer than /24: most resolvers do not tell so much",
                "note pool web: with a TTL of 29 s few answers come from the caches of resolvers",
                same
            ]
        );
        let told = lines("2400::/57 nrt\n2401::/128 nrt\n", "30s");
        assert_eq!(
            told[1],
            "note map world: 2 networks are longer than /56: most resolvers do not tell so much"
        );
        assert_eq!(told[2..], [same]);
    }
}
