//! What the daemon runs with: options of the command line before the file, the file before the defaults.
//!
//! A [`Config`] that exists is consistent. Whatever is wrong is reported at once, each mistake with its place
//! and what to do, because fixing one mistake per restart means a longer outage.

pub mod announce;
pub mod answers;
pub mod apps;
pub mod beacons;
pub mod certificates;
mod clients;
pub mod confine;
pub mod cpus;
pub mod doors;
pub mod listen;
pub mod loaded;
pub mod logs;
mod maps;
pub mod platform;
mod pools;
pub mod pops;
pub mod rules;
mod shown;
mod source;
mod spec;
pub mod upstreams;
pub mod written;
pub mod xdp;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value, json};
use toml::Spanned;

use crate::announce::Settings as AnnounceSettings;
use crate::limits::{ALLOWED_HOSTS_MAX, DATABASES_MAX, DRAIN_TIME, IDENTITY_LIST_MAX, NSID_LEN_MAX};
use crate::log;
use crate::net::DatapathChoice;
use crate::net::tcp::TcpSettings;
use crate::policy::Route;
use crate::policy::upstream::Upstream;
use crate::problem::Problem;
use crate::report::export;
use crate::serve::networks::Networks;
use crate::serve::snapshot::IdentityZone;
use crate::serve::{UpdatePolicy, limiter};
use crate::tailor;
use crate::work::cache;
use crate::zone::{self, ZoneEntry, ZoneOptions, ZoneSource};

use answers::CookieSettings;
use beacons::Beacons;
use confine::Wants;
use cpus::BusyPoll;
pub use cpus::{CpuList, Cpus, Shards, Steer};
use doors::{ControlPath, HttpListen, NodeView};
use listen::Listen;
use logs::{Dnstap, QueryLog};
use platform::{Platform, Trace};
use pops::Pop;
pub use shown::{Wanted, show};
use source::Source;
use spec::Spec;
use written::{Given, Line, Mistake, Origin, Template, Text, Written as _};
use xdp::{InterfaceName, XdpSettings, XdpSpec};

/// What the daemon runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen: at least one address, none of which covers another.
    pub listen: Vec<SocketAddr>,
    /// How many shards.
    pub shards: Shards,
    /// The CPUs to pin shards to; with `None` no shard is pinned.
    pub cpus: Option<Cpus>,
    /// Which shard gets a datagram.
    pub steer: Steer,
    /// Microseconds for which a shard polls the NIC before it sleeps; 0 for not at all.
    pub busy_poll: usize,
    /// How datagrams are received and sent.
    pub datapath: DatapathChoice,
    /// Largest UDP reply, in bytes.
    pub edns_udp_size: u16,
    /// User to run as once the sockets are open; with `None` the first user of
    /// [`process`](crate::sys::confine::process) that exists.
    pub user: Option<String>,
    /// Receive buffer of each UDP socket, in bytes.
    pub rcvbuf: usize,
    /// Send buffer of each UDP socket, in bytes.
    pub sndbuf: usize,
    /// Who this node is.
    pub identity: zone::Identity,
    /// What the NSID option says (RFC 5001): 1 to [`NSID_LEN_MAX`] bytes.
    pub nsid: Vec<u8>,
    /// What version.bind says; `None` for nothing.
    pub version_txt: Option<String>,
    /// Which zones to serve; with the identity, for their hostname zones.
    pub zones: ZoneOptions,
    /// Bounds of TCP.
    pub tcp: TcpSettings,
    /// What dynamic updates get.
    pub update: UpdatePolicy,
    /// Networks that get nothing.
    pub drop: Vec<IpNet>,
    /// DNS cookies.
    pub cookies: CookieSettings,
    /// The rate limit of each network; `None` where it is off.
    pub rate_limit: Option<limiter::Settings>,
    /// PoPs, in the order of those of `tailoring`.
    pub pops: Vec<Pop>,
    /// Which PoP a client gets.
    pub tailoring: tailor::spec::Spec,
    /// Names that say who asks, if there are any.
    pub identity_zone: Option<IdentityZone>,
    /// Beacons, if they are wanted.
    pub beacons: Option<Beacons>,
    /// Workers, and the rules that hand queries over to them.
    pub platform: Platform,
    /// What the cache keeps.
    pub cache: cache::Settings,
    /// Who is asked for what rules forward.
    pub upstreams: Vec<Upstream>,
    /// Rules of the configuration file itself.
    pub routes: Vec<Route>,
    /// Who resolves, if anybody does.
    pub resolver: Option<platform::Resolver>,
    /// Which queries are traced; `None` for nobody to tell.
    pub trace: Option<Trace>,
    /// Where statistics and health are served.
    pub http: HttpListen,
    /// Where the public page alone is.
    pub http_public: HttpListen,
    /// Who may see the operator's view.
    pub node_view: NodeView,
    /// Names by which the operator's listener is reached.
    pub allowed_hosts: Vec<String>,
    /// The directory of the history; `None` for memory.
    pub history: Option<PathBuf>,
    /// One query in so many is sampled for its source.
    pub sample_every: NonZeroU32,
    /// Databases that map a source to its country and AS.
    pub databases: Vec<PathBuf>,
    /// Files for other programs.
    pub export: export::Settings,
    /// How the process is confined.
    pub confine: Wants,
    /// What is logged, and where.
    pub log: log::Settings,
    /// The query log, if one is wanted.
    pub query_log: Option<QueryLog>,
    /// dnstap, if somebody gets it.
    pub dnstap: Option<Dnstap>,
    /// What is answered in the driver.
    pub xdp: XdpSettings,
    /// Where the node is controlled.
    pub control: ControlPath,
    /// Minimum time for which a draining node keeps answering.
    pub drain_time: Duration,
    /// What `as112d announce` announces; `None` without a router.
    pub announce: Option<AnnounceSettings>,
}

