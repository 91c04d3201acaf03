//! Files and routes become a [`Policy`]; every mistake in them is found.

use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use ipnet::IpNet;

use super::build::{Asking, build};
use super::check::{Wrong, names_clients, phases, says_for_whom};
use super::compiled::Policy;
use super::draft::{Draft, Of, RESOLVER, unnamed};
use super::expr::Expr;
use super::guests;
use super::language::{ActionId, Kind};
use super::lower::{Known, Lowering, app, upstream};
use super::parse;
use super::phase::Phase;
use super::problems::{Origin, line_starts};
use super::rule::{Action, Route, Rule, RuleId};
use super::tree::{Argument, At, Cond, Mistake};
use super::upstream::{Choose, Ecs, Over, Upstream, UpstreamId};
use super::values;
use super::world::{Series, Source, World};
use crate::dns::consts::rcode;
use crate::limits::{
    APP_SERIES_MAX, PHASE_RULES_MAX, ROUTE_RULES_MAX, RULE_PROBLEMS_MAX, RULE_SERIES_MAX, SERVER_SERIES_MAX,
    TAGS_MAX,
};
use crate::problem::Problem;
use crate::stats::app_labels::APP_NONE;
use crate::stats::labels::RULE_NONE;

impl Policy {
    /// Compiles rules and routes: files in their order, then routes.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn compile(files: &[Source<'_>], routes: &[Route], world: &World<'_>) -> Result<Self, Vec<Problem>> {
        compile(files, routes, world)
    }
}

fn compile(files: &[Source<'_>], routes: &[Route], world: &World<'_>) -> Result<Policy, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut drafts = Vec::new();
    let of_files: Vec<_> = files.iter().map(|file| line_starts(file.text)).collect();
    let of_routes: Vec<_> =
        routes.iter().map(|route| [&route.when, &route.then].map(|text| line_starts(text))).collect();
    let of_guests: Vec<_> = world.guests.iter().map(guests::lines).collect();
    for (file, lines) in files.iter().zip(&of_files) {
        read_file(Origin { path: file.path, text: file.text, lines, key: None }, &mut drafts, &mut problems);
    }
    for (route, lines) in routes.iter().zip(&of_routes) {
        read_route(route, lines, &mut drafts, &mut problems);
    }
    for (guest, lines) in world.guests.iter().zip(&of_guests) {
        guests::read(guest, lines, &mut drafts, &mut problems);
    }
    names_differ(&drafts, &mut problems);
    let mut upstreams = upstreams(&drafts, world);
    let forwards = guests::forwards(world, &mut upstreams, &mut problems);
    let known = Known {
        colo: world.colo,
        node: world.node,
        listeners: world.listeners,
        upstreams: upstreams.iter().map(|upstream| upstream.name.clone()).collect(),
        apps: world.guests.iter().map(|guest| guest.name.clone()).collect(),
        tags: tags(&drafts, &mut problems),
        has_databases: world.has_databases,
    };
    let mut lowering = Lowering::default();
    let (mut rules, mut asking) = (Vec::new(), Vec::new());
    for draft in &drafts {
        match draft.lowered(&mut lowering, &known, world) {
            Ok((rule, asked)) => {
                let id = rules.len() as RuleId;
                asking.extend(asked.into_iter().map(|(phase, expr)| Asking { rule: id, phase, expr }));
                rules.push(rule);
            }
            Err(mistakes) => problems.extend(mistakes),
        }
    }
    few_enough(&asking, &rules, &mut problems);
    if !problems.is_empty() {
        problems.truncate(RULE_PROBLEMS_MAX);
        return Err(problems);
    }
    let (series, labels, app_labels) =
        count_by_name(&mut rules, &upstreams, &known.apps, world.series.clone());
    let resolver = world.resolver.as_ref().map(|_| world.upstreams.len() as UpstreamId);
    let is_unended = |file: &&Source<'_>| !file.text.is_empty() && !file.text.ends_with('\n');
    let built = build(&rules, &asking, lowering, world.listeners);
    Ok(Policy {
        listed: drafts.iter().map(Draft::listed).collect(),
        tags: known.tags,
        apps: known.apps,
        forwards,
        app_labels,
        rules,
        upstreams,
        resolver,
        series,
        labels,
        engine: built.engine,
        folded: built.folded,
        unended: files.iter().filter(is_unended).map(|file| file.path.to_owned()).collect(),
    })
}

