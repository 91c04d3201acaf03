//! Purges the node's cache on demand: `NAME.name.SUFFIX` removes a name, `NAME.tree.SUFFIX` also all below.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::format;

use as112_guest::{
    ede, purge, rcode, rtype, App, Data, Metric, Name, NameBuf, Phase, Query, Reply, Start, StartError,
    Verdict,
};

const PURGED: Metric = Metric(0);
const REFUSED: Metric = Metric(1);

/// The application.
pub struct Purge {
    suffix: NameBuf,
}

impl App for Purge {
    fn start(start: &mut Start<'_>) -> Result<Self, StartError> {
        let suffix = start.config().get("suffix").and_then(|suffix| suffix.text());
        Ok(Self { suffix: suffix.ok_or("suffix: give the name below which purges are asked for")?.parse()? })
    }

    fn query(&mut self, query: Query<'_>, _: Reply<'_>) -> Verdict {
        if query.phase() != Phase::Request || query.qtype() != rtype::TXT {
            return Verdict::pass();
        }
        let (name, subtree) = match wanted(query.qname(), self.suffix.as_name()) {
            Some(wanted) => wanted,
            None => return Verdict::pass(),
        };
        query.later(move |held| async move {
            let count = match purge(name.as_name(), subtree).await {
                Ok(count) => count,
                Err(refused) => {
                    REFUSED.add(1);
                    let _ = refused;
                    return held.end(|_, _| Verdict::rcode(rcode::REFUSED).because(ede::PROHIBITED));
                }
            };
            PURGED.add(u32::try_from(count).unwrap_or(u32::MAX));
            let text = format!("{} entries", count);
            held.end(|query, reply| reply.answer(query.qname(), 0, Data::Txt(&[text.as_bytes()])).send());
        })
    }
}

/// What a name asks to purge, and whether with all below.
fn wanted(name: Name<'_>, suffix: Name<'_>) -> Option<(NameBuf, bool)> {
    let kind = name.suffixes().find(|kind| kind.parent() == Some(suffix))?;
    let subtree = match kind.first()? {
        label if label.eq_ignore_ascii_case(b"name") => false,
        label if label.eq_ignore_ascii_case(b"tree") => true,
        _ => return None,
    };
    let labels = &name.as_wire()[..name.len() - kind.len()];
    NameBuf::from_wire([labels, &[0]].concat()).ok().map(|name| (name, subtree))
}

as112_guest::export!(Purge);

#[cfg(test)]
mod tests {
    use super::*;
    use as112_guest::mock::{Host, Outcome};
    use as112_guest::query_for;

    fn ask(host: &mut Host<Purge>, name: &str) -> Outcome {
        host.query(&query_for(name.parse::<NameBuf>().unwrap().as_name(), rtype::TXT))
    }

    #[test]
    fn names_and_trees_are_purged_and_the_reply_says_how_many() {
        let mut host = Host::<Purge>::start(r#"{"suffix": "purge.internal"}"#).unwrap();
        for (asked, name, subtree) in [
            ("www.example.com.name.purge.internal", "www.example.com", false),
            ("example.com.TREE.purge.INTERNAL", "example.com", true),
            ("tree.purge.internal", ".", true),
        ] {
            let outcome = ask(&mut host, asked);
            assert!(outcome.reply().expect(asked).ends_with(b"\x091 entries"), "{outcome:?}");
            let name = name.parse::<NameBuf>().unwrap().as_name().as_wire().to_vec();
            assert_eq!(host.purged().last(), Some(&(name, subtree)));
        }
        assert_eq!((host.metric(0), host.metric(1)), (3, 0));
    }

    #[test]
    fn what_is_something_else_is_left_alone() {
        let mut host = Host::<Purge>::start(r#"{"suffix": "purge.internal"}"#).unwrap();
        for name in
            ["example.com", "purge.internal", "example.com.zone.purge.internal", "name.xpurge.internal"]
        {
            assert_eq!(ask(&mut host, name), Outcome::Pass, "{name}");
        }
        let name: NameBuf = "a.name.purge.internal".parse().unwrap();
        assert_eq!(host.query(&query_for(name.as_name(), rtype::A)), Outcome::Pass);
        assert!(host.purged().is_empty());
        assert!(Host::<Purge>::start("{}").is_err());
    }
}
