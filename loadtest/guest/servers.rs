//! Servers that answer the same for AS112's zones: our node by itself, by an application, dnsdist by Lua; and
//! our node with applications that mean no good.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use as112d::serve::snapshot::Snapshot;

use super::super::common::daemon::{V4, free_port, program};
use super::super::common::{ask, folder, guest, node, open_up, query, udp, wire_name};
use super::super::forward::servers::{Server, dnsdist_at};
use super::super::queries::ZONES;
use super::super::tools::find;
use super::super::{Outcome, fail};

/// The type that queries ask for.
pub const PTR: u16 = 12;

/// Applications that loop, trap, take all memory, hold queries for ever and flood the log.
pub const HOSTILE: [(&str, &str); 5] = [
    ("loop", include_str!("../../guests/hostile/loop.wat")),
    ("unreachable", include_str!("../../guests/hostile/unreachable.wat")),
    ("memory", include_str!("../../guests/hostile/memory.wat")),
    ("later", include_str!("../../guests/hostile/later.wat")),
    ("log", include_str!("../../guests/hostile/log.wat")),
];
/// What makes dnsdist use recvmmsg and sendmmsg.
const BATCH: &str = "setUDPMultipleMessagesVectorSize(32)\n";
/// One that answers.
const HARMLESS: &str = include_str!("../../guests/minimal.wat");

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Our node, on the shard.
    Native,
    /// Our node: guests/as112 in a worker.
    Guest,
    /// dnsdist with as112.lua, and else as it is by default.
    Dnsdist,
    /// The same, which takes as many queries at a time as there are, as our datapaths do.
    DnsdistBatches,
    /// Our node, with the hostile applications, each for names below `NAME.test`.
    Hostile,
    /// The same, with a harmless one in place of each.
    Harmless,
}

impl Subject {
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "as112d, native",
            Self::Guest => "as112d, guest",
            Self::Dnsdist => "dnsdist, Lua FFI",
            Self::DnsdistBatches => "dnsdist, Lua FFI, batches",
            Self::Hostile => "as112d, next to hostile guests",
            Self::Harmless => "as112d, next to harmless guests",
        }
    }

    pub fn is_there(self) -> bool {
        !self.is_dnsdist() || find("dnsdist").is_some()
    }

    fn is_dnsdist(self) -> bool {
        matches!(self, Self::Dnsdist | Self::DnsdistBatches)
    }

    /// Starts it on a CPU, and waits until it answers.
    ///
    /// # Errors
    /// It does not start or answer.
    pub fn start(self, cpu: usize) -> Outcome<Server> {
        let dir = folder();
        let address = SocketAddr::new(V4, free_port());
        let conf = dir.path().join("conf");
        let path = conf.display().to_string();
        let (text, words) = if self.is_dnsdist() {
            let dnsdist = find("dnsdist").ok_or("dnsdist is not installed")?.display().to_string();
            let batch = if self == Self::DnsdistBatches { BATCH } else { "" };
            let text = dnsdist_at(address) + batch + &lua()?;
            (text, vec![dnsdist, "--supervised".to_owned(), "-C".to_owned(), path])
        } else {
            let program = program().display().to_string();
            let listen = address.to_string();
            let words = ["--listen", &listen, "--shards", "1", "--http", "off", "--control", "off"];
            let words = [&[&program, "run", "--config", &path], &words[..]].concat();
            (self.applications(dir.path())?, words.into_iter().map(str::to_owned).collect())
        };
        fs::write(&conf, text)?;
        open_up(dir.path());
        Server::spawn(&words, dir, address, cpu)
    }

    /// Writes its applications; gives the configuration for them.
    fn applications(self, dir: &Path) -> Outcome<String> {
        let install = |name: &str, manifest: &str, module: &[u8]| -> Outcome<()> {
            let app = dir.join("apps.d").join(name);
            fs::create_dir_all(&app)?;
            fs::write(app.join("app.toml"), manifest)?;
            fs::write(app.join(format!("{name}.wasm")), module)?;
            open_up(&dir.join("apps.d"));
            open_up(&app);
            Ok(())
        };
        match self {
            Self::Guest => {
                let manifest = fs::read_to_string(guest::dir("as112").join("app.toml"))?;
                // Its addresses are not this host's.
                let here = manifest.replace("192.31.196.0/24", "127.0.0.0/8");
                if here == manifest {
                    return fail("guests/as112/app.toml is not as it was");
                }
                install("as112", &here, &guest::module("as112"))?;
            }
            Self::Hostile | Self::Harmless => {
                for (name, hostile) in HOSTILE {
                    let manifest = format!(
                        "router = ['qname-suffix = {name}.test']\nfallback_action = 'refuse'\n\
                         [limits]\nrestart = '1s..1s'\n"
                    );
                    let text = if self == Self::Hostile { hostile } else { HARMLESS };
                    install(name, &manifest, &wat::parse_str(text)?)?;
                }
            }
            _ => return Ok(String::new()),
        }
        Ok("[platform]\nworkers = 1\n".to_owned())
    }
}

/// as112.lua with a table of the zones, made of what our code says.
fn lua() -> Outcome<String> {
    let judge = node(&[]);
    let mut text = "local zones = {\n".to_owned();
    for (zone, _) in ZONES {
        let [one, two] = ["x", "xx"].map(|label| records(&judge, &format!("{label}.{zone}")));
        // Whatever points somewhere points one byte further below the longer name, and nothing else differs.
        let pointers: Vec<String> =
            (0..one.len()).filter(|&at| one[at] != two[at]).map(|at| at.to_string()).collect();
        if one.len() != two.len() || pointers.is_empty() {
            return fail(format!("{zone}: {one:02x?} and {two:02x?} are not alike"));
        }
        let (name, records) = (hex(&wire_name(zone)), hex(&one));
        let _ = writeln!(text, "  ['{name}'] = {{ '{records}', {{ {} }} }},", pointers.join(", "));
    }
    Ok(text + "}\n" + include_str!("as112.lua"))
}

/// What follows the question in a reply.
fn records(judge: &Snapshot, name: &str) -> Vec<u8> {
    let query = query(name, PTR);
    ask(judge, &udp(), &query).expect("a query gets a reply")[query.len()..].to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "{byte:02x}");
        all
    })
}