fn read_file<'a>(origin: Origin<'a>, drafts: &mut Vec<Draft<'a>>, problems: &mut Vec<Problem>) {
    let (rules, mistakes) = parse::rules(origin.text);
    problems.extend(mistakes.iter().map(|mistake| origin.problem(mistake)));
    let file_name = origin.path.rsplit('/').next().unwrap_or(origin.path);
    drafts.extend(rules.into_iter().map(|rule| {
        let line = origin.line_and_column(rule.at).0;
        let name = rule.name.unwrap_or_else(|| At { at: rule.at, it: format!("{file_name}:{line}") });
        let (conds, doing, options) = (vec![(origin, rule.cond)], rule.doing, rule.options);
        Draft { origin, action_origin: origin, name, at: rule.at, conds, doing, options, of: Of::File }
    }));
}

fn read_route<'a>(
    route: &'a Route,
    lines: &'a [Vec<usize>; 2],
    drafts: &mut Vec<Draft<'a>>,
    problems: &mut Vec<Problem>,
) {
    let origin = |key, text, lines| Origin { path: &route.place, text, lines, key: Some(key) };
    let (when, then) = (origin("when", &*route.when, &*lines[0]), origin("then", &*route.then, &*lines[1]));
    let cond = parse::condition(&route.when).map_err(|mistake| problems.push(when.problem(&mistake)));
    let action = parse::action(&route.then).map_err(|mistake| problems.push(then.problem(&mistake)));
    let name = origin("name", &*route.name, &[]);
    let is_named = values::rule_name(&route.name, 0).map_err(|mistake| problems.push(name.problem(&mistake)));
    let (Ok(cond), Ok((doing, options)), Ok(name)) = (cond, action, is_named) else { return };
    if let Some(fallback) = &options.fallback {
        let mistake = Mistake::new(fallback.at, "the fallback of a route is its `fallback_action`");
        problems.push(then.problem(&mistake));
        return;
    }
    let name = At { at: 0, it: name };
    drafts.push(Draft {
        origin: when,
        action_origin: then,
        name,
        at: 0,
        conds: vec![(when, cond)],
        doing,
        options,
        of: Of::Route(route),
    });
}

