//! Golden cases: a query and what it gets, as a file that people read and `UPDATE=1` rewrites.
//!
//! ```text
//! why: NXDOMAIN for every name below an empty zone (RFC 2308, section 3)
//! config: default                       the file of that name in tests/golden; this one if none is named
//! pace: slip                            what a rate limit has for it over UDP: slip, drop, dry-run, exempt
//! peer-port: 53                         the UDP source port; `peer: 127.0.0.1:5300` gives the address too
//! counters: queries{direct,ipv4} ...    what moves, each by 1; `counters udp:` and `counters tcp:`, too
//!
//! query
//!   1234 0100 0001 0000 0000 0000       the language of `packet`
//!
//! reply                                 `reply udp` and `reply tcp` where they differ
//!   ...                                 or `drop`
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use as112d::config::answers::{CookieMode, CookieSettings};
use as112d::config::loaded::compile;
use as112d::config::{self, Flags};
use as112d::dns::arrival::{Arrival, Pace, Transport};
use as112d::dns::consts::opcode;
use as112d::limits::{QUERY_LEN_MAX, SLOT_PAYLOAD_LEN, TCP_REPLY_LEN_MAX};
use as112d::serve::snapshot::Snapshot;
use as112d::serve::{Verdict, native, serve};
use as112d::stats::account::Account;
use as112d::stats::counters::{Counters, FAMILIES, Family, Totals};
use as112d::stats::labels::Names;

use super::guest::{self, Guest};
use super::order::Facts;
use super::packet;

/// Columns of the lines that are written.
const LINE_LEN_MAX: usize = 110;

/// When queries come in this process: the time of RFC 9018, appendix A.1.
const UNIX_TIME: u32 = 1_559_731_985;

/// UDP and TCP, as arrays over the two have them.
pub const DOORS: [&str; 2] = ["udp", "tcp"];

/// A node in this process.
pub struct Node {
    pub snapshot: Snapshot,
    pub facts: Facts,
    /// In tests of guests: whatever the node is asked, `guests/as112` is asked too.
    pub guest: Option<Guest>,
}

/// A reply, or none, and the counters that moved.
pub type Outcome = (Option<Vec<u8>>, BTreeSet<String>);

impl Node {
    /// The node that `tests/golden/NAME.toml` describes.
    pub fn load(name: &str) -> Self {
        let module = if guest::IS_BESIDE { guest::module("as112") } else { Vec::new() };
        Self::beside(name, &module)
    }

