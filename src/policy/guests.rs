//! What applications are among rules: a rule of the phase `route` for a router, and one for each hook.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::check::{Wrong, phases};
use super::draft::{Draft, Of, RESOLVER, unnamed};
use super::language::ActionId;
use super::lower::{Known, Lowering, upstream};
use super::parse;
use super::phase::Phase;
use super::problems::{Origin, line_starts};
use super::tree::{Argument, At, Chosen, Doing, Mistake};
use super::upstream::{Upstream, UpstreamId};
use super::values;
use super::world::{Guest, Phrase, World};
use crate::problem::Problem;

/// Where the lines of each text of an application begin: of its router, then of its hooks.
pub(super) fn lines(guest: &Guest) -> Vec<Vec<usize>> {
    let hooks = guest.hooks.iter().map(|(_, phrase)| phrase);
    guest.router.iter().chain(hooks).map(|phrase| line_starts(&phrase.text)).collect()
}

/// Reads what an application takes.
pub(super) fn read<'a>(
    guest: &'a Guest,
    lines: &'a [Vec<usize>],
    drafts: &mut Vec<Draft<'a>>,
    problems: &mut Vec<Problem>,
) {
    let (of_router, of_hooks) = lines.split_at_checked(guest.router.len()).unwrap_or_default();
    let mut conds = Vec::new();
    let before = problems.len();
    for (phrase, lines) in guest.router.iter().zip(of_router) {
        let origin = origin(phrase, lines, "router");
        match parse::condition(origin.text) {
            Ok(cond) => conds.push((origin, cond)),
            Err(mistake) => problems.push(origin.problem(&mistake)),
        }
    }
    if problems.len() == before && !conds.is_empty() {
        drafts.push(draft(guest, Phase::Route, conds));
    }
    for ((phase, phrase), lines) in guest.hooks.iter().zip(of_hooks) {
        let origin = origin(phrase, lines, "hook");
        match parse::condition(origin.text) {
            Ok(cond) => drafts.push(draft(guest, *phase, vec![(origin, cond)])),
            Err(mistake) => problems.push(origin.problem(&mistake)),
        }
    }
}

fn origin<'a>(phrase: &'a Phrase, lines: &'a [usize], key: &'static str) -> Origin<'a> {
    Origin { path: &phrase.place, text: &phrase.text, lines, key: Some(key) }
}

fn draft<'a>(guest: &'a Guest, phase: Phase, conds: Vec<(Origin<'a>, super::tree::Cond)>) -> Draft<'a> {
    let origin = conds.first().map_or_else(
        || Origin { path: &guest.place, text: "", lines: &[], key: Some("router") },
        |(origin, _)| *origin,
    );
    let name = At { at: 0, it: guest.name.clone() };
    Draft {
        origin,
        action_origin: origin,
        doing: doing(&guest.name),
        name,
        at: 0,
        conds,
        options: Chosen::default(),
        of: Of::Guest(guest, phase),
    }
}

fn doing(name: &str) -> Doing {
    Doing { id: ActionId::App, at: 0, argument: At { at: 0, it: Argument::Name(name.to_owned()) } }
}

/// What each application may ask, by name or by address. Servers that nobody has named before are put into
/// `upstreams`.
pub(super) fn forwards(
    world: &World<'_>,
    upstreams: &mut Vec<Upstream>,
    problems: &mut Vec<Problem>,
) -> Vec<Vec<UpstreamId>> {
    let named: Vec<String> = world.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
    let mut forwards = Vec::new();
    for guest in world.guests {
        let ids = guest.forward.iter().filter_map(|phrase| {
            let origin = origin(phrase, &[], "forward");
            let id = of_forward(&phrase.text, &named, upstreams);
            id.map_err(|mistake| problems.push(origin.problem(&mistake))).ok()
        });
        forwards.push(ids.collect());
        if let (Some(place), None) = (&guest.resolve, &world.resolver) {
            let message = "there is no resolver: `[resolver]` of the configuration says where one is, or \
                           starts it";
            problems.push(Problem { place: place.clone(), message: message.to_owned() });
        }
    }
    forwards
}

/// The id of an upstream that an application names.
fn of_forward(text: &str, named: &[String], upstreams: &mut Vec<Upstream>) -> Result<UpstreamId, Mistake> {
    // Names of upstreams may have dots, but an address is no name that anybody gives.
    let Ok(server) = values::server(text, 0) else {
        return upstream(text, 0, named).map(|id| id as UpstreamId);
    };
    if let Some(id) = named.iter().position(|name| name == text) {
        return Ok(id as UpstreamId);
    }
    let name = unnamed(&[server]);
    let known = upstreams.iter().position(|upstream| upstream.name == name);
    Ok(known.unwrap_or_else(|| {
        upstreams.push(Upstream::of_servers(name, vec![server]));
        upstreams.len() - 1
    }) as UpstreamId)
}

/// Whether a condition is right for a hook in a phase.
///
/// # Errors
/// Where it is not, as a column from 1, and why.
pub fn check_hook(world: &World<'_>, phase: Phase, text: &str) -> Result<(), (usize, String)> {
    let lines = line_starts(text);
    let origin = Origin { path: "", text, lines: &lines, key: None };
    let told = |mistake: Mistake| {
        let column = text.get(..mistake.at).map_or(1, |before| before.chars().count() + 1);
        (column, origin.problem(&mistake).message)
    };
    let cond = parse::condition(text).map_err(told)?;
    let named = world.upstreams.iter().map(|upstream| upstream.name.clone());
    let resolver = world.resolver.as_ref().map(|_| RESOLVER.to_owned());
    let known = Known {
        colo: world.colo,
        node: world.node,
        listeners: world.listeners,
        upstreams: named.chain(resolver).collect(),
        apps: world.guests.iter().map(|guest| guest.name.clone()).collect(),
        tags: Vec::new(),
        has_databases: world.has_databases,
    };
    let mut lowering = Lowering::default();
    let expr = lowering.cond(&cond, &known).map_err(told)?;
    let asked = phases(&cond, &expr, &lowering.terms, &doing(""), Some(phase));
    asked.map(drop).map_err(|Wrong { mistake, .. }| told(mistake))
}
