//! What is refused, where and why.

use super::*;

/// Mistakes, each alone in its file: where it is, and words that its message must have.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("qtipe = A drop", "1:1", "unknown field `qtipe`; did you mean `qtype`?"),
    ("QTYPE = A drop", "1:1", "did you mean `qtype`?"),
    ("qtype = A\n  dorp", "2:3", "unknown action `dorp`; did you mean `drop`?"),
    ("qtype = A drop dryrun", "1:16", "unknown option `dryrun`"),
    ("qtype = A drop dryrun", "1:16", "did you mean `dry-run`?"),
    ("qtype = A drop\nlgo", "2:1", "did you mean `log`?"),
    ("qtype = PRT drop", "1:9", "`PRT` is not a record type; did you mean `PTR`?"),
    ("qclass = INN drop", "1:10", "did you mean `IN`?"),
    ("opcode = QUERRY drop", "1:10", "did you mean `QUERY`?"),
    ("rcode = NXDOMIAN drop", "1:9", "did you mean `NXDOMAIN`?"),
    ("any answer NXDOMIAN", "1:12", "did you mean `NXDOMAIN`?"),
    ("any answer BADVERS", "1:12", "needs EDNS"),
    ("phase = postcache and any drop", "1:9", "did you mean `post-cache`?"),
    ("transport = upd drop", "1:13", "did you mean `udp`?"),
    ("cache = maybe drop", "1:9", "there are hit, stale, miss"),
    ("any drop fallback fial", "1:19", "did you mean `fail`?"),
    ("any drop fallback", "1:18", "the rule is not whole"),
    ("any drop timeout 300", "1:18", "write it as `300ms`"),
    ("any drop timeout 20s", "1:18", "`timeout` is from 1ms to 10000ms"),
    ("any drop log log", "1:14", "stands here twice"),
    ("any", "1:4", "the rule is not whole: `and`, `or` or an action should follow"),
    ("any and", "1:8", "the rule is not whole"),
    ("qtype in { A", "1:13", "the rule is not whole: a value or `}`"),
    ("qtype in { }", "1:12", "the list is empty"),
    ("qtype in { A,, B } drop", "1:14", "a value or `}` should stand here"),
    ("qtype in ( A ) drop", "1:10", "`{` should stand here"),
    ("(qtype = A drop", "1:12", "`)` should stand here"),
    ("qtype A drop", "1:7", "an operator for `qtype`"),
    ("qtype < A drop", "1:7", "`<` compares numbers and times; `qtype` is a record type"),
    ("qtype = A rd = yes drop", "1:11", "`and` or `or` is missing before `rd`"),
    ("drop", "1:1", "a condition stands before `drop`"),
    ("any drop and any", "1:10", "`and` stands after the action"),
    ("any drop any drop", "1:10", "a rule begins on a line of its own"),
    ("not not any drop", "1:5", "a field, `not`, `(` or `any`"),
    ("sample in { 1/2 } drop", "1:8", "`sample` has one value"),
    ("sample = 2/1 drop", "1:10", "write it as `1/1000`"),
    ("sample = 1/0 drop", "1:10", "write it as `1/1000`"),
    ("src = 192.0.2.1/24 drop", "1:7", "did you mean `192.0.2.0/24`?"),
    ("src = 192.0.2.256 drop", "1:7", "not an address or a network"),
    ("src = 192.0.2.1:53 drop", "1:7", "a port is told by `listener`"),
    ("src = 192.0.2.0/024 drop", "1:7", "not an address or a network"),
    ("listener = here drop", "1:12", "not a listener"),
    ("country = PRT drop", "1:11", "two letters"),
    ("asn = ASX drop", "1:7", "write it as `AS112`"),
    ("qname-labels = +3 drop", "1:16", "not a number"),
    ("qname = a..b drop", "1:9", "a label has 1 to 63 bytes"),
    ("qname = \\256.b drop", "1:9", "three digits"),
    ("qname-suffix = *.b drop", "1:16", "`*` stands for nothing here"),
    ("qname = \"a\" drop", "1:9", "words have no quotation marks"),
    ("qname = müll.example drop", "1:10", "xn--"),
    ("qname = a\\\ndrop", "1:10", "escapes nothing"),
    ("src = 192.0.2.1 forward 192.0.2.1:x", "1:25", "not a server"),
    ("src = 192.0.2.1 forward 0.0.0.0", "1:25", "not the address of one server"),
    ("src = 192.0.2.1 forward 192.0.2.1:0", "1:25", "not the address of one server"),
    ("src = 192.0.2.1 forward 192.0.2.1,192.0.2.1:53", "1:35", "stands here twice"),
    ("src = 192.0.2.1 forward 192.0.2.1,", "1:35", "the rule is not whole"),
    ("src = 192.0.2.1 forward upstream lam", "1:34", "did you mean `lan`?"),
    ("any retry lan", "1:11", "`upstream NAME` should stand here"),
    ("upstream = lon drop", "1:12", "did you mean `lan`?"),
    ("any app as112", "1:9", "there are no applications"),
    ("app = as112 drop", "1:7", "there are no applications"),
    ("any resolve", "1:5", "open resolver; say for whom: `src in { 192.0.2.0/24 } and ...`"),
    ("any forward 192.0.2.1", "1:5", "open resolver"),
    ("any cache-only", "1:5", "open resolver"),
    ("src != 192.0.2.1 resolve", "1:18", "open resolver"),
    ("src = 192.0.2.1 or rd = yes resolve", "1:29", "open resolver"),
    ("not (src = 192.0.2.1 and any) resolve", "1:31", "open resolver"),
    ("phase = route and rcode = NOERROR drop", "1:19", "it is in response, reply and done"),
    ("phase = route retry upstream lan", "1:15", "it is in response"),
    ("phase = done drop", "1:14", "`drop` is not done in the phase `done`"),
    ("rtt > 1s native", "1:10", "no phase knows `rtt` and can do `native`"),
    ("phase = route and phase = reply drop", "1:1", "there is no phase in which this can be true"),
    ("none: any drop", "1:1", "`none` is what"),
    ("a/b: any drop", "1:1", "cannot be the name of a rule"),
    ("a: any drop\na: any drop", "2:1", "the name `a` is taken by the rule at rules.d/10-test.rules:1:1"),
    ("any tag a/b", "1:9", "cannot be the name of a tag"),
];

