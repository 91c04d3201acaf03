//! Applications among rules.

use super::*;

fn phrase(text: &str, place: &str) -> Phrase {
    Phrase { text: text.to_owned(), place: place.to_owned() }
}

fn guest(name: &str) -> Guest {
    Guest { name: name.to_owned(), place: format!("apps.d/{name}/app.toml:1:8"), ..Guest::default() }
}

fn node(guests: Vec<Guest>) -> Node {
    Node { guests, ..Node::default() }
}

#[test]
fn a_router_is_a_route_after_all_others_and_hooks_are_rules_of_their_phases() {
    let mut first = guest("first");
    first.router = vec![phrase("dst = 192.0.2.53", "a:3:1"), phrase("qtype = A", "a:4:1")];
    (first.fallback, first.queue) = (Fallback::Refuse, 9);
    let mut second = guest("second");
    second.hooks = vec![
        (Phase::Request, phrase("any", "second.wasm")),
        (Phase::Reply, phrase("rcode = NXDOMAIN", "second.wasm")),
    ];
    let policy =
        node(vec![first, second]).compile("x: qtype = MX drop\n", &[route("any", "pass", &[])]).unwrap();
    let told: Vec<_> = policy.rules().iter().map(|rule| (&*rule.name, rule.phase, rule.action)).collect();
    let wanted = [
        ("x", Phase::Route, Action::Drop),
        ("r", Phase::Route, Action::Pass),
        ("first", Phase::Route, Action::App(0)),
        ("second", Phase::Request, Action::App(1)),
        ("second", Phase::Reply, Action::App(1)),
    ];
    assert_eq!(told, wanted);
    let rules = policy.rules();
    assert_eq!((rules[2].fallback, rules[2].share, rules[0].share), (Fallback::Refuse, Some(9), None));
    assert_eq!(rules[3].label, rules[4].label, "hooks of one application are counted together");
    assert_eq!(policy.series().apps, ["none", "first", "second"]);
    assert_eq!((policy.app_label(0), policy.app_label(1)), (1, 2));
    assert!(policy.needs_workers());
}

#[test]
fn whose_queries_a_router_takes_is_known() {
    let is_for_all = |router: &[&str]| {
        let mut app = guest("app");
        app.router = router.iter().map(|text| phrase(text, "a:3:1")).collect();
        node(vec![app]).compile("", &[]).unwrap().rules()[0].is_for_all
    };
    assert!(is_for_all(&["any"]) && is_for_all(&["src in { 192.0.2.0/24 }", "qtype = A"]));
    assert!(is_for_all(&["not src in { 192.0.2.0/24 }"]));
    assert!(!is_for_all(&["src in { 192.0.2.0/24 }", "qtype = A and src = 2001:db8::1"]));
}

#[test]
fn any_condition_of_a_router_will_do() {
    let mut app = guest("app");
    app.router = vec![phrase("qtype = A", "a:3:1"), phrase("qname-suffix in { example }", "a:4:1")];
    let policy = node(vec![app]).compile("", &[]).unwrap();
    let taken = |name: &str, qtype| {
        let query = Query::new(name);
        decide(&policy, Phase::Route, &Facts { qtype, ..query.facts() }).taken
    };
    assert_eq!(taken("x", rtype::A), Some((0, Action::App(0))));
    assert_eq!(taken("www.example", rtype::PTR), Some((0, Action::App(0))));
    assert_eq!(taken("x", rtype::PTR), None);
    assert_eq!(policy.explain(Phase::Route, &Query::new("example").facts()).len(), 1);
    assert!(policy.notes()[0].contains("app app, on a worker"), "{:?}", policy.notes());
}