    /// The same, beside another module.
    pub fn beside(name: &str, module: &[u8]) -> Self {
        let path = config_path(name);
        let told = |problems: Vec<as112d::problem::Problem>| -> ! {
            panic!("{name}: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        };
        let config = config::load(Some(&path), &Flags::default()).unwrap_or_else(|problems| told(problems));
        let (zones, snapshot) = compile(&config, &Names::default()).unwrap_or_else(|problems| told(problems));
        let guest = guest::IS_BESIDE.then(|| Guest::new(&config, &zones, module));
        let facts = Facts {
            zones: zones.zones.iter().map(|zone| zone.apex_wire().to_ascii_lowercase()).collect(),
            edns_udp_size: config.edns_udp_size,
            nsid: config.nsid,
            tells_version: config.version_txt.is_some(),
            update: config.update,
            cookies: (config.cookies.mode == CookieMode::On).then(|| secrets(&config.cookies)),
            listeners: config.listen,
            reads_subnets: snapshot.tailor().is_some(),
        };
        Self { snapshot, facts, guest }
    }

    /// What `packet` gets, in a slot that holds `filler` where the packet does not reach.
    pub fn ask(&self, arrival: &Arrival, packet: &[u8], filler: u8) -> Outcome {
        let mut slot = Vec::new();
        let counters = Counters::default();
        let (len, account) = self.serve_in(&mut slot, arrival, packet, filler);
        let reply = len.map(|len| slot[..len].to_vec());
        account.post(reply.as_deref(), &counters);
        (reply, moved(&counters, self.snapshot.names()))
    }

    /// As [`ask`](Self::ask) for callers with many packets: gives the length of the reply in `slot`.
    ///
    /// # Panics
    /// When a packet without a reply has no reason, or one with a reply has one.
    pub fn ask_in(&self, slot: &mut Vec<u8>, arrival: &Arrival, packet: &[u8]) -> Option<usize> {
        let (len, account) = self.serve_in(slot, arrival, packet, 0xEE);
        let may_lack_reply = account.dropped.is_some() || account.opcode == opcode::UPDATE;
        assert!(len.is_some() || may_lack_reply, "{account:?}");
        assert!(len.is_none() || account.dropped.is_none(), "{account:?}");
        len
    }

    fn serve_in(
        &self,
        slot: &mut Vec<u8>,
        arrival: &Arrival,
        packet: &[u8],
        filler: u8,
    ) -> (Option<usize>, Account) {
        // Of a packet that is too long a transport keeps one byte more than may be read.
        let len = packet.len().min(QUERY_LEN_MAX + 1);
        let slot_len = match arrival.transport {
            Transport::Udp => SLOT_PAYLOAD_LEN,
            Transport::Tcp { .. } => TCP_REPLY_LEN_MAX,
        };
        slot.resize(slot_len, 0);
        slot[..len].copy_from_slice(&packet[..len]);
        // Nobody looks far behind a query: that much is enough to be led astray by.
        slot[len..(len + 300).min(slot_len)].fill(filler);
        let mut account = Account::default();
        let len = match serve(&self.snapshot, arrival, slot, len, &mut account) {
            Verdict::Reply(len) => Some(len),
            Verdict::Drop | Verdict::HandOff(_) => None,
        };
        if let Some(len) = len
            && self.snapshot.policy().is_free(arrival.listener)
        {
            self.answer_without_shortcut(arrival, packet, slot.len(), &slot[..len], &account);
        }
        if let Some(guest) = &self.guest {
            guest.compare(
                &self.snapshot,
                arrival,
                &packet[..packet.len().min(QUERY_LEN_MAX + 1)],
                len.map(|len| &slot[..len]),
            );
        }
        (len, account)
    }

    /// What answers usual queries in one pass says what is said to all others, and counts the same.
    fn answer_without_shortcut(
        &self,
        arrival: &Arrival,
        packet: &[u8],
        slot_len: usize,
        reply: &[u8],
        account: &Account,
    ) {
        let packet = &packet[..packet.len().min(QUERY_LEN_MAX + 1)];
        let (mut slot, mut other) = (vec![0xEE; slot_len], Account::default());
        slot[..packet.len()].copy_from_slice(packet);
        let verdict = native(&self.snapshot, arrival, &mut slot, packet.len(), &mut other);
        assert_eq!((verdict, &slot[..reply.len()]), (Verdict::Reply(reply.len()), reply), "{packet:02x?}");
        let counted = |account: &Account| {
            let (counters, mut totals) = (Counters::default(), Totals::default());
            assert!(account.post(Some(reply), &counters) || account.is_probe);
            counters.read(&mut totals);
            totals
        };
        assert!(!other.is_usual);
        assert_eq!(counted(account), counted(&other), "{packet:02x?}");
        assert_eq!(format!("{:?}", Account { is_usual: false, ..*account }), format!("{other:?}"));
    }
}

/// The secrets of cookies, the current one first.
fn secrets(settings: &CookieSettings) -> Vec<u128> {
    let path = settings.secrets.as_ref().expect("cookies have secrets");
    let text = fs::read_to_string(path).expect("it was read before");
    let digits = text.lines().filter(|line| !line.starts_with('#'));
    digits.map(|digits| u128::from_str_radix(digits, 16).expect("hexadecimal digits")).collect()
}

fn pace(word: &str) -> Option<Pace> {
    Some(match word {
        "slip" => Pace::Slip,
        "drop" => Pace::Drop,
        "dry-run" => Pace::DryRun,
        "exempt" => Pace::Exempt,
        _ => return None,
    })
}

/// The folder of the cases.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

pub fn config_path(name: &str) -> PathBuf {
    root().join(format!("{name}.toml"))
}

/// One case.
#[derive(Debug)]
pub struct Case {
    pub path: PathBuf,
    pub config: String,
    /// Where the query comes from, when that matters.
    pub peer: Option<SocketAddr>,
    /// What a rate limit has for it over UDP.
    pub pace: Pace,
    /// The names of the counters that move, by door.
    pub counters: [BTreeSet<String>; 2],
    pub query: Vec<u8>,
    /// The keys but for the counters, and the text of the query.
    head: (String, String),
    /// The text of the replies as it stands in the file.
    replies: String,
}

impl Case {
    /// All cases, in the order of their paths.
    pub fn all() -> Vec<Self> {
        let mut cases: Vec<Self> = files_below(&root())
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
            .map(|path| {
                let text = fs::read_to_string(&path).expect("the file was listed");
                Self::parse(path.clone(), &text)
                    .unwrap_or_else(|reason| panic!("{}: {reason}", path.display()))
            })
            .collect();
        cases.sort_by(|a, b| a.path.cmp(&b.path));
        cases
    }

    fn parse(path: PathBuf, text: &str) -> Result<Self, String> {
        let replies_at = text.find("\nreply").map_or(text.len(), |at| at + 1);
        let (head, replies) = text.split_at(replies_at);
        let (keys, query) = head.split_once("\nquery\n").ok_or("there is no query")?;
        let other_keys: Vec<&str> =
            keys.lines().filter(|line| !line.is_empty() && !line.starts_with("counters")).collect();
        let mut case = Self {
            path,
            config: "default".to_owned(),
            peer: None,
            pace: Pace::Within,
            counters: Default::default(),
            query: packet::read(query)?,
            head: (other_keys.join("\n"), query.trim_end().to_owned()),
            replies: replies.to_owned(),
        };
        let mut has_reason = false;
        for line in keys.lines().filter(|line| !line.is_empty()) {
            let (key, value) = line.split_once(": ").ok_or_else(|| format!("`{line}` has no key"))?;
            let names = || value.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
            match key {
                "why" => has_reason = value.contains("RFC"),
                "config" => value.clone_into(&mut case.config),
                "peer-port" => {
                    let port: u16 = value.parse().map_err(|_| format!("`{value}` is no port"))?;
                    case.peer = Some(SocketAddr::from(([127, 0, 0, 1], port)));
                }
                "peer" => case.peer = Some(value.parse().map_err(|_| format!("`{value}` is no peer"))?),
                "pace" => case.pace = pace(value).ok_or_else(|| format!("`{value}` is no pace"))?,
                "counters" => case.counters.iter_mut().for_each(|counters| counters.extend(names())),
                "counters udp" => case.counters[0].extend(names()),
                "counters tcp" => case.counters[1].extend(names()),
                _ => return Err(format!("unknown key `{key}`")),
            }
        }
        match case.counters.iter().any(BTreeSet::is_empty) {
            _ if !has_reason => Err("`why:` names no RFC".to_owned()),
            true => Err("no counters are named".to_owned()),
            false => Ok(case),
        }
    }

    /// The case's name: its path below the folder.
    pub fn name(&self) -> String {
        self.path.strip_prefix(root()).expect("it was found there").display().to_string()
    }

    /// How the query comes in by each door.
    pub fn arrivals(&self) -> [Arrival; 2] {
        let local = SocketAddr::from(([127, 0, 0, 1], 5300));
        let peer = self.peer.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 40_000)));
        [Transport::Udp, Transport::Tcp { keepalive: 100 }].map(|transport| Arrival {
            transport,
            peer,
            local,
            listener: 0,
            unix_time: UNIX_TIME,
            pace: if transport == Transport::Udp { self.pace } else { Pace::Within },
        })
    }

    /// What the query gets by each door.
    pub fn outcomes(&self, node: &Node) -> [Outcome; 2] {
        self.arrivals().map(|arrival| {
            let outcome = node.ask(&arrival, &self.query, 0);
            let other = node.ask(&arrival, &self.query, 0xFF);
            assert_eq!(outcome.0, other.0, "{}: what lies behind the packet is believed", self.name());
            outcome
        })
    }

    /// Holds the case against `outcomes`; with `update` it is rewritten where its replies differ.
    ///
    /// # Errors
    /// Every difference, for people to read.
    pub fn check(&self, outcomes: &[Outcome; 2], update: bool) -> Result<(), String> {
        let mut wrong = String::new();
        let replies = reply_blocks(outcomes);
        let moved = outcomes.each_ref().map(|(_, moved)| moved);
        let is_same = replies == self.replies && moved == self.counters.each_ref();
        if !is_same && update {
            let (keys, query) = &self.head;
            let text = format!("{keys}\n{}\n\nquery\n{query}\n\n{replies}", counter_lines(outcomes));
            fs::write(&self.path, text).expect("the file can be written");
            return Ok(());
        }
        if replies != self.replies {
            wrong += &difference(&self.replies, &replies);
        }
        for ((door, named), moved) in DOORS.iter().zip(&self.counters).zip(moved) {
            if moved != named {
                wrong += &format!("counters {door}: {moved:?} moved by 1 or more, {named:?} must by 1\n");
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n{wrong}", self.name())) }
    }
}

/// The names of the counters that moved; one that moved by more than 1 with its count.
fn moved(counters: &Counters, names: &Names) -> BTreeSet<String> {
    let mut totals = Totals::default();
    counters.read(&mut totals);
    let of_family = |family: &'static Family| {
        let moved = family.of(&totals).iter().enumerate().filter(|(_, count)| **count > 0);
        moved.map(|(at, count)| match count {
            1 => series(family, at, names),
            more => format!("{}*{more}", series(family, at, names)),
        })
    };
    FAMILIES.iter().flat_map(of_family).collect()
}

