//! What a client asks about rules and the cache, as words of the control socket.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use crate::config::written::octets;
use crate::work::rehearsal::{KeptAnswer, Saying, Supposed, outcome_name};
use crate::zone::name_from_text;

/// A query whose way is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// It comes over TCP.
    pub is_tcp: bool,
    /// Who asks; without it this host.
    pub from: Option<IpAddr>,
    /// The address that is asked; without it the first that the node listens on.
    pub to: Option<SocketAddr>,
    /// The query.
    pub packet: Vec<u8>,
    /// What is supposed of the cache and of servers.
    pub supposed: Supposed,
}

impl Why {
    /// The question that the words after `why ` are.
    pub(super) fn from_words(words: &str) -> Option<Self> {
        let mut words = words.split(' ');
        let is_tcp = match words.next()? {
            "tcp" => true,
            "udp" => false,
            _ => return None,
        };
        let from = given(words.next()?)?;
        let to = given(words.next()?)?;
        let packet = octets(words.next()?.as_bytes())?;
        let mut supposed = Supposed::default();
        for word in words {
            let (what, value) = word.split_once('=')?;
            match what {
                "cache" => supposed.cache.push(Saying::kept(value).ok()?),
                "outcome" => supposed.outcomes.push(Saying::outcome(value).ok()?),
                "rcode" => supposed.rcodes.push(Saying::rcode(value).ok()?),
                "rtt" => supposed.rtt = Duration::from_millis(value.parse().ok()?),
                _ => return None,
            }
        }
        Some(Self { is_tcp, from, to, packet, supposed })
    }
}

/// What stands for nothing.
const NOTHING: &str = "-";

/// A value, or what stands for none.
fn given<T: FromStr>(word: &str) -> Option<Option<T>> {
    if word == NOTHING { Some(None) } else { word.parse().ok().map(Some) }
}

/// As it is asked.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = if self.is_tcp { "tcp" } else { "udp" };
        let from = self.from.map_or_else(|| NOTHING.to_owned(), |from| from.to_string());
        let to = self.to.map_or_else(|| NOTHING.to_owned(), |to| to.to_string());
        write!(f, "why {over} {from} {to} ")?;
        self.packet.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        let Supposed { cache, outcomes, rcodes, rtt } = &self.supposed;
        write!(f, " rtt={}", rtt.as_millis())?;
        let of =
            |upstream: &Option<String>| upstream.as_ref().map_or_else(String::new, |name| format!("{name}="));
        for Saying { upstream, what: KeptAnswer { kept, rcode } } in cache {
            write!(f, " cache={}{}={rcode}", of(upstream), kept.name())?;
        }
        for Saying { upstream, what } in outcomes {
            write!(f, " outcome={}{}", of(upstream), outcome_name(*what))?;
        }
        rcodes.iter().try_for_each(|Saying { upstream, what }| write!(f, " rcode={}{what}", of(upstream)))
    }
}

/// What is wanted of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfCache {
    /// It is to be removed, and not shown.
    pub purges: bool,
    /// Of the names below it, too.
    pub subtree: bool,
    /// The name in wire form.
    pub name: Vec<u8>,
}

impl OfCache {
    /// What the words after `cache ` ask for.
    pub(super) fn from_words(words: &str) -> Option<Self> {
        let (what, rest) = words.split_once(' ')?;
        let purges = match what {
            "purge" => true,
            "show" => false,
            _ => return None,
        };
        let (subtree, name) = rest.strip_prefix("subtree ").map_or((false, rest), |name| (true, name));
        let name = name_from_text(name).ok()?.as_wire().to_vec();
        Some(Self { purges, subtree, name })
    }

    /// The words that ask for it, of a name as it is written.
    #[must_use]
    pub fn words(purges: bool, subtree: bool, name: &str) -> String {
        let (what, subtree) = (if purges { "purge" } else { "show" }, if subtree { "subtree " } else { "" });
        format!("cache {what} {subtree}{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_as_they_are_asked() {
        let asked = Why {
            is_tcp: true,
            from: "2001:db8::1".parse().ok(),
            to: "192.175.48.1:53".parse().ok(),
            packet: vec![0, 0xAB, 0x10],
            supposed: Supposed {
                cache: vec![Saying::kept("stale").unwrap(), Saying::kept("hit=hit=NXDOMAIN").unwrap()],
                outcomes: vec![Saying::outcome("timeout").unwrap(), Saying::outcome("lan=ok").unwrap()],
                rcodes: vec![Saying::rcode("lan=23").unwrap()],
                rtt: Duration::from_millis(7),
            },
        };
        assert_eq!(
            asked.to_string(),
            "why tcp 2001:db8::1 192.175.48.1:53 00ab10 rtt=7 cache=stale=0 cache=hit=hit=3 outcome=timeout outcome=lan=ok rcode=lan=23"
        );
        let plain =
            Why { is_tcp: false, from: None, to: None, packet: vec![], supposed: Supposed::default() };
        for asked in [asked, plain] {
            assert_eq!(Why::from_words(asked.to_string().strip_prefix("why ").unwrap()), Some(asked));
        }
        for wrong in ["", "tls 192.0.2.1 - 00", "udp 192.0.2.1:1 - 00", "udp 192.0.2.1 x 00", "udp - -"]
            .into_iter()
            .chain(["udp - - 00 cache=some", "udp - - 00 rtt=", "udp - - 00 outcome=lan", "udp - - 00 x=1"])
        {
            assert_eq!(Why::from_words(wrong), None, "{wrong}");
        }
        for wrong in ["udp - - 0", "udp - - 0g", "udp - - 00 00"] {
            assert_eq!(Why::from_words(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_cache_is_asked_for_a_name_or_for_a_subtree() {
        let read = |purges, subtree, name: &str| {
            OfCache::from_words(OfCache::words(purges, subtree, name).strip_prefix("cache ").unwrap())
        };
        let name = b"\x01a\x07example\0".to_vec();
        for purges in [false, true] {
            for subtree in [false, true] {
                assert_eq!(
                    read(purges, subtree, "a.example."),
                    Some(OfCache { purges, subtree, name: name.clone() })
                );
            }
        }
        // Nothing but the name itself, be it called so.
        assert_eq!(read(true, false, "subtree").map(|asked| asked.subtree), Some(false));
        for wrong in ["", "show", "show ", "show a..b", "drop a", "show a b"] {
            assert_eq!(OfCache::from_words(wrong), None, "{wrong}");
        }
    }
}
