//! What lies between a client and a node on this host: NICs, buffers, connection tracking, addresses and
//! routes.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::finding::{Finding, TUNE};
use super::host::Host;
use crate::announce::service;
use crate::config::Config;
use crate::config::written::SizeText;
use crate::config::xdp::XdpMode;
use crate::sys::netlink::Link;
use crate::sys::topology::Interface;

/// Drivers that run XDP programs, and send what they answer.
const XDP_DRIVERS: [&str; 20] = [
    "bnxt_en",
    "bonding",
    "ena",
    "fec",
    "gve",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mlx4_en",
    "mlx5_core",
    "mvneta",
    "nfp",
    "sfc",
    "stmmac",
    "veth",
    "virtio_net",
];
/// A frame in one page, with the headroom and tailroom that the kernel wants.
const XDP_MTU_MAX: u64 = 3_498;

/// Whether the kernel gives sockets the buffers that are configured to a node that is not root.
pub(super) fn buffers(host: &Host, config: &Config) -> Finding {
    let wanted = [("rmem_max", "rcvbuf", config.rcvbuf), ("wmem_max", "sndbuf", config.sndbuf)];
    let (mut small, mut lines) = (Vec::new(), Vec::new());
    for (sysctl, key, wanted) in wanted {
        match host.number(&format!("proc/sys/net/core/{sysctl}")) {
            None => return Finding::note("buffers", format!("net.core.{sysctl} cannot be read here")),
            Some(most) if most < wanted as u64 => {
                small.push(format!("net.core.{sysctl} is {most}, and {key} {}", SizeText(wanted)));
                lines.push(format!("\"net.core.{sysctl} = {wanted}\""));
            }
            Some(_) => {}
        }
    }
    if small.is_empty() {
        return Finding::good("buffers", "net.core.rmem_max and wmem_max allow what is configured");
    }
    let text = format!(
        "{}: only root gets more; write {} to /etc/sysctl.d/90-as112d.conf and run `sysctl --system`",
        small.join("; "),
        lines.join(" and ")
    );
    Finding::to_do("buffers", text)
}

/// Whether what is to be answered in the driver can be: interfaces that are there, with drivers and settings
/// that fit, and a kernel that takes the program, which `load` tries.
pub(super) fn xdp(
    host: &Host,
    config: &Config,
    links: io::Result<Vec<Link>>,
    load: impl FnOnce() -> Result<(), String>,
) -> Option<Finding> {
    let names = &config.xdp.interfaces;
    if names.is_empty() {
        return None;
    }
    let links = match links {
        Ok(links) => links,
        Err(error) => return Some(Finding::note("XDP", format!("the interfaces cannot be listed: {error}"))),
    };
    let mut wrong = Vec::new();
    for name in names {
        match Link::find(&links, name) {
            Ok(link) => wrong.extend(unfit_for_xdp(host, link, config.xdp.mode)),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    wrong.extend(load().err());
    Some(if wrong.is_empty() {
        Finding::good("XDP", format!("on {}; this kernel takes the program", names.join(", ")))
    } else {
        Finding::to_do("XDP", wrong.join("; "))
    })
}

/// What of an interface is in the way of answers in its driver.
fn unfit_for_xdp(host: &Host, link: &Link, mode: XdpMode) -> Vec<String> {
    let name = &link.name;
    let mut unfit = Vec::new();
    if link.kind == "veth" && mode == XdpMode::Native {
        unfit.push(format!(
            "{name}: it is a veth, and in native mode its peer gets replies only if it has an XDP program \
             too; set mode = \"generic\""
        ));
    }
    let driver = host.tool(&["ethtool", "-i", name]);
    let driver =
        driver.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("driver: ")));
    let is_known = driver.is_none_or(|driver| XDP_DRIVERS.contains(&driver));
    if let Some(driver) = driver.filter(|_| !is_known && mode != XdpMode::Generic) {
        unfit.push(format!(
            "{name}: its driver {driver} is not known to run XDP programs; where it does not, they run in \
             the network stack (mode = \"generic\"), which is slower"
        ));
    }
    let settings = host.tool(&["ethtool", "-k", name]).unwrap_or_default();
    let takes_tags_off = settings.lines().any(|line| line.trim() == "rx-vlan-offload: on");
    let vlans = host.text("proc/net/vlan/config").unwrap_or_default();
    if takes_tags_off && vlans.lines().any(|line| line.rsplit('|').next().map(str::trim) == Some(name)) {
        unfit.push(format!(
            "{name}: it has VLANs, and takes their tags off before the program sees them; `ethtool -K {name} \
             rxvlan off txvlan off`"
        ));
    }
    let mtu = host.number(&format!("sys/class/net/{name}/mtu"));
    if let Some(mtu) = mtu.filter(|&mtu| is_known && mtu > XDP_MTU_MAX) {
        unfit.push(format!("{name}: an MTU of {mtu}; most drivers take {XDP_MTU_MAX} for XDP"));
    }
    unfit
}

