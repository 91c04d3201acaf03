//! `as112d resolver`: resolves for the node, in a process of its own.
//!
//! What it is made of is not good enough for the process that answers: it may panic, and its memory is
//! bounded by the kernel alone. So it is confined, ends when it likes, and is started again.

mod hints;
mod reply;
mod serve;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::recursor::{DnssecConfig, DnssecPolicy, Recursor, RecursorOptions};
use ipnet::Ipv6Net;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, UdpSocket, UnixStream};

use crate::cli::ResolverOptions;
use crate::config::platform::Resolver as Settings;
use crate::config::{self, Config, Flags};
use crate::limits::{
    RESOLVER_DELEGATIONS_MAX, RESOLVER_LEN, RESOLVER_PORT, RESOLVER_RESPONSE_LEN, RESOLVER_UNCHECKED_SHARE,
};
use crate::problem::Problem;
use crate::sys::confine::{self, Class, Plan};
use crate::sys::launcher;
use crate::sys::limits;
use crate::sys::passing::Passage;
use crate::sys::sharing;
use hints::Hints;

/// Says to this very program that its memory is limited already.
const LIMITED: &str = "AS112D_RESOLVER";

/// Resolves until SIGTERM, or the end of the node that has started it.
///
/// # Errors
/// Why it cannot, each reason with what to do.
pub fn resolver(options: &ResolverOptions) -> Result<String, Vec<Problem>> {
    let config = config::load(options.config.as_deref(), &Flags::default())?;
    let settings = settings(options, &config)?;
    if std::env::var_os(LIMITED).is_none() {
        return Err(Problem::alone(limit_and_begin_again(&settings)));
    }
    let hints = settings.hints.as_deref().map_or_else(|| Ok(Hints::builtin()), Hints::load)?;
    let alone = |error: io::Error| Problem::alone(format!("cannot resolve at {}: {error}", settings.address));
    let (udp, tcp) = sharing::bind_shared(settings.address, BACKLOG).map_err(alone)?;
    let node = launcher::predecessor().map_err(|error| Problem::alone(error.to_string()))?;
    let plan = Plan {
        user: config.user.clone(),
        landlock: config.confine.landlock,
        seccomp: config.confine.seccomp,
        connect: vec![DNS_PORT],
        ..Plan::default()
    };
    let confined = confine::process(&plan).map_err(|error| Problem::alone(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(alone)?;
    runtime.block_on(async {
        let (recursor, unchecked) = recursors(&hints, settings.memory).map_err(Problem::alone)?;
        let serving = serve::Serving::new(recursor, unchecked);
        let udp = UdpSocket::from_std(udp).map_err(alone)?;
        let tcp = TcpListener::from_std(tcp).map_err(alone)?;
        confined.thread(Class::Resolver).map_err(Problem::alone)?;
        let node = node.map(Node::tell).transpose().map_err(alone)?;
        tokio::select! {
            ended = serve::datagrams(Arc::clone(&serving), udp) => ended.map_err(alone),
            ended = serve::connections(serving, tcp) => ended.map_err(alone),
            () = Node::ended(node) => Ok(()),
        }
    })?;
    Ok(String::new())
}

const DNS_PORT: u16 = 53;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// The node that has started this process.
struct Node(UnixStream);

impl Node {
    /// Tells it that queries are taken.
    fn tell(line: Passage) -> io::Result<Self> {
        line.send(launcher::READY, &[])?;
        let line = line.into_stream();
        line.set_nonblocking(true)?;
        UnixStream::from_std(line).map(Self)
    }

    /// Waits for its end; for ever without one.
    async fn ended(node: Option<Self>) {
        match node {
            // It has nothing to say.
            Some(Self(mut line)) => drop(line.read_u8().await),
            None => std::future::pending().await,
        }
    }
}

/// What the configuration says, and the command line, which goes first.
fn settings(options: &ResolverOptions, config: &Config) -> Result<Settings, Vec<Problem>> {
    let mut settings = config.resolver.clone().unwrap_or_else(|| Settings {
        enabled: true,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, RESOLVER_PORT)),
        hints: None,
        memory: RESOLVER_LEN,
    });
    if let Some(address) = options.address {
        settings.address = address;
    }
    if options.hints.is_some() {
        settings.hints.clone_from(&options.hints);
    }
    if settings.address.port() == 0 {
        return Err(Problem::alone("the address has port 0; give a port such as 5354"));
    }
    if !settings.address.ip().is_loopback() && !options.open {
        let open = "it would be open to others; give a loopback address, or --open and a firewall";
        return Err(Problem::alone(format!("{} is not a loopback address: {open}", settings.address)));
    }
    Ok(settings)
}

