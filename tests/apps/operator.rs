//! What an operator does with applications, and sees of them.

use std::fs;

use crate::common::daemon::{Configured, V4, wait_until};
use crate::common::query;
use crate::node::{Node, coded, event, guest, put, run, said};

const A: u16 = 1;
const ROUTER: &str = "router = ['qname-suffix in { coded.example }']\n";

fn rcode(reply: &[u8]) -> u8 {
    reply[3] & 0xF
}

#[test]
fn applications_come_change_and_go_with_reloads() {
    let node = Node::start(&[("first", ROUTER, guest(coded(9, 0)))]);
    let ask = |name: &str| rcode(&node.daemon.ask_udp(V4, &query(name, A)));
    assert_eq!((ask("a.coded.example"), ask("a.example")), (9, 5));
    let version = node.app("first")["version"].clone();
    // Of the same kind, after it.
    node.put("second", "order = 7\nrouter = ['qname = a.example']\n", &guest(coded(4, 0)));
    node.reload();
    assert_eq!((ask("a.coded.example"), ask("a.example")), (9, 4));
    let apps = node.ask("apps");
    assert_eq!((&apps["apps"][0]["name"], &apps["apps"][1]["name"]), (&"second".into(), &"first".into()));
    // An instance stays where nothing has changed, and there is another one where something has.
    assert_eq!(node.app("first")["verdicts"]["rcode"], 2);
    node.put("first", ROUTER, &guest(coded(6, 0)));
    node.reload();
    assert_eq!(ask("a.coded.example"), 6);
    assert_ne!(node.app("first")["version"], version);
    fs::remove_dir_all(node.dir("first")).expect("removed");
    node.reload();
    assert_eq!((ask("a.coded.example"), ask("a.example")), (5, 4));
    assert!(node.app("first").is_null());
}

