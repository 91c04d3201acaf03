//! What the host's network counts of UDP: losses that no socket of ours could tell, and those of other
//! programs.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::limits::{HOST_COUNTS_LEN_MAX, HOST_COUNTS_READ_LEN};

/// The address families, as in labels.
pub const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

/// A count of the host.
#[derive(Debug)]
pub struct HostFamily {
    /// The name, without `as112_` and `_total`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// The kernel's name for it.
    pub key: &'static str,
}

/// All counts of the host.
pub static HOST: [HostFamily; 5] = [
    HostFamily {
        name: "udp_in_errors",
        help: "UDP datagrams that this host received and did not deliver, for any reason (InErrors).",
        key: "InErrors",
    },
    HostFamily {
        name: "udp_rcvbuf_errors",
        help: "UDP datagrams that this host dropped because a receive buffer was full (RcvbufErrors).",
        key: "RcvbufErrors",
    },
    HostFamily {
        name: "udp_sndbuf_errors",
        help: "UDP datagrams that this host dropped because a send buffer was full (SndbufErrors).",
        key: "SndbufErrors",
    },
    HostFamily {
        name: "udp_checksum_errors",
        help: "UDP datagrams that this host received with a bad checksum (InCsumErrors).",
        key: "InCsumErrors",
    },
    HostFamily {
        name: "udp_no_ports",
        help: "UDP datagrams that this host received for a port without a listener (NoPorts).",
        key: "NoPorts",
    },
];

/// By row of [`HOST`] and address family; `None` where the kernel does not say.
pub type HostCounts = [[Option<u64>; FAMILIES.len()]; HOST.len()];

/// Where they stand. The files are opened once: reading them later takes no permission.
#[derive(Debug)]
pub struct Host([Option<File>; 2]);

impl Host {
    /// Opens them. They are those of the network namespace.
    #[must_use]
    pub fn open() -> Self {
        Self(["/proc/self/net/snmp", "/proc/self/net/snmp6"].map(|path| File::open(path).ok()))
    }

    /// The counts as they stand.
    #[must_use]
    pub fn read(&self) -> HostCounts {
        let [snmp, snmp6] = self.0.each_ref().map(|file| {
            let text = file.as_ref().map(whole).and_then(Result::ok);
            text.unwrap_or_default()
        });
        parse(&snmp, &snmp6)
    }
}

/// The file from its beginning, as it is now.
pub(super) fn whole(file: &File) -> io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        let len = bytes.len();
        if len > HOST_COUNTS_LEN_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        bytes.resize(len + HOST_COUNTS_READ_LEN, 0);
        let read = file.read_at(&mut bytes[len..], len as u64)?;
        bytes.truncate(len + read);
        if read == 0 {
            return String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into());
        }
    }
}

/// `snmp` has a line of names and one of numbers for each protocol, `snmp6` a name and a number a line.
fn parse(snmp: &str, snmp6: &str) -> HostCounts {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (keys, numbers) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let v4 = |wanted: &str| {
        let mut pairs = keys.split_whitespace().zip(numbers.split_whitespace());
        pairs.find(|(key, _)| *key == wanted)?.1.parse().ok()
    };
    let v6 = |wanted: &str| {
        let mut pairs =
            snmp6.lines().filter_map(|line| line.strip_prefix("Udp6")?.split_once(char::is_whitespace));
        pairs.find(|(key, _)| *key == wanted)?.1.trim().parse().ok()
    };
    std::array::from_fn(|row| [v4(HOST[row].key), v6(HOST[row].key)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let snmp = "Tcp: A\nTcp: 1\n\
                    Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors\n\
                    Udp: 9 8 7 6 5 4 3\nUdpLite: InErrors\nUdpLite: 99\n";
        let snmp6 = "Ip6InReceives 1\nUdp6NoPorts                 \t18\nUdp6InErrors        \t17\n\
                     UdpLite6InErrors 99\n";
        let counts = parse(snmp, snmp6);
        assert_eq!(
            counts,
            [[Some(7), Some(17)], [Some(5), None], [Some(4), None], [Some(3), None], [Some(8), Some(18)],]
        );
        assert_eq!(parse("", ""), [[None; 2]; 5]);
        assert_eq!(parse("Udp: InErrors", "Udp6InErrors x"), [[None; 2]; 5]);
    }

    #[test]
    fn this_host_counts() {
        let host = Host::open();
        assert!(host.read().iter().all(|row| row[0].is_some()));
        assert!(host.read().iter().all(|row| row[0].is_some()), "also the second time");
    }
}
