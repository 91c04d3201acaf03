//! The shape of a manifest, and every mistake in it.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value as Json};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

use super::EXAMPLE;
use crate::config::source::Source;
use crate::config::spec::read_as;
use crate::config::upstreams::Statement;
use crate::config::written::{Count, Given, Line, Mistake, Origin, Size, Time, Written, choice, octets};
use crate::limits::{
    APP_CONFIG_LEN_MAX, APP_FILES_MAX, APP_FORWARDS_MAX, APP_IN_FLIGHT, APP_IN_FLIGHT_MAX, APP_LOG_LINES,
    APP_LOG_LINES_MAX, APP_MEMORY_LEN, APP_MEMORY_LEN_CEILING, APP_MEMORY_LEN_FLOOR, APP_METRIC_LEN_MAX,
    APP_METRICS_MAX, APP_ORDER, APP_PURGES_MAX, APP_QUEUE, APP_RESTART, APP_RESTART_CEILING_MS,
    APP_RESTART_FLOOR_MS, APP_ROUTER_MAX, APP_SOCKETS_MAX, APP_TIME, APP_TIME_CEILING_MS, APP_TIME_FLOOR_MS,
    APP_UPSTREAMS, APP_UPSTREAMS_MAX, JOBS_RANGE, PLATFORM_NAME_LEN_MAX, SOCKET_PATH_LEN_MAX,
};
use crate::policy::phase::Phase;
use crate::policy::{Fallback, Phrase};
use crate::problem::Problem;
use crate::sys::files;
use crate::work::sandbox::abi::VERSION;
use crate::work::sandbox::settings::{Allow, Condition, Isolation, Limits, Manifest};
use crate::zone;

/// A manifest that was read.
pub(super) struct Read {
    pub(super) manifest: Manifest,
    /// Where its module is named.
    pub(super) module_place: String,
    /// What its module must be, as digits, and where that stands.
    pub(super) sha256: Option<(String, String)>,
    pub(super) forward: Vec<Phrase>,
    pub(super) resolve: Option<String>,
}

//------------ Values ---

#[derive(Clone, Debug)]
pub(super) struct Name(String);

impl Written for Name {
    const EXPECTED: &'static str = "a name such as \"filter\"";

