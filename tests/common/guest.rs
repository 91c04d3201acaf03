//! `guests/as112`, asked about whatever a node in this process is asked about: both must say the same.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use as112d::config::apps::{self, Described};
use as112d::config::loaded::compile;
use as112d::config::{self, Config, Flags};
use as112d::dns::arrival::Arrival;
use as112d::dns::consts::{HEADER_LEN, class};
use as112d::limits::TCP_REPLY_LEN_MAX;
use as112d::log::Log;
use as112d::policy::facts::Later;
use as112d::policy::phase::Phase;
use as112d::policy::{Fallback, Route};
use as112d::serve::snapshot::Snapshot;
use as112d::serve::{Made, Verdict, answer_code, complete, serve};
use as112d::stats::account::Account;
use as112d::stats::labels::Names;
use as112d::stats::ledger::{Ledger, LedgerSettings, Stream, ledger};
use as112d::work::Places;
use as112d::work::sandbox::call::{Call, Called};
use as112d::work::sandbox::{App, Apps, Engine, Sandbox, Tools};
use as112d::zone::{Identity, Service, ZoneSet};
use serde_json::json;
use tempfile::TempDir;

/// The directory of a sample.
pub fn dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(name)
}

/// The committed module of a sample.
pub fn module(name: &str) -> Vec<u8> {
    let path = dir(name).join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A sample as its directory describes it.
pub fn described(name: &str) -> Described {
    apps::read(&dir(name)).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Whether nodes of this program have `guests/as112` beside them.
pub const IS_BESIDE: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"guests");

/// The configuration of golden cases in which an application does not say what the node says: nobody knows
/// for whom its answer holds, and SCOPE is SOURCE.
pub const NARROWS: &str = "clients";

/// A directory with the configuration `tests/golden/NAME.toml` and `guests/as112`, which has all queries but
/// those for the operator's own zones; and the path of the configuration.
pub fn node_with_app(name: &str) -> (TempDir, PathBuf) {
    let folder = super::folder();
    let golden = super::golden::root();
    let text = std::fs::read_to_string(super::golden::config_path(name)).expect("the file is there");
    std::fs::copy(golden.join("cookies.secrets"), folder.path().join("cookies.secrets")).expect("copied");
    let has_zones = text.contains("dir = \"zones\"");
    let text = text.replace("dir = \"zones\"", &format!("dir = {:?}", golden.join("zones")));
    let path = folder.path().join("as112d.toml");
    std::fs::write(&path, text).expect("written");
    let zones = std::fs::read_dir(golden.join("zones")).expect("the folder is there");
    let zones = zones.map(|file| file.expect("it can be read").path().with_extension(""));
    let own: Vec<String> =
        zones.map(|path| path.file_name().expect("a file").to_string_lossy().into_owned()).collect();
    let router =
        if has_zones { format!("not qname-suffix in {{ {} }}", own.join(" ")) } else { "any".to_owned() };
    let config = config::load(Some(&path), &Flags::default()).expect("it is sound");
    let app = folder.path().join("apps.d/as112");
    std::fs::create_dir_all(&app).expect("written");
    let manifest = json!({
        "abi": 1,
        "router": [router],
        "fallback_action": "fail",
        "allow": { "authoritative": true },
        "config": identity(&config.zones.identity),
    });
    let manifest = toml::to_string(&manifest).expect("it has no null");
    std::fs::write(app.join("app.toml"), manifest).expect("written");
    std::fs::write(app.join("as112.wasm"), module("as112")).expect("written");
    super::open_up(&folder.path().join("apps.d"));
    super::open_up(&app);
    (folder, path)
}

/// What a node said of the application in its metrics: replies that it made, and failures.
pub fn counted(metrics: &str) -> (u64, u64) {
    let sum = |part: &str| {
        let lines = metrics.lines().filter(|line| line.starts_with("as112_") && line.contains(part));
        let counts = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        counts.sum::<u64>()
    };
    let failures = ["guest_traps_total{", "guest_replies_bad_total{", "verdict=\"fail\""].map(sum);
    (sum("verdict=\"reply\"") + sum("verdict=\"rcode\""), failures.iter().sum())
}

/// What the application has in its `[config]` to say what this node says.
fn identity(identity: &Identity) -> serde_json::Value {
    let pairs = [
        ("node", json!(identity.node)),
        ("facility", json!(identity.facility)),
        ("location", json!(identity.location)),
        ("loc", json!(identity.loc)),
        ("extra_txt", json!(identity.extra_txt)),
        ("unique_ip", json!(identity.unique_ip)),
        ("hostname_soa_mname", json!(identity.hostname_soa_mname)),
        ("hostname_soa_rname", json!(identity.hostname_soa_rname)),
    ];
    pairs
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// One sandbox with the application, beside a node.
pub struct Guest(RefCell<State>);

struct State {
    sandbox: Sandbox,
    apps: Arc<Apps>,
    ledger: Ledger,
    _stream: Stream,
    /// The node with a rule that takes every query: those that it hands over are those that applications see.
    twin: Snapshot,
    /// Zones that are the operator's, of which the application knows nothing.
    own: Vec<Vec<u8>>,
    out: Vec<u8>,
    /// Queries that it has answered, and those that it has left to the node.
    answered: u64,
    passed: u64,
}

impl Guest {
    /// The application that says what the node of this configuration says, from this module.
    pub fn new(config: &Config, zones: &ZoneSet, module: &[u8]) -> Self {
        let mut config = config.clone();
        config.routes.push(Route {
            name: "all".to_owned(),
            when: "any".to_owned(),
            then: "divert 192.0.2.1:53".to_owned(),
            allow: Vec::new(),
            fallback: Fallback::Fail,
            place: String::new(),
        });
        let (_, twin) = compile(&config, &Names::default()).expect("a route more is no mistake");
        let Described { mut manifest, .. } = described("as112");
        manifest.config = identity(&config.zones.identity).to_string().into_bytes();
        let app = App::load(&Engine::new(), manifest, module, &mut |_, _| Ok(()));
        let app = app.unwrap_or_else(|problems| panic!("{problems:?}"));
        let apps = Arc::new(Apps { apps: vec![Arc::new(app)] });
        let (mut ledger, stream) = ledger(&LedgerSettings::default());
        let mut sandbox = Sandbox::new(Tools { places: Places::default(), log: Log::silent() });
        sandbox.refresh(&apps, Instant::now(), &mut ledger);
        let own = zones.zones.iter().filter(|zone| zone.service == Service::Configured);
        Self(RefCell::new(State {
            sandbox,
            apps,
            ledger,
            _stream: stream,
            twin,
            own: own.map(|zone| zone.apex_wire().to_ascii_lowercase()).collect(),
            out: vec![0; TCP_REPLY_LEN_MAX],
            answered: 0,
            passed: 0,
        }))
    }

    /// Asks the application too, if it sees this query, and holds what the client would get against what the
    /// node says.
    pub fn compare(&self, node: &Snapshot, arrival: &Arrival, packet: &[u8], native: Option<&[u8]>) {
        let mut state = self.0.borrow_mut();
        let State { sandbox, apps, ledger, twin, own, out, answered, passed, .. } = &mut *state;
        out[..packet.len()].copy_from_slice(packet);
        let handed_over = serve(twin, arrival, out, packet.len(), &mut Account::default());
        if !matches!(handed_over, Verdict::HandOff(_)) {
            return;
        }
        let name_end = HEADER_LEN + as112d::dns::name::Walk::new(packet, HEADER_LEN).expect("parsed").len();
        let name = packet[HEADER_LEN..name_end].to_ascii_lowercase();
        let is_below = |zone: &Vec<u8>| name.ends_with(zone) && is_boundary(&name, name.len() - zone.len());
        let qclass = u16::from_be_bytes([packet[name_end + 2], packet[name_end + 3]]);
        if qclass == class::IN && own.iter().any(is_below) {
            return;
        }
        let now = Instant::now();
        let call = Call {
            app: 0,
            phase: Phase::Request,
            token: 1,
            rule: 0,
            query: packet,
            arrival,
            reply: &[],
            later: Later::default(),
            deadline: now + Duration::from_secs(2),
            is_traced: false,
        };
        let called = sandbox.call(apps, &call, now, ledger);
        ledger.end_batch();
        let len = match called {
            // Only what the server says of itself is left to it.
            Called::Pass if qclass == class::CH => {
                *passed += 1;
                return;
            }
            Called::Reply => {
                let reply = sandbox.reply();
                let rcode = u16::from(reply[3] & 0xF);
                let made = Made { message: reply, rcode, error: None, knows_subnet: true };
                complete(node, arrival, packet, &made, out)
            }
            Called::Code(rcode, error) => answer_code(node, arrival, packet, rcode, error, out),
            other => panic!("{other:?} of {packet:02x?}"),
        };
        *answered += 1;
        assert_eq!(native, Some(&out[..len]), "{packet:02x?} from {arrival:?}");
    }

    /// Queries that it has answered, and those that it has left to the node.
    pub fn asked(&self) -> (u64, u64) {
        let state = self.0.borrow();
        (state.answered, state.passed)
    }
}

/// Whether a label begins there.
fn is_boundary(name: &[u8], at: usize) -> bool {
    let mut label = 0;
    while label < at {
        label += 1 + usize::from(name[label]);
    }
    label == at
}