#[test]
fn a_mistake_anywhere_changes_nothing_and_says_where() {
    let node = Node::start(&[("coded", ROUTER, guest(coded(9, 0)))]);
    let is_as_before = || assert_eq!(rcode(&node.daemon.ask_udp(V4, &query("a.coded.example", A))), 9);
    is_as_before();
    let other = guest(coded(6, 0));
    let endless = wat::parse_str(
        "(module (memory (export \"memory\") 2) (func (export \"as112_abi\") (result i32) (i32.const 1))
              (func (export \"as112_area\") (result i32) (i32.const 1024))
              (func (export \"as112_start\") (param i32) (result i32) (loop $l (br $l)) (i32.const 0))
              (func (export \"as112_event\") (param i32 i32 i32) (result i64) (i64.const 0)))",
    )
    .expect("WAT");
    let foreign =
        wat::parse_str("(module (import \"env\" \"x\" (func)) (memory (export \"memory\") 2))").expect("WAT");
    let sha256 = format!("{ROUTER}sha256 = '{}'\n", "0".repeat(64));
    let cases: [(&str, &[u8], &str); 6] = [
        ("router = ['qnam = a']\n", &other, "app.toml:1:11"),
        ("router = [\n", &other, "app.toml:"),
        ("[limit]\n", &other, "did you mean `limits`?"),
        (&sha256, &other, "app.toml:2:10"),
        (ROUTER, &foreign, "coded.wasm"),
        (ROUTER, &endless, "coded.wasm"),
    ];
    for (manifest, module, wanted) in cases {
        node.put("coded", manifest, module);
        let told = node.fail_to_reload();
        assert!(told.contains(wanted), "{manifest}: {told}");
        let output = node.run(&["apps", "check"]);
        assert!(output.status.code() == Some(1) && said(&output).contains(wanted), "{}", said(&output));
        is_as_before();
    }
    fs::remove_file(node.dir("coded").join("coded.wasm")).expect("removed");
    assert!(node.fail_to_reload().contains("cannot be read"));
    is_as_before();
    node.put("coded", ROUTER, &other);
    node.reload();
    assert_eq!(rcode(&node.daemon.ask_udp(V4, &query("a.coded.example", A))), 6);
}

/// What a confined process cannot get is refused, and a start without the module does not start.
#[test]
fn what_needs_another_process_is_told() {
    let node = Node::start(&[("coded", ROUTER, guest(coded(9, 0)))]);
    let socket = format!("{ROUTER}[allow]\nsockets = ['/run/nobody/feed.sock']\n");
    node.put("coded", &socket, &guest(coded(6, 0)));
    let told = node.fail_to_reload();
    assert!(told.contains("/run/nobody/feed.sock is not one of those") && told.contains("upgrade"), "{told}");
    assert_eq!(rcode(&node.daemon.ask_udp(V4, &query("a.coded.example", A))), 9);

    let configured = Configured::new("[server]\nlisten = ['127.0.0.1:5300']\n[platform]\napps = 'apps.d'\n");
    put(&configured, "gone", "\n\nmodule = 'other.wasm'\n", &guest(0));
    for command in [&["check"][..], &["run"], &["apps", "check"]] {
        let output = run(&configured, command);
        let told = said(&output);
        assert!(
            output.status.code() == Some(1) && told.contains("gone/app.toml:3:10: the module "),
            "{told}"
        );
    }
}

#[test]
fn check_list_try_and_why_tell_what_an_application_does() {
    let manifest =
        format!("{ROUTER}fallback_action = 'refuse'\n[allow]\nresolve = false\nforward = ['192.0.2.9']\n");
    let loops = event("(loop $l (br $l)) (i64.const 0)");
    let loopy = "router = ['qname = loop.example']\nfallback_action = 'refuse'\n".to_owned();
    let node = Node::start(&[("coded", &manifest, guest(coded(9, 22))), ("loopy", &loopy, loops)]);
    let told = |arguments: &[&str]| {
        let output = node.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        said(&output)
    };
    let checked = told(&["apps", "check"]);
    for part in [
        "  coded     ",
        "called    phase route",
        "ask 192.0.2.9",
        "2 applications are right",
        "open resolver",
    ] {
        assert!(checked.contains(part), "{part}: {checked}");
    }
    assert!(told(&["check"]).contains("app        coded: called in route; at most 4MiB an instance"));
    assert!(told(&["run", "--dry-run"]).contains("app: coded: called in route"));
    let dir = node.dir("coded").display().to_string();
    let tried = told(&["apps", "try", &dir, "a.coded.example", "A"]);
    for part in
        ["verdict: RCODE NOTAUTH, extended error 22", "qname-suffix in {coded.example} is true", ";; fuel: "]
    {
        assert!(tried.contains(part), "{part}: {tried}");
    }
    let dir = node.dir("loopy").display().to_string();
    let tried = told(&["apps", "try", &dir, "loop.example", "A"]);
    for part in
        ["verdict: none that counts", "fallback: refuse", "trap: time (1)", "of an instance that is gone"]
    {
        assert!(tried.contains(part), "{part}: {tried}");
    }
    let why = told(&["query", "a.coded.example", "A", "--why"]);
    assert!(why.contains("application \"coded\" says RCODE NOTAUTH, extended error 22"), "{why}");
    assert!(why.contains("by rule \"coded\""), "{why}");
    let why = told(&["query", "loop.example", "A", "--why"]);
    assert!(why.contains("says none that counts") && why.contains("refuse of rule \"loopy\""), "{why}");
    // A query that loops gets its fallback, and the operator sees it.
    assert_eq!(rcode(&node.daemon.ask_udp(V4, &query("loop.example", A))), 5);
    wait_until("the trap is counted", || node.app("loopy")["traps"].as_u64() >= Some(1));
    assert!(told(&["apps", "list"]).contains("loopy  "));
    assert!(told(&["rules", "list"]).contains("app coded"));
}

/// What is begun builds and passes its own test, with no network.
#[test]
fn a_new_application_builds() {
    let folder = crate::common::folder();
    let parent = folder.path().display().to_string();
    let output = std::process::Command::new(crate::common::daemon::program())
        .args(["apps", "new", "my-block", "--parent", &parent])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    let dir = folder.path().join("my-block");
    let tested = std::process::Command::new(env!("CARGO"))
        .args(["test", "--offline", "--quiet"])
        .current_dir(&dir)
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .expect("cargo runs");
    assert!(tested.status.success(), "{}", said(&tested));
    assert!(said(&tested).contains("test result: ok. 1 passed"), "{}", said(&tested));
}
