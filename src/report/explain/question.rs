//! What is to be explained, as words and as a packet.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use domain::base::iana::{Class, Rtype};
use domain::base::opt::ClientSubnet;
use domain::base::{MessageBuilder, Name};
use ipnet::IpNet;

use crate::dns::ecs::Subnet;
use crate::limits::EDNS_UDP_SIZE_MAX;
use crate::report::url::parameters;
use crate::zone::name_from_text;

/// A query that is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    name: Name<Vec<u8>>,
    rtype: Rtype,
    /// Who asks.
    pub resolver: IpAddr,
    /// The client's subnet.
    pub subnet: Option<IpNet>,
    /// It comes over TCP.
    pub is_tcp: bool,
}

impl Question {
    /// The ID of the query: with weights the answer depends on it.
    pub(super) const ID: u16 = 0;

    /// One that comes over UDP from this host, as it is written.
    ///
    /// # Errors
    /// What to write instead.
    pub fn read(name: &str, rtype: &str) -> Result<Self, String> {
        let wire = name_from_text(name)
            .map_err(|message| format!("{message}; give a name such as www.example.net"))?;
        let name = Name::from_octets(wire.as_wire().to_vec()).expect("a Name is well formed");
        let rtype =
            rtype.parse().map_err(|_| format!("`{rtype}` is not a type; give one such as A or AAAA"))?;
        let resolver = Ipv4Addr::LOCALHOST.into();
        Ok(Self { name, rtype, resolver, subnet: None, is_tcp: false })
    }

    /// The question that the words after `explain ` are.
    #[must_use]
    pub fn from_words(words: &str) -> Option<Self> {
        let words: Vec<&str> = words.splitn(5, ' ').collect();
        let [transport, resolver, subnet, rtype, name] = words[..] else { return None };
        let is_tcp = match transport {
            "tcp" => true,
            "udp" => false,
            _ => return None,
        };
        let subnet = if subnet == NOTHING { None } else { Some(subnet.parse().ok()?) };
        let resolver = resolver.parse().ok()?;
        Some(Self { resolver, subnet, is_tcp, ..Self::read(name, rtype).ok()? })
    }

    /// The question in the part of a URL after `?`: `name` and `type`, and perhaps `resolver`, `subnet` and
    /// `transport`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn from_url(query: &str) -> Result<Self, String> {
        let mut given = parameters(query)?;
        let mut take = |key: &str| match given.remove(key).as_deref() {
            None => Ok(None),
            Some([one]) => Ok(Some(one.clone())),
            Some(_) => Err(format!("{key} is given twice; give it once")),
        };
        let (name, rtype) = (take("name")?, take("type")?);
        let (resolver, subnet, transport) = (take("resolver")?, take("subnet")?, take("transport")?);
        if let Some(key) = given.keys().next() {
            return Err(format!("{key} is not known; give name, type, resolver, subnet or transport"));
        }
        let name = name.ok_or("name is missing; write it as in /explain?name=www.example.net&type=A")?;
        let mut asked = Self::read(&name, rtype.as_deref().unwrap_or("A"))?;
        if let Some(text) = resolver {
            asked.resolver = text.parse().map_err(|_| format!("`{text}` is not an address"))?;
        }
        if let Some(text) = subnet {
            let subnet = text.parse().map_err(|_| {
                format!("`{text}` is not a network; write it as in 192.0.2.0/24 or 2001:db8::/48")
            });
            asked.subnet = Some(subnet?);
        }
        asked.is_tcp = match transport.as_deref() {
            None | Some("udp") => false,
            Some("tcp") => true,
            Some(other) => return Err(format!("`{other}` is not a transport; give udp or tcp")),
        };
        Ok(asked)
    }

    /// The name, with its final dot.
    pub(super) fn name(&self) -> String {
        // A space would end the word.
        let name = self.name.to_string().replace(r"\ ", r"\032");
        if name == "." { name } else { name + "." }
    }

    pub(super) fn rtype(&self) -> String {
        self.rtype.to_string()
    }

    /// The subnet as the node reads it.
    pub(super) fn client_subnet(&self) -> Option<Subnet> {
        let subnet = self.subnet?.trunc();
        let octets = match subnet.addr() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let family = if subnet.addr().is_ipv4() { 1 } else { 2 };
        let used = usize::from(subnet.prefix_len()).div_ceil(8);
        Subnet::read(&[&[0, family, subnet.prefix_len(), 0], &octets[..used]].concat()).ok()
    }

    /// The query: no recursion desired, and EDNS with our own size.
    pub(super) fn packet(&self) -> Vec<u8> {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(Self::ID);
        let mut builder = builder.question();
        builder.push((&self.name, self.rtype, Class::IN)).expect("a Vec has room for a question");
        let mut builder = builder.additional();
        let opt = builder.opt(|opt| {
            opt.set_udp_payload_size(EDNS_UDP_SIZE_MAX as u16);
            self.subnet.map_or(Ok(()), |subnet| {
                opt.push(&ClientSubnet::new(subnet.prefix_len(), 0, subnet.trunc().addr()))
            })
        });
        opt.expect("a Vec has room for an OPT record");
        builder.finish()
    }
}

