//! The reference of the interface: what there is to say of it, around the tables that the code is made from.

use super::abi::{
    AREA_LEN, Kind, MODULE, QUERY_AT, QUERY_LEN, REPLY_AT, REPLY_LEN, REQUEST_AT, REQUEST_LEN, Refusal,
    SCRATCH_AT, SCRATCH_LEN,
};
use super::area::{FIELDS, phase_number};
use super::hostcalls::HOSTCALLS;
use super::module::{EXPORTS, signature};
use super::verdict::VERDICTS;
use crate::limits::{
    FUEL_A_MILLISECOND, GUEST_BYTES_A_FUEL, GUEST_CALLS_DEEP_MAX, GUEST_EXCHANGES_MAX, GUEST_FUNCTIONS_MAX,
    GUEST_GENERATION_KEPT, GUEST_HOOKS_MAX, GUEST_HOSTCALL_FUEL, GUEST_HOSTCALLS_MAX, GUEST_LINE_LEN_MAX,
    GUEST_MODULE_LEN_MAX, GUEST_SOCKETS_MAX, GUEST_STACK_LEN, GUEST_START_TIMES, GUEST_TABLE_LEN_MAX,
    GUEST_TIMERS_MAX, GUEST_TRAPS_MAX, GUEST_TRAPS_WITHIN,
};
use crate::policy::phase::Phase;

const INTRODUCTION: &str = "\
# The interface of guest applications

<!-- Made from the code: `UPDATE=1 cargo test --test drift` writes it. -->

A guest application is a core WebAssembly module and a manifest. This page has all that a module must know of
the node: with it a guest can be written in any language, or by hand. All numbers are little endian; addresses
and lengths are unsigned. Parameters are in the order in which they are named.

The node reads and writes one fixed part of the guest's memory, the area. It calls `as112_event` for each
query,
with the query in the area; the guest returns a verdict. While it runs it may call the node (hostcalls).
No hostcall waits: what takes time is an order, which returns a token at once, and what came of it is another
event.

## The module

A module exports its one memory as `memory`, and these functions:

| export | type | what it is |
|---|---|---|
";

const MODULE_RULES: &str = "
It imports hostcalls alone, with the types below. It has no start section. Besides the instructions of
WebAssembly 1.0 there are those that compilers use unasked for `wasm32-unknown-unknown`: bulk memory, sign
extension, mutable globals, conversions that saturate, several results, reference types. Anything else is
refused when the module is loaded: SIMD, threads, tail calls, exceptions, extended constants,
several memories,
64-bit memories, garbage collection, components. `as112d apps check` says which, and how a compiler is told.

One instance of the module serves all queries of a worker of the node,
one after the other. So a guest needs no
locks, and what it keeps in its memory is there for the next query,
but each worker has an instance of its own.
With `isolation = \"query\"` in the manifest each query has a fresh instance instead,
which may take one event's
time for its start and holds nothing.

## The area

`as112_area` returns where it begins. It is within the memory from the start, and stays there.

| offset | bytes | what |
|---|---|---|
";

const REPLIES: &str = "
## Replies

A reply is a whole DNS message in the reply area: header, the question as it was asked,
records. The node takes
the response code and RA from its header, and AA with `[allow] authoritative`; ID, QR, opcode, RD, CD, TC, AD
and the letters of the question are the node's to set, whatever the guest wrote. An OPT is left out: EDNS,
NSID,
cookies and truncation are the node's. The query gets the fallback if the message cannot be read, has another
number of records than its header says, has bytes left over, names another question,
or is shorter than a header
or longer than 65,535 bytes.

## Life

`as112_start` runs once in each instance,
and once for a trial when the module is loaded: orders of a trial are
not carried out, and its log is shown only if it fails. A start that returns another number than 0, traps or
takes too long is an error of the operator's reload, which changes nothing.

When an instance traps (an error of WebAssembly, its time, too many hostcalls, an address outside of its
memory in a hostcall) it is thrown away, and no byte of it is used again. All queries that it had get the
`fallback_action` of the manifest; none is tried twice. A fresh instance takes its place at once. ";

const HELD: &str = "
After a reload that changes the application, the new instance takes new queries. The old one gets those that
were on their way, then STOP, and goes.

A query that is held (LATER) is the guest's until `finish`. When the client's time is up (`deadline_ns`) it
gets the fallback, and `finish` returns NOT_FOUND, which is normal. Between events the area belongs to the
node: `load` restores the request and the query of one that is held.

What `finish` takes for a reply is in the reply area, with `reply_len` in the request, as it would be for the
verdict. An answer of `forward` is in the reply area when DONE comes, and `load` keeps it there if the query
had no reply so far: it may be finished with as it is.
";

const COMPILED: &str = "
## Why it is interpreted

Guests run in an interpreter, on fuel, in the process of the node. So no thread ever makes memory executable,
a
reload needs nothing but heap, there are no signal handlers, and limits are the same on every machine. A guest
that decides by name and type takes 1 to 2 µs, less than handing the query to a worker does. Conditions of
routers and hooks are evaluated natively, so a guest is only woken for what concerns it.