/// Each NIC that is up: whether its queues spread queries over the CPUs of the shards.
pub(super) fn cards(host: &Host, shards: usize) -> Vec<Finding> {
    let cards = host.cards();
    if cards.is_empty() {
        return vec![Finding::note("NICs", "none is up; queries come by loopback or veth")];
    }
    cards.iter().map(|name| card(host, name, shards)).collect()
}

fn card(host: &Host, name: &str, shards: usize) -> Finding {
    let subject = format!("NIC {name}");
    let interface = match Interface::read(host.root(), name) {
        Ok(interface) => interface,
        Err(error) => return Finding::note(subject, format!("cannot be read: {error}")),
    };
    let count = interface.queues.len();
    let most = host.tool(&["ethtool", "-l", name]).and_then(|text| most_queues(&text));
    let (mut good, mut to_do) =
        (vec![format!("{count} receive queue{}", if count == 1 { "" } else { "s" })], vec![]);
    if let Some(most) = most.filter(|&most| count < shards.min(most)) {
        to_do.push(format!("{count} of its {most} queues serve {shards} shards"));
    } else if count < shards {
        good.push(format!("it has no more, so {shards} shards share them"));
    }
    let interrupted: BTreeSet<usize> = interface.queues.iter().flat_map(|queue| queue.cpus.clone()).collect();
    if count > 1 && interface.queues.iter().all(|queue| queue.cpus.len() == 1) && interrupted.len() == count {
        good.push("each interrupts a CPU of its own".to_owned());
    } else if count > 1 {
        to_do.push("its queues share CPUs, or may interrupt several".to_owned());
    }
    if interface.has_rps {
        to_do.push("the kernel hands packets on to other CPUs (RPS)".to_owned());
    }
    if count > 1 {
        match host.tool(&["ethtool", "-n", name, "rx-flow-hash", "udp4"]) {
            None => good.push("how it hashes cannot be told (`ethtool -n`)".to_owned()),
            Some(text) if text.contains("src port") => good.push("it hashes ports".to_owned()),
            Some(_) => to_do.push("it hashes addresses only, so one resolver uses one queue".to_owned()),
        }
    }
    if to_do.is_empty() {
        return Finding::good(subject, good.join("; "));
    }
    Finding::to_do(subject, format!("{}; `{TUNE} --check {name}`, then --apply", to_do.join("; ")))
}

/// The receive queues that a NIC can have, of what `ethtool -l` prints: its first section.
fn most_queues(text: &str) -> Option<usize> {
    let section = text.split("Current").next()?;
    let of = |field: &str| {
        let value = section.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        value.trim().parse().ok().filter(|&count: &usize| count > 0)
    };
    of("Combined").or_else(|| of("RX"))
}

