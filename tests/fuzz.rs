//! Fuzzing as a test: seeded, so that a failure can be played again, and bounded, so that it is part of every
//! run.
//!
//! `SEED=` chooses the input and `FUZZ_STEPS=` its amount. What is tried with one input stands in
//! `fuzz/bodies.rs`, which the targets of cargo-fuzz share.

mod common;

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "fuzz/clients.rs"]
mod clients;
#[path = "../fuzz/guests.rs"]
mod guests;
#[path = "../fuzz/manifests.rs"]
mod manifests;
#[path = "common/mutate.rs"]
mod mutate;
#[path = "../fuzz/rules.rs"]
mod rules;
#[path = "../fuzz/upstream.rs"]
mod upstream;

use std::collections::{BTreeSet, HashMap};
use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use common::daemon::{Daemon, V4, V6};
use common::decode::second_opinion;
use mutate::{Dice, mutated};

/// Steps of the fuzzing in this process; what crosses a socket or a file gets a part. `tests/run` takes
/// more.
const STEPS: u64 = 300_000;
const SEED: u64 = 112;

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}

/// Runs `step` for its part of the steps, each with dice of its own; how many they were. Says how to play a
/// failure again.
fn fuzz(part_of_steps: u64, mut step: impl FnMut(u64, &mut Dice)) -> u64 {
    let (seed, from) = (number("SEED", SEED), number("FUZZ_STEP", 0));
    let steps = number("FUZZ_STEPS", STEPS).div_ceil(part_of_steps);
    for at in from..from + steps {
        let mut dice = Dice::new(seed ^ at << 20);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| step(at, &mut dice))) {
            eprintln!("play it again with SEED={seed} FUZZ_STEP={at}");
            resume_unwind(panic);
        }
    }
    steps
}

/// Whether there are enough steps to see everything; not when one is played again.
fn is_long() -> bool {
    number("FUZZ_STEPS", STEPS) >= STEPS.min(200_000)
}

/// Input that is all taken, or all refused, tries one half of the code only.
fn assert_both_ways(taken: u64, steps: u64) {
    assert!(!is_long() || (steps / 50..steps - steps / 50).contains(&taken), "{taken} of {steps} were taken");
}

/// Good packets, and those of the grammar.
fn packets() -> Vec<Vec<u8>> {
    let mut dice = Dice::new(1);
    let mut packets: Vec<Vec<u8>> = (0..500).map(|_| mutate::packet(&mut dice)).collect();
    for (name, qtype) in
        [("1.1.168.192.in-addr.arpa", 12), ("hostname.as112.net", 16), ("x.dna.example.com", 1), (".", 2)]
    {
        packets.push(common::query(name, qtype));
        packets.push(common::with_opt(common::query(name, qtype), 1232, &[0, 3, 0, 0, 0, 11, 0, 0]));
    }
    packets
}

/// A packet: fresh from the grammar, or a mutated one.
fn a_packet(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    if dice.once_in(3) { mutate::packet(dice) } else { mutated(dice, corpus, &[]) }
}

/// A stream of messages, the first byte for the pieces; at times mutated as a whole.
fn a_stream(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = vec![dice.roll() as u8];
    for _ in 0..dice.below(6) {
        let message = a_packet(dice, corpus);
        stream.extend((message.len() as u16).to_be_bytes());
        stream.extend(message);
    }
    if dice.once_in(3) { mutated(dice, &[stream], &[]) } else { stream }
}

