//! Queries, verdicts and what becomes of them.

use super::*;

#[test]
fn a_guest_says_what_becomes_of_a_query() {
    let numbers = [
        (0, Called::Pass),
        (2 | 5 << 8, Called::Code(5, None)),
        (2 | 3 << 8 | 16 << 16, Called::Code(3, Some(15))),
        (3, Called::Drop),
        (4, Called::Later),
        (7, Called::Failed),
    ];
    for (number, called) in numbers {
        let app = load(manifest("a"), &event("", &format!("(i64.const {number})"))).unwrap();
        let mut lab = Lab::new(vec![app]);
        assert_eq!(lab.call(0, 1), called, "{number}");
    }
}

#[test]
fn what_a_phase_does_not_allow_is_the_fallback() {
    use super::super::verdict::VERDICTS;
    use crate::stats::app_labels::BAD_REPLY_VERDICT;
    use crate::stats::counters::GUEST_REPLIES_BAD;
    for row in &VERDICTS {
        let bytes = event("", &format!("(i64.const {})", row.word as u8));
        for phase in Phase::ALL[1..].iter().copied() {
            let mut app = load(manifest("a"), &bytes).unwrap();
            app.upstreams = vec![9];
            let mut lab = Lab::new(vec![app]);
            let called = lab.call_in(phase, 0, 1, &[], Later::default());
            let bad = lab.count(GUEST_REPLIES_BAD, [1, BAD_REPLY_VERDICT]);
            if phase == Phase::Done {
                assert_eq!((called, bad), (Called::Pass, 0));
            } else {
                assert_eq!(bad == 0, row.phases.contains(&phase), "{} in {}", row.name, phase.name());
                assert!(bad == 0 || called == Called::Failed);
                assert!(row.name != "RETRY" || bad == 1 || called == Called::Retry(9));
            }
        }
    }
}

#[test]
fn bits_that_mean_nothing_are_not_a_verdict() {
    for number in ["0x100", "0x101", "8", "-1", "0x100000002", "0x10006", "0x106"] {
        let mut lab =
            Lab::new(vec![load(manifest("a"), &event("", &format!("(i64.const {number})"))).unwrap()]);
        let called = lab.call_in(Phase::Response, 0, 1, &[], Later::default());
        assert_eq!(called, Called::Failed, "{number}");
    }
}

/// Byte `at` of the area becomes the response code.
fn byte_of_area(at: usize) -> Vec<u8> {
    let at = 1024 + at;
    event(
        "",
        &format!(
            "(i64.or (i64.const 2) (i64.shl (i64.extend_i32_u (i32.load8_u (i32.const {at}))) (i64.const 8)))"
        ),
    )
}

#[test]
fn the_request_says_what_is_known() {
    use crate::policy::facts::{Cached, Outcome};
    let later = Later {
        country: Some(*b"PT"),
        asn: Some(0x0102_0304),
        cache: Some(Cached::Stale),
        upstream: Some(5),
        rtt: Some(Duration::from_micros(0x0a0b)),
        outcome: Some(Outcome::Timeout),
        rcode: Some(0x0103),
    };
    // The bytes of the request, as the reference has them, but for the times.
    let mut wanted = vec![
        128,
        0,
        0,
        0,
        42,
        0,
        0,
        0,
        4,
        0,
        4,
        1 | 8 | 16,
        12,
        0,
        1,
        0,
        3,
        0,
        39,
        0,
        39,
        0,
        0,
        0,
        3,
        0,
        0,
        0,
    ];
    wanted.extend([192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    wanted.extend([192, 175, 48, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    wanted.extend([0x92, 0x10, 53, 0, 7, 0, 0, 0, 0x0b, 0x0a, 0, 0]);
    assert_eq!(wanted.len(), 72);
    let rest = [b'P', b'T', 3, 1, 4, 3, 2, 1, 1, 0, 2, 0];
    let places =
        wanted.iter().copied().enumerate().chain((88..).zip(rest)).chain((100..128).map(|at| (at, 0)));
    let places = places.chain((128..).zip(query())).chain((2240..).zip(*b"xyz"));
    for (at, byte) in places {
        let mut app = load(manifest("a"), &byte_of_area(at)).unwrap();
        app.upstreams = vec![2, 5];
        let mut lab = Lab::new(vec![app]);
        let called = lab.call_in(Phase::Reply, 0, 42, b"xyz", later);
        assert_eq!(called, Called::Code(byte.into(), None), "at {at}");
    }
}

#[test]
fn a_changed_query_keeps_what_is_the_clients() {
    use crate::dns::consts::rtype;
    // It asks for A instead, of a name with another first label.
    let body = "(i32.store8 (i32.const 1165) (i32.const 0x39))
        (i32.store8 (i32.add (i32.const 1149) (i32.load16_u (i32.const 1042))) (i32.const 1))
        (i32.store16 (i32.const 1152) (i32.const 0xffff))
        (i64.const 5)";
    let mut lab = Lab::new(vec![load(manifest("a"), &event("", body)).unwrap()]);
    assert_eq!(lab.call(0, 1), Called::Changed);
    let mut wanted = lab.query.clone();
    wanted[13] = b'9';
    let end = wanted.len();
    wanted[end - 4..end - 2].copy_from_slice(&rtype::A.to_be_bytes());
    assert_eq!(lab.sandbox.query(), wanted);
    // With an OPT, which is the client's.
    let opt = b"\0\0\x29\x04\xd0\0\0\x80\0\0\0";
    lab.query[11] = 1;
    lab.query.extend(opt);
    wanted[11] = 1;
    wanted.extend(opt);
    assert_eq!(lab.call(0, 1), Called::Changed);
    assert_eq!(lab.sandbox.query(), wanted);
    // What cannot be asked is not taken.
    let body = "(i32.store8 (i32.const 1164) (i32.const 0xc0)) (i64.const 5)";
    let mut lab = Lab::new(vec![load(manifest("a"), &event("", body)).unwrap()]);
    assert_eq!(lab.call(0, 1), Called::Failed);
}

#[test]
fn the_guest_of_the_reference_answers() {
    let bytes = wat::parse_str(include_str!("../../../../guests/minimal.wat")).unwrap();
    let mut lab = Lab::new(vec![load(manifest("a"), &bytes).unwrap()]);
    assert_eq!(lab.call(0, 1), Called::Pass, "PTR");
    let end = lab.query.len();
    lab.query[end - 3] = 1;
    assert_eq!(lab.call(0, 1), Called::Reply);
    let wanted = [&lab.query[..], b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01"].concat();
    let reply = lab.sandbox.reply();
    assert_eq!(reply[2..8], [0x81, 0, 0, 1, 0, 1]);
    assert_eq!(reply[12..], wanted[12..]);
    for lines in super::super::reference().split("```wat\n").skip(1) {
        let text = lines.split("```").next().unwrap();
        let text = if text.starts_with("(import") { format!("(module {text})") } else { text.to_owned() };
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"));
    }
}