impl Config {
    /// What is done about forged sources, for `status`.
    #[must_use]
    pub fn limiting(&self) -> Value {
        let rate_limit = self.rate_limit.as_ref().map(|limit| {
            json!({
                "queries_per_second": limit.per_second,
                "dry_run": limit.dry_run,
                "slip": limit.slip,
                "ipv4_prefix": limit.ipv4_prefix,
                "ipv6_prefix": limit.ipv6_prefix,
                "exempt": limit.exempt.len(),
            })
        });
        let cookies = self.cookies.mode.name();
        json!({ "cookies": cookies, "rate_limit": rate_limit, "drop": self.drop.len() })
    }

    /// What an operator should know of, though it is not a mistake.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let drop = Networks::new(&self.drop);
        let own = self.listen.iter().filter(|listener| drop.contains(listener.ip()));
        let own = own.map(|listener| {
            let ip = listener.ip();
            format!("[server] drop has {ip}, which this node listens on: its own probes get no response")
        });
        own.chain(self.cookies.note()).chain(clients::notes(&self.tailoring)).collect()
    }
}

/// Options of the command line that replace what the file says.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// Addresses, which replace all of the file.
    pub listen: Vec<Listen>,
    /// How many shards.
    pub shards: Option<Shards>,
    /// The CPUs to pin shards to.
    pub cpus: Option<Cpus>,
    /// Which shard gets a datagram.
    pub steer: Option<Steer>,
    /// Microseconds of polling before a shard sleeps.
    pub busy_poll: Option<BusyPoll>,
    /// How datagrams are received and sent.
    pub datapath: Option<DatapathChoice>,
    /// Where statistics and health are served.
    pub http: Option<HttpListen>,
    /// Where the public page alone is.
    pub http_public: Option<HttpListen>,
    /// Where the node is controlled.
    pub control: Option<ControlPath>,
    /// The node's name.
    pub node: Option<Text<NSID_LEN_MAX>>,
    /// A directory of zone files, relative to where the daemon was started.
    pub zones: Option<PathBuf>,
    /// The interfaces that are answered on in the driver.
    pub xdp: Vec<InterfaceName>,
    /// The form of the log.
    pub log_format: Option<log::Format>,
    /// The file of the log, relative to where the daemon was started.
    pub log_file: Option<PathBuf>,
}

/// Reads the file, if there is one, and puts `flags` over it.
///
/// # Errors
/// All that is wrong, in the order of the file; options of the command line come first.
pub fn load(path: Option<&Path>, flags: &Flags) -> Result<Config, Vec<Problem>> {
    let source = Source::of(path)?;
    let (spec, mistakes) = spec::read(&source.text);
    let read_whole = mistakes.is_empty();
    let mut resolver = Resolver { source: &source, flags, read_whole, mistakes };
    let config = resolver.config(spec);
    let mut mistakes = resolver.mistakes;
    if mistakes.is_empty() {
        return Ok(config);
    }
    mistakes.sort();
    Err(mistakes.iter().map(|mistake| source.problem(mistake)).collect())
}

/// Where the node of this file is controlled and serves HTTP, as far as the file can be read.
///
/// # Errors
/// If it cannot be opened.
pub fn doors_in(path: &Path) -> Result<(ControlPath, HttpListen), Vec<Problem>> {
    let source = Source::of(Some(path))?;
    let (spec, _) = spec::read(&source.text);
    let control = spec.control.path.map(|path| source.control(path.value));
    Ok((control.unwrap_or_default(), spec.http.listen.map(|listen| listen.value).unwrap_or_default()))
}