#[test]
fn the_checker_sees_what_it_is_there_for() {
    type Spoil = fn(&mut Vec<u8>);
    let check = bodies::invariants::check;
    let query = common::with_opt(common::query("1.1.168.192.in-addr.arpa", 12), 1232, &[]);
    let reply = bodies::reply(bodies::node(), false, &query).expect("a reply");
    assert_eq!(check(&query, &reply, false), Ok(()));
    // Header, question, SOA, and OPT in the last 11 bytes.
    let faults: [(&str, Spoil); 14] = [
        ("another ID", |reply| reply[0] ^= 1),
        ("QR is not set", |reply| reply[2] ^= 0x80),
        ("another opcode", |reply| reply[2] ^= 0x08),
        ("RD is not that of the query", |reply| reply[2] ^= 1),
        ("RA, Z, AD or CD is set", |reply| reply[3] |= 0x20),
        ("AA with an error", |reply| reply[3] = 5),
        ("TC with records", |reply| reply[2] |= 2),
        ("another question", |reply| reply[13] ^= 1),
        ("trailing bytes", |reply| reply.push(0)),
        ("trailing bytes", |reply| reply[11] = 0),
        ("a name that is cut short", |reply| reply[11] = 2),
        ("a pointer that does not lead back", |reply| reply[43] = 200),
        ("rdata of type 6", |reply| {
            reply.splice(54..54, [0]);
            reply[53] += 1;
        }),
        ("OPT has another version, DO, or Z", |reply| {
            let at = reply.len() - 4;
            reply[at] = 0x80;
        }),
    ];
    for (what, spoil) in faults {
        let mut spoiled = reply.clone();
        spoil(&mut spoiled);
        assert_eq!(check(&query, &spoiled, false), Err(what.to_owned()));
    }
    let plain = &query[..42];
    let mut plain = plain.to_vec();
    plain[11] = 0;
    assert_eq!(check(&plain, &reply, false), Err("an OPT that was not asked for".to_owned()));
}

#[test]
fn packets_get_replies_without_a_fault() {
    let corpus = packets();
    let mut seen = BTreeSet::new();
    fuzz(1, |_, dice| {
        let replies = bodies::packet(&a_packet(dice, &corpus));
        for reply in replies.iter().flatten() {
            second_opinion(reply).unwrap_or_else(|fault| panic!("{fault}: {reply:02x?}"));
            assert!(bodies::message(reply), "it is sound: {reply:02x?}");
        }
        seen.extend(replies.iter().flatten().map(|reply| (reply[3] & 0xF, reply[2] & 6)));
    });
    if is_long() {
        // NOERROR with AA, without (a referral, or class CH) and with TC; BADVERS is among those without.
        let expected = [(0, 0), (0, 4), (0, 6), (1, 0), (3, 4), (4, 0), (5, 0), (6, 4), (9, 0)];
        let missing: Vec<_> = expected.iter().filter(|kind| !seen.contains(kind)).collect();
        assert!(
            missing.is_empty(),
            "the input does not reach replies of (rcode, AA and TC) {missing:?}: {seen:?}"
        );
    }
}

/// Responses with all that can be in one, an OPT among other records too.
fn responses() -> Vec<Vec<u8>> {
    let names = ["x.dna", "chain", "www", "srv", "big", "x.sub", "nothing", "", "x.wild"];
    let queries = names.iter().flat_map(|name| {
        let name = format!("{name}.example.com");
        [1, 2, 6, 15, 16, 33, 255].map(|qtype| common::query(name.trim_start_matches('.'), qtype))
    });
    let with_options: Vec<u8> = [
        &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8][..],
        &[0, 8, 0, 7, 0, 1, 24, 16, 192, 0, 2, 0, 15, 0, 2, 0, 3],
    ]
    .concat();
    let mut responses = Vec::new();
    for query in queries {
        for (query, has_opt) in [(query.clone(), false), (common::with_opt(query, 1232, &[0, 3, 0, 0]), true)]
        {
            let reply = bodies::reply(bodies::node(), true, &query).expect("a reply");
            let mut more = reply.clone();
            // An address, an OPT with options, and a record after it that leads back to the address.
            more.extend([1, b'n', 0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
            let at = (reply.len() as u16 | 0xC000).to_be_bytes();
            let fields = [0, 15, 0, 1, 0, 0, 0, 7, 0, 4, 0, 1];
            if !has_opt {
                more.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, with_options.len() as u8]);
                more.extend(&with_options);
                more[11] += 1;
            }
            more.extend(at.iter().chain(&fields).chain(&at));
            more[11] += 2;
            responses.extend([reply, more]);
        }
    }
    responses
}

