//! What guests do, seen from outside.

use crate::common::daemon::wait_until;
use crate::node::{A, Node, QUERY, QUERY_LEN, REPLY_LEN, TOKEN, Upstream, says, wat};

/// Notes which query a token belongs to, at 8192 + 4 * token.
fn note(token: &str) -> String {
    format!(
        "(i32.store (i32.add (i32.const 8192) (i32.mul (i32.const 4) {token}))
           (i32.load (i32.const {TOKEN})))"
    )
}

const NOTED: &str = "(i32.load (i32.add (i32.const 8192) (i32.mul (i32.const 4) (local.get $token))))";
const FINISH: &str = "(import \"as112\" \"finish\" (func $finish (param i32 i64) (result i32)))";

#[test]
fn it_holds_a_query_until_its_timer_and_others_overtake() {
    let imports = format!("{FINISH} (import \"as112\" \"timer\" (func $timer (param i32) (result i32)))");
    let body = format!(
        "(if (i32.eq (local.get $kind) (i32.const 1)) (then {} (return (i64.const 4))))
         (if (i32.eq (local.get $kind) (i32.const 3)) (then (drop (call $finish {NOTED} (i64.const 0x302)))))
         (i64.const 0)",
        note("(call $timer (i32.const 1000))")
    );
    let guests = [
        ("slow", "router = ['qname-suffix = slow.test']\n", wat(&imports, "", &body)),
        ("quick", "router = ['qname-suffix = quick.test']\n", says(2 | 4 << 8)),
    ];
    let node = Node::start(&guests, "");
    let socket = node.daemon.udp(crate::common::daemon::V4);
    let send = |name: &str, id: u8| {
        let mut query = crate::common::query(name, A);
        query[1] = id;
        socket.send(&query).expect("sent");
    };
    (1..=3).for_each(|id| send("held.slow.test", id));
    send("at.once.quick.test", 9);
    let mut packet = [0; 512];
    let mut replies: Vec<(u8, u8)> = Vec::new();
    for _ in 0..4 {
        socket.recv(&mut packet).expect("a reply");
        replies.push((packet[1], packet[3] & 0xF));
    }
    assert_eq!(replies[0], (9, 4), "it waits for nobody");
    replies[1..].sort_unstable();
    assert_eq!(replies[1..], [(1, 3), (2, 3), (3, 3)]);
    // Counts follow the replies.
    wait_until("its timers were counted", || {
        node.count("as112_app_events_total{app=\"slow\",kind=\"timer\"}") == 3
    });
    assert_eq!(node.daemon.stop().0.code(), Some(0));
}

#[test]
fn it_asks_an_upstream_that_the_manifest_names_and_no_other() {
    let imports = format!(
        "{FINISH} (import \"as112\" \"forward\" (func $forward (param i32 i32 i32 i32 i32 i32) (result i32)))
         (global $asked (mut i32) (i32.const 0))"
    );
    let more = |to: &str| {
        format!(
            "(if (i32.eq (local.get $kind) (i32.const 1)) (then
               (global.set $asked (call $forward (i32.const 512) (i32.const {}) (i32.const {QUERY})
                 (i32.load (i32.const {QUERY_LEN})) (i32.const 0) (i32.const 1)))
               (if (i32.lt_s (global.get $asked) (i32.const 0)) (then (return (i64.const 0x502))))
               {} (return (i64.const 4))))
             (if (i32.eq (local.get $kind) (i32.const 2)) (then
               (i32.store (i32.const {REPLY_LEN}) (local.get $len))
               (drop (call $finish {NOTED}
                 (select (i64.const 1) (i64.const 7) (i32.gt_s (local.get $len) (i32.const 0)))))))
             (i64.const 0)",
            to.len(),
            note("(global.get $asked)")
        )
    };
    let module = |to: &str| {
        let imports = format!("{imports} (data (i32.const 512) \"{to}\")");
        wat(&imports, "", &more(to))
    };
    let upstream = Upstream::start(7);
    let allowed = "router = ['qname-suffix = allowed.test']\n[allow]\nforward = ['lan']\n";
    let denied = "router = ['qname-suffix = denied.test']\n";
    let guests = [("allowed", allowed, module("lan")), ("denied", denied, module("lan"))];
    let further = format!("[[upstream]]\nname = 'lan'\nservers = ['{}']\n", upstream.address);
    let node = Node::start(&guests, &further);
    for _ in 0..3 {
        let reply = node.ask("x.allowed.test");
        assert_eq!((reply[3] & 0xF, &reply[reply.len() - 4..]), (0, &[192, 0, 2, 7][..]));
    }
    assert_eq!(upstream.asked(), 1, "the cache has it");
    assert_eq!((node.rcode("x.denied.test"), upstream.asked()), (5, 1));
    wait_until("that was counted", || {
        node.count("as112_guest_hostcalls_refused_total{app=\"denied\",why=\"denied\"}") == 1
    });
    assert_eq!(node.daemon.stop().0.code(), Some(0));
}

