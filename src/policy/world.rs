//! What rules are made from: their files, and what they may speak of.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::upstream::Upstream;

/// A file of rules.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What mistakes call it.
    pub path: &'a str,
    /// What it holds.
    pub text: &'a str,
}

/// What is counted by name, in the order of the counters: it keeps its place over reloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Rules and routes. The first is "none", where there are any.
    pub rules: Vec<String>,
    /// Servers: the upstream's name, a slash, the address.
    pub servers: Vec<String>,
}

/// What rules may speak of.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// The location of the node.
    pub colo: &'a str,
    /// Its name.
    pub node: &'a str,
    /// The addresses that it listens on, in the order of `Facts::listener`.
    pub listeners: &'a [SocketAddr],
    /// What is configured.
    pub upstreams: &'a [Upstream],
    /// The names of applications.
    pub apps: &'a [String],
    /// The resolver, if there is one.
    pub resolver: Option<Upstream>,
    /// What is counted by name already.
    pub series: Series,
    /// There are databases that say where addresses are.
    pub has_databases: bool,
}
