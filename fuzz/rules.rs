//! What is tried with a file of rules: it is refused with places, or every query of some is decided as it is
//! explained.

use std::net::SocketAddr;
use std::time::Duration;

use as112d::dns::consts::HEADER_LEN;
use as112d::dns::name::Walk;
use as112d::policy::facts::{Facts, Later, Outcome, Tags};
use as112d::policy::phase::Phase;
use as112d::policy::upstream::Upstream;
use as112d::policy::{Guest, Hit, Policy, Series, Source, World};

/// A file of rules. Whether it was taken.
pub fn rules(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let listeners = [address("192.0.2.53:53"), address("[::]:53")];
    let upstream = |name: &str| Upstream::of_servers(name.to_owned(), vec![address("192.0.2.1:53")]);
    let world = World {
        colo: "test1",
        node: "node1.example",
        listeners: &listeners,
        upstreams: &[upstream("lan")],
        guests: &[Guest { name: "as112".to_owned(), ..Guest::default() }],
        resolver: Some(upstream("resolver")),
        series: Series::default(),
        has_databases: true,
    };
    let policy = match Policy::compile(&[Source { path: "f", text: &text }], &[], &world) {
        Ok(policy) => policy,
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                let mut place = problem.place.split(':');
                assert_eq!(place.next(), Some("f"), "{problem}");
                assert_eq!(place.filter_map(|number| number.parse::<usize>().ok()).count(), 2, "{problem}");
                assert!(!problem.message.is_empty() && !problem.message.contains('\n'), "{problem}");
            }
            return false;
        }
    };
    for name in [&b"\0"[..], b"\x011\x0210\x07in-addr\x04ARPA\0", b"\x04arpa\0"] {
        let packet = [&[0; HEADER_LEN][..], name].concat();
        let walk = Walk::new(&packet, HEADER_LEN).expect("a name");
        let answered = Later {
            country: Some(*b"PT"),
            asn: Some(112),
            outcome: Some(Outcome::Ok),
            rcode: Some(3),
            rtt: Some(Duration::from_millis(20)),
            upstream: Some(0),
            cache: None,
        };
        for (later, qtype, listener) in
            [(Later::default(), 12, 0), (answered, 1, 1), (answered, 255, usize::MAX)]
        {
            let facts = Facts {
                packet: &packet,
                qname: &walk,
                qtype,
                qclass: 1,
                opcode: 0,
                recursion_desired: true,
                has_edns: true,
                dnssec_ok: false,
                has_ecs: false,
                src: address("198.51.100.7:4711"),
                dst: listeners[0],
                listener,
                is_tcp: false,
                tags: Tags(0),
                later,
            };
            Phase::ALL.into_iter().for_each(|phase| assert_explained(&policy, phase, &facts));
        }
    }
    assert!(policy.notes().len() >= policy.rules().len());
    true
}

fn assert_explained(policy: &Policy, phase: Phase, facts: &Facts<'_>) {
    let mut hits = Vec::new();
    let decision = policy.decide(phase, facts, &mut |hit: Hit| hits.push(hit.rule));
    let (explained, lines) = policy.explained(phase, facts);
    assert_eq!(decision, explained, "{lines:#?}");
    assert!(hits.is_sorted() && hits.iter().all(|rule| usize::from(*rule) < policy.rules().len()));
    assert!(hits.is_empty() || phase == Phase::Route || policy.may_concern(facts), "{lines:#?}");
    assert!(hits.is_empty() || !policy.is_free(facts.listener), "{lines:#?}");
}