/// Whether queries are tracked as connections.
pub(super) fn connection_tracking(host: &Host) -> Finding {
    const SUBJECT: &str = "conntrack";
    let folder = "proc/sys/net/netfilter";
    let Some(count) = host.number(&format!("{folder}/nf_conntrack_count")) else {
        return Finding::good(SUBJECT, "is not loaded");
    };
    let most = host.number(&format!("{folder}/nf_conntrack_max")).unwrap_or_default();
    let rules = host.tool(&["nft", "list", "ruleset"]);
    if rules.as_ref().is_some_and(|rules| rules.contains("notrack")) {
        return Finding::good(SUBJECT, "there is a notrack rule; make sure that it covers port 53");
    }
    if count == 0 {
        return Finding::good(SUBJECT, "is loaded, and tracks nothing");
    }
    Finding::to_do(
        SUBJECT,
        format!(
            "tracks {count} of {most} connections, each query among them, and drops packets when it is full; \
             `{TUNE} --apply --only conntrack IFACE`"
        ),
    )
}

/// Whether every configured address is one of this host.
pub(super) fn addresses(
    host: &Host,
    listen: &[SocketAddr],
    is_here: fn(IpAddr) -> io::Result<()>,
) -> Finding {
    const SUBJECT: &str = "addresses";
    let nonlocal = ["ipv4", "ipv6"]
        .iter()
        .any(|family| host.number(&format!("proc/sys/net/{family}/ip_nonlocal_bind")) == Some(1));
    if nonlocal {
        return Finding::note(SUBJECT, "ip_nonlocal_bind is 1, so the kernel does not tell which are here");
    }
    let named: BTreeSet<IpAddr> =
        listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).collect();
    let absent: Vec<IpAddr> = named.iter().filter(|ip| is_here(**ip).is_err()).copied().collect();
    if absent.is_empty() {
        return Finding::good(SUBJECT, format!("all {} are on this host", named.len()));
    }
    // That command knows the service addresses, and no others.
    let (of_services, others): (Vec<IpAddr>, Vec<IpAddr>) =
        absent.into_iter().partition(|ip| service::of(*ip).is_some());
    let told = |ips: Vec<IpAddr>, advice: &str| {
        let ips: Vec<String> = ips.iter().map(ToString::to_string).collect();
        (!ips.is_empty()).then(|| format!("on no interface: {}; {advice}", ips.join(" ")))
    };
    let told = [
        told(of_services, "`as112d addresses --apply` adds them to loopback"),
        told(others, "add them to one (`ip address add`)"),
    ];
    Finding::to_do(SUBJECT, told.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

/// Binds a port that nobody chose, and closes it.
pub(super) fn is_here(ip: IpAddr) -> io::Result<()> {
    UdpSocket::bind((ip, 0)).map(drop)
}

/// Whether answers find a way out from every configured address.
pub(super) fn routes(listen: &[SocketAddr], has_route: fn(IpAddr) -> io::Result<()>) -> Finding {
    const SUBJECT: &str = "routes";
    let public = |ip: &IpAddr| !ip.is_unspecified() && !ip.is_loopback();
    let named: BTreeSet<IpAddr> = listen.iter().map(SocketAddr::ip).filter(public).collect();
    if named.is_empty() {
        return Finding::note(SUBJECT, "none is needed: only loopback and wildcard addresses are configured");
    }
    let (mut absent, mut lost) = (0, Vec::new());
    for ip in &named {
        match has_route(*ip) {
            Ok(()) => {}
            // Which are not here is another finding.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => absent += 1,
            Err(error) => lost.push(format!("{ip} ({error})")),
        }
    }
    if !lost.is_empty() {
        let lost = lost.join(", ");
        let text =
            format!("no way to the Internet for answers from {lost}; see `ip route` and `ip -6 route`");
        return Finding::to_do(SUBJECT, text);
    }
    if absent == named.len() {
        return Finding::note(SUBJECT, "unknown until the addresses are here");
    }
    Finding::good(SUBJECT, "there is a way to the Internet for answers")
}

/// Looks up the route to an address that all of the Internet has one to: a.root-servers.net. Nothing is sent.
pub(super) fn has_route(from: IpAddr) -> io::Result<()> {
    let anywhere: IpAddr = match from {
        IpAddr::V4(_) => Ipv4Addr::new(198, 41, 0, 4).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30).into(),
    };
    UdpSocket::bind((from, 0))?.connect((anywhere, 53))
}