#[test]
fn messages_are_malformed_or_read_as_by_others() {
    let corpus = responses();
    for response in &corpus {
        second_opinion(response).unwrap_or_else(|fault| panic!("{fault}: {response:02x?}"));
        assert!(bodies::message(response), "{response:02x?}");
    }
    let mut sound = 0;
    let steps = fuzz(1, |_, dice| {
        let bytes = mutated(dice, &corpus, &[]);
        let is_sound = bodies::message(&bytes);
        sound += u64::from(is_sound);
        // The strict decoder, which shares nothing with ours, takes no message that ours refuses, but for
        // what it does not look at.
        if !is_sound && let Ok(read) = common::decode::Message::decode(&bytes) {
            let opts = read.records.iter().filter(|record| record.rtype == 41);
            let is_odd = opts.clone().count() > 1
                || opts.clone().any(|opt| opt.section != common::decode::ADDITIONAL || opt.owner != [0])
                || opts.clone().any(|opt| bytes[opt.rdata.clone()].windows(2).any(|code| code == [0, 8]))
                || read
                    .records
                    .iter()
                    .any(|record| ![1, 2, 5, 6, 12, 15, 16, 28, 29, 33, 39, 41].contains(&record.rtype));
            assert!(is_odd, "{bytes:02x?}");
        }
    });
    assert_both_ways(sound, steps);
}

#[test]
fn streams_get_the_replies_of_their_messages() {
    let corpus = packets();
    fuzz(100, |_, dice| bodies::tcp_stream(&a_stream(dice, &corpus), bodies::tcp_server()));
}

#[test]
fn zone_files_are_refused_with_reasons_or_served_without_a_fault() {
    let mut corpus = vec![bodies::RICH_ZONE.as_bytes().to_vec(), bodies::rich_zone().into_bytes()];
    for file in ["db.dd-empty", "db.dr-empty", "db.hostname.as112.net", "db.hostname.as112.arpa"] {
        let path = format!("{}/zones/{file}", env!("CARGO_MANIFEST_DIR"));
        corpus.push(std::fs::read(path).expect("it is part of the sources"));
    }
    let words: [&[u8]; 20] = [
        b"$ORIGIN",
        b"$TTL",
        b"$INCLUDE",
        b"(",
        b")",
        b"\"",
        b"\\",
        b"\\000",
        b";",
        b"\n@ ",
        b" IN ",
        b" CH ",
        b" SOA ",
        b" NS ",
        b" DNAME ",
        b" CNAME ",
        b" TXT ",
        b"\\# 4 00000000",
        b"*.",
        b"4294967296",
    ];
    let mut taken = 0;
    let steps = fuzz(100, |_, dice| taken += u64::from(bodies::zone_file(&mutated(dice, &corpus, &words))));
    assert_both_ways(taken, steps);
}

/// A reply of an upstream: which parts of it are the query's, and bytes. Those are a response of any kind to
/// something, mutated.
fn a_reply(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let has = [3, 3, 3, 1, 2, 0][dice.below(6)];
    let mut bytes = if dice.once_in(4) { dice.pick(corpus).clone() } else { mutated(dice, corpus, &[]) };
    if dice.once_in(2) && bytes.len() > 12 {
        // A response with one question, in case that everything else is right.
        bytes[2] |= 0x80;
        bytes[4..6].copy_from_slice(&[0, 1]);
    }
    [&[has], &bytes[..]].concat()
}

