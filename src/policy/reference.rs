//! The language's reference: what there is to say of it, around the tables that the parser reads.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::check::listed;
use super::language::{ACTIONS, FIELDS, Field, FieldId, Kind, OPERATORS, OPTIONS, Phases};
use super::phase::Phase;
use super::rule::Fallback;
use crate::limits::{
    PHASE_RULES_MAX, ROUTE_RULES_MAX, RULE_NAME_LEN_MAX, RULE_NAMES_MAX, RULE_NESTING_MAX, RULE_NETWORKS_MAX,
    RULE_SERVERS_MAX, RULE_TESTS_MAX, RULE_TIMEOUT_MILLIS_MAX, TAGS_MAX,
};

const INTRODUCTION: &str = "\
# Rules

<!-- Made from the code: `UPDATE=1 cargo test --test drift` writes it. -->

Rules decide what becomes of queries that the node does not just answer from its own zones. They are in files
with names in `.rules`, in the directory of `[platform] rules`. Files are read in the order of their names,
rules in the order of their lines. A route of the configuration (`[[route]]`) is a rule of the phase `route`
and comes after those in files: `when` is its condition, `then` its action.

`as112d rules check` reads all of them and reports every mistake with file, line and column, as do a start
and a reload; with a mistake anywhere, nothing changes. `as112d query NAME TYPE --why` prints which rules are
asked about a query, and which term of each decides.

## A rule

```text
rule   = [ name \":\" ] cond action { option }
cond   = conj { \"or\" conj }
conj   = term { \"and\" term }
term   = [ \"not\" ] ( \"(\" cond \")\" | test )
test   = field ( \"=\" | \"!=\" | \"<\" | \">\" | \"<=\" | \">=\" ) value
       | field [ \"not\" ] \"in\" \"{\" { value [ \",\" ] } \"}\"
       | \"any\"
```

A rule begins on a line of its own and may span lines; a comment begins with `#` and ends with its line.
`and` binds more tightly than `or`. `any` is true for every query. What is not known equals nothing: `=`, `in`
and comparisons are false for it, `!=` and `not in` are true.

The name of a rule appears in counters, logs and `--why`. Without one it is the file and the line, such as
`10-lan.rules:3`. No two rules have the same name. A rule keeps its counters over reloads as long as it keeps
its name.

Replace a file as a whole, by renaming another to its name. A rule that ends in the middle is a mistake, but
no reader can know that a line after it is missing.

";

const EXAMPLES: &str = "\
## Examples

Queries for PTR records of private addresses go to a name server under test, at two locations only:

```rules
phase = post-cache and qtype in { PTR } and colo in { test1 test2 }
  and qname-suffix in { 10.in-addr.arpa 168.192.in-addr.arpa } forward 192.175.48.6:53
```

A zone of the operator's own is forwarded for clients in his networks; all others get what the node knows:

```rules
lan: src in { 192.0.2.0/24 2001:db8::/32 } and qname-suffix = lan.example
  forward 192.0.2.53, [2001:db8::53]:5353 timeout 1s fallback stale
```

Copies of one query in a thousand go to another server, whose answers are compared; no client sees any of it:

```rules
shadow: sample = 1/1000 and opcode = QUERY divert 192.0.2.80:53
```

Answers by the router itself, and rules that only count what they would do:

```rules
no-chaos: qclass = CH and not src in { 192.0.2.0/24 } refuse
deep: qname-labels > 40 and transport = udp truncate dry-run
suspect: src in { 198.51.100.0/24 } tag suspect
slow-down: tag = suspect and qtype = ANY answer NOTIMP log
```

A response that is not good enough is not stored, and a slow server is noticed:

```rules
(outcome != ok or rcode in { SERVFAIL REFUSED }) and phase = response no-store
phase = done and rtt > 500ms pass log
```
";

