//! A block list: names, and all below them.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod list;

use as112_guest::{
    ede, random_u64, rcode, App, Metric, Phase, Query, Reply, Start, StartError, Value, Verdict,
};

use list::{Entry, List};

const BLOCKED: Metric = Metric(0);
const EXCEPTED: Metric = Metric(1);

/// The application.
pub struct Filter {
    list: List,
    rcode: u8,
    error: Option<u16>,
}

impl App for Filter {
    fn start(start: &mut Start<'_>) -> Result<Self, StartError> {
        let config = start.config();
        let text = |key: &str, usual| match config.get(key) {
            None => Ok(usual),
            Some(value) => value.text().ok_or_else(|| StartError::from([key, ": give a text"].concat())),
        };
        let rcode = match text("action", "nxdomain")? {
            "nxdomain" => rcode::NXDOMAIN,
            "refused" => rcode::REFUSED,
            _ => return Err("action: give \"nxdomain\" or \"refused\"".into()),
        };
        let error = match text("error", "blocked")? {
            "blocked" => Some(ede::BLOCKED),
            "censored" => Some(ede::CENSORED),
            "filtered" => Some(ede::FILTERED),
            "none" => None,
            _ => return Err("error: give \"blocked\", \"censored\", \"filtered\" or \"none\"".into()),
        };
        let lists = config.get("lists").map(Value::list).unwrap_or_default();
        let excepted = config.get("except").map(Value::list).unwrap_or_default();
        let mut list = List::new(random_u64());
        for (values, entry) in [(lists, Entry::Blocked), (excepted, Entry::Excepted)] {
            for value in values {
                list.read(value.text().ok_or("lists and except: give texts")?, entry)?;
            }
        }
        start.hook(&[Phase::Request], text("when", "any")?)?;
        Ok(Self { list, rcode, error })
    }

    fn query(&mut self, query: Query<'_>, _: Reply<'_>) -> Verdict {
        match self.list.find(query.qname()) {
            None => Verdict::pass(),
            Some(Entry::Excepted) => {
                EXCEPTED.add(1);
                Verdict::pass()
            }
            Some(Entry::Blocked) => {
                BLOCKED.add(1);
                let verdict = Verdict::rcode(self.rcode);
                match self.error {
                    Some(error) => verdict.because(error),
                    None => verdict,
                }
            }
        }
    }
}

as112_guest::export!(Filter);

#[cfg(test)]
mod tests {
    use super::*;
    use as112_guest::mock::{Host, Outcome};
    use as112_guest::{query_for, rtype, NameBuf};

    fn ask(host: &mut Host<Filter>, name: &str) -> Outcome {
        host.query(&query_for(name.parse::<NameBuf>().unwrap().as_name(), rtype::A))
    }

    #[test]
    fn listed_names_are_blocked_with_all_below() {
        let config = r##"{"lists": ["# list\nads.example\n0.0.0.0 Tracker.example # hosts\n\n"],
            "except": ["good.ads.example"], "action": "refused", "error": "filtered"}"##;
        let mut host = Host::<Filter>::start(config).unwrap();
        let blocked = Outcome::Rcode(rcode::REFUSED, Some(ede::FILTERED));
        for (name, expected) in [
            ("ads.example", &blocked),
            ("a.b.ADS.example", &blocked),
            ("tracker.example", &blocked),
            ("good.ads.example", &Outcome::Pass),
            ("x.good.ads.example", &Outcome::Pass),
            ("bad.ads.example", &blocked),
            ("xads.example", &Outcome::Pass),
            ("example", &Outcome::Pass),
            (".", &Outcome::Pass),
        ] {
            assert_eq!(ask(&mut host, name), *expected, "{name}");
        }
        assert_eq!((host.metric(0), host.metric(1)), (4, 2));
        assert_eq!(host.hooks(), [(vec![Phase::Request], "any".to_owned())]);
    }

    #[test]
    fn without_a_reason_there_is_none() {
        let config = r#"{"lists": ["."], "error": "none", "when": "qtype in { A }"}"#;
        let mut host = Host::<Filter>::start(config).unwrap();
        assert_eq!(ask(&mut host, "anything.example"), Outcome::Rcode(rcode::NXDOMAIN, None));
        assert_eq!(host.hooks()[0].1, "qtype in { A }");
    }

    #[test]
    fn mistakes_are_told() {
        for (config, told) in [
            (r#"{"action": "drop"}"#, "action"),
            (r#"{"error": "15"}"#, "error"),
            (r#"{"lists": [1]}"#, "lists"),
            (r#"{"lists": ["good.example\na..b"]}"#, "line 2"),
            (r#"{"when": 1}"#, "when"),
        ] {
            let error = Host::<Filter>::start(config).map(drop).unwrap_err();
            assert!(error.message().contains(told), "{config}: {error}");
        }
    }
}
