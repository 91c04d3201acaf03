//! Modules that are refused, with what to do.

use super::*;
use crate::limits::GUEST_FUNCTIONS_MAX;

fn messages(bytes: &[u8]) -> Vec<String> {
    let problems = load(manifest("a"), bytes).unwrap_err();
    assert!(problems.iter().all(|problem| problem.place == "apps.d/a/a.wasm"), "{problems:?}");
    problems.into_iter().map(|problem| problem.message).collect()
}

#[track_caller]
fn says(bytes: &[u8], parts: &[&str]) {
    let messages = messages(bytes);
    assert_eq!(messages.len(), parts.len(), "{messages:#?}");
    for part in parts {
        assert!(messages.iter().any(|message| message.contains(part)), "{part}: {messages:#?}");
    }
}

#[test]
fn what_is_not_a_module_is_told() {
    let good = event("", "(i64.const 0)");
    says(b"", &["is too short"]);
    says(b"hello, world", &["does not begin with"]);
    says(b"\n (module)", &["is WebAssembly as text: compile it"]);
    says(b"\0asm\x0d\0\x01\0", &["is a WebAssembly component"]);
    says(b"\0asm\x02\0\0\0", &["of another version"]);
    says(&good[..good.len() - 3], &["ends in the middle of a section"]);
    says(b"\0asm\x01\0\0\0", &["its memory", "as112_abi", "as112_area", "as112_start", "as112_event"]);
    let broken = wat::parse_str("(module (func (result i32)))").unwrap();
    says(&broken, &["is not a module that can be run: type mismatch"]);
    // 100 MB of data.
    let mut long = good;
    long.resize(100 << 20, 0);
    says(&long, &["has 104857600 bytes, over the limit of 4194304"]);
}

#[test]
fn imports_are_hostcalls_with_their_types() {
    says(
        &wat::parse_str(include_str!("../../../../guests/hostile/imports.wat")).unwrap(),
        &[
            "imports `lgo`, which is not a hostcall; did you mean `log`?",
            "imports `log` as (param i32 i32) (result i32), but it is (param i32 i32 i32) (result i32)",
            "no WASI: build for wasm32-unknown-unknown",
        ],
    );
    says(
        &event("(import \"as112\" \"log\" (global i32))", "(i64.const 0)"),
        &["`log`, but not as a function"],
    );
    says(&event("(import \"as112\" \"quux\" (func))", "(i64.const 0)"), &["there are now, ticks, random"]);
}