/// The language's reference in Markdown, made from the tables that the parser reads.
#[must_use]
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    fields(&mut text);
    text += "## Operators\n\n| operator | true if the field |\n|---|---|\n";
    for (operator, meaning) in OPERATORS {
        text += &format!("| `{operator}` | {meaning} |\n");
    }
    actions(&mut text);
    text += "\n## Options\n\n| option | what it does |\n|---|---|\n";
    for (_, name, usage, meaning) in OPTIONS {
        let space = if usage.is_empty() { "" } else { " " };
        text += &format!("| `{name}{space}{usage}` | {meaning} |\n");
    }
    let ways: Vec<String> = Fallback::ALL.iter().map(|way| format!("`{}`", way.name())).collect();
    text += &format!(
        "\nA fallback is one of {}: SERVFAIL, REFUSED, the node's own zones, no reply, what the query would \
         have had without the rule, what the cache holds, be it stale.\n",
        ways.join(", ")
    );
    phases(&mut text);
    limits(&mut text);
    text + EXAMPLES
}

fn fields(text: &mut String) {
    *text += "## Fields\n\n| field | is | value | known in |\n|---|---|---|---|\n";
    for Field { id, name, kind, phases, meaning } in &FIELDS {
        let value = match kind {
            Kind::Choice(words) => {
                let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                words.join(", ")
            }
            _ => kind.meaning().to_owned(),
        };
        let known = match *phases {
            Phases::ALL => "all phases".to_owned(),
            phases => listed(phases),
        };
        let known = if *id == FieldId::Phase { "tells the phase".to_owned() } else { known };
        *text += &format!("| `{name}` | {meaning} | {value} | {known} |\n");
    }
    *text += "\nNames of types, classes and codes may be written in either case; other words are compared \
              letter for letter. A network has no bits set beyond its length.\n\n";
}

fn actions(text: &mut String) {
    *text += "\n## Actions\n\n| action | what it does | done in | ends its phase |\n|---|---|---|---|\n";
    for row in &ACTIONS {
        let space = if row.usage.is_empty() { "" } else { " " };
        let ends = if row.is_terminal { "yes" } else { "no" };
        let usage = row.usage.replace('|', "\\|");
        *text += &format!(
            "| `{}{space}{usage}` | {} | {} | {ends} |\n",
            row.name,
            row.meaning,
            listed(row.phases)
        );
    }
}

const PHASES: &str = "
## Phases

A query that no rule of the phase `route` takes is answered natively. Rules of later phases are asked about it
only if they may concern it and the node is authoritative for its name. In each phase the rules are asked in
their order, until an action ends the phase.

| phase | when | known from here on | what may be done |
|---|---|---|---|
";

const AFTER_PHASES: &str = "
A rule says its phase with `phase = NAME`. It is asked in each phase in which its condition can be true, so
one with `phase in { request reply }` is asked twice. A rule that does not mention `phase` is asked in the
first one that knows all its fields and can do its action. A field that a phase cannot know is a mistake, as
is an action that it cannot do.

A rule of the phase `route` that forwards, resolves or answers from the cache says for whom: every query that
matches must satisfy a test of `src` or, for a route, `allow`. Otherwise the node would be an open resolver.
";

fn phases(text: &mut String) {
    *text += PHASES;
    for phase in Phase::ALL {
        let names = |known: &mut dyn Iterator<Item = &'static str>| {
            known.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        };
        let is_new = |field: &&Field| field.phases.iter().next() == Some(phase);
        let known = names(&mut FIELDS.iter().filter(is_new).map(|field| field.name));
        let done =
            names(&mut ACTIONS.iter().filter(|action| action.phases.has(phase)).map(|action| action.name));
        let known = if known.is_empty() { "nothing more".to_owned() } else { known };
        *text += &format!("| `{}` | {} | {known} | {done} |\n", phase.name(), phase.meaning());
    }
    *text += AFTER_PHASES;
}

fn limits(text: &mut String) {
    *text += &format!(
        "\n## Limits\n\n| what | at most |\n|---|---|\n\
         | rules of the phase `route`, routes among them | {ROUTE_RULES_MAX} |\n\
         | rules of each other phase | {PHASE_RULES_MAX} |\n\
         | names that all rules list | {RULE_NAMES_MAX} |\n\
         | networks that all rules list | {RULE_NETWORKS_MAX} |\n\
         | tests of a rule | {RULE_TESTS_MAX} |\n\
         | parentheses within each other | {RULE_NESTING_MAX} |\n\
         | servers of a rule | {RULE_SERVERS_MAX} |\n\
         | different tags | {TAGS_MAX} |\n\
         | bytes of a rule's or a tag's name | {RULE_NAME_LEN_MAX} |\n\
         | `timeout` | {RULE_TIMEOUT_MILLIS_MAX} ms |\n\n"
    );
}