A compiled engine would be a process of its own, `as112d-engine`, not part of the node: it would get modules
through a pipe, compile and load them, then confine itself,
and be replaced at each reload. Queries would cross
to it by the two queues that jobs circulate in, in shared memory. For that,
what crosses to an instance is bytes
and numbers alone: the request and the query in, the verdict,
the reply and orders with tokens out. No pointer,
handle or callback may be added to it. It is worth its cost when a guest needs over 5 µs of its own code for
a query; none of ours does.
";

/// What an event is: the kind, the name, the token, the length.
const EVENTS: [(Kind, &str, &str, &str); 6] = [
    (
        Kind::Query,
        "QUERY",
        "the query's number",
        "bytes of the query; request, query and the reply so far are in the area",
    ),
    (
        Kind::Done,
        "DONE",
        "the token of an order that has ended",
        "bytes that it brought, in the reply area (`forward`, `resolve`) or in scratch (all others); \
         negative: the refusal",
    ),
    (Kind::Timer, "TIMER", "the token of a timer", "0"),
    (Kind::Tick, "TICK", "0", "0; comes once a second"),
    (Kind::Reload, "RELOAD", "0", "not sent by this version: a changed configuration is a new instance"),
    (Kind::Stop, "STOP", "0", "0; nothing comes after it"),
];

/// What refusals mean.
const REFUSALS: [(Refusal, &str, &str); 11] = [
    (Refusal::Invalid, "INVALID", "an argument is not valid; of DONE: the answer cannot be read"),
    (Refusal::Denied, "DENIED", "the manifest does not allow it"),
    (Refusal::Limit, "LIMIT", "too much of it"),
    (Refusal::NotFound, "NOT_FOUND", "there is no such thing"),
    (Refusal::Busy, "BUSY", "too much is under way"),
    (Refusal::Timeout, "TIMEOUT", "of DONE: nobody answered in time"),
    (Refusal::Unreachable, "UNREACHABLE", "of DONE: no server could be asked"),
    (Refusal::Closed, "CLOSED", "the other side has closed, or could not be reached"),
    (Refusal::TooLong, "TOO_LONG", "it does not fit"),
    (Refusal::State, "STATE", "not now, or not with this isolation"),
    (Refusal::Again, "AGAIN", "not yet"),
];

const MINIMAL: &str = include_str!("../../../guests/minimal.wat");

/// The reference of the interface in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (name, parameters, result, meaning) in EXPORTS {
        text += &format!("| `{name}` | `{}` | {meaning} |\n", signature(parameters, &[result]));
    }
    text += MODULE_RULES;
    area(&mut text);
    events(&mut text);
    hostcalls(&mut text);
    text += REPLIES;
    text += &format!(
        "After {GUEST_TRAPS_MAX} traps in {} s the application is off for the first pause of `restart`, \
         which doubles up to the second; the queries meanwhile get the fallback.\n",
        GUEST_TRAPS_WITHIN.as_secs()
    );
    text += HELD;
    limits(&mut text);
    text += "\n## A whole guest\n\nAssemble it with `wat2wasm`, put it next to a manifest, and try it with \
             `as112d apps try`.\n\n```wat\n";
    text + MINIMAL + "```\n" + COMPILED
}

fn area(text: &mut String) {
    let parts = [
        (REQUEST_AT, REQUEST_LEN, "the request: see below"),
        (QUERY_AT, QUERY_LEN, "the query, as it came"),
        (
            REPLY_AT,
            REPLY_LEN,
            "the reply; answers to `forward` and `resolve`; at the start the configuration",
        ),
        (SCRATCH_AT, SCRATCH_LEN, "scratch: what other events bring"),
    ];
    for (at, len, what) in parts {
        *text += &format!("| {at} | {len} | {what} |\n");
    }
    *text +=
        &format!("\nThese are {AREA_LEN} bytes: a memory has two pages at least.\n\n### The request\n\n");
    *text += "| offset | type | field | what it says |\n|---|---|---|---|\n";
    for field in FIELDS {
        *text += &format!("| {} | {} | `{}` | {} |\n", field.at, field.kind, field.name, field.meaning);
    }
    let end = FIELDS.last().map_or(0, |field| field.at + 1);
    *text += &format!(
        "\nThe bytes from {end} on are zero. Changes to other fields than those that say so are not looked \
        at.\n"
    );
}

