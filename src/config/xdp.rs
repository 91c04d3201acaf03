//! What is answered in the driver: `[xdp]`.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::written::{Count, Given, Written, choice};
use crate::limits::{INTERFACE_NAME_LEN_MAX, SAMPLE_EVERY_MAX, XDP_SAMPLE_EVERY};

/// What is answered in the driver, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpSettings {
    /// The interfaces; none for not at all.
    pub interfaces: Vec<String>,
    /// Where on them.
    pub mode: XdpMode,
    /// All of whose addresses are the node's.
    pub prefixes: Vec<IpNet>,
    /// VLANs that are answered in, as are those that the host has an interface in.
    pub vlans: Vec<u16>,
    /// One query in so many that could be answered there goes to the sockets; 0 for none.
    pub sample: u32,
}

/// Where the program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver where it can, else in the network stack.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the network stack.
    Generic,
}

impl fmt::Display for XdpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

impl Written for XdpMode {
    const EXPECTED: &'static str = "\"auto\", \"native\" or \"generic\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("auto", Self::Auto), ("native", Self::Native), ("generic", Self::Generic)])
    }
}

/// What an interface is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceName(
    /// One word.
    pub String,
);

impl Written for InterfaceName {
    const EXPECTED: &'static str = "the name of an interface";

    fn read(text: &str) -> Result<Self, String> {
        let is_name = (1..=INTERFACE_NAME_LEN_MAX).contains(&text.len())
            && text.chars().all(|c| !c.is_whitespace() && c != '/');
        let refused =
            || format!("`{text}` is not an interface name; give one that `ip link` lists, such as eth0");
        is_name.then(|| Self(text.to_owned())).ok_or_else(refused)
    }
}

impl Written for IpNet {
    const EXPECTED: &'static str = "a prefix such as \"192.175.48.0/24\", or an address";

    fn read(text: &str) -> Result<Self, String> {
        let refused =
            |_| format!("`{text}` is not a prefix; give one such as 192.175.48.0/24 or 2620:4f:8000::/48");
        // An address is the prefix of itself alone, but one that ends in 0 lacks its length.
        let is_host = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => ip.octets()[3] != 0,
            IpAddr::V6(ip) => ip.segments()[7] != 0,
        };
        let host = text.parse::<IpAddr>().ok().filter(is_host).map(Self::from);
        host.map_or_else(|| text.parse::<Self>(), Ok).map(|prefix| prefix.trunc()).map_err(refused)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [xdp] section")]
pub(super) struct XdpSpec {
    interfaces: Vec<Given<InterfaceName>>,
    mode: Given<XdpMode>,
    pub(super) prefixes: Vec<Given<IpNet>>,
    vlans: Vec<Given<Vlan>>,
    sample: Given<Count<0, SAMPLE_EVERY_MAX>>,
}

/// The number of a VLAN: all that there are (IEEE 802.1Q).
type Vlan = Count<1, 4094>;

impl Default for XdpSpec {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            mode: Given::default(XdpMode::Auto),
            prefixes: Vec::new(),
            vlans: Vec::new(),
            sample: Given::default(Count(XDP_SAMPLE_EVERY)),
        }
    }
}

impl XdpSpec {
    /// What holds; interfaces of the command line go before those of the file.
    pub(super) fn settings(self, interfaces: &[InterfaceName]) -> XdpSettings {
        let from_file = self.interfaces.into_iter().map(|given| given.value);
        let mut names: Vec<String> = Vec::new();
        let chosen: Vec<InterfaceName> =
            if interfaces.is_empty() { from_file.collect() } else { interfaces.to_vec() };
        for InterfaceName(name) in chosen {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        XdpSettings {
            interfaces: names,
            mode: self.mode.value,
            prefixes: self.prefixes.into_iter().map(|given| given.value).collect(),
            vlans: self.vlans.into_iter().map(|given| given.value.0 as u16).collect(),
            sample: u32::try_from(self.sample.value.0).expect("its range ends below 2^32"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_people_write_them() {
        assert_eq!(InterfaceName::read("eth0.100").unwrap().0, "eth0.100");
        for wrong in ["", "a b", "../eth0", "much-too-long-a-name"] {
            assert!(InterfaceName::read(wrong).unwrap_err().contains("give one"), "{wrong}");
        }
        assert_eq!(IpNet::read("192.0.2.77/24").unwrap().to_string(), "192.0.2.0/24");
        for (address, prefix) in [("192.0.2.7", "192.0.2.7/32"), ("::1", "::1/128")] {
            assert_eq!(IpNet::read(address).unwrap().to_string(), prefix);
        }
        for forgotten in ["192.0.2.0", "2001:db8::"] {
            assert!(IpNet::read(forgotten).unwrap_err().contains("is not a prefix"), "{forgotten}");
        }
        for mode in [XdpMode::Auto, XdpMode::Native, XdpMode::Generic] {
            assert_eq!(XdpMode::read(&mode.to_string()), Ok(mode));
        }
    }

    #[test]
    fn options_go_before_the_file_and_each_interface_counts_once() {
        let spec = |interfaces: &[&str]| XdpSpec {
            interfaces: interfaces
                .iter()
                .map(|name| Given::default(InterfaceName::read(name).unwrap()))
                .collect(),
            ..XdpSpec::default()
        };
        let flags = ["b", "b", "c"].map(|name| InterfaceName::read(name).unwrap());
        assert_eq!(spec(&["a", "b", "a"]).settings(&[]).interfaces, ["a", "b"]);
        assert_eq!(spec(&["a"]).settings(&flags).interfaces, ["b", "c"]);
        assert_eq!(spec(&[]).settings(&[]).sample, 1024);
    }
}
