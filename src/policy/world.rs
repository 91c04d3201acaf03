//! What rules are made from: their files, and what they may speak of.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::phase::Phase;
use super::rule::Fallback;
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
    /// Applications. The first is "none", where there are any.
    pub apps: Vec<String>,
}

/// A text that somebody has written, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    /// The text.
    pub text: String,
    /// What mistakes call the place.
    pub place: String,
}

/// An application, as far as it concerns rules: by its router it is a rule of the phase `route`, and by each
/// of its hooks one of a later phase. They come after all others, in the order of applications.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guest {
    /// What it is called, and so are its rules.
    pub name: String,
    /// Where that stands.
    pub place: String,
    /// Which queries it takes on the shard: those for which any of these is true.
    pub router: Vec<Phrase>,
    /// In which phases it is asked besides, and about which queries.
    pub hooks: Vec<(Phase, Phrase)>,
    /// What happens when it cannot be asked.
    pub fallback: Fallback,
    /// Jobs of each thread that answers, at most.
    pub queue: usize,
    /// Upstreams that it may ask: names of configured ones, or addresses.
    pub forward: Vec<Phrase>,
    /// Where it says that it asks the resolver, if it does.
    pub resolve: Option<String>,
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
    /// The applications, by their numbers.
    pub guests: &'a [Guest],
    /// The resolver, if there is one.
    pub resolver: Option<Upstream>,
    /// What is counted by name already.
    pub series: Series,
    /// There are databases that say where addresses are.
    pub has_databases: bool,
}