/// Responses whose question is put in when it is known; and whole ones to other questions.
fn replies() -> Vec<Vec<u8>> {
    let records: [(u8, [u8; 2], &[u8]); 5] = [
        (0, [1, 0], b"\xC0\x0C\0\x01\0\x01\0\0\x0E\x10\0\x04\xC0\0\x02\x42"),
        (0, [1, 0], b"\xC0\x0C\0\x05\0\x01\0\0\x0E\x10\0\x02\xC0\x0C"),
        (3, [0, 1], b"\0\0\x06\0\x01\0\0\0\x05\0\x16\0\0\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x05"),
        (2, [0, 0], b""),
        (1, [0, 0], b""),
    ];
    let reply = |(code, [answers, authorities], records): (u8, [u8; 2], &[u8])| {
        [&[0, 0, 0x81, 0x80 | code, 0, 1, 0, answers, 0, authorities, 0, 0][..], records].concat()
    };
    records.into_iter().cycle().take(100).map(reply).chain(responses()).collect()
}

#[test]
fn replies_of_upstreams_are_not_believed_or_become_sound_answers() {
    let corpus = replies();
    let mut believed = 0;
    let steps = fuzz(200, |_, dice| {
        let some: Vec<Vec<u8>> = (0..dice.below(4)).map(|_| a_reply(dice, &corpus)).collect();
        believed += u64::from(upstream::replies(some.iter().map(Vec::as_slice)).is_some());
    });
    assert_both_ways(believed, steps);
}

#[test]
fn a_hundred_thousand_replies_to_one_query() {
    let corpus = replies();
    let mut dice = Dice::new(number("SEED", SEED));
    let wrong: Vec<Vec<u8>> = (0..1000)
        .map(|_| {
            let mut reply = a_reply(&mut dice, &corpus);
            // None has its ID and its question.
            reply[0] &= [1, 2][dice.below(2)];
            reply
        })
        .collect();
    for _ in 0..3 {
        let all = wrong.iter().cycle().take(100_000).map(Vec::as_slice);
        // One may have the ID by chance, but not the letters.
        upstream::replies(all);
        assert_eq!(upstream::replies(std::iter::empty()), None, "the next one gets the truth");
    }
}

#[test]
fn rules_are_refused_with_places_or_decide_as_they_explain() {
    let reference = as112d::policy::reference();
    let examples = reference.split("```rules\n").skip(1);
    let mut corpus: Vec<Vec<u8>> =
        examples.map(|rest| rest.split("```").next().unwrap_or_default().as_bytes().to_vec()).collect();
    corpus.push(b"a: any tag t\nb: tag = t and (rd = yes or not qtype in { A, PTR }) native log\n".to_vec());
    corpus
        .push(b"asn in { 112 } or country = PT and sample = 1/2 pass\nphase = reply drop dry-run\n".to_vec());
    let words: [&[u8]; 20] = [
        b" and ",
        b" or ",
        b" not ",
        b"(",
        b")",
        b" in { ",
        b" }",
        b",",
        b"#",
        b"\n",
        b": ",
        b"\\",
        b"any drop\n",
        b"phase = ",
        b" = ",
        b"qname-suffix = . ",
        b"listener = 1 ",
        b"192.0.2.0/24",
        b" forward upstream lan ",
        b" fallback stale",
    ];
    let mut taken = 0;
    let steps = fuzz(100, |_, dice| taken += u64::from(rules::rules(&mutated(dice, &corpus, &words))));
    assert_both_ways(taken, steps);
}

