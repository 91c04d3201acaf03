//! Every hostcall with every pointer and every length that is out of range: the instance goes, and nothing
//! else comes of it.

use super::super::hostcalls::{HOSTCALLS, Hostcall};
use super::*;
use crate::stats::app_labels::TRAP_POINTER;
use crate::stats::counters::GUEST_TRAPS;

/// Bytes of the memory of guests here.
const MEMORY_LEN: u32 = 4 << 16;

/// A manifest that allows everything.
pub(super) fn generous(name: &str) -> Manifest {
    let mut manifest = manifest(name);
    manifest.allow = Allow {
        forward: vec!["lan".to_owned(), "192.0.2.53:53".to_owned()],
        resolve: true,
        geo: true,
        cache_purge: vec![b"\x07example\x03com\0".as_slice().into()],
        sockets: vec!["/run/feed.sock".into()],
        metrics: vec!["seen_total".to_owned(), "blocked_total".to_owned()],
        authoritative: true,
    };
    manifest
}

/// Loads it with upstreams 3 and 5, and 7 as the resolver.
pub(super) fn load_generous(bytes: &[u8]) -> App {
    let mut app = load(generous("a"), bytes).unwrap();
    (app.upstreams, app.resolver) = (vec![3, 5], Some(7));
    app
}

/// Where parameters of a hostcall are a pointer and the length of what is there: if that is not a parameter,
/// how many bytes there are.
fn pointers(hostcall: &Hostcall) -> Vec<(usize, Result<usize, u32>)> {
    let name = |at: usize| hostcall.parameters.get(at).map_or("", |(name, _)| *name);
    let pointers = (0..hostcall.parameters.len()).filter_map(|at| match name(at) {
        "ptr" if hostcall.name == "geo" => Some((at, Err(16))),
        "out" => Some((at, Err(8))),
        "ptr" | "to" | "query" => Some((at, Ok(at + 1))),
        _ => None,
    });
    pointers.collect()
}

fn import(hostcall: &Hostcall) -> String {
    let kinds = |kinds: Vec<wasmi::ValType>| {
        kinds.iter().map(|kind| format!("{kind:?} ").to_lowercase()).collect::<String>()
    };
    let parameters = kinds(hostcall.parameters.iter().map(|(_, kind)| *kind).collect());
    let result = kinds(vec![hostcall.result]);
    let name = hostcall.name;
    format!("(import \"as112\" \"{name}\" (func $call (param {parameters}) (result {result})))")
}

/// A guest that calls the host with these arguments for each query, and passes it.
fn caller(hostcall: &Hostcall, arguments: &[i64]) -> Vec<u8> {
    let constant = |((_, kind), value): (&(&str, wasmi::ValType), &i64)| match kind {
        wasmi::ValType::I32 => format!("(i32.const {}) ", *value as i32),
        _ => format!("(i64.const {value}) "),
    };
    let arguments: String = hostcall.parameters.iter().zip(arguments).map(constant).collect();
    event(&import(hostcall), &format!("(drop (call $call {arguments})) (i64.const 0)"))
}

#[test]
fn every_pointer_is_checked_before_anything_else() {
    let wrong: [(u32, u32); 7] = [
        (MEMORY_LEN, 1),
        (MEMORY_LEN - 1, 2),
        (0, MEMORY_LEN + 1),
        (u32::MAX, 1),
        (u32::MAX, u32::MAX),
        (1, u32::MAX),
        (0x8000_0000, 0x8000_0000),
    ];
    let mut tried = 0;
    for hostcall in HOSTCALLS {
        for (at, len) in pointers(hostcall) {
            for (pointer, bytes) in wrong {
                // All other arguments are in range: family 6, and nothing at 2048.
                let mut arguments: Vec<i64> = hostcall.parameters.iter().map(|_| 6).collect();
                for (at, _) in pointers(hostcall) {
                    arguments[at] = 2048;
                }
                arguments[at] = pointer.into();
                match len {
                    Ok(len) => arguments[len] = bytes.into(),
                    Err(len) if u64::from(pointer) + u64::from(len) <= MEMORY_LEN.into() => continue,
                    Err(_) => {}
                }
                let mut lab = Lab::new(vec![load_generous(&caller(hostcall, &arguments))]);
                assert_eq!(lab.call(0, 1), Called::Failed, "{}{arguments:?}", hostcall.name);
                assert_eq!(lab.count(GUEST_TRAPS, [1, TRAP_POINTER]), 1, "{}{arguments:?}", hostcall.name);
                assert!(lab.sandbox.take_order().is_none());
                tried += 1;
            }
        }
    }
    assert!(tried > 80, "{tried}");
}

#[test]
fn what_lies_within_memory_is_never_a_trap() {
    let numbers = [i64::MIN, -1, 0, 1, 6, 2048, i64::from(MEMORY_LEN) - 32, 0x7fff_ffff, i64::MAX];
    for hostcall in HOSTCALLS {
        for number in numbers {
            let mut arguments: Vec<i64> = hostcall.parameters.iter().map(|_| number).collect();
            for (at, len) in pointers(hostcall) {
                arguments[at] = 2048;
                if let Ok(len) = len {
                    arguments[len] = number.clamp(0, 5000);
                }
            }
            let mut lab = Lab::new(vec![load_generous(&caller(hostcall, &arguments))]);
            assert_eq!(lab.call(0, 1), Called::Pass, "{}{arguments:?}", hostcall.name);
        }
    }
}

#[test]
fn without_leave_nothing_reaches_the_outside() {
    for name in ["geo", "forward", "resolve", "purge", "open"] {
        let hostcall = HOSTCALLS.iter().find(|known| known.name == name).unwrap();
        // A query for the root lies at 2048, `lan` at 2100, a name at 2120, a path at 2140.
        let arguments: &[i64] = match name {
            "geo" => &[2048, 4, 2200],
            "forward" => &[2100, 3, 2048, 17, 0, 0],
            "resolve" => &[2048, 17, 0],
            "purge" => &[2120, 13, 0],
            _ => &[2140, 14],
        };
        let data =
            "(data (i32.const 2048) \"\\12\\34\\01\\00\\00\\01\\00\\00\\00\\00\\00\\00\\00\\00\\01\\00\\01\")
            (data (i32.const 2100) \"lan\") (data (i32.const 2120) \"\\07example\\03com\\00\")
            (data (i32.const 2140) \"/run/feed.sock\")";
        let arguments: String = arguments.iter().map(|value| format!("(i32.const {value}) ")).collect();
        // What the hostcall returns becomes a response code, less its sign.
        let body = format!(
            "(i64.or (i64.const 2) (i64.shl (i64.extend_i32_u (i32.and (i32.const 255)
               (i32.sub (i32.const 0) (call $call {arguments})))) (i64.const 8)))"
        );
        let head = "(func (export \"as112_event\") (param i32 i32 i32) (result i64)";
        let bytes = guest(&import(hostcall), &format!("{data} {head} {body})"));
        let mut lab = Lab::new(vec![load(manifest("a"), &bytes).unwrap()]);
        assert_eq!(lab.call(0, 1), Called::Code(2, None), "{name}: DENIED is -2");
        assert!(lab.sandbox.take_order().is_none(), "{name}");

        let mut lab = Lab::new(vec![load_generous(&bytes)]);
        let Called::Code(answer, None) = lab.call(0, 1) else { panic!("{name}") };
        if name == "geo" {
            assert_eq!(answer, 4, "NOT_FOUND: there is no database");
        } else {
            assert_eq!(answer, 255, "{name}: the token is 1");
            assert!(lab.sandbox.take_order().is_some(), "{name}");
        }
    }
}