fn events(text: &mut String) {
    *text += "\n## Events\n\nWhat `as112_event` is called with, and when:\n\n";
    *text += "| kind | name | token | len |\n|---|---|---|---|\n";
    for (kind, name, token, len) in EVENTS {
        *text += &format!("| {} | {name} | {token} | {len} |\n", kind as i32);
    }
    *text += "\nThe result is a verdict for QUERY, and not looked at for all others.\n\n## Phases\n\n";
    *text += "A router of the manifest brings queries in phase `request`; a hook in those that it names.\n\n";
    *text += "| number | phase | when |\n|---|---|---|\n";
    for phase in Phase::ALL {
        *text += &format!("| {} | `{}` | {} |\n", phase_number(phase), phase.name(), phase.meaning());
    }
    *text += "\n## Verdicts\n\nThe low byte of what `as112_event` returns. Bits that mean nothing are \
              zero: a number that is not a verdict, or not one of the phase, is the fallback.\n\n";
    *text += "| number | verdict | in | what becomes of the query |\n|---|---|---|---|\n";
    for row in &VERDICTS {
        let phases: Vec<String> = row.phases.iter().map(|phase| format!("`{}`", phase.name())).collect();
        *text +=
            &format!("| {} | {} | {} | {} |\n", row.word as u8, row.name, phases.join(", "), row.meaning);
    }
    *text += "\nIn `done` every verdict is taken as PASS. In `response` and `reply`, a fallback of \
              `native` or `next` keeps the reply that there was.\n";
}

fn hostcalls(text: &mut String) {
    *text += &format!("\n## Hostcalls\n\nAll are imported from module `{MODULE}`. ");
    *text += "A pointer with its length is looked at before anything else: if it is not within the memory, \
    the \
              instance traps. Everything else that is wrong is a refusal,
              a negative number; a refused hostcall \
              has done nothing.\n\n";
    for hostcall in HOSTCALLS {
        let kinds: Vec<_> = hostcall.parameters.iter().map(|(_, kind)| *kind).collect();
        let names: Vec<&str> = hostcall.parameters.iter().map(|(name, _)| *name).collect();
        *text += &format!("### {}({})\n\n", hostcall.name, names.join(", "));
        *text += &format!(
            "```wat\n(import \"{MODULE}\" \"{}\" (func {}))\n```\n\n{}\n\n",
            hostcall.name,
            signature(&kinds, &[hostcall.result]),
            hostcall.meaning
        );
        let name = |refusal: Refusal| {
            REFUSALS.iter().find(|(known, ..)| *known == refusal).map_or("", |(_, name, _)| name)
        };
        for (refusal, why) in hostcall.refusals {
            *text += &format!("* {}: {why}\n", name(*refusal));
        }
        if !hostcall.refusals.is_empty() {
            *text += "\n";
        }
    }
    *text += "### Refusals\n\n| number | name | what it means |\n|---|---|---|\n";
    for (refusal, name, meaning) in REFUSALS {
        *text += &format!("| {} | {name} | {meaning} |\n", refusal as i32);
    }
}

fn limits(text: &mut String) {
    *text += &format!(
        "\n## Time and other limits\n\n\
         Time is counted, not measured: an instruction burns a unit of fuel, {GUEST_BYTES_A_FUEL} bytes that \
         are copied another, and a hostcall {GUEST_HOSTCALL_FUEL} and what it takes. A millisecond of `time` \
         in the manifest is {FUEL_A_MILLISECOND} units. An event has `time`, a start {GUEST_START_TIMES} \
         times that, or with `isolation = \"query\"` the same.\n\n| what | limit | beyond |\n|---|---|---|\n"
    );
    let rows = [
        ("bytes of a module".to_owned(), GUEST_MODULE_LEN_MAX, "refused"),
        ("functions of a module".to_owned(), GUEST_FUNCTIONS_MAX as usize, "refused"),
        ("elements of a table".to_owned(), GUEST_TABLE_LEN_MAX, "`table.grow` returns -1"),
        ("calls within each other".to_owned(), GUEST_CALLS_DEEP_MAX, "a trap"),
        ("bytes of their values on the stack".to_owned(), GUEST_STACK_LEN, "a trap"),
        ("hostcalls of one event".to_owned(), GUEST_HOSTCALLS_MAX as usize, "a trap"),
        ("hooks".to_owned(), GUEST_HOOKS_MAX, "LIMIT"),
        ("exchanges under way in an instance".to_owned(), GUEST_EXCHANGES_MAX, "BUSY"),
        ("timers of an instance".to_owned(), GUEST_TIMERS_MAX, "LIMIT"),
        ("sockets of an instance".to_owned(), GUEST_SOCKETS_MAX, "LIMIT"),
        ("bytes of a line of the log".to_owned(), GUEST_LINE_LEN_MAX, "cut"),
        (
            "seconds of an instance after it was replaced".to_owned(),
            GUEST_GENERATION_KEPT.as_secs() as usize,
            "what it holds gets the fallback",
        ),
    ];
    for (what, limit, beyond) in rows {
        *text += &format!("| {what} | {limit} | {beyond} |\n");
    }
    *text += "\nMemory (`memory.grow` returns -1), queries that are held (the fallback), exchanges of one \
              query (BUSY) and lines of the log in a second (LIMIT) are bounded by `[limits]` of the \
              manifest.\n";
}
