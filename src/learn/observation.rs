//! One client network that was seen to use a resolver, as a line of a file: what a node writes and
//! `as112d learn` reads. Others can write it too (docs/learning.md).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::subject::{Place, code_text, country, degrees};
use crate::limits::{OBSERVATION_LEN_MAX, OBSERVED_POPS_MAX, PLATFORM_NAME_LEN_MAX, RTT_MAX_MS};

/// Seconds of a day.
pub const DAY: u64 = 86_400;
/// The last second that is one: the end of the year 9999.
const TIME_MAX: u64 = 253_402_300_799;

/// A client network that used a resolver on a day. The network itself is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// When, in seconds of Unix time.
    pub time: u64,
    /// The resolver.
    pub resolver: IpAddr,
    /// Where the client is.
    pub place: Place,
    /// Its autonomous system.
    pub asn: Option<u32>,
    /// Which /16 it is in, or which /32 of IPv6: a keyed hash.
    pub group: u16,
    /// The resolver says for which client it asks: what is learned of it would not be used.
    pub sends_subnet: bool,
    /// Round-trip times by PoP, in milliseconds.
    pub rtts: BTreeMap<String, u32>,
}

/// How it is written.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    time: u64,
    resolver: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<[i64; 2]>,
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    asn: Option<u32>,
    group: u16,
    #[serde(default, skip_serializing_if = "is_false")]
    subnet: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    rtt: BTreeMap<String, u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Observation {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, and what it should be.
    pub fn read(line: &str) -> Result<Self, String> {
        if line.len() > OBSERVATION_LEN_MAX {
            return Err(format!("the line has {} bytes; at most {OBSERVATION_LEN_MAX}", line.len()));
        }
        let Line { time, resolver, country: code, at, asn, group, subnet, rtt } =
            serde_json::from_str(line).map_err(|error| format!("not an observation: {error}"))?;
        let code = code.map(|code| {
            country(&code).ok_or_else(|| format!("`{code}` is not a country; give two capital letters"))
        });
        let at = at.map(|[north, east]| {
            degrees(north, east)
                .ok_or_else(|| "`at` is not a place; give whole degrees north and east".to_owned())
        });
        if time > TIME_MAX {
            return Err("`time` is after the year 9999; give seconds of Unix time".to_owned());
        }
        if rtt.len() > OBSERVED_POPS_MAX {
            return Err(format!("`rtt` has {} PoPs; at most {OBSERVED_POPS_MAX}", rtt.len()));
        }
        if let Some(name) = rtt.keys().find(|name| !is_name(name)) {
            return Err(format!("`{name}` is not the name of a PoP"));
        }
        if rtt.values().any(|ms| *ms > RTT_MAX_MS) {
            return Err(format!("`rtt` has more than {RTT_MAX_MS} ms; leave it out"));
        }
        let place = Place { country: code.transpose()?, at: at.transpose()? };
        let resolver = resolver.to_canonical();
        Ok(Self { time, resolver, place, asn, group, sends_subnet: subnet, rtts: rtt })
    }

    /// Writes it as a line, with its end.
    #[must_use]
    pub fn line(&self) -> String {
        let line = Line {
            time: self.time,
            resolver: self.resolver,
            country: self.place.country.map(code_text),
            at: self.place.at.map(|at| [at.north.into(), at.east.into()]),
            asn: self.asn,
            group: self.group,
            subnet: self.sends_subnet,
            rtt: self.rtts.clone(),
        };
        let mut text = serde_json::to_string(&line).expect("it has nothing that JSON has not");
        text.push('\n');
        text
    }

    /// The day of it.
    #[must_use]
    pub fn day(&self) -> u32 {
        (self.time / DAY) as u32
    }
}

/// Whether this can be the name of a PoP.
pub(super) fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.len() <= PLATFORM_NAME_LEN_MAX && name.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_is_read_as_it_is_written() {
        for line in [
            r#"{"time":1795824000,"resolver":"192.221.162.8","group":0}"#,
            concat!(
                r#"{"time":1795824000,"resolver":"2001:db8::1","country":"JP","at":[36,140],"as":64500,"#,
                r#""group":65535,"subnet":true,"rtt":{"nrt":9,"sfo":119}}"#
            ),
        ] {
            assert_eq!(Observation::read(line).unwrap().line().trim_end(), line);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |rest: &str| {
            let line = format!(r#"{{"time":1,"resolver":"192.0.2.1","group":1{rest}}}"#);
            Observation::read(&line).unwrap_err()
        };
        assert!(wrong(r#","client":"192.0.2.7""#).contains("unknown field `client`"));
        assert!(wrong(r#","country":"jp""#).ends_with("give two capital letters"));
        assert!(wrong(r#","at":[91,0]"#).ends_with("give whole degrees north and east"));
        assert!(wrong(r#","rtt":{"n rt":1}"#).ends_with("not the name of a PoP"));
        assert!(wrong(r#","rtt":{"nrt":60001}"#).contains("60000 ms"));
        assert!(
            wrong(r#","rtt":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}"#).contains("9 PoPs")
        );
        assert!(wrong(&format!(r#","country":"{}""#, "J".repeat(1024))).contains("at most 1024"));
        assert!(Observation::read("nrt").unwrap_err().starts_with("not an observation"));
        assert!(Observation::read(r#"{"time":253402300800,"resolver":"192.0.2.1","group":1}"#).is_err());
    }
}