fn names_differ(drafts: &[Draft<'_>], problems: &mut Vec<Problem>) {
    let mut places: BTreeMap<&str, String> = BTreeMap::new();
    for draft in drafts {
        // All rules of an application have its name.
        let place = match draft.of {
            Of::Guest(guest, _) => guest.place.clone(),
            _ => draft.origin.place(draft.name.at),
        };
        match places.get(&*draft.name.it) {
            Some(first) if *first == place && matches!(draft.of, Of::Guest(..)) => {}
            Some(first) => {
                let message = format!("the name `{}` is taken by the rule at {first}", draft.name.it);
                problems.push(Problem { place, message });
            }
            None => drop(places.insert(&draft.name.it, place)),
        }
    }
}

/// Those that are configured, the resolver, and those that rules name by address.
fn upstreams(drafts: &[Draft<'_>], world: &World<'_>) -> Vec<Upstream> {
    let mut upstreams = world.upstreams.to_vec();
    upstreams
        .extend(world.resolver.clone().map(|resolver| Upstream { name: RESOLVER.to_owned(), ..resolver }));
    for draft in drafts {
        if let Argument::Servers(servers) = &draft.doing.argument.it {
            let name = unnamed(servers);
            if upstreams.iter().all(|upstream| upstream.name != name) {
                upstreams.push(Upstream::of_servers(name, servers.clone()));
            }
        }
    }
    upstreams
}

impl Upstream {
    /// One that has only servers, and the defaults of the configuration.
    #[must_use]
    pub fn of_servers(name: String, servers: Vec<SocketAddr>) -> Self {
        Self {
            name,
            servers,
            over: Over::Udp,
            choose: Choose::default(),
            timeout: Duration::from_millis(400),
            tries: 3,
            explore: 0.02,
            case_randomization: true,
            cookies: true,
            ecs: Ecs::default(),
        }
    }
}

/// The tags that rules set, by their bits.
fn tags(drafts: &[Draft<'_>], problems: &mut Vec<Problem>) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for draft in drafts {
        if let (ActionId::Tag, Argument::Name(tag)) = (draft.doing.id, &draft.doing.argument.it)
            && !tags.contains(tag)
        {
            if tags.len() == TAGS_MAX {
                let message = format!("there are more than {TAGS_MAX} tags");
                problems.push(draft.action_origin.problem(&Mistake::new(draft.doing.at, message)));
                return tags;
            }
            tags.push(tag.clone());
        }
    }
    tags
}

fn few_enough(asking: &[Asking], rules: &[Rule], problems: &mut Vec<Problem>) {
    for phase in Phase::ALL {
        let most = if phase == Phase::Route { ROUTE_RULES_MAX } else { PHASE_RULES_MAX };
        if let Some(first_over) = asking.iter().filter(|asking| asking.phase == phase).nth(most) {
            let message = format!(
                "there are more than {most} rules in the phase `{}`; one can list many names and networks",
                phase.name()
            );
            let place = rules[usize::from(first_over.rule)].place.clone();
            problems.push(Problem { place, message });
        }
    }
}

/// Gives rules, servers and applications their labels: those that have one keep it.
fn count_by_name(
    rules: &mut [Rule],
    upstreams: &[Upstream],
    apps: &[String],
    mut series: Series,
) -> (Series, Vec<Vec<u8>>, Vec<u8>) {
    let place = |names: &mut Vec<String>, name: &str, most: usize| {
        names.iter().position(|known| known == name).unwrap_or_else(|| {
            if names.len() < most {
                names.push(name.to_owned());
                return names.len() - 1;
            }
            most
        }) as u8
    };
    if !rules.is_empty() {
        place(&mut series.rules, RULE_NONE, RULE_SERIES_MAX);
    }
    for rule in rules {
        rule.label = place(&mut series.rules, &rule.name, RULE_SERIES_MAX);
    }
    let mut labels = Vec::new();
    for upstream in upstreams {
        let name = |server: &SocketAddr| format!("{}/{server}", upstream.name);
        let servers = upstream.servers.iter();
        let of_server = |server| place(&mut series.servers, &name(server), SERVER_SERIES_MAX);
        labels.push(servers.map(of_server).collect());
    }
    if !apps.is_empty() {
        place(&mut series.apps, APP_NONE, APP_SERIES_MAX);
    }
    let app_labels = apps.iter().map(|app| place(&mut series.apps, app, APP_SERIES_MAX)).collect();
    (series, labels, app_labels)
}

/// A rule, and where it is asked what.
type Lowered = (Rule, Vec<(Phase, Expr)>);

impl Draft<'_> {
    /// How many names and networks it lists.
    fn listed(&self) -> [usize; 2] {
        let mut listed = [0, self.of.allow().map_or(0, <[IpNet]>::len)];
        for (_, cond) in &self.conds {
            cond.each(&mut |test| match test.field.row().kind {
                Kind::Name => listed[0] += test.values.len(),
                Kind::Network => listed[1] += test.values.len(),
                _ => {}
            });
        }
        listed
    }

    /// The rule, and where it is asked what.
    fn lowered(
        &self,
        lowering: &mut Lowering,
        known: &Known<'_>,
        world: &World<'_>,
    ) -> Result<Lowered, Vec<Problem>> {
        let action = self.action(known, world);
        let action = action.map_err(|mistake| vec![self.action_origin.problem(&mistake)])?;
        let (mut asked, mut problems): (Vec<(Phase, Vec<Expr>)>, _) = (Vec::new(), Vec::new());
        for (origin, cond) in &self.conds {
            match self.asked(lowering, known, origin, cond) {
                Ok(of_cond) => of_cond.into_iter().for_each(|(phase, expr)| {
                    match asked.iter_mut().find(|(known, _)| *known == phase) {
                        Some((_, exprs)) => exprs.push(expr),
                        None => asked.push((phase, vec![expr])),
                    }
                }),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let any = |mut exprs: Vec<Expr>| if exprs.len() == 1 { exprs.remove(0) } else { Expr::Or(exprs) };
        let asked: Vec<_> = asked.into_iter().map(|(phase, exprs)| (phase, any(exprs))).collect();
        let timeout = self.options.timeout.map(Duration::from_micros);
        let chosen = self.options.fallback.as_ref().map(|chosen| chosen.it);
        let (fallback, share) = match self.of {
            Of::File => (chosen.unwrap_or_default(), None),
            Of::Route(route) => (route.fallback, None),
            Of::Guest(guest, _) => (guest.fallback, u32::try_from(guest.queue).ok()),
        };
        let rule = Rule {
            name: self.name.it.clone(),
            place: self.origin.place(self.at),
            phase: asked.first().map_or(Phase::Route, |(phase, _)| *phase),
            action,
            fallback,
            timeout,
            log: self.options.log,
            dry_run: self.options.dry_run,
            label: 0,
            share,
            is_for_all: !asked.iter().any(|(_, expr)| names_clients(expr, &lowering.terms)),
        };
        Ok((rule, asked))
    }

    /// Where one of its conditions is asked.
    fn asked(
        &self,
        lowering: &mut Lowering,
        known: &Known<'_>,
        origin: &Origin<'_>,
        cond: &Cond,
    ) -> Result<Vec<(Phase, Expr)>, Problem> {
        let in_cond = |mistake: Mistake| origin.problem(&mistake);
        let mut expr = lowering.cond(cond, known).map_err(in_cond)?;
        if let Some(allow) = self.of.allow() {
            expr = Expr::And(vec![lowering.allowed(allow, 0).map_err(in_cond)?, expr]);
        }
        let terms = &lowering.terms;
        let wrong = |wrong: Wrong| {
            let origin = if wrong.in_action { &self.action_origin } else { origin };
            origin.problem(&wrong.mistake)
        };
        let asked = phases(cond, &expr, terms, &self.doing, self.of.only()).map_err(wrong)?;
        let is_route = matches!(self.of, Of::Route(_));
        says_for_whom(&asked, terms, &self.doing, is_route).map_err(wrong)?;
        Ok(asked)
    }

    fn action(&self, known: &Known<'_>, world: &World<'_>) -> Result<Action, Mistake> {
        let At { at, it: argument } = &self.doing.argument;
        let upstream_id = |name: &str| upstream(name, *at, &known.upstreams).map(|id| id as UpstreamId);
        Ok(match (self.doing.id, argument) {
            (ActionId::Native, _) => Action::Native,
            (ActionId::Answer, Argument::Code(code)) => Action::Answer(*code),
            (ActionId::Answer | ActionId::Refuse, _) => Action::Answer(rcode::REFUSED.into()),
            (ActionId::Drop, _) => Action::Drop,
            (ActionId::Truncate, _) => Action::Truncate,
            (ActionId::Resolve, _) if world.resolver.is_none() => {
                let message = "there is no resolver: `[resolver]` says where one is, or starts it";
                return Err(Mistake::new(self.doing.at, message));
            }
            (ActionId::Resolve, _) => Action::Resolve,
            (ActionId::CacheOnly, _) => Action::CacheOnly,
            (ActionId::Pass, _) => Action::Pass,
            (ActionId::NoStore, _) => Action::NoStore,
            (ActionId::Forward, Argument::Name(name)) => Action::Forward(upstream_id(name)?),
            (ActionId::Forward, Argument::Servers(servers)) => {
                Action::Forward(upstream_id(&unnamed(servers))?)
            }
            (ActionId::Divert, Argument::Servers(servers)) => Action::Divert(upstream_id(&unnamed(servers))?),
            (ActionId::Retry, Argument::Name(name)) => Action::Retry(upstream_id(name)?),
            (ActionId::App, Argument::Name(name)) => Action::App(app(name, *at, &known.apps)? as u16),
            (ActionId::Tag, Argument::Name(name)) => {
                Action::Tag(known.tags.iter().position(|tag| tag == name).unwrap_or_default() as u8)
            }
            (ActionId::Forward | ActionId::Divert | ActionId::Retry | ActionId::App | ActionId::Tag, _) => {
                return Err(Mistake::new(*at, "the action is not whole"));
            }
        })
    }
}