/// A counter as `family{values}`, in short: the transport goes without saying, as each door has its own.
pub fn series(family: &Family, offset: usize, names: &Names) -> String {
    let name = family.name.trim_start_matches("as112_").trim_end_matches("_total");
    let labels = family.labels.iter().zip(family.values(offset));
    let values: Vec<String> = labels
        .filter(|(label, _)| label.name != "transport")
        .map(|(label, value)| names.value(label, value))
        .collect();
    if values.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", values.join(",")) }
}

/// The lines that name counters, as many to a line as fit.
fn counter_lines(outcomes: &[Outcome; 2]) -> String {
    let [(_, udp), (_, tcp)] = outcomes;
    let lines = |key: &str, names: &BTreeSet<String>| {
        let mut lines = vec![format!("{key}:")];
        for name in names {
            if lines[lines.len() - 1].len() + name.len() >= LINE_LEN_MAX {
                lines.push(format!("{key}:"));
            }
            let last = lines.len() - 1;
            lines[last] += &format!(" {name}");
        }
        lines.join("\n")
    };
    if udp == tcp {
        return lines("counters", udp);
    }
    format!("{}\n{}", lines("counters udp", udp), lines("counters tcp", tcp))
}

/// The end of a case file.
fn reply_blocks(outcomes: &[Outcome; 2]) -> String {
    let block = |title: &str, (reply, _): &Outcome| {
        let text = reply.as_ref().map_or_else(|| "drop\n".to_owned(), |reply| packet::dissect(reply));
        text.lines().fold(format!("{title}\n"), |block, line| format!("{block}  {line}\n"))
    };
    let [udp, tcp] = outcomes;
    if udp.0 == tcp.0 {
        return block("reply", udp);
    }
    format!("{}\n{}", block("reply udp", udp), block("reply tcp", tcp))
}

/// All lines of both texts: those that only the old one has with `-`, those that only the new one has with
/// `+`.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // The most lines that the rest of the old text and the rest of the new one have in common.
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for (i, j) in (0..old.len()).rev().flat_map(|i| (0..new.len()).rev().map(move |j| (i, j))) {
        let skipped = common[i + 1][j].max(common[i][j + 1]);
        common[i][j] = if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { skipped };
    }
    let mut out = String::new();
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            out += &format!("  {}\n", old[i]);
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            out += &format!("- {}\n", old[i]);
            i += 1;
        } else {
            out += &format!("+ {}\n", new[j]);
            j += 1;
        }
    }
    out + "UPDATE=1 writes what stands with +\n"
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}