#[test]
fn every_mistake_has_its_place_and_says_what_to_do() {
    for (text, place, words) in MISTAKES {
        let problems = problems(text);
        let [problem] = &*problems else { panic!("{text}: one problem, not {problems:#?}") };
        assert!(problem.starts_with(&format!("rules.d/10-test.rules:{place}: ")), "{text}: {problem}");
        assert!(problem.contains(words), "{text}: {problem}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text =
        "a: qtipe = A drop\nb: any drop\nqtype = A and\n  dorp\nrd = maybe\n  or rd = yes drop\n'\nany fly\n";
    let places: Vec<String> =
        problems(text).iter().map(|problem| problem.split(": ").next().unwrap().to_owned()).collect();
    assert_eq!(places, ["1:4", "4:3", "5:6", "8:5"].map(|at| format!("rules.d/10-test.rules:{at}")));
}

#[test]
fn a_rule_that_is_cut_off_is_a_mistake() {
    let whole = format!("first: any pass\n{ARTICLE_RULE}");
    let begin = "first: any pass\n".len();
    // Up to the address of the server, which may be shorter than it was.
    for end in begin + 1..whole.len() - "92.175.48.6:53".len() {
        assert!(Node::default().compile(&whole[..end], &[]).is_err(), "{:?}", &whole[begin..end]);
    }
    // From there on only the end of the line tells.
    let notes = |text: &str| policy(text).notes();
    assert_eq!(notes(&whole).len(), 2);
    assert_eq!(
        notes(whole.trim_end())[2..],
        ["rules.d/10-test.rules: the last line does not end: is the file whole?"]
    );
}

#[test]
fn databases_and_a_resolver_must_be_there() {
    let bare = Node { has_databases: false, resolver: None, upstreams: Vec::new(), ..Node::default() };
    for (text, words) in [
        ("country = PT drop", "`country` needs a database"),
        ("asn = 112 drop", "`asn` needs a database"),
        ("src = 192.0.2.1 resolve", "there is no resolver"),
        ("src = 192.0.2.1 forward upstream lan", "there is no `[[upstream]]`"),
    ] {
        let problems = bare.compile(text, &[]).map(|_| ()).unwrap_err();
        assert!(problems.len() == 1 && problems[0].contains(words), "{text}: {problems:?}");
    }
}

#[test]
fn limits_are_told() {
    let nested = |depth: usize| format!("{}any{} drop", "(".repeat(depth), ")".repeat(depth));
    policy(&nested(RULE_NESTING_MAX));
    let many = |count: usize, one: &str| vec![one; count].join(" and ") + " drop";
    policy(&many(RULE_TESTS_MAX, "any"));
    let rules = |count: usize, rule: &str| format!("{rule}\n").repeat(count);
    policy(&rules(ROUTE_RULES_MAX, "any pass"));
    policy(&rules(PHASE_RULES_MAX, "phase = reply pass"));
    let tags = |count: usize| (0..count).map(|at| format!("any tag t{at}\n")).collect::<String>();
    policy(&tags(TAGS_MAX));
    let listed = |count: usize, list: &str, value: &dyn Fn(usize) -> String| {
        let values: Vec<String> = (0..count).map(value).collect();
        format!("{list} in {{ {} }} drop", values.join(" "))
    };
    let names = |at: usize| format!("n{at}.example");
    let networks = |at: usize| format!("10.{}.{}.0/24", at >> 8 & 255, at & 255);
    for (text, words) in [
        (nested(RULE_NESTING_MAX + 1), "more than 32 parentheses"),
        (nested(100_000), "more than 32 parentheses"),
        (many(RULE_TESTS_MAX + 1, "any"), "more than 256 tests"),
        (rules(ROUTE_RULES_MAX + 1, "any pass"), "more than 256 rules in the phase `route`"),
        (rules(PHASE_RULES_MAX + 1, "phase = reply pass"), "more than 1024 rules in the phase `reply`"),
        (tags(TAGS_MAX + 1), "more than 64 tags"),
        (listed(RULE_NAMES_MAX + 1, "qname-suffix", &names), "more than 65536 names"),
        (listed(RULE_NETWORKS_MAX + 1, "src", &networks), "more than 65536 networks"),
        (format!("{}: any drop", "n".repeat(65)), "at most 64"),
        (
            format!(
                "src = 192.0.2.1 forward {}192.0.2.99",
                (1..=16).map(|at| format!("192.0.2.{at},")).collect::<String>()
            ),
            "more than 16 servers",
        ),
    ] {
        let problems = problems(&text);
        assert!(problems[0].contains(words), "{words}: {}", problems[0]);
    }
    let large = policy(&listed(RULE_NAMES_MAX, "qname-suffix", &names));
    let query = Query::new("www.n65535.example");
    assert!(decide(&large, Phase::Route, &query.facts()).taken.is_some());
}
