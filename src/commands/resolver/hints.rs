//! Where resolution begins: the addresses of the root servers.

use std::net::IpAddr;
use std::path::Path;

use crate::problem::Problem;

/// The root servers as of 2026-11 (IANA, "Root Servers"), a.root-servers.net first.
const ROOT_SERVERS: [&str; 26] = [
    "198.41.0.4",
    "2001:503:ba3e::2:30",
    "170.247.170.2",
    "2801:1b8:10::b",
    "192.33.4.12",
    "2001:500:2::c",
    "199.7.91.13",
    "2001:500:2d::d",
    "192.203.230.10",
    "2001:500:a8::e",
    "192.5.5.241",
    "2001:500:2f::f",
    "192.112.36.4",
    "2001:500:12::d0d",
    "198.97.190.53",
    "2001:500:1::53",
    "192.36.148.17",
    "2001:7fe::53",
    "192.58.128.30",
    "2001:503:c27::2:30",
    "193.0.14.129",
    "2001:7fd::1",
    "199.7.83.42",
    "2001:500:9f::42",
    "202.12.27.33",
    "2001:dc3::35",
];
/// What their names end with.
const ROOT_SERVERS_DOMAIN: &str = ".root-servers.net.";

/// A root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hints {
    /// Its servers.
    pub(super) servers: Vec<IpAddr>,
    /// Whether it is that of the Internet.
    pub(super) is_public: bool,
    /// Its keys, where the file has some: DNSKEY records.
    pub(super) keys: String,
}

impl Hints {
    pub(super) fn builtin() -> Self {
        let servers = ROOT_SERVERS.iter().filter_map(|server| server.parse().ok()).collect();
        Self { servers, is_public: true, keys: String::new() }
    }

    /// Reads a file as IANA publishes it: NS records of the root, and the addresses of the servers. A
    /// root of one's own is validated with the keys in DNSKEY records; without one nothing is.
    pub(super) fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| vec![Problem { place: place.clone(), message: error.to_string() }])?;
        Self::read(&text).map_err(|wrong| {
            let problem = |(line, message)| Problem { place: format!("{place}:{line}"), message };
            wrong.into_iter().map(problem).collect()
        })
    }

    /// The mistakes, each with its line.
    fn read(text: &str) -> Result<Self, Vec<(usize, String)>> {
        let mut hints = Self { servers: Vec::new(), is_public: true, keys: String::new() };
        let mut wrong = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split(';').next().unwrap_or_default();
            if let Err(message) = hints.take(line) {
                wrong.push((number + 1, message));
            }
        }
        if hints.servers.is_empty() && wrong.is_empty() {
            wrong.push((1, "no address of a root server; give A or AAAA records".to_owned()));
        }
        if wrong.is_empty() { Ok(hints) } else { Err(wrong) }
    }

    /// Takes a line: owner, TTL and class if they are there, type, data.
    fn take(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split_whitespace();
        let Some(owner) = words.next() else { return Ok(()) };
        let is_extra = |word: &&str| word.eq_ignore_ascii_case("IN") || word.parse::<u32>().is_ok();
        let mut words = words.skip_while(is_extra);
        let rtype = words.next().unwrap_or_default().to_ascii_uppercase();
        let data: Vec<&str> = words.collect();
        match (&rtype[..], &data[..]) {
            ("A" | "AAAA", [address]) => {
                let address: IpAddr =
                    address.parse().map_err(|_| format!("`{address}` is not an address"))?;
                if address.is_ipv4() != (rtype == "A") {
                    return Err(format!("`{address}` is not an address of type {rtype}"));
                }
                self.is_public &= owner.to_ascii_lowercase().ends_with(ROOT_SERVERS_DOMAIN);
                self.servers.push(address);
                Ok(())
            }
            ("NS", [_]) if owner == "." => Ok(()),
            ("DNSKEY", [_, _, _, _, ..]) if owner == "." => {
                self.keys.push_str(&format!(". IN DNSKEY {}\n", data.join(" ")));
                Ok(())
            }
            ("NS" | "DNSKEY", _) => Err(format!("a record of type {rtype} is of the root `.` and has data")),
            ("A" | "AAAA", _) => Err(format!("a record of type {rtype} has one address")),
            _ => Err("not a record of type NS, A, AAAA or DNSKEY; give a file such as root.hints".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_root_servers_are_built_in() {
        let builtin = Hints::builtin();
        assert_eq!(builtin.servers.len(), 26);
        assert_eq!(builtin.servers.iter().filter(|server| server.is_ipv4()).count(), 13);
        assert!(builtin.is_public && builtin.keys.is_empty());
    }

    #[test]
    fn a_file_as_iana_publishes_it_is_read() {
        let text = "\
;       This file holds the information on root name servers\n\
.                        3600000      NS    A.ROOT-SERVERS.NET.\n\
A.ROOT-SERVERS.NET.      3600000      A     198.41.0.4\n\
A.ROOT-SERVERS.NET.      3600000      AAAA  2001:503:ba3e::2:30 ; last\n\
\n\
b.root-servers.net. IN A 170.247.170.2\n";
        let hints = Hints::read(text).unwrap();
        assert_eq!(hints.servers, Hints::builtin().servers[..3]);
        assert!(hints.is_public && hints.keys.is_empty());
    }

    #[test]
    fn a_root_of_ones_own_may_have_keys() {
        let hints = Hints::read(". NS ns.\nns. A 10.0.0.1\n. 60 IN DNSKEY 257 3 13 ab cd").unwrap();
        assert!(!hints.is_public);
        assert_eq!(hints.keys, ". IN DNSKEY 257 3 13 ab cd\n");
    }

    #[test]
    fn mistakes_have_their_lines() {
        let text =
            "a. A 10.0.0.1\na. A ::1\na. AAAA 10.0.0.1\na. A\na. A x\ncom. NS a.\na. TXT x\na.\n. DNSKEY 1";
        let lines: Vec<usize> = Hints::read(text).unwrap_err().iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(Hints::read("; nothing\n").unwrap_err().len(), 1);
    }
}