/// The router to tell that every route is withdrawn, as far as the file can be read.
///
/// # Errors
/// If it cannot, or names no router.
pub fn withdrawal(path: Option<&Path>) -> Result<AnnounceSettings, Vec<Problem>> {
    let source = Source::of(path)?;
    let (spec, mut mistakes) = spec::read(&source.text);
    let all = Listen::read("as112").expect("it is a name").0;
    spec.announce.resolve(&all, &source.dir, &mut Vec::new()).ok_or_else(|| {
        mistakes.push(Mistake::new(Origin::Default, "[announce] has no `router`; set one"));
        mistakes.iter().map(|mistake| source.problem(mistake)).collect()
    })
}

/// Makes the `Config` and notes what does not fit together. After a mistake it continues with what it has, to
/// find the next one; `load` gives out no such `Config`.
struct Resolver<'a> {
    source: &'a Source,
    flags: &'a Flags,
    /// Whether nothing was wrong in the file by itself. Else what seems to be absent may be what was
    /// mistaken.
    read_whole: bool,
    mistakes: Vec<Mistake>,
}

impl Resolver<'_> {
    fn config(&mut self, spec: Spec) -> Config {
        let Spec { server, identity, tcp, zones, zone, answers, http, history, sources, export, .. } = spec;
        let Spec { log, query_log, dnstap, xdp, control, announce, confine, .. } = spec;
        let Spec { platform, cache, upstream, route, resolver, trace, .. } = spec;
        let Spec { pop: pops, map: maps, pool: pools, identity_zone, beacons, .. } = spec;
        let clients = clients::Specs { pops, maps, pools, identity_zone, beacons };
        let listen = self.listen(server.listen);
        self.check_prefixes(&xdp, &listen);
        let flags = self.flags;
        let shards = flags.shards.map_or(server.shards, |shards| Given::flag("--shards", shards));
        let cpus = flags.cpus.clone().or_else(|| server.cpus.map(|cpus| cpus.value));
        self.check_shards(&shards, cpus.as_ref());
        let nsid = identity.nsid.as_ref().map(|nsid| nsid.value.0.clone());
        let version_txt = identity.version_txt.clone().map(text);
        let identity = self.identity(identity);
        let announce = announce.resolve(&listen, &self.source.dir, &mut self.mistakes);
        // Without routes nobody is sent elsewhere by a drain, and nothing is to be waited for.
        let default_drain_time = if announce.is_some() { DRAIN_TIME } else { Duration::ZERO };
        let drain_time = server.drain_time.map_or(default_drain_time, |time| time.value.0);
        let dir = &self.source.dir;
        let around = upstreams::Around { dir, listen: &listen, read_whole: self.read_whole };
        let file = (!self.source.name.is_empty()).then_some(dir.as_path());
        let sample_every = sources.sample_every();
        let databases = self.databases(sources.databases);
        let place = |origin| self.source.place(origin);
        let within =
            clients::Within { dir, databases: &databases, read_whole: self.read_whole, place: &place };
        let clients = clients.made(&within, &mut self.mistakes);
        let mut zones = self.zones(zones, zone, identity.clone());
        (zones.pools, zones.specials) = (clients.served, clients.specials);
        let public = http.public.map(|public| public.value);
        Config {
            pops: clients.pops,
            tailoring: clients.tailoring,
            identity_zone: clients.identity_zone,
            beacons: clients.beacons,
            platform: platform.settings(file, &identity.node, &mut self.mistakes),
            cache: cache.settings(&mut self.mistakes),
            upstreams: upstreams::upstreams(upstream, &around, &mut self.mistakes),
            routes: upstreams::routes(route, |origin| self.source.place(origin), &mut self.mistakes),
            resolver: resolver.settings(dir, &listen, &mut self.mistakes),
            trace: trace.settings(dir),
            announce,
            listen,
            shards: shards.value,
            cpus,
            steer: flags.steer.unwrap_or(server.steer.value),
            busy_poll: flags.busy_poll.unwrap_or(server.busy_poll.value).0,
            datapath: flags.datapath.unwrap_or(server.datapath.value),
            edns_udp_size: u16::try_from(server.edns_udp_size.value.0).expect("its range ends at 1232"),
            user: server.user.map(text),
            rcvbuf: server.rcvbuf.value.0,
            sndbuf: server.sndbuf.value.0,
            nsid: nsid.unwrap_or_else(|| identity.node.clone().into_bytes()),
            version_txt,
            zones,
            identity,
            tcp: self.tcp(&tcp),
            update: answers.update.value,
            drop: answers::networks("drop", &server.drop, &mut self.mistakes),
            cookies: answers.cookies(&self.source.dir, &mut self.mistakes),
            rate_limit: answers.rate_limit(&mut self.mistakes),
            http: flags.http.or_else(|| http.listen.map(|listen| listen.value)).unwrap_or_default(),
            http_public: flags.http_public.or(public).unwrap_or(HttpListen::Off),
            allowed_hosts: self.allowed_hosts(http.allowed_hosts),
            node_view: http.node_view.map(|view| view.value).unwrap_or_default(),
            history: history.dir.map(|dir| self.source.dir.join(dir)),
            sample_every,
            databases,
            control: self.control(control.path),
            drain_time,
            export: export.settings(dir),
            confine: Wants { landlock: confine.landlock.value, seccomp: confine.seccomp.value },
            log: log.settings(&self.source.dir, flags.log_format, flags.log_file.as_deref()),
            query_log: query_log.settings(&self.source.dir, &mut self.mistakes),
            dnstap: dnstap.settings(&self.source.dir),
            xdp: xdp.settings(&flags.xdp),
        }
    }

    fn control(&self, from_file: Option<Given<ControlPath>>) -> ControlPath {
        let from_file = from_file.map(|path| self.source.control(path.value));
        self.flags.control.clone().or(from_file).unwrap_or_default()
    }

    fn mistake(&mut self, origin: Origin, message: impl Into<String>) {
        self.mistakes.push(Mistake::new(origin, message));
    }

    fn listen(&mut self, from_file: Option<Spanned<Vec<Given<Listen>>>>) -> Vec<SocketAddr> {
        if !self.flags.listen.is_empty() {
            let given: Vec<_> =
                self.flags.listen.iter().map(|one| Given::flag("--listen", one.clone())).collect();
            return listen::merge(&given, &mut self.mistakes);
        }
        let Some(given) = from_file else { return listen::default_addresses() };
        if given.get_ref().is_empty() && self.read_whole {
            let origin = Origin::File(given.span().start);
            self.mistake(
                origin,
                "there is no address to listen on; list one, or leave `listen` out for the default",
            );
        }
        listen::merge(given.get_ref(), &mut self.mistakes)
    }

    /// Each prefix that is answered for as a whole must hold a listening address.
    fn check_prefixes(&mut self, xdp: &XdpSpec, listen: &[SocketAddr]) {
        for Given { value: prefix, origin } in &xdp.prefixes {
            let is_in = |ip: IpAddr| {
                prefix.contains(&ip) || ip.is_unspecified() && ip.is_ipv4() == prefix.addr().is_ipv4()
            };
            if !listen.iter().any(|address| is_in(address.ip())) {
                let message =
                    format!("no listening address is in {prefix}; listen on one, or remove the prefix");
                self.mistake(*origin, message);
            }
        }
    }

    fn allowed_hosts(&mut self, given: Vec<Given<Line>>) -> Vec<String> {
        if let Some(one) = given.get(ALLOWED_HOSTS_MAX) {
            self.mistake(
                one.origin,
                format!("`allowed_hosts` has more than {ALLOWED_HOSTS_MAX} names; remove some"),
            );
        }
        given.into_iter().map(text).collect()
    }

    /// Other CPUs than listed ones are counted when the host is looked at.
    fn check_shards(&mut self, shards: &Given<Shards>, cpus: Option<&Cpus>) {
        let (Shards::Count(count), Some(Cpus::List(cpus))) = (shards.value, cpus) else { return };
        if count.get() > cpus.len() {
            let listed = cpus.len();
            let message = format!("{count} shards but only {listed} CPUs; list more CPUs, or give \"auto\"");
            self.mistake(shards.origin, message);
        }
    }

    fn identity(&mut self, spec: spec::Identity) -> zone::Identity {
        for (list, len, first) in [
            ("extra_txt", spec.extra_txt.len(), spec.extra_txt.first().map(|one| one.origin)),
            ("unique_ip", spec.unique_ip.len(), spec.unique_ip.first().map(|one| one.origin)),
        ] {
            if let Some(origin) = first.filter(|_| len > IDENTITY_LIST_MAX) {
                self.mistake(
                    origin,
                    format!("`{list}` has {len} entries, over the limit of {IDENTITY_LIST_MAX}; remove some"),
                );
            }
        }
        if let Some(Given { value: Text(loc), origin }) = &spec.loc
            && let Err(message) = zone::check_location(loc)
        {
            self.mistake(*origin, message);
        }
        zone::Identity {
            node: self.node(spec.node),
            facility: spec.facility.map(text),
            location: spec.location.map(text),
            loc: spec.loc.map(text),
            extra_txt: spec.extra_txt.into_iter().map(text).collect(),
            unique_ip: spec.unique_ip.into_iter().map(|one| one.value).collect(),
            hostname_soa_mname: spec.hostname_soa_mname.map(|name| self.domain_name(name)),
            hostname_soa_rname: spec.hostname_soa_rname.map(|name| self.domain_name(name)),
        }
    }

    fn node(&mut self, from_file: Option<Given<Text<NSID_LEN_MAX>>>) -> String {
        if let Some(Text(node)) = &self.flags.node {
            return node.clone();
        }
        from_file.map(text).unwrap_or_else(|| {
            let name = rustix::system::uname();
            let name = name.nodename().to_string_lossy();
            if name.trim().is_empty() {
                self.mistake(Origin::Default, "this host has no hostname; name the node with --node");
            }
            name.trim().to_owned()
        })
    }

    fn domain_name(&mut self, given: Given<Line>) -> String {
        let Given { value: Text(name), origin } = given;
        let wrong = if name.contains('@') {
            Some(format!("a mailbox is written as a domain name; write `{}`", name.replace('@', ".")))
        } else {
            zone::name_from_text(&name)
                .err()
                .map(|message| format!("{message}; give a name such as noc.example.net"))
        };
        if let Some(message) = wrong {
            self.mistake(origin, message);
        }
        name
    }

    fn tcp(&mut self, spec: &spec::Tcp) -> TcpSettings {
        let connections_max = spec.connections_max.value.0;
        let Given { value: per_address, origin } = &spec.connections_per_address_max;
        if *origin != Origin::Default && per_address.0 > connections_max {
            let message = format!(
                "one address may have more connections than all together; give at most {connections_max}"
            );
            self.mistake(*origin, message);
        }
        TcpSettings {
            connections_max,
            connections_per_client_max: per_address.0.min(connections_max),
            message_timeout: spec.message_timeout.value.0,
            idle_timeout: spec.idle_timeout.value.0,
            write_timeout: spec.write_timeout.value.0,
            drain_timeout: spec.drain_timeout.value.0,
            buffers_len_max: spec.buffers_max.value.0,
        }
    }

    fn databases(&mut self, given: Vec<Given<Line>>) -> Vec<PathBuf> {
        if let Some(one) = given.get(DATABASES_MAX) {
            self.mistake(
                one.origin,
                format!("{} databases, over the limit of {DATABASES_MAX}; remove some", given.len()),
            );
        }
        given.into_iter().map(|path| self.source.dir.join(text(path))).collect()
    }

    fn zones(
        &mut self,
        spec: spec::Zones,
        entries: Vec<spec::Zone>,
        identity: zone::Identity,
    ) -> ZoneOptions {
        let dir = spec.dir.map(|dir| self.source.dir.join(dir));
        ZoneOptions {
            direct: spec.direct,
            dname: spec.dname,
            special_use: spec.special_use,
            dir: self.flags.zones.clone().or(dir),
            packs: spec.packs.into_iter().map(|path| self.source.dir.join(text(path))).collect(),
            entries: entries.into_iter().filter_map(|zone| self.zone(zone)).collect(),
            identity,
            ..ZoneOptions::default()
        }
    }

    fn zone(&mut self, spec: spec::Zone) -> Option<ZoneEntry> {
        let spec::Zone { name, file, template, force } = spec;
        let Given { value: Text(name), origin } = name;
        let source = match (file, template.map(|template| template.value)) {
            (Some(file), None) => ZoneSource::File(self.source.dir.join(file)),
            (None, Some(Template::DdEmpty)) => ZoneSource::DdEmpty,
            (None, Some(Template::DrEmpty)) => ZoneSource::DrEmpty,
            (None, None) => {
                if self.read_whole {
                    self.mistake(
                        origin,
                        format!("zone `{name}` has no records; give it a `file` or a `template`"),
                    );
                }
                return None;
            }
            (Some(_), Some(_)) => {
                self.mistake(
                    origin,
                    format!("zone `{name}` has both a `file` and a `template`; remove one of the two"),
                );
                return None;
            }
        };
        Some(ZoneEntry { name, source, force, place: self.source.place(origin) })
    }
}

fn text<const MAX: usize>(given: Given<Text<MAX>>) -> String {
    given.value.0
}

#[cfg(test)]
mod tests;
