//! What has been read of rules, before anything of the node is known.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::SocketAddr;

use ipnet::IpNet;

use super::phase::Phase;
use super::problems::Origin;
use super::rule::Route;
use super::tree::{At, Chosen, Cond, Doing};
use super::world::Guest;

/// The name of the upstream that is the resolver.
pub(super) const RESOLVER: &str = "resolver";

/// What has been read: a rule, a route, or what an application takes.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) origin: Origin<'a>,
    /// The text of the action; the same as that of the condition in a file.
    pub(super) action_origin: Origin<'a>,
    pub(super) name: At<String>,
    pub(super) at: usize,
    /// Any of these is to be true. Each has its text.
    pub(super) conds: Vec<(Origin<'a>, Cond)>,
    pub(super) doing: Doing,
    pub(super) options: Chosen,
    pub(super) of: Of<'a>,
}

/// What a draft was read of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of<'a> {
    /// A file of rules.
    File,
    /// A route of the configuration.
    Route(&'a Route),
    /// An application, which is asked in this phase.
    Guest(&'a Guest, Phase),
}

impl<'a> Of<'a> {
    /// The phase that it is of, whatever else could do what it does.
    pub(super) const fn only(self) -> Option<Phase> {
        match self {
            Self::File => None,
            Self::Route(_) => Some(Phase::Route),
            Self::Guest(_, phase) => Some(phase),
        }
    }

    pub(super) fn allow(self) -> Option<&'a [IpNet]> {
        match self {
            Self::Route(route) if !route.allow.is_empty() => Some(&route.allow),
            _ => None,
        }
    }
}

/// What an upstream is called that a rule names by its servers.
pub(super) fn unnamed(servers: &[SocketAddr]) -> String {
    servers.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
}
