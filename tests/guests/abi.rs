//! The numbers of the SDK are those of the node.

use as112d::policy::phase::Phase;
use as112d::work::sandbox::{abi, area, verdict};

#[allow(dead_code, reason = "some are for guests alone")]
#[path = "../../guests/sdk/src/abi.rs"]
mod sdk;

#[test]
fn the_sdk_has_the_numbers_of_the_node() {
    assert_eq!(sdk::VERSION, abi::VERSION);
    let of_node = [
        (sdk::REQUEST_AT, abi::REQUEST_AT),
        (sdk::REQUEST_LEN, abi::REQUEST_LEN),
        (sdk::QUERY_AT, abi::QUERY_AT),
        (sdk::QUERY_LEN, abi::QUERY_LEN),
        (sdk::REPLY_AT, abi::REPLY_AT),
        (sdk::REPLY_LEN, abi::REPLY_LEN),
        (sdk::SCRATCH_AT, abi::SCRATCH_AT),
        (sdk::SCRATCH_LEN, abi::SCRATCH_LEN),
        (sdk::AREA_LEN, abi::AREA_LEN),
        (sdk::UPSTREAM_NONE.into(), area::UPSTREAM_NONE.into()),
    ];
    for (ours, theirs) in of_node {
        assert_eq!(ours, theirs);
    }
    let kinds = [
        (sdk::kind::QUERY, abi::Kind::Query),
        (sdk::kind::DONE, abi::Kind::Done),
        (sdk::kind::TIMER, abi::Kind::Timer),
        (sdk::kind::TICK, abi::Kind::Tick),
        (sdk::kind::RELOAD, abi::Kind::Reload),
        (sdk::kind::STOP, abi::Kind::Stop),
    ];
    for (ours, theirs) in kinds {
        assert_eq!(ours, theirs as i32);
    }
    use sdk::word;
    let words = [
        word::PASS,
        word::REPLY,
        word::RCODE,
        word::DROP,
        word::LATER,
        word::CHANGED,
        word::RETRY,
        word::FAIL,
    ];
    assert_eq!(words, verdict::VERDICTS.map(|row| row.word as i64));
    for (phase, number) in Phase::ALL.into_iter().zip(0..) {
        assert_eq!(area::phase_number(phase), number);
    }
    use area::flag as node;
    use sdk::flag;
    assert_eq!(
        [flag::RD, flag::DO, flag::EDNS, flag::CACHE_HIT, flag::STALE, flag::TCP, flag::TRACED],
        [node::RD, node::DO, node::EDNS, node::CACHE_HIT, node::STALE, node::TCP, node::TRACED]
    );
}

/// Each field of the request stands where the node puts it.
#[test]
fn the_sdk_reads_each_field_where_it_stands() {
    use sdk::request;
    let fields = [
        ("size", request::SIZE),
        ("token", request::TOKEN),
        ("phase", request::PHASE),
        ("transport", request::TRANSPORT),
        ("family", request::FAMILY),
        ("flags", request::FLAGS),
        ("qtype", request::QTYPE),
        ("qclass", request::QCLASS),
        ("listener", request::LISTENER),
        ("question_end", request::QUESTION_END),
        ("query_len", request::QUERY_LEN),
        ("reply_len", request::REPLY_LEN),
        ("peer", request::PEER),
        ("local", request::LOCAL),
        ("peer_port", request::PEER_PORT),
        ("local_port", request::LOCAL_PORT),
        ("rule", request::RULE),
        ("rtt_us", request::RTT_US),
        ("unix_ns", request::UNIX_NS),
        ("deadline_ns", request::DEADLINE_NS),
        ("country", request::COUNTRY),
        ("rcode", request::RCODE),
        ("asn", request::ASN),
        ("upstream", request::UPSTREAM),
        ("outcome", request::OUTCOME),
        ("opcode", request::OPCODE),
    ];
    let of_node: Vec<(&str, usize)> = area::FIELDS
        .iter()
        .map(|field| (field.name, field.at))
        .filter(|(name, _)| *name != "reserved")
        .collect();
    assert_eq!(fields[..], of_node[..]);
}