#[test]
fn manifests_are_refused_with_reasons_or_consistent() {
    let example = include_str!("../docs/examples/app.toml");
    let live = |line: &str| {
        let text = line.strip_prefix("# ").filter(|text| text.contains(" = ") && !text.ends_with('.'));
        format!("{}\n", text.unwrap_or(line))
    };
    let every: String = example.lines().filter(|line| !line.starts_with("# sha256")).map(live).collect();
    let corpus =
        [every.as_bytes(), example.as_bytes(), b"router = ['any']\n", b"[config]\na = [1, {b = 'c'}]\n"]
            .map(<[u8]>::to_vec);
    let words: [&[u8]; 14] = [
        b"= ",
        b"[",
        b"]",
        b"'",
        b"\n",
        b"{ a = 1 }",
        b"[allow]\n",
        b"[limits]\n",
        b"[config]\n",
        b"'file:x'",
        b"\"1s..2s\"",
        b"true",
        b"-1",
        b"nan",
    ];
    let mut taken = 0;
    let steps =
        fuzz(100, |_, dice| taken += u64::from(manifests::manifests(&mutated(dice, &corpus, &words))));
    assert_both_ways(taken, steps);
}

#[test]
fn configurations_are_refused_with_reasons_or_consistent() {
    let example = include_str!("../docs/examples/as112d.toml");
    let short: String =
        example.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let every: String = short
        .lines()
        .chain(example.lines().map(|line| line.trim_start_matches("# ")))
        .filter(|line| line.contains(" = ") && !line.contains(',') || line.starts_with('['))
        .map(|line| format!("{line}\n"))
        .collect();
    let corpus = [short.into_bytes(), every.into_bytes(), example.as_bytes().to_vec()];
    let words: [&[u8]; 14] = [
        b"[server]\n",
        b"[[zone]]\n",
        b"name = ",
        b"listen = [",
        b"]",
        b"'",
        b"\"",
        b"\n",
        b"= ",
        b"0x",
        b"-1",
        b"99999999999",
        b"\"as112\"",
        b"'auto'",
    ];
    let mut taken = 0;
    let steps =
        fuzz(100, |_, dice| taken += u64::from(bodies::configuration(&mutated(dice, &corpus, &words))));
    assert_both_ways(taken, steps);
}

//------------ Through the sockets of a running daemon ---

/// A daemon that serves what [`bodies::node`] does.
fn daemon(datapath: &str) -> (Daemon, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("there is room for a file");
    std::fs::write(folder.path().join("example.com.zone"), bodies::rich_zone())
        .expect("there is room for a file");
    let zones = folder.path().to_str().expect("it is text");
    let arguments = ["--datapath", datapath, "--zones", zones, "--node", bodies::NODE];
    (Daemon::start(&arguments), folder)
}

const DATAPATHS: [&str; 2] = ["io_uring", "mmsg"];

/// Packets after which the replies are read, so that they fit the receive buffer; and after which the daemon
/// is asked whether it lives.
const BATCH: u64 = 20;
const LIVENESS_EVERY: u64 = 100;

/// Fails unless the daemon answers a plain query at every door.
fn assert_alive(daemon: &Daemon, step: u64) {
    let query = common::query("1.1.168.192.in-addr.arpa", 12);
    let reply = daemon.ask_udp(V6, &query);
    assert_eq!(reply.len(), 119, "it lives at step {step}");
    assert_eq!(daemon.ask_tcp(V4, &query), Some(reply), "it lives at step {step}");
}

#[test]
fn datagrams_get_the_same_replies_from_a_daemon() {
    let corpus = packets();
    for datapath in DATAPATHS {
        let (daemon, _folder) = daemon(datapath);
        let socket = daemon.udp(V4);
        let mut expected = HashMap::new();
        fuzz(10, |step, dice| {
            let mut packet = a_packet(dice, &corpus);
            let id = ((step % BATCH) as u16).to_be_bytes();
            let id_len = packet.len().min(2);
            packet[..id_len].copy_from_slice(&id[..id_len]);
            socket.send(&packet).expect("sent");
            if let Some(reply) = bodies::reply(bodies::node(), false, &packet) {
                expected.insert(id, reply);
            }
            if (step + 1).is_multiple_of(BATCH) {
                settle(&socket, &mut expected);
            }
            if (step + 1).is_multiple_of(LIVENESS_EVERY) {
                assert_alive(&daemon, step);
            }
        });
        settle(&socket, &mut expected);
        assert_eq!(daemon.stop().0.code(), Some(0), "{datapath}");
    }
}