/// Anycast clients come by one way and are answered by another: a strict check of the reverse path drops
/// them.
pub(super) fn reverse_path(host: &Host) -> Finding {
    const SUBJECT: &str = "reverse path";
    let of = |name: &str| host.number(&format!("proc/sys/net/ipv4/conf/{name}/rp_filter")).unwrap_or(0);
    let cards = host.cards();
    let strict: Vec<&String> = cards.iter().filter(|name| of("all").max(of(name)) == 1).collect();
    match &strict[..] {
        [] => Finding::good(SUBJECT, "no NIC drops queries whose answers leave by another"),
        [_] if cards.len() == 1 => Finding::good(SUBJECT, "there is one NIC, so answers leave by it"),
        strict => {
            let names: Vec<&str> = strict.iter().map(|name| name.as_str()).collect();
            Finding::to_do(
                SUBJECT,
                format!(
                    "{} drops queries whose answers leave by another NIC; set \
                     net.ipv4.conf.all.rp_filter to 2, or to 0 on all",
                    names.join(", ")
                ),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Verdict;
    use crate::commands::doctor::host::tests::host;
    use crate::config::{self, Flags};

    #[test]
    fn buffers_are_compared_with_what_is_configured() {
        let config = config::load(None, &Flags::default()).unwrap();
        let found = |rmem: &str, wmem: &str| {
            buffers(
                &host(&[("proc/sys/net/core/rmem_max", rmem), ("proc/sys/net/core/wmem_max", wmem)]).1,
                &config,
            )
        };
        assert_eq!(found("8388608", "4194304").verdict, Verdict::Good);
        let small = found("212992", "4194304");
        assert_eq!(small.verdict, Verdict::Do);
        assert_eq!(
            small.text,
            "net.core.rmem_max is 212992, and rcvbuf 8MiB: only root gets more; write \"net.core.rmem_max = \
             8388608\" to /etc/sysctl.d/90-as112d.conf and run `sysctl --system`"
        );
        assert_eq!(buffers(&host(&[]).1, &config).verdict, Verdict::Note);
    }

    #[test]
    fn what_answers_in_the_driver_is_looked_at_where_it_is_wanted() {
        let mut config = config::load(None, &Flags::default()).unwrap();
        let driver = |name: &str| {
            let driver = format!("driver: {name}\nversion: 1\n");
            host(&[("tools/ethtool -i eth0", &driver), ("sys/class/net/eth0/mtu", "1500")])
        };
        let (_folder, fits) = driver("mlx5_core");
        let link = |kind: &str| {
            let (name, kind) = ("eth0".to_owned(), kind.to_owned());
            Ok(vec![Link { index: 2, name, kind, mac: Some([0; 6]), ..Link::default() }])
        };
        let there = || link("");
        assert!(xdp(&fits, &config, there(), || unreachable!("nothing is loaded unasked")).is_none());
        config.xdp.interfaces.push("eth0".to_owned());
        assert_eq!(xdp(&fits, &config, there(), || Ok(())).unwrap().verdict, Verdict::Good);
        let (_folder, unknown) = driver("r8169");
        let found = xdp(&unknown, &config, there(), || Ok(())).unwrap();
        assert!(found.text.starts_with("eth0: its driver r8169 is not known"), "{found}");
        config.xdp.mode = XdpMode::Generic;
        assert_eq!(xdp(&unknown, &config, there(), || Ok(())).unwrap().verdict, Verdict::Good);
        let settings = "Features for eth0:\nrx-vlan-offload: on\ntx-vlan-offload: on [fixed]\n";
        let (_folder, odd) = host(&[
            ("tools/ethtool -i eth0", "driver: ice\n"),
            ("tools/ethtool -k eth0", settings),
            ("proc/net/vlan/config", "VLAN Dev name | VLAN ID\neth0.7 | 7 | eth0"),
            ("sys/class/net/eth0/mtu", "9000"),
        ]);
        let found = xdp(&odd, &config, there(), || Ok(())).unwrap();
        assert_eq!(found.verdict, Verdict::Do);
        let told = ["`ethtool -K eth0 rxvlan off txvlan off`", "an MTU of 9000; most"];
        assert!(told.iter().all(|told| found.text.contains(told)), "{found}");
        let refused = || Err("the kernel rejected the program: R3 is out of bounds".to_owned());
        let found = xdp(&fits, &config, Ok(Vec::new()), refused).unwrap();
        assert_eq!(found.verdict, Verdict::Do);
        let told = "eth0: no such interface; `ip link` lists them; the kernel rejected the program: R3";
        assert!(found.text.starts_with(told), "{found}");
        config.xdp.mode = XdpMode::Native;
        let found = xdp(&fits, &config, link("veth"), || Ok(())).unwrap();
        assert!(found.text.starts_with("eth0: it is a veth, and in native mode"), "{found}");
        let found = xdp(&fits, &config, Err(io::ErrorKind::PermissionDenied.into()), refused).unwrap();
        assert_eq!(found.verdict, Verdict::Note);
    }

    const LIST: &str = "Channel parameters for eth0:\nPre-set maximums:\nRX:\t\tn/a\nCombined:\t8\n\
                        Current hardware settings:\nCombined:\t2\n";
    const PORTS: &str =
        "UDP over IPV4 flows use these fields\nIP SA\nIP DA\nL4 bytes 0 & 1 [TCP/UDP src port]\n";

    /// A host with one card of so many queues, each bound as said.
    fn with_card(queues: usize, bound: &[&str], tools: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let mut files = vec![
            ("sys/class/net/eth0/device/vendor".to_owned(), "1".to_owned()),
            ("sys/class/net/eth0/operstate".to_owned(), "up\n".to_owned()),
            ("sys/class/net/lo/operstate".to_owned(), "unknown\n".to_owned()),
        ];
        let mut interrupts = String::new();
        for queue in 0..queues {
            files.push((format!("sys/class/net/eth0/queues/rx-{queue}/rps_cpus"), "0".to_owned()));
            files
                .push((format!("proc/irq/{queue}/smp_affinity_list"), bound[queue % bound.len()].to_owned()));
            interrupts += &format!("{queue}: 1 PCI-MSI eth0-rx-{queue}\n");
        }
        files.push(("proc/interrupts".to_owned(), interrupts));
        files.extend(tools.iter().map(|(name, text)| (format!("tools/{name}"), (*text).to_owned())));
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        host(&files)
    }

    #[test]
    fn a_card_that_spreads_queries_is_good() {
        let hash = ("ethtool -n eth0 rx-flow-hash udp4", PORTS);
        let (_folder, host) = with_card(2, &["0", "1"], &[("ethtool -l eth0", LIST), hash]);
        let found = cards(&host, 2);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "good  NIC eth0        2 receive queues; each interrupts a CPU of its own; it hashes ports"
        );
        let (_folder, host) = with_card(1, &["0-1"], &[]);
        assert_eq!(cards(&host, 1)[0], Finding::good("NIC eth0", "1 receive queue"));
    }

    #[test]
    fn what_a_card_lacks_is_told() {
        let addresses = ("ethtool -n eth0 rx-flow-hash udp4", "IP SA\nIP DA\n");
        let (folder, host) = with_card(2, &["0-1"], &[("ethtool -l eth0", LIST), addresses]);
        std::fs::write(folder.path().join("sys/class/net/eth0/queues/rx-1/rps_cpus"), "3").unwrap();
        let found = &cards(&host, 4)[0];
        assert_eq!(found.verdict, Verdict::Do);
        for told in [
            "2 of its 8 queues serve 4 shards",
            "share CPUs",
            "(RPS)",
            "hashes addresses only",
            "tune --check eth0",
        ] {
            assert!(found.text.contains(told), "{told}: {found}");
        }
        let (_folder, host) = with_card(1, &["0"], &[]);
        assert!(cards(&host, 4)[0].text.contains("it has no more"));
        assert_eq!(cards(&self::host(&[]).1, 4)[0].verdict, Verdict::Note);
    }

    #[test]
    fn connections_are_tracked_or_not() {
        let count = "proc/sys/net/netfilter/nf_conntrack_count";
        let rules = ("tools/nft list ruleset", "table inet t { udp dport 53 notrack }");
        for (files, verdict) in [
            (vec![], Verdict::Good),
            (vec![(count, "0")], Verdict::Good),
            (vec![(count, "9")], Verdict::Do),
            (vec![(count, "9"), rules], Verdict::Good),
            (vec![(count, "9"), ("tools/nft list ruleset", "table ip filter {}")], Verdict::Do),
        ] {
            assert_eq!(connection_tracking(&host(&files).1).verdict, verdict, "{files:?}");
        }
    }

    #[test]
    fn addresses_are_here_or_not() {
        let listen: Vec<SocketAddr> =
            ["127.0.0.1:53", "192.0.2.112:53", "0.0.0.0:54"].map(|text| text.parse().unwrap()).into();
        let (_folder, host) = host(&[]);
        let found = addresses(&host, &listen, is_here);
        assert_eq!(found.verdict, Verdict::Do);
        assert_eq!(found.text, "on no interface: 192.0.2.112; add them to one (`ip address add`)");
        let services: Vec<SocketAddr> =
            ["192.175.48.1:53", "192.0.2.112:53"].map(|text| text.parse().unwrap()).into();
        assert_eq!(
            addresses(&host, &services, |_| Err(io::ErrorKind::AddrNotAvailable.into())).text,
            "on no interface: 192.175.48.1; `as112d addresses --apply` adds them to loopback; on no \
             interface: 192.0.2.112; add them to one (`ip address add`)"
        );
        assert_eq!(
            addresses(&host, &listen[..1], is_here),
            Finding::good("addresses", "all 1 are on this host")
        );
        let (_folder, lax) = self::host(&[("proc/sys/net/ipv4/ip_nonlocal_bind", "1")]);
        assert_eq!(addresses(&lax, &listen, is_here).verdict, Verdict::Note);
    }

    #[test]
    fn answers_need_a_way_out() {
        let listen: Vec<SocketAddr> =
            ["127.0.0.1:53", "192.0.2.112:53"].map(|text| text.parse().unwrap()).into();
        assert_eq!(routes(&listen[..1], has_route).verdict, Verdict::Note);
        assert_eq!(routes(&listen, |_| Ok(())).verdict, Verdict::Good);
        let found = routes(&listen, |_| Err(io::ErrorKind::NetworkUnreachable.into()));
        assert!(found.verdict == Verdict::Do && found.text.contains("from 192.0.2.112 ("), "{found}");
        let absent = routes(&listen, |_| Err(io::ErrorKind::AddrNotAvailable.into()));
        assert_eq!(absent.verdict, Verdict::Note);
    }

    #[test]
    fn a_strict_reverse_path_hurts_where_there_are_two_ways() {
        let card = |name: &str| {
            [format!("sys/class/net/{name}/device/vendor"), format!("sys/class/net/{name}/operstate")]
        };
        let found = |names: &[&str], all: &str| {
            let files: Vec<[String; 2]> = names.iter().map(|name| card(name)).collect();
            let mut files: Vec<(&str, &str)> = files
                .iter()
                .flat_map(|[device, state]| [(device.as_str(), "1"), (state.as_str(), "up")])
                .collect();
            files.push(("proc/sys/net/ipv4/conf/all/rp_filter", all));
            reverse_path(&host(&files).1)
        };
        assert_eq!(found(&["eth0", "eth1"], "0").verdict, Verdict::Good);
        assert_eq!(found(&["eth0", "eth1"], "2").verdict, Verdict::Good);
        assert_eq!(found(&["eth0"], "1").verdict, Verdict::Good);
        let strict = found(&["eth0", "eth1"], "1");
        assert!(strict.verdict == Verdict::Do && strict.text.starts_with("eth0, eth1 drops"), "{strict}");
    }
}