#[test]
fn exports_are_as_the_interface_has_them() {
    let with = |text: &str| wat::parse_str(format!("(module {text})")).unwrap();
    let rest = "(func (export \"as112_start\") (param i32) (result i32) (i32.const 0))
        (func (export \"as112_event\") (param i32 i32 i32) (result i64) (i64.const 0))";
    let area = "(func (export \"as112_area\") (result i32) (i32.const 65536))";
    let abi = |number: u8| format!("(func (export \"as112_abi\") (result i32) (i32.const {number}))");
    let memory = "(memory (export \"memory\") 2)";
    says(
        &with(&format!("(memory (export \"m\") 2) {} {area} {rest}", abi(1))),
        &["export its memory as `memory`"],
    );
    says(
        &with(&format!("{memory} {} {area} {rest}", abi(2))),
        &["`as112_abi` returned 2: this node has version 1"],
    );
    says(
        &with(&format!("{memory} {} {area} {rest}", abi(1))),
        &["`as112_area` returned 65536: the 71872 bytes"],
    );
    let event = "(func (export \"as112_event\") (param i32 i32) (result i64) (i64.const 0))";
    let start = "(global (export \"as112_start\") i32 (i32.const 0))";
    says(
        &with(&format!("{memory} {} {area} {event} {start}", abi(1))),
        &[
            "`as112_event` as (param i32 i32) (result i64), not as (param i32 i32 i32) (result i64)",
            "`as112_start`, but not as a function",
        ],
    );
    says(&with(&format!("(memory (export \"memory\") 65) {} {area} {rest}", abi(1))), &["-zstack-size"]);
    says(&with(&format!("(memory (export \"memory\") 1 1) {} {area} {rest}", abi(1))), &["less memory than"]);
    says(
        &with(&format!("{memory} {} {area} {rest} (func $f) (start $f)", abi(1))),
        &["has a start section: what is to be done at the start belongs into `as112_start`"],
    );
    says(
        &with(&format!("{memory} {} {area} {rest} (table 20000 funcref)", abi(1))),
        &["cannot be started: no instance can be made of it; it has larger tables than there may be"],
    );
    let many: String = (0..=GUEST_FUNCTIONS_MAX).map(|_| "(func)").collect();
    says(&with(&many), &["over the limit of 10000"]);
    says(&with("(table 1 funcref) (table 1 funcref)"), &["has 2 tables, over the limit of 1"]);
}

#[test]
fn features_that_guests_have_no_use_for_are_named() {
    let features = [
        ("(func (drop (i8x16.splat (i32.const 1))))", "simd128"),
        ("(memory (export \"m\") 1 1 shared)", "atomics"),
        ("(memory 1) (func (drop (i32.atomic.load (i32.const 0))))", "atomics"),
        ("(func $f (return_call $f))", "tail-call"),
        ("(tag (param i32))", "exception-handling"),
        ("(global i32 (i32.add (i32.const 1) (i32.const 2)))", "extended-const"),
        ("(memory 1) (memory 1)", "multimemory"),
        ("(memory i64 1)", "memory64"),
        ("(type (struct (field i32)))", "gc"),
    ];
    let mut wrong = Vec::new();
    for (text, name) in features {
        let bytes = wat::parse_str(format!("(module {text})")).unwrap();
        let messages = messages(&bytes);
        if !messages[0].contains(&format!("uses {name},")) || !messages[0].contains(&format!("-mno-{name}")) {
            wrong.push(messages);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_compilers_make_unasked_is_taken() {
    let more = "(table 1 funcref) (func $f (result i32 i64) (i32.const 1) (i64.const 2))
        (func (export \"as112_event\") (param i32 i32 i32) (result i64) (local i64)
          (drop (i32.trunc_sat_f64_s (f64.const 1e30)))
          (drop (i32.extend8_s (i32.const 200)))
          (drop (ref.is_null (ref.null func)))
          (memory.fill (i32.const 100000) (i32.const 0) (i32.const 10))
          (call $f) (local.set 3) (drop) (local.get 3))
        (global (export \"g\") (mut i32) (i32.const 1))";
    let mut lab = Lab::new(vec![load(manifest("a"), &guest("", more)).unwrap()]);
    assert_eq!(lab.call(0, 1), Called::Code(0, None));
}

#[test]
fn conditions_that_are_wrong_are_told_to_guest_and_operator() {
    let start = |condition: &str, phases: u8| {
        format!(
            "(data (i32.const 90000) \"{condition}\")
             (func (export \"as112_start\") (param i32) (result i32)
               (call $hook (i32.const {phases}) (i32.const 90000) (i32.const {})))
             (func (export \"as112_event\") (param i32 i32 i32) (result i64) (i64.const 0))",
            condition.len()
        )
    };
    let imports = "(import \"as112\" \"hook\" (func $hook (param i32 i32 i32) (result i32)))";
    let app = load(manifest("a"), &guest(imports, &start("qtype = A", 0b10110))).unwrap();
    let phases = [Phase::Request, Phase::PostCache, Phase::Reply];
    assert_eq!(
        app.hooks,
        phases.map(|phase| super::super::Hook { phase, condition: "qtype = A".to_owned() })
    );
    says(
        &guest(imports, &start("is wrong", 2)),
        &["`as112_start` returned -1; the condition `is wrong`, column 4: unknown field `wrong`"],
    );
    says(&guest(imports, &start("any", 1)), &["`as112_start` returned -1"]);
    says(&guest(imports, &start("any", 64)), &["`as112_start` returned -1"]);
    let mut narrow = manifest("a");
    narrow.phases = vec![Phase::Request];
    let problems = load(narrow, &guest(imports, &start("any", 0b110))).unwrap_err();
    assert!(problems[0].message.contains("returned -2"), "{problems:?}");
}