/// What stands for no subnet.
const NOTHING: &str = "-";

/// As it is asked.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = if self.is_tcp { "tcp" } else { "udp" };
        let subnet = self.subnet.map_or_else(|| NOTHING.to_owned(), |subnet| subnet.to_string());
        write!(f, "explain {over} {} {subnet} {} {}", self.resolver, self.rtype, self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_as_it_is_asked() {
        let plain = Question::read("www.example.net", "a").unwrap();
        assert_eq!(plain.to_string(), "explain udp 127.0.0.1 - A www.example.net.");
        let resolver = "2001:db8::53".parse().unwrap();
        let subnet = "11.1.4.0/22".parse().ok();
        let full = Question { resolver, subnet, is_tcp: true, ..plain.clone() };
        assert_eq!(full.to_string(), "explain tcp 2001:db8::53 11.1.4.0/22 A www.example.net.");
        let odd = Question::read(r"a\032b\.c.example", "TYPE65280").unwrap();
        for asked in [plain, full, odd, Question::read(".", "NS").unwrap()] {
            let words = asked.to_string();
            assert_eq!(Question::from_words(words.strip_prefix("explain ").unwrap()), Some(asked), "{words}");
        }
        for wrong in [
            "",
            "udp 192.0.2.1 - A",
            "tls 192.0.2.1 - A a.",
            "udp x - A a.",
            "udp ::1 1/2 A a.",
            "udp ::1 - ? a.",
        ] {
            assert_eq!(Question::from_words(wrong), None, "{wrong}");
        }
        assert!(Question::read("a..b", "A").unwrap_err().ends_with("give a name such as www.example.net"));
        assert!(Question::read("a", "WHAT").unwrap_err().starts_with("`WHAT` is not a type"));
    }

    #[test]
    fn a_question_is_read_from_a_url() {
        let asked = Question::from_url("name=www.example.net&type=AAAA&resolver=%3A%3A1&subnet=11.1.0.0/16");
        assert_eq!(asked.unwrap().to_string(), "explain udp ::1 11.1.0.0/16 AAAA www.example.net.");
        let asked = Question::from_url("name=a&transport=tcp");
        assert_eq!(asked.unwrap().to_string(), "explain tcp 127.0.0.1 - A a.");
        for (query, told) in [
            ("", "name is missing"),
            ("name=a&name=b", "name is given twice"),
            ("name=a&colour=red", "colour is not known"),
            ("name=a&resolver=b", "`b` is not an address"),
            ("name=a&subnet=1.2.3.4/33", "`1.2.3.4/33` is not a network"),
            ("name=a&type=WHAT", "`WHAT` is not a type"),
            ("name=a&transport=quic", "`quic` is not a transport"),
            ("name=%", "A % in the URL"),
        ] {
            assert!(Question::from_url(query).unwrap_err().starts_with(told), "{query}");
        }
    }

    #[test]
    fn the_subnet_is_in_the_packet_as_the_node_reads_it() {
        let mut asked = Question::read("a", "A").unwrap();
        assert_eq!(asked.client_subnet(), None);
        for (text, data) in [
            ("11.1.3.7/22", &[0, 1, 22, 0, 11, 1, 0][..]),
            ("0.0.0.0/0", &[0, 1, 0, 0]),
            ("::/0", &[0, 2, 0, 0]),
            ("2400:1234:5600::/56", &[0, 2, 56, 0, 0x24, 0, 0x12, 0x34, 0x56, 0, 0]),
        ] {
            asked.subnet = text.parse().ok();
            assert_eq!(asked.client_subnet().unwrap().data(), data, "{text}");
            assert!(asked.packet().ends_with(data), "{text}");
        }
    }
}
