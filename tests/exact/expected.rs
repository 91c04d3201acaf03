//! What must have been counted, by the thread that must have counted it.

use std::collections::BTreeMap;

use as112d::limits::QUERY_LEN_MAX;
use as112d::stats::counters::{FAMILIES, Family};

use crate::rows::Effect;

/// Where packets come in.
pub struct Door {
    pub transport: &'static str,
    pub family: &'static str,
    pub address: String,
}

/// Counters by the name of their family and the values of their labels.
pub type Counts = BTreeMap<(&'static str, Vec<String>), u64>;

/// What the shards counted together, and what the thread of TCP counted.
#[derive(Debug, Default)]
pub struct Expected {
    pub udp: Counts,
    pub tcp: Counts,
}

/// A family by its name in JSON.
pub fn family_named(key: &str) -> &'static Family {
    let is_it = |family: &&Family| json_key(family) == key;
    FAMILIES.iter().find(is_it).unwrap_or_else(|| panic!("no family {key}"))
}

pub fn json_key(family: &Family) -> &'static str {
    family.name.trim_start_matches("as112_").trim_end_matches("_total")
}

/// The sum of a family.
pub fn sum(counts: &Counts, key: &str) -> u64 {
    let name = family_named(key).name;
    counts.iter().filter(|((family, _), _)| *family == name).map(|(_, count)| count).sum()
}

impl Expected {
    pub fn add(&mut self, transport: &str, family: &str, labels: &[&str], count: u64) {
        let counts = if transport == "tcp" { &mut self.tcp } else { &mut self.udp };
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        *counts.entry((family_named(family).name, labels)).or_default() += count;
    }

    pub fn of(&self, family: &Family, labels: &[String]) -> u64 {
        let key = (family.name, labels.to_vec());
        [&self.udp, &self.tcp].into_iter().filter_map(|counts| counts.get(&key)).sum()
    }

    pub fn sum(&self, key: &str) -> u64 {
        sum(&self.udp, key) + sum(&self.tcp, key)
    }

    /// A family by the values of its labels, of all threads.
    pub fn family(&self, key: &str) -> BTreeMap<Vec<String>, u64> {
        let name = family_named(key).name;
        let mut found = BTreeMap::new();
        for ((family, labels), count) in self.udp.iter().chain(&self.tcp) {
            if *family == name {
                *found.entry(labels.clone()).or_default() += count;
            }
        }
        found
    }

    /// So many packets that came in at a door, and their replies of `reply_len` bytes.
    pub fn packets(&mut self, door: &Door, effect: &Effect, copies: u64, packet: &[u8], reply_len: usize) {
        let Door { transport, family, address } = door;
        let mut add = |key: &str, labels: &[&str], count: u64| self.add(transport, key, labels, count);
        add("queries", &[effect.service, transport, family], copies);
        add("queries_by_address", &[address], copies);
        add("queries_by_opcode", &[effect.opcode], copies);
        if let Some(zone) = effect.zone {
            let by_zone = if effect.opcode == "UPDATE" { "updates" } else { "queries_by_zone" };
            add(by_zone, &[zone], copies);
        }
        if let Some((qtype, qclass)) = effect.question {
            add("queries_by_type", &[qtype], copies);
            add("queries_by_class", &[qclass], copies);
        }
        if let Some((version, do_bit, nsid)) = effect.edns {
            add("queries_edns", &[version], copies);
            add("queries_do", &[], if do_bit { copies } else { 0 });
            add("queries_nsid", &[], if nsid { copies } else { 0 });
        }
        if let Some(state) = effect.cookie {
            add("queries_cookie", &[state], copies);
        }
        add("queries_rd", &[], if packet[2] & 1 == 1 { copies } else { 0 });
        add("queries_oversize", &[], if packet.len() > QUERY_LEN_MAX { copies } else { 0 });
        let mut size = |key: &str, len: usize, open_from: usize| {
            add(key, &[transport, &(len / 16 * 16).min(open_from).to_string()], copies);
            add(&format!("{key}_sum"), &[transport], copies * len as u64);
        };
        size("query_size_bytes", packet.len(), 2048);
        if effect.outcome.is_ok() {
            size("response_size_bytes", reply_len, 4096);
        }
        match effect.outcome {
            Ok(rcode) => {
                add("responses", &[rcode], copies);
                add("responses_by_transport", &[transport, family], copies);
                let truncated = effect.truncated_over_udp && *transport == "udp";
                add("responses_truncated", &[], if truncated { copies } else { 0 });
            }
            Err(reason) => add("queries_dropped", &[reason], copies),
        }
    }
}