#[test]
fn it_is_called_in_each_phase_that_it_registers_for() {
    let condition = "qname-suffix = example";
    for (phase, bit, manifest) in [
        ("request", 1, "request"),
        ("post-cache", 2, "post-cache"),
        ("response", 3, "response"),
        ("reply", 4, "reply"),
        ("done", 5, "done"),
    ] {
        let imports = format!(
            "(import \"as112\" \"hook\" (func $hook (param i32 i32 i32) (result i32)))
             (data (i32.const 512) \"{condition}\")"
        );
        let start = format!(
            "(drop (call $hook (i32.const {}) (i32.const 512) (i32.const {})))",
            1 << bit,
            condition.len()
        );
        let module = wat(&imports, &start, "(i64.const 0x402)");
        let upstream = Upstream::start(9);
        let further = format!(
            "[[upstream]]\nname = 'lan'\nservers = ['{}']\n[[route]]\nname = 'lan'\n\
             when = 'qname-suffix = example'\nthen = 'forward upstream lan'\nallow = ['127.0.0.0/8']\n",
            upstream.address
        );
        let node = Node::start(&[("a", &format!("phases = ['{manifest}']\n"), module)], &further);
        // After the reply there is nothing more to be said.
        assert_eq!(node.rcode("x.example"), if phase == "done" { 0 } else { 4 }, "{phase}");
        let asked = u32::from(!matches!(phase, "request" | "post-cache"));
        assert_eq!(upstream.asked(), asked, "{phase}");
        wait_until("it was called", || node.count("as112_app_events_total{app=\"a\",kind=\"query\"}") == 1);
        assert_eq!(node.daemon.stop().0.code(), Some(0));
    }
}

#[test]
fn it_has_another_upstream_asked() {
    let condition = "rcode = SERVFAIL";
    let imports = format!(
        "(import \"as112\" \"hook\" (func $hook (param i32 i32 i32) (result i32)))
         (data (i32.const 512) \"{condition}\")"
    );
    let start = format!("(drop (call $hook (i32.const 8) (i32.const 512) (i32.const {})))", condition.len());
    let module = wat(
        &imports,
        &start,
        "(select (i64.const 6) (i64.const 0) (i32.eq (local.get $kind) (i32.const 1)))",
    );
    let (first, second) = (Upstream::start(1), Upstream::start(2));
    let further = format!(
        "[[upstream]]\nname = 'lan'\nservers = ['{}']\n[[upstream]]\nname = 'other'\nservers = ['{}']\n\
         [[route]]\nname = 'lan'\nwhen = 'qname-suffix = example'\nthen = 'forward upstream lan'\n\
         allow = ['127.0.0.0/8']\n",
        first.address, second.address
    );
    let manifest = "phases = ['response']\n[allow]\nforward = ['other']\n";
    let node = Node::start(&[("a", manifest, module)], &further);
    let reply = node.ask("x.example");
    assert_eq!((reply[reply.len() - 1], second.asked()), (1, 0), "it is not asked about what is well");
    node.ask("servfail.example");
    assert!(first.asked() >= 2 && second.asked() >= 1);
    wait_until("that was counted", || {
        node.count("as112_app_verdicts_total{app=\"a\",verdict=\"retry\"}") >= 1
    });
    assert_eq!(node.daemon.stop().0.code(), Some(0));
}