#[test]
fn each_mistake_of_an_application_has_its_place() {
    let mut app = guest("app");
    app.router =
        vec![phrase("qtyp = A", "a:3:1"), phrase("any", "a:4:1"), phrase("rcode = NXDOMAIN", "a:5:1")];
    app.hooks = vec![(Phase::Request, phrase("rtt > 1s", "app.wasm"))];
    app.forward = vec![phrase("lam", "a:9:12"), phrase("lan", "a:9:19"), phrase("192.0.2.9:53", "a:9:26")];
    app.resolve = Some("a:10:11".to_owned());
    let told = Node { resolver: None, ..node(vec![app.clone()]) }.compile("", &[]).unwrap_err();
    let wanted = [
        "a:3:1: `router`, column 1: unknown field `qtyp`; did you mean `qtype`?",
        "a:9:12: `forward`, column 1: no `[[upstream]]` is called `lam`; did you mean `lan`?",
        "a:10:11: there is no resolver: `[resolver]` of the configuration says where one is, or starts it",
        "app.wasm: `hook`, column 1: `rtt` is not known in the phase `request`; it is in response, reply and \
         done",
    ];
    assert_eq!(told, wanted);
    app.router.remove(0);
    app.forward.remove(0);
    let told = node(vec![app]).compile("", &[]).unwrap_err();
    assert!(
        told[0].starts_with("a:5:1: `router`, column 1: `rcode` is not known in the phase `route`"),
        "{told:?}"
    );
}

#[test]
fn an_application_asks_whom_it_names_and_those_named_by_address_are_shared() {
    let mut apps = [guest("one"), guest("two")];
    apps[0].forward = vec![phrase("wan", "p"), phrase("192.0.2.9", "p"), phrase("lan", "p")];
    apps[1].forward = vec![phrase("192.0.2.9:53", "p")];
    let policy = node(apps.to_vec()).compile("qtype = A and src = ::1 forward 192.0.2.9\n", &[]).unwrap();
    let names = |app| {
        let ids = policy.forwards(app).iter();
        ids.map(|id| policy.upstreams()[usize::from(*id)].name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(0), ["wan", "192.0.2.9:53", "lan"]);
    assert_eq!(names(1), ["192.0.2.9:53"]);
    assert_eq!(policy.forwards(0)[1], policy.forwards(1)[0]);
    assert!(policy.forwards(7).is_empty());
}

#[test]
fn rules_name_applications_and_nothing_else_has_their_names() {
    let mut app = guest("filter");
    app.router = vec![phrase("any", "a:3:1")];
    let node = node(vec![app, guest("log")]);
    let policy = node.compile("qtype = A app log\nrcode = NXDOMAIN app filter\n", &[]).unwrap();
    assert_eq!((policy.rules()[0].action, policy.rules()[1].phase), (Action::App(1), Phase::Response));
    let told = node.compile("any app filer\n", &[]).unwrap_err();
    assert!(told[0].ends_with("no application is called `filer`; did you mean `filter`?"), "{told:?}");
    let told = node.compile("filter: any drop\n", &[]).unwrap_err();
    let wanted =
        "apps.d/filter/app.toml:1:8: the name `filter` is taken by the rule at rules.d/10-test.rules:1:1";
    assert_eq!(told, [wanted]);
}

#[test]
fn labels_of_applications_keep_their_places() {
    let series = Series { apps: ["none", "gone", "b"].map(str::to_owned).to_vec(), ..Series::default() };
    let policy = Node { series, ..node(vec![guest("a"), guest("b")]) }.compile("", &[]).unwrap();
    assert_eq!(policy.series().apps, ["none", "gone", "b", "a"]);
    assert_eq!((policy.app_label(0), policy.app_label(1)), (3, 2));
    assert!(policy.needs_workers(), "no rule calls them, but time does");
}

#[test]
fn a_hook_is_checked_by_itself() {
    let listeners = Node::default().listeners;
    let world = World {
        colo: "test1",
        node: "node1.example",
        listeners: &listeners,
        upstreams: &[],
        guests: &[],
        resolver: None,
        series: Series::default(),
        has_databases: false,
    };
    let check = |phase, text| check_hook(&world, phase, text);
    assert_eq!(check(Phase::Reply, "rcode = NXDOMAIN and qtype in { A AAAA }"), Ok(()));
    let (column, why) = check(Phase::Request, "qtype = A and rcode = NXDOMAIN").unwrap_err();
    assert_eq!(column, 15);
    assert!(why.starts_with("`rcode` is not known in the phase `request`"), "{why}");
    assert_eq!(
        check(Phase::Request, "qtipe = A").unwrap_err().1,
        "unknown field `qtipe`; did you mean `qtype`?"
    );
    assert!(check(Phase::Request, "any drop").unwrap_err().1.contains("`drop` is an action"));
    assert!(check(Phase::Request, "phase = reply").unwrap_err().1.contains("in which it is never true"));
    assert!(check(Phase::Request, "").is_err());
}