/// Reads the replies to a batch, up to that of a plain query behind it: they are those expected, each once.
/// Only errors may be missing, as there is a cap on them.
fn settle(socket: &UdpSocket, expected: &mut HashMap<[u8; 2], Vec<u8>>) {
    const LAST: [u8; 2] = [0xFF; 2];
    let mut last = common::query("1.1.168.192.in-addr.arpa", 12);
    last[..2].copy_from_slice(&LAST);
    socket.send(&last).expect("sent");
    let mut reply = [0; 4096];
    loop {
        let len = socket.recv(&mut reply).expect("a reply");
        let id = [reply[0], reply[1]];
        if id == LAST {
            break;
        }
        let expected = expected.remove(&id).expect("one reply to a query");
        assert_eq!(expected, reply[..len], "the daemon says otherwise");
    }
    for (_, missing) in expected.drain() {
        assert!(matches!(missing[3] & 0xF, 1 | 4), "no reply, but {missing:02x?} was expected");
    }
}

#[test]
fn streams_get_the_same_replies_from_a_daemon() {
    let corpus = packets();
    for datapath in DATAPATHS {
        let (daemon, _folder) = daemon(datapath);
        fuzz(100, |step, dice| {
            bodies::tcp_stream(&a_stream(dice, &corpus), daemon.address([V4, V6][(step % 2) as usize]));
            if (step + 1).is_multiple_of(LIVENESS_EVERY) {
                assert_alive(&daemon, step);
            }
        });
        assert_eq!(daemon.stop().0.code(), Some(0), "{datapath}");
    }
}

/// What a guest is fed: a hostcall with arguments that are small, large, or in the area; a verdict; bytes for
/// the area, among them replies that are nearly right.
fn fed(dice: &mut Dice) -> Vec<u8> {
    let mut fed: Vec<u8> = (0..256).map(|_| dice.roll() as u8).collect();
    for argument in fed[8..56].chunks_exact_mut(8) {
        let value = match dice.below(5) {
            0 => dice.below(300) as i64,
            1 => 2240 + dice.below(300) as i64,
            2 => -(dice.below(20) as i64),
            3 => 196_608 - dice.below(40) as i64,
            _ => continue,
        };
        argument.copy_from_slice(&value.to_le_bytes());
    }
    if !dice.once_in(4) {
        let verdict = dice.below(8) as u64 | if dice.once_in(2) { (dice.roll() & 0xFF) << 8 } else { 0 };
        fed[56..64].copy_from_slice(&verdict.to_le_bytes());
    }
    if !dice.once_in(3) {
        // A query and a reply with the right question, as long as they are.
        let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x011\x010\x0210\x07in-addr\x04arpa\0\0\x0c\0\x01";
        for at in [72, 136] {
            fed[at..at + query.len()].copy_from_slice(query);
        }
        let len = (query.len() as u32).to_le_bytes();
        fed[64..72].copy_from_slice(&[len, len].concat());
        if dice.once_in(2) {
            let at = 64 + dice.below(120);
            fed[at] = dice.roll() as u8;
        }
    }
    fed
}

#[test]
fn guests_do_what_they_want_and_nothing_comes_of_it() {
    let mut taken = 0;
    let steps = fuzz(10, |_, dice| taken += u64::from(guests::guest(&fed(dice))));
    assert_both_ways(taken, steps);
}

#[test]
fn modules_are_run_or_refused() {
    let texts = [
        include_str!("../guests/minimal.wat"),
        include_str!("../guests/hostile/header.wat"),
        include_str!("../guests/hostile/table.wat"),
        include_str!("../guests/hostile/hooks.wat"),
    ];
    let corpus = texts.map(|text| wat::parse_str(text).expect("a module"));
    fuzz(1000, |_, dice| {
        guests::guest(&mutated(dice, &corpus, &[]));
    });
}
