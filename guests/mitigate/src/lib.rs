//! A limit for each client network.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod buckets;

use as112_guest::{random_u64, rcode, ticks, App, Metric, Phase, Query, Reply, Start, StartError, Verdict};

use buckets::Buckets;

const LIMITED: Metric = Metric(0);

/// What a query over the limit gets.
#[derive(Clone, Copy)]
enum Action {
    Truncate,
    Drop,
    Refuse,
}

/// The application.
pub struct Mitigate {
    buckets: Buckets,
    bits: (u8, u8),
    action: Action,
}

impl App for Mitigate {
    fn start(start: &mut Start<'_>) -> Result<Self, StartError> {
        let config = start.config();
        let number = |key: &str, usual: u32, most: u32| match config.get(key) {
            None => Ok(usual),
            Some(value) => {
                let number = value.number().and_then(|number| u32::try_from(number).ok());
                let in_range = number.filter(|number| (1..=most).contains(number));
                in_range.ok_or_else(|| StartError::from([key, ": out of range"].concat()))
            }
        };
        let action = match config.get("action").map_or(Some("truncate"), |action| action.text()) {
            Some("truncate") => Action::Truncate,
            Some("drop") => Action::Drop,
            Some("refuse") => Action::Refuse,
            _ => return Err("action: give \"truncate\", \"drop\" or \"refuse\"".into()),
        };
        let (rate, burst) = (number("rate", 50, 1_000_000)?, number("burst", 100, 1_000_000)?);
        let networks = number("networks", 8192, 1 << 20)?;
        let when = config.get("when").map_or(Some("any"), |when| when.text());
        start.hook(&[Phase::Request], when.ok_or("when: give a text")?)?;
        Ok(Self {
            buckets: Buckets::new(networks, rate, burst, random_u64()),
            bits: (number("ipv4", 24, 32)? as u8, number("ipv6", 56, 128)? as u8),
            action,
        })
    }

    fn query(&mut self, query: Query<'_>, reply: Reply<'_>) -> Verdict {
        let peer = query.peer();
        let bits = if peer.octets().len() == 4 { self.bits.0 } else { self.bits.1 };
        let now_ms = (ticks() / 1_000_000) as u32;
        if query.is_tcp() || self.buckets.take(peer.network(bits), now_ms) {
            return Verdict::pass();
        }
        LIMITED.add(1);
        match self.action {
            Action::Truncate => reply.truncated().send(),
            Action::Drop => Verdict::drop(),
            Action::Refuse => Verdict::rcode(rcode::REFUSED),
        }
    }
}

as112_guest::export!(Mitigate);

#[cfg(test)]
mod tests {
    use super::*;
    use as112_guest::mock::{Ask, Host, Outcome};
    use as112_guest::{query_for, rtype, Address, Message, NameBuf};

    fn query() -> Vec<u8> {
        query_for("1.10.in-addr.arpa".parse::<NameBuf>().unwrap().as_name(), rtype::PTR)
    }

    #[test]
    fn who_asks_too_much_is_limited_and_nobody_else() {
        let config = r#"{"rate": 10, "burst": 3, "action": "refuse"}"#;
        let mut host = Host::<Mitigate>::start(config).unwrap();
        let query = query();
        let from = |host: &mut Host<Mitigate>, last: [u8; 2], is_tcp| {
            let peer = Address::V4([192, 0, last[0], last[1]]);
            host.ask(&Ask { peer, is_tcp, ..Ask::new(&query) })
        };
        let limited = Outcome::Rcode(rcode::REFUSED, None);
        let many: Vec<Outcome> = (0..5).map(|host_number| from(&mut host, [2, host_number], false)).collect();
        assert_eq!(many, [Outcome::Pass, Outcome::Pass, Outcome::Pass, limited.clone(), limited.clone()]);
        assert_eq!(from(&mut host, [3, 1], false), Outcome::Pass, "another network");
        assert_eq!(from(&mut host, [2, 1], true), Outcome::Pass, "over TCP");
        host.advance(100);
        assert_eq!(from(&mut host, [2, 9], false), Outcome::Pass, "a token has come");
        assert_eq!(from(&mut host, [2, 9], false), limited);
        host.advance(60_000);
        let again: Vec<Outcome> = (0..4).map(|_| from(&mut host, [2, 1], false)).collect();
        assert_eq!(again[2..], [Outcome::Pass, limited], "no more is saved up than the burst");
        assert_eq!(host.metric(0), 4);
    }

    #[test]
    fn each_action_is_taken() {
        for action in ["truncate", "drop"] {
            let config = format!(r#"{{"rate": 1, "burst": 1, "action": "{action}"}}"#);
            let mut host = Host::<Mitigate>::start(&config).unwrap();
            assert_eq!(host.query(&query()), Outcome::Pass);
            match host.query(&query()) {
                Outcome::Drop => assert_eq!(action, "drop"),
                Outcome::Reply(reply) => {
                    assert!(Message::parse(&reply).is_ok() && reply.len() > 1232, "no datagram takes it");
                    assert_eq!(action, "truncate");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (config, told) in [
            (r#"{"rate": 0}"#, "rate"),
            (r#"{"ipv4": 33}"#, "ipv4"),
            (r#"{"action": "ban"}"#, "action"),
            (r#"{"when": []}"#, "when"),
        ] {
            let error = Host::<Mitigate>::start(config).map(drop).unwrap_err();
            assert!(error.message().contains(told), "{config}: {error}");
        }
    }
}