/// Limits the memory of this process, and runs the program again: its allocator then begins with the limit.
/// It returns only if that fails, and says why.
fn limit_and_begin_again(settings: &Settings) -> String {
    if let Err(error) = limits::limit_memory(settings.memory).and_then(|()| limits::no_core()) {
        return format!("cannot limit its memory to {} bytes: {error}", settings.memory);
    }
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_else(|| "as112d".into());
    let mut command = Command::new("/proc/self/exe");
    let error = command.arg0(called).args(arguments).env(LIMITED, "limited").exec();
    format!("cannot begin again with limited memory: {error}")
}

/// Whether there is a way to the IPv6 Internet, by the routing table: nothing is sent.
fn reaches_ipv6() -> bool {
    let root: SocketAddr = (Ipv6Addr::new(0x2001, 0x500, 0x2F, 0, 0, 0, 0, 0xF), DNS_PORT).into();
    std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).and_then(|socket| socket.connect(root)).is_ok()
}

/// Who resolves, and where that one validates who resolves for clients that do it themselves: those get the
/// data, whatever it is worth (RFC 4035, section 3.2.2; RFC 6840, section 5.9). They are few.
type Recursors = (Recursor<TokioRuntimeProvider>, Option<Recursor<TokioRuntimeProvider>>);

fn recursors(hints: &Hints, memory: usize) -> Result<Recursors, String> {
    let responses = (memory / RESOLVER_RESPONSE_LEN) as u64;
    let policy = match (hints.is_public, hints.keys.is_empty()) {
        (false, true) => {
            return Ok((recursor(hints, DnssecPolicy::SecurityUnaware, responses)?, None));
        }
        (true, true) => DnssecPolicy::ValidateWithStaticKey(DnssecConfig::default()),
        _ => {
            let anchors: TrustAnchors =
                hints.keys.parse().map_err(|error| format!("cannot resolve: {error}"))?;
            let mut config = DnssecConfig::default();
            config.trust_anchor = Some(Arc::new(anchors));
            DnssecPolicy::ValidateWithStaticKey(config)
        }
    };
    let few = responses / RESOLVER_UNCHECKED_SHARE;
    let unchecked = recursor(hints, DnssecPolicy::ValidationDisabled, few)?;
    Ok((recursor(hints, policy, responses - few)?, Some(unchecked)))
}

fn recursor(
    hints: &Hints,
    policy: DnssecPolicy,
    responses: u64,
) -> Result<Recursor<TokioRuntimeProvider>, String> {
    let mut options = RecursorOptions {
        ns_cache_size: RESOLVER_DELEGATIONS_MAX,
        response_cache_size: responses,
        case_randomization: true,
        edns_payload_len: 1232,
        ..RecursorOptions::default()
    };
    if !hints.is_public {
        // A root of one's own is mostly served from private addresses, as are its zones.
        options.deny_server.clear();
    }
    if !reaches_ipv6() {
        // Else each query would wait for servers that cannot be reached.
        options.deny_server.push(Ipv6Net::default().into());
    }
    let provider = TokioRuntimeProvider::default();
    Recursor::new(&hints.servers, policy, None, options, provider)
        .map_err(|error| format!("cannot resolve: {error}"))
}