    fn read(text: &str) -> Result<Self, String> {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if matches!(text, "none" | "other") {
            return Err(format!("`{text}` is what else is counted as; choose another name"));
        }
        let is_name = (1..=PLATFORM_NAME_LEN_MAX).contains(&text.len()) && text.chars().all(is_part);
        is_name.then(|| Self(text.to_owned())).ok_or_else(|| {
            format!(
                "`{text}` is not a name; give 1 to {PLATFORM_NAME_LEN_MAX} lower-case letters, digits or \
                 hyphens"
            )
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Abi;

impl Written for Abi {
    const EXPECTED: &'static str = "the version of the interface";
    const INTEGER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        if text == VERSION.to_string() {
            return Ok(Self);
        }
        Err(format!("this node has version {VERSION} of the interface, and not `{text}`"))
    }
}

#[derive(Clone, Debug)]
struct ModuleFile(PathBuf);

impl Written for ModuleFile {
    const EXPECTED: &'static str = "a file such as \"filter.wasm\"";

    fn read(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        if text.is_empty() || !is_inside {
            return Err(format!(
                "`{text}` is not a file in the directory of its manifest; give {}",
                Self::EXPECTED
            ));
        }
        Ok(Self(path))
    }
}

#[derive(Clone, Debug)]
struct Digest(String);

impl Written for Digest {
    const EXPECTED: &'static str = "64 hexadecimal digits, as sha256sum prints them";

    fn read(text: &str) -> Result<Self, String> {
        match octets(text.as_bytes()) {
            Some(bytes) if bytes.len() == 32 => Ok(Self(text.to_ascii_lowercase())),
            _ => Err(format!("`{text}` is not a SHA-256; give {}", Self::EXPECTED)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Order(i32);

impl Written for Order {
    const EXPECTED: &'static str = "a whole number";
    const INTEGER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("`{text}` is out of range; give {}", Self::EXPECTED))
    }
}

impl Written for Isolation {
    const EXPECTED: &'static str = "\"app\" or \"query\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("app", Self::App), ("query", Self::Query)])
    }
}

/// A phase in which an application may have hooks.
#[derive(Clone, Copy, Debug)]
struct HookPhase(Phase);

impl Written for HookPhase {
    const EXPECTED: &'static str = "\"request\", \"post-cache\", \"response\", \"reply\" or \"done\"";

    fn read(text: &str) -> Result<Self, String> {
        let found = Phase::ALL.into_iter().find(|phase| phase.name() == text);
        match found {
            Some(Phase::Route) => {
                Err("what it has of the phase `route` is its `router`; give another".to_owned())
            }
            Some(phase) => Ok(Self(phase)),
            None => Err(format!("`{text}` is not a phase; give {}", Self::EXPECTED)),
        }
    }
}

/// The shortest and the longest pause.
#[derive(Clone, Copy, Debug)]
struct Restart(Duration, Duration);

impl Written for Restart {
    const EXPECTED: &'static str = "two times such as \"1s..60s\"";

    fn read(text: &str) -> Result<Self, String> {
        type Pause = Time<APP_RESTART_FLOOR_MS, APP_RESTART_CEILING_MS>;
        let (shortest, longest) =
            text.split_once("..").ok_or_else(|| format!("`{text}` is not {}", Self::EXPECTED))?;
        let (Time(shortest), Time(longest)) = (Pause::read(shortest)?, Pause::read(longest)?);
        if shortest > longest {
            return Err(format!("`{text}` begins with the longer time; give the shorter one first"));
        }
        Ok(Self(shortest, longest))
    }
}

#[derive(Clone, Debug)]
struct Socket(PathBuf);

impl Written for Socket {
    const EXPECTED: &'static str = "a whole path such as \"/run/feed/feed.sock\"";

    fn read(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let is_plain =
            path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !path.is_absolute() || !is_plain || text.contains('\0') {
            return Err(format!("`{text}` is not {}", Self::EXPECTED));
        }
        if text.len() > SOCKET_PATH_LEN_MAX {
            return Err(format!(
                "`{text}` is longer than the {SOCKET_PATH_LEN_MAX} bytes of a socket's path"
            ));
        }
        Ok(Self(path))
    }
}

#[derive(Clone, Debug)]
struct Metric(String);

impl Written for Metric {
    const EXPECTED: &'static str = "a name such as \"blocked_total\"";

    fn read(text: &str) -> Result<Self, String> {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_name = (1..=APP_METRIC_LEN_MAX).contains(&text.len())
            && text.chars().all(is_part)
            && !text.starts_with(|c: char| c.is_ascii_digit());
        is_name.then(|| Self(text.to_owned())).ok_or_else(|| {
            format!(
                "`{text}` is not the name of a counter; give at most {APP_METRIC_LEN_MAX} lower-case \
                 letters, digits or underscores, a letter first"
            )
        })
    }
}

//------------ Keys ---

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a manifest")]
struct Spec {
    name: Option<Given<Name>>,
    #[serde(rename = "abi")]
    _abi: Option<Given<Abi>>,
    module: Option<Given<ModuleFile>>,
    sha256: Option<Given<Digest>>,
    router: Vec<Given<Statement>>,
    fallback_action: Given<Fallback>,
    order: Given<Order>,
    isolation: Given<Isolation>,
    phases: Vec<Given<HookPhase>>,
    limits: LimitsSpec,
    allow: AllowSpec,
    #[serde(rename = "config")]
    _config: Option<IgnoredAny>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            name: None,
            _abi: None,
            module: None,
            sha256: None,
            router: Vec::new(),
            fallback_action: Given::default(Fallback::default()),
            order: Given::default(Order(APP_ORDER)),
            isolation: Given::default(Isolation::default()),
            phases: vec![Given::default(HookPhase(Phase::Request))],
            limits: LimitsSpec::default(),
            allow: AllowSpec::default(),
            _config: None,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [limits] section")]
struct LimitsSpec {
    memory: Given<Size<APP_MEMORY_LEN_FLOOR, APP_MEMORY_LEN_CEILING>>,
    time: Given<Time<APP_TIME_FLOOR_MS, APP_TIME_CEILING_MS>>,
    #[serde(rename = "instances")]
    _instances: Option<Given<Count<1, 1>>>,
    in_flight: Given<Count<0, APP_IN_FLIGHT_MAX>>,
    queue: Given<Count<1, { *JOBS_RANGE.end() }>>,
    upstreams: Given<Count<0, APP_UPSTREAMS_MAX>>,
    log_lines: Given<Count<0, APP_LOG_LINES_MAX>>,
    restart: Given<Restart>,
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self {
            memory: Given::default(Size(APP_MEMORY_LEN)),
            time: Given::default(Time(APP_TIME)),
            _instances: None,
            in_flight: Given::default(Count(APP_IN_FLIGHT)),
            queue: Given::default(Count(APP_QUEUE)),
            upstreams: Given::default(Count(APP_UPSTREAMS)),
            log_lines: Given::default(Count(APP_LOG_LINES)),
            restart: Given::default(Restart(APP_RESTART.0, APP_RESTART.1)),
        }
    }
}

impl LimitsSpec {
    fn limits(self) -> Limits {
        let Restart(shortest, longest) = self.restart.value;
        Limits {
            memory: self.memory.value.0,
            time: self.time.value.0,
            in_flight: self.in_flight.value.0,
            queue: self.queue.value.0,
            upstreams: self.upstreams.value.0,
            log_lines: u32::try_from(self.log_lines.value.0).expect("its range ends at 1000"),
            restart: (shortest, longest),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [allow] section")]
struct AllowSpec {
    forward: Vec<Given<Line>>,
    resolve: Option<Spanned<bool>>,
    geo: bool,
    cache_purge: Vec<Given<Line>>,
    sockets: Vec<Given<Socket>>,
    metrics: Vec<Given<Metric>>,
    files: Vec<Given<Line>>,
    authoritative: bool,
}

//------------ Reading ---

/// Reads a manifest; files begin in `dir`, which it is of.
pub(super) fn read(source: &Source, dir: &Path) -> Result<Read, Vec<Problem>> {
    let (spec, mistakes) = read_as::<Spec>(&source.text, EXAMPLE);
    let mut reader = Reader { source, dir, mistakes };
    let read = reader.read(spec);
    let mut mistakes = reader.mistakes;
    if mistakes.is_empty() {
        return Ok(read);
    }
    mistakes.sort();
    Err(mistakes.iter().map(|mistake| source.problem(mistake)).collect())
}

struct Reader<'a> {
    source: &'a Source,
    dir: &'a Path,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn mistake(&mut self, origin: Origin, message: impl Into<String>) {
        self.mistakes.push(Mistake::new(origin, message));
    }

    /// Where a value stands; what was not given is of the whole file.
    fn place(&self, origin: Origin) -> String {
        match origin {
            Origin::Default => self.source.name.clone(),
            origin => self.source.place(origin),
        }
    }

    fn read(&mut self, spec: Spec) -> Read {
        let Spec { name, module, sha256, router, fallback_action, order, isolation, phases, .. } = spec;
        let Spec { limits, allow, .. } = spec;
        let (name, origin) = self.name(name);
        let at = module.as_ref().map_or(Origin::Default, |module| module.origin);
        let file = module.map_or_else(|| format!("{name}.wasm").into(), |module| module.value.0);
        let resolve = allow.resolve.as_ref().filter(|resolve| *resolve.get_ref());
        let resolve = resolve.map(|resolve| self.source.place(Origin::File(resolve.span().start)));
        self.few(&router, APP_ROUTER_MAX, "router", "conditions");
        let condition =
            |one: Given<Statement>| Condition { text: one.value.0, place: self.source.place(one.origin) };
        let router = router.into_iter().map(condition).collect();
        let files: Vec<String> = allow.files.iter().map(|file| file.value.0.clone()).collect();
        self.few(&allow.files, APP_FILES_MAX, "files", "files");
        let (allow, forward) = self.allow(allow);
        let config = self.config(&files);
        let mut phases: Vec<Phase> = phases.into_iter().map(|phase| phase.value.0).collect();
        phases.sort_unstable();
        phases.dedup();
        Read {
            manifest: Manifest {
                place: self.place(origin),
                name,
                module: self.dir.join(file),
                router,
                fallback: fallback_action.value,
                order: order.value.0,
                isolation: isolation.value,
                phases,
                limits: limits.limits(),
                allow,
                config,
            },
            module_place: self.place(at),
            sha256: sha256.map(|sha256| (sha256.value.0, self.source.place(sha256.origin))),
            forward,
            resolve,
        }
    }

    /// What it is called: as its directory is.
    fn name(&mut self, given: Option<Given<Name>>) -> (String, Origin) {
        // A directory that is named by a dot has a name all the same.
        let dir = std::path::absolute(self.dir).unwrap_or_else(|_| self.dir.to_owned());
        let dir = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match given {
            Some(Given { value: Name(name), origin }) => {
                if name != dir {
                    let message = format!("the directory is called `{dir}`; give both the same name");
                    self.mistake(origin, message);
                }
                (name, origin)
            }
            None => {
                if let Err(message) = Name::read(&dir) {
                    self.mistake(Origin::Default, format!("{message} to the directory"));
                }
                (dir, Origin::Default)
            }
        }
    }

    fn few<T>(&mut self, given: &[Given<T>], most: usize, key: &str, what: &str) {
        if let Some(one) = given.get(most) {
            self.mistake(one.origin, format!("`{key}` has more than {most} {what}; remove some"));
        }
    }

    fn once<T>(&mut self, given: &[Given<T>], text: impl Fn(&T) -> String) {
        let mut seen = BTreeSet::new();
        for Given { value, origin } in given {
            let text = text(value);
            if !seen.insert(text.clone()) {
                self.mistake(*origin, format!("`{text}` is listed twice; remove one"));
            }
        }
    }

    fn allow(&mut self, spec: AllowSpec) -> (Allow, Vec<Phrase>) {
        let AllowSpec { forward, resolve, geo, cache_purge, sockets, metrics, authoritative, .. } = spec;
        self.few(&forward, APP_FORWARDS_MAX, "forward", "entries");
        self.few(&cache_purge, APP_PURGES_MAX, "cache_purge", "names");
        self.few(&sockets, APP_SOCKETS_MAX, "sockets", "paths");
        self.few(&metrics, APP_METRICS_MAX, "metrics", "names");
        self.once(&forward, |text| text.0.clone());
        self.once(&metrics, |metric| metric.0.clone());
        self.once(&sockets, |path| path.0.display().to_string());
        let mut names = Vec::new();
        for Given { value, origin } in cache_purge {
            match zone::name_from_text(&value.0) {
                Ok(name) => names.push(name.as_wire().to_ascii_lowercase().into()),
                Err(message) => self.mistake(origin, message),
            }
        }
        let phrase =
            |one: &Given<Line>| Phrase { text: one.value.0.clone(), place: self.source.place(one.origin) };
        let phrases: Vec<Phrase> = forward.iter().map(phrase).collect();
        let allow = Allow {
            forward: forward.into_iter().map(|one| one.value.0).collect(),
            resolve: resolve.is_some_and(Spanned::into_inner),
            geo,
            cache_purge: names,
            sockets: sockets.into_iter().map(|one| one.value.0).collect(),
            metrics: metrics.into_iter().map(|one| one.value.0).collect(),
            authoritative,
        };
        (allow, phrases)
    }

    /// What the application gets, as JSON.
    fn config(&mut self, files: &[String]) -> Vec<u8> {
        // What is no TOML was told of.
        let (Ok(spans), Ok(values)) =
            (DeTable::parse(&self.source.text), self.source.text.parse::<toml::Table>())
        else {
            return Vec::new();
        };
        let spans = spans.into_inner();
        let (Some(values), Some(spans)) = (values.get("config"), spans.get("config")) else {
            return b"{}".to_vec();
        };
        let origin = Origin::File(spans.span().start);
        if !values.is_table() {
            self.mistake(origin, "`config` is not a section; write it as `[config]`, with keys of your own");
            return Vec::new();
        }
        let json = self.json(values, spans, files).to_string().into_bytes();
        if json.len() > APP_CONFIG_LEN_MAX {
            let message = format!(
                "has {} bytes as JSON, over the limit of {APP_CONFIG_LEN_MAX}; make it shorter",
                json.len()
            );
            self.mistake(origin, message);
        }
        json
    }

    fn json(&mut self, value: &Value, at: &Spanned<DeValue<'_>>, files: &[String]) -> Json {
        let origin = Origin::File(at.span().start);
        match value {
            Value::String(text) => match text.strip_prefix("file:") {
                Some(path) => Json::String(self.file(path, origin, files)),
                None => Json::String(text.clone()),
            },
            Value::Integer(number) => Json::from(*number),
            Value::Float(number) => serde_json::Number::from_f64(*number).map_or_else(
                || {
                    self.mistake(origin, format!("`{number}` cannot be said in JSON"));
                    Json::Null
                },
                Json::Number,
            ),
            Value::Boolean(is_so) => Json::Bool(*is_so),
            Value::Datetime(time) => Json::String(time.to_string()),
            Value::Array(values) => {
                let DeValue::Array(spans) = at.get_ref() else { return Json::Null };
                let pairs = values.iter().zip(spans.iter());
                Json::Array(pairs.map(|(value, at)| self.json(value, at, files)).collect())
            }
            Value::Table(values) => {
                let DeValue::Table(spans) = at.get_ref() else { return Json::Null };
                let mut map = Map::new();
                for (key, value) in values {
                    if let Some(at) = spans.get(key.as_str()) {
                        map.insert(key.clone(), self.json(value, at, files));
                    }
                }
                Json::Object(map)
            }
        }
    }

    /// The text of a file that `[allow] files` names.
    fn file(&mut self, path: &str, origin: Origin, files: &[String]) -> String {
        if !files.iter().any(|allowed| allowed == path) {
            let message = format!("`{path}` is not allowed to be read; list it in `files` of [allow]");
            self.mistake(origin, message);
            return String::new();
        }
        let read = files::read(&self.dir.join(path), APP_CONFIG_LEN_MAX as u64);
        let message = match read {
            Err(error) => format!("`{path}` cannot be read: {error}"),
            Ok(bytes) if bytes.len() > APP_CONFIG_LEN_MAX => {
                format!(
                    "`{path}` is longer than the {APP_CONFIG_LEN_MAX} bytes that an application can be given"
                )
            }
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => return text,
                Err(_) => format!("`{path}` is not UTF-8 text; save it as UTF-8"),
            },
        };
        self.mistake(origin, message);
        String::new()
    }
}
