//! What the application is given: its rules, and what of the node they may speak of.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::json::Value;
use crate::policy::upstream::Upstream;
use crate::policy::{Policy, Series, Source, World};
use crate::problem::Problem;

/// The port of a server that is named without one.
const PORT: u16 = 53;
/// What mistakes call rules that are given without a name.
const RULES: &str = "rules";

/// What was given.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Texts of rules, each with what mistakes call it.
    pub(crate) files: Vec<(String, String)>,
    /// What the application may ask, in the order of its manifest, as the manifest has it.
    pub(crate) forward: Vec<String>,
    colo: String,
    name: String,
    listeners: Vec<SocketAddr>,
    upstreams: Vec<String>,
    has_resolver: bool,
    has_databases: bool,
}

impl Setup {
    /// Reads the configuration.
    pub(crate) fn read(config: &str) -> Result<Self, Problem> {
        let config = Value::read(config).ok_or_else(|| Problem::plain("the configuration is not JSON"))?;
        let node = config.get("node").ok_or_else(|| {
            Problem::plain("the configuration has no `node`, with which the host says where this is")
        })?;
        let text = |key: &str| node.get(key).and_then(Value::text).unwrap_or_default().into();
        let texts = |key: &str| -> Vec<String> {
            let list = node.get(key).and_then(Value::list).unwrap_or_default();
            list.iter().filter_map(Value::text).map(String::from).collect()
        };
        let is = |key: &str| node.get(key) == Some(&Value::Bool(true));
        let rules = config.get("rules").ok_or_else(|| {
            Problem::plain("`[config] rules` is missing: `rules = \"file:override.rules\"` names a file")
        })?;
        Ok(Self {
            files: files(rules)?,
            forward: texts("forward"),
            colo: text("colo"),
            name: text("node"),
            listeners: texts("listeners").iter().filter_map(|text| text.parse().ok()).collect(),
            upstreams: texts("upstreams"),
            has_resolver: is("resolver"),
            has_databases: is("databases"),
        })
    }

    /// Compiles the rules as the node would.
    pub(crate) fn compile(&self) -> Result<Policy, Vec<Problem>> {
        let named = |name: &String| Upstream::of_servers(name.clone(), Vec::new());
        let upstreams: Vec<Upstream> = self.upstreams.iter().map(named).collect();
        let world = World {
            colo: &self.colo,
            node: &self.name,
            listeners: &self.listeners,
            upstreams: &upstreams,
            guests: &[],
            resolver: self.has_resolver.then(|| Upstream::of_servers(String::new(), Vec::new())),
            series: Series::default(),
            has_databases: self.has_databases,
        };
        let sources: Vec<Source<'_>> =
            self.files.iter().map(|(path, text)| Source { path, text }).collect();
        Policy::compile(&sources, &[], &world)
    }

    /// The place in `[allow] forward` of an upstream that is configured, or of a server.
    pub(crate) fn place(&self, wanted: &str) -> Option<usize> {
        let server = address(wanted);
        self.forward.iter().position(|known| known == wanted || server.is_some() && address(known) == server)
    }
}

/// An address, with a port or without.
pub(crate) fn address(text: &str) -> Option<SocketAddr> {
    let ip = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    text.parse().or(ip).ok()
}

/// A text, several, or several with their names.
fn files(rules: &Value) -> Result<Vec<(String, String)>, Problem> {
    let wrong = || Problem::plain("`[config] rules` is a file, or a list of files");
    let text = |value: &Value| value.text().map(String::from).ok_or_else(wrong);
    match rules {
        Value::Text(one) => Ok(Vec::from([(RULES.into(), one.clone())])),
        Value::List(list) => {
            (1..).zip(list).map(|(at, value)| Ok((format!("{RULES} {at}"), text(value)?))).collect()
        }
        Value::Map(entries) => entries.iter().map(|(name, value)| Ok((name.clone(), text(value)?))).collect(),
        _ => Err(wrong()),
    }
}
