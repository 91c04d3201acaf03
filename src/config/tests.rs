use std::fs;
use std::time::Duration;

mod clients;

use super::spec::EXAMPLE;
use super::*;
use crate::policy::Fallback;
use crate::taps::Addresses;

/// Loads `text` as the file `as112d.toml` in a directory.
fn load_text(text: &str, flags: &Flags) -> Result<Config, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("as112d.toml");
    fs::write(&path, text).unwrap();
    let in_folder =
        |problem: Problem| problem.to_string().replace(&format!("{}/", folder.path().display()), "");
    load(Some(&path), flags).map_err(|problems| problems.into_iter().map(in_folder).collect())
}

fn mistakes(text: &str) -> Vec<String> {
    load_text(text, &Flags::default()).map(|config| format!("{config:?}")).unwrap_err()
}

#[test]
fn each_mistake_has_its_place_and_the_way_out() {
    for (text, place, fragment) in [
        // Syntax.
        ("[server\n", "1:8", "TOML syntax error: "),
        ("[server]\nshards = \n", "2:10", "TOML syntax error: "),
        ("[tcp]\n[tcp]\n", "2:2", "TOML syntax error: "),
        ("[server]\nshards = 1\nshards = 2\n", "3:1", "duplicate key"),
        // Keys.
        ("[server]\nshard = 4", "2:1", "unknown key `shard`; did you mean `shards`?"),
        ("[sever]\nshards = 4", "1:2", "unknown key `sever`; did you mean `server`?"),
        ("[answers]\nttl = 4", "2:1", "unknown key `ttl`; known keys: update"),
        ("listen = []", "1:1", "known keys: server, identity, tcp, zones, zone, answers"),
        ("[[zone]]\nname = 'a'\nfiel = 'x'", "3:1", "did you mean `file`?"),
        ("[[zone]]\nfile = 'x'", "1:1", "missing field `name`; write it as in `name = \"example.com\"`"),
        // Kinds.
        ("server = 3", "1:10", "invalid type: integer `3`, expected a [server] section"),
        ("zone = {}", "1:8", "write it as in `[[zone]]`"),
        ("[server]\nlisten = '::1'", "2:10", "write it as in `listen = [\"as112\""),
        ("[server]\nlisten = ['::1', 53]", "2:18", "invalid type: integer `53`, expected an address such as"),
        ("[server]\nuser = 5", "2:8", "expected a quoted string; write it as in `user = \"as112d\"`"),
        ("[server]\nedns_udp_size = '1k'", "2:17", "give a whole number from 512 to 1232"),
        (
            "[server]\nrcvbuf = 3.5",
            "2:10",
            "expected a size such as \"8MiB\"; write it as in `rcvbuf = \"8MiB\"`",
        ),
        ("[zones]\ndirect = 'yes'", "2:10", "expected a boolean; write it as in `direct = true`"),
        ("[xdp]\ninterfaces = 'eth0'", "2:14", "expected a list; write it as in `interfaces = [\"eth0\"]`"),
        ("[zones]\ndir = 1", "2:7", "write it as in `dir = \"zones\"`"),
        // Values.
        ("[server]\nlisten = ['::1', 'localhost']", "2:18", "`localhost` is not an address; give"),
        ("[server]\nlisten = ['127.0.0.1:0']", "2:11", "has port 0; give a port from 1 to 65535"),
        ("[server]\nlisten = ['::1', '[::1]:53']", "2:18", "[::1]:53 is listed twice; remove one"),
        ("[server]\nlisten = ['::', '::1']", "2:17", "[::1]:53 and [::]:53 overlap; remove one"),
        ("[server]\nlisten = ['x']", "2:11", "`x` is not an address"),
        ("[server]\nlisten = []", "2:10", "there is no address to listen on; list one"),
        ("[server]\nshards = 0", "2:10", "give 1 to 1024, or \"auto\""),
        ("[server]\nshards = 'all'", "2:10", "give 1 to 1024, or \"auto\""),
        ("[server]\ncpus = '0-'", "2:8", "`0-` is not a CPU or a range of CPUs; give a list"),
        ("[server]\ncpus = '0-3,2'", "2:8", "CPU 2 is listed twice; list it once"),
        ("[server]\ncpus = '0-1'\nshards = 3", "3:10", "3 shards but only 2 CPUs; list more CPUs"),
        ("[server]\ndatapath = 'xdp'", "2:12", "give \"auto\", \"io_uring\" or \"mmsg\""),
        ("[server]\nedns_udp_size = 511", "2:17", "give a whole number from 512 to 1232"),
        ("[server]\nedns_udp_size = 1233", "2:17", "give a whole number from 512 to 1232"),
        ("[server]\nedns_udp_size = -1", "2:17", "`-1` is out of range"),
        ("[server]\nsndbuf = 4194304", "2:10", "give a number with B, KiB, MiB or GiB"),
        ("[server]\nsndbuf = '1GiB'", "2:10", "give 4KiB to 512MiB"),
        ("[server]\nuser = ''", "2:8", "the value is empty"),
        ("[tcp]\nidle_timeout = 10", "2:16", "give a number with ms, s, m, h or d"),
        ("[tcp]\nidle_timeout = '2w'", "2:16", "is not a time"),
        ("[tcp]\nwrite_timeout = '1ms'", "2:17", "give 1s to 1h"),
        ("[tcp]\nconnections_max = 0", "2:19", "give a whole number from 1 to 1000000"),
        ("[tcp]\nconnections_max = 5\nconnections_per_address_max = 6", "3:31", "give at most 5"),
        ("[tcp]\nbuffers_max = '1KiB'", "2:15", "give 1MiB to 64GiB"),
        (
            "[identity]\nnode = 'a'\nloc = '45 N 75'",
            "3:7",
            "ends before its E or W; write it as in `45 25 0 N",
        ),
        ("[identity]\nnsid = '0x123'", "2:8", "pairs of hexadecimal digits"),
        ("[identity]\nfacility = 'a\\nb'\nnode = \"a\\tb\"", "3:8", "control character"),
        ("[identity]\nunique_ip = ['192.0.2']", "2:14", "`192.0.2` is not an address; give one such as"),
        ("[identity]\nhostname_soa_rname = 'noc@example.net'", "2:22", "write `noc.example.net`"),
        ("[identity]\nhostname_soa_mname = 'a..b'", "2:22", "`a..b` "),
        ("[answers]\nupdate = 'yes'", "2:10", "give \"refused\", \"notimp\" or \"drop\""),
        ("[[zone]]\nname = 'example.com'", "2:8", "has no records; give it a `file` or a `template`"),
        ("[[zone]]\nname = 'a'\nfile = 'f'\ntemplate = 'dd-empty'", "2:8", "remove one of the two"),
        ("[[zone]]\nname = 'a'\ntemplate = 'dd'", "3:12", "give \"dd-empty\" or \"dr-empty\""),
        // A message is one line, whatever it quotes.
        ("[server]\n'sh`ar\\nd' = 4", "2:1", "unknown key `sh`ar\\nd`; known keys: listen, shards"),
        ("[server]\nlisten = [\"::1\\n\\u001b[31m\"]", "2:11", "`::1\\n\\u{1b}[31m` is not an address"),
        // The column counts characters, not bytes.
        ("server = {user = 'Łódź', shard = 1}", "1:26", "did you mean `shards`?"),
    ] {
        let found = mistakes(text);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(found[0].starts_with(&format!("as112d.toml:{place}: ")), "{text}: {found:#?}");
        assert!(found[0].contains(fragment) && !found[0].contains('\n'), "{text}: {found:#?}");
    }
}

#[test]
fn mistakes_about_cpus() {
    for (text, place, fragment) in [
        ("[server]\ncpus = 'node:'", "2:8", "is not a NUMA node; give one"),
        ("[server]\ncpus = 4", "2:8", "expected CPUs, such as \"0-7,16-23\", \"nic:eth0\""),
        ("[server]\nsteer = 'numa'", "2:9", "give \"auto\", \"off\", \"cpu\" or \"hash\""),
        ("[server]\nbusy_poll = 1001", "2:13", "give a whole number from 0 to 1000"),
    ] {
        let found = mistakes(text);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(found[0].starts_with(&format!("as112d.toml:{place}: ")), "{text}: {found:#?}");
        assert!(found[0].contains(fragment), "{text}: {found:#?}");
    }
}

/// An upstream with one more line.
fn upstream(line: &str) -> String {
    format!("[[upstream]]\nname = 'u'\nservers = ['192.0.2.1']\n{line}")
}

#[test]
fn mistakes_about_the_platform() {
    for (text, place, fragment) in [
        ("[platform]\nworkers = 17", "2:11", "give a whole number from 0 to 16, or \"auto\""),
        ("[platform]\njobs = 63", "2:8", "give a whole number from 64 to 16384"),
        (
            "[platform]\njobs = 64\nshare = 65",
            "3:9",
            "one rule may have more jobs than there are; give at most 64",
        ),
        ("[platform]\nquery_timeout = '31s'", "2:17", "give 100ms to 30s"),
        ("[platform]\nworker = 1", "2:1", "did you mean `workers`?"),
        ("[platform]\napp = 'apps.d'", "2:1", "unknown key `app`; did you mean `apps`?"),
        ("[cache]\nsize = '1KiB'", "2:8", "give 1MiB to 64GiB"),
        ("[cache]\nttl_max = '8d'", "2:11", "give 0s to 7d"),
        ("[cache]\nttl_min = '2h'\nttl_max = '1h'", "3:11", "`ttl_min` is longer than `ttl_max`; shorten it"),
        ("[cache]\nfailure_ttl = '0s'", "2:15", "give 1s to 5m"),
        ("[[upstream]]\nname = 'a b'\nservers = ['::1']", "2:8", "`a b` is not a name; give 1 to 32 letters"),
        ("[[upstream]]\nname = 'resolver'\nservers = ['::1']", "2:8", "is what [resolver] is called"),
        ("[[upstream]]\nname = 'u'\nservers = []", "2:8", "has no servers; list one in `servers`"),
        ("[[upstream]]\nname = 'u'", "1:1", "missing field `servers`; write it as in `servers = ["),
        ("[[upstream]]\nname = 'u'\nservers = ['0.0.0.0']", "3:12", "is not the address of a server"),
        ("[[upstream]]\nname = 'u'\nservers = ['::1', '[::1]:53']", "3:19", "[::1]:53 is listed twice"),
        (
            "[server]\nlisten = ['::1']\n[[upstream]]\nname = 'u'\nservers = ['::1']",
            "5:12",
            "is this node itself",
        ),
        (&upstream("over = 'dot'"), "4:8", "give \"udp\", \"tcp\" or \"tls\""),
        (&upstream("over = 'tls'"), "4:8", "whose certificate it must have; give `tls_name`"),
        (&upstream("tls_name = 'u.example'"), "4:12", "is for `over = \"tls\"`; remove one of the two"),
        (&upstream("tls_ca = 'ca.pem'"), "2:8", "`tls_ca` of upstream `u` is for `over = \"tls\"`"),
        (&upstream("explore = 0.6"), "4:11", "give 0 to 0.5"),
        (&upstream("explore = true"), "4:11", "expected a share such as 0.02"),
        (&upstream("tries = 1.5"), "4:9", "expected a whole number"),
        (&upstream("ecs = '33/56'"), "4:7", "give \"strip\", \"pass\" or prefix lengths such as \"24/56\""),
        (&[upstream(""), upstream("")].join("\n"), "6:8", "another upstream is called `u`; choose another"),
        ("[[route]]\nname = 'r'\nwhen = 'any'", "1:1", "missing field `then`"),
        (
            "[[route]]\nname = 'r'\nwhen = 'any'\nthen = 'drop'\nallow = ['all']",
            "5:10",
            "`all` is not a prefix",
        ),
        (
            "[[route]]\nname = 'r'\nwhen = 'any'\nthen = 'drop'\nfallback_action = 'servfail'",
            "5:19",
            "give \"fail\", \"refuse\", \"native\", \"drop\", \"next\" or \"stale\"",
        ),
        ("[resolver]\naddress = '127.0.0.1:0'", "2:11", "has port 0"),
        (
            "[trace]\nto = 'http://127.0.0.1'",
            "2:6",
            "is not a place for traces; give \"file:traces.json\", or",
        ),
        (
            "[trace]\nto = 'otlp:http://collector:4318/v1/traces'",
            "2:6",
            "such as \"otlp:http://192.0.2.9:4318/",
        ),
        ("[trace]\nto = 'otlp:http://192.0.2.9:4318/a b'", "2:6", "is not a place for traces"),
    ] {
        let found = mistakes(text);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(found[0].starts_with(&format!("as112d.toml:{place}: ")), "{text}: {found:#?}");
        assert!(found[0].contains(fragment), "{text}: {found:#?}");
    }
}

#[test]
fn the_platform_is_as_it_is_written() {
    let text = "[platform]\nworkers = 3\njobs = 64\ncolo = 'lis1'\nrules = 'r'\n[cache]\nstale = '12h'\n\
                [[upstream]]\nname = 'dot'\nservers = ['192.0.2.1', '[2001:db8::1]:8853']\nover = 'tls'\n\
                tls_name = 'dns.example'\ntls_ca = 'ca.pem'\nexplore = 0\necs = '20/48'\n\
                [[route]]\nname = 'r'\nwhen = '''\nqname = a.example\n and rd = true'''\nthen = 'resolve'\n\
                allow = ['192.0.2.7/24', '::1']\nfallback_action = 'stale'\n\
                [resolver]\naddress = '192.0.2.9'\n[trace]\nto = 'file:t.json'\n";
    let config = load_text(text, &Flags::default()).unwrap();
    let platform = &config.platform;
    assert_eq!((platform.workers, platform.colo.as_str()), (platform::Workers::Count(3), "lis1"));
    assert_eq!(
        (platform.jobs, platform.share),
        (64, 64),
        "of all jobs one rule may have as many as there are"
    );
    assert!(platform.rules.as_ref().is_some_and(|rules| rules.ends_with("r")));
    assert_eq!(
        config.cache,
        cache::Settings { stale: Duration::from_secs(43_200), ..cache::Settings::default() }
    );
    let Upstream { servers, over, explore, tries, ecs, cookies, .. } = &config.upstreams[0];
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["192.0.2.1:853", "[2001:db8::1]:8853"]);
    assert!(
        format!("{over:?}").contains("dns.example") && format!("{over:?}").contains("/ca.pem"),
        "{over:?}"
    );
    assert_eq!((*explore, *tries, *cookies), (0.0, 3, true));
    assert_eq!(*ecs, crate::policy::upstream::Ecs::Set { ipv4: 20, ipv6: 48 });
    let route = &config.routes[0];
    assert_eq!((route.allow[0].to_string().as_str(), route.fallback), ("192.0.2.0/24", Fallback::Stale));
    assert_eq!(route.allow[1].to_string(), "::1/128", "an address is a network of one");
    assert!(route.place.ends_with("as112d.toml:18:8") && route.when.contains('\n'), "{route:?}");
    let resolver = config.resolver.unwrap();
    assert_eq!((resolver.enabled, resolver.address.to_string().as_str()), (false, "192.0.2.9:5354"));
    let trace = config.trace.unwrap();
    assert!(trace.file().is_some_and(|file| file.ends_with("t.json")) && trace.sample_every.get() == 1024);
    // Rules are beside the file, if they are there.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("as112d.toml");
    fs::write(&path, "").unwrap();
    let rules = || load(Some(&path), &Flags::default()).unwrap().platform.rules;
    assert_eq!(rules(), None);
    fs::create_dir(folder.path().join("rules.d")).unwrap();
    assert_eq!(rules(), Some(folder.path().join("rules.d")));
    assert_eq!(load(None, &Flags::default()).unwrap().platform.rules, None);
}

#[test]
fn all_mistakes_are_reported_in_the_order_of_the_file() {
    let text = "[tcp]\nidle_timeout = 10\n[server]\nlisten = ['x', '::1', 'y', '::1']\ncolour = 'blue'\n\
                shards = 3\ncpus = '0'\n[[zone]]\nfile = 'b'\n[[zone]]\nname = 'c'\nfile = 4\n";
    let places: Vec<String> =
        mistakes(text).iter().map(|line| line.split(": ").next().unwrap().to_owned()).collect();
    // Zone c seems to have no records, but only because `file = 4` was no file: one mistake, one message.
    let expected = ["2:16", "4:11", "4:23", "4:28", "5:1", "6:10", "8:1", "12:8"];
    assert_eq!(places, expected.map(|place| format!("as112d.toml:{place}")));
}

#[test]
fn mistakes_have_an_end() {
    let text: String = (0..1000).map(|n| format!("key{n} = {n}\n")).collect();
    assert_eq!(mistakes(&text).len(), crate::limits::CONFIG_MISTAKES_MAX);
}

#[test]
fn defaults() {
    let config = load(None, &Flags::default()).unwrap();
    assert_eq!(config.listen, listen::default_addresses());
    assert_eq!((config.shards, config.cpus, config.datapath), (Shards::Auto, None, DatapathChoice::Auto));
    assert_eq!((config.steer, config.busy_poll), (Steer::Auto, 0));
    assert_eq!((config.edns_udp_size, config.user), (1232, None));
    assert_eq!((config.rcvbuf, config.sndbuf), (8 << 20, 4 << 20));
    assert_eq!(config.identity.node, fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim());
    assert_eq!(config.nsid, config.identity.node.as_bytes());
    assert_eq!((config.tcp.connections_max, config.tcp.connections_per_client_max), (4096, 256));
    assert_eq!(config.tcp.message_timeout, Duration::from_secs(2));
    assert_eq!(config.tcp.idle_timeout, Duration::from_secs(10));
    assert_eq!(config.tcp.write_timeout, Duration::from_secs(10));
    assert_eq!(config.tcp.buffers_len_max, 64 << 20);
    assert_eq!((config.zones.direct, config.zones.dname, config.zones.special_use), (true, true, true));
    assert_eq!((config.zones.dir, config.zones.entries.len()), (None, 0));
    assert_eq!((config.update, config.history), (UpdatePolicy::Refused, None));
}

#[test]
fn the_file_is_heard() {
    let text = "[server]\nlisten = ['as112-dname', '::1']\nshards = 2\ncpus = '4,6'\n\
                steer = 'hash'\nbusy_poll = 50\n\
                datapath = 'mmsg'\nedns_udp_size = 512\nuser = 'nobody'\nrcvbuf = '1MiB'\nsndbuf = '64KiB'\n\
                [identity]\nnode = 'n'\nfacility = 'f'\nlocation = 'l'\nloc = '1 N 1 E 1m'\n\
                extra_txt = ['x', 'y']\nunique_ip = ['192.0.2.1', '2001:db8::1']\nnsid = '0xff00'\n\
                version_txt = 'v'\nhostname_soa_mname = 'm.example'\nhostname_soa_rname = 'r.example.'\n\
                [tcp]\nconnections_max = 10\nmessage_timeout = '1500ms'\nidle_timeout = '1m'\n\
                write_timeout = '3s'\nbuffers_max = '1GiB'\n[zones]\ndirect = false\ndname = false\n\
                special_use = false\ndir = 'z'\n[[zone]]\nname = 'a.example'\nfile = 'a.zone'\nforce = true\n\
                [[zone]]\nname = 'b.example'\ntemplate = 'dr-empty'\n\
                [answers]\nupdate = 'drop'\n[history]\ndir = 'h'\n";
    let config = load_text(text, &Flags::default()).unwrap();
    let listen: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["192.31.196.1:53", "[2001:4:112::1]:53", "[::1]:53"]);
    assert_eq!((config.shards.to_string().as_str(), config.cpus), ("2", Some(Cpus::List(vec![4, 6]))));
    assert_eq!((config.steer, config.busy_poll), (Steer::Hash, 50));
    assert_eq!((config.datapath, config.edns_udp_size), (DatapathChoice::Mmsg, 512));
    assert_eq!((config.user.as_deref(), config.rcvbuf, config.sndbuf), (Some("nobody"), 1 << 20, 64 << 10));
    let identity = &config.identity;
    assert_eq!((identity.node.as_str(), identity.facility.as_deref()), ("n", Some("f")));
    assert_eq!((identity.location.as_deref(), identity.loc.as_deref()), (Some("l"), Some("1 N 1 E 1m")));
    assert_eq!((identity.extra_txt.join(" "), identity.unique_ip.len()), ("x y".to_owned(), 2));
    assert_eq!(identity.hostname_soa_mname.as_deref(), Some("m.example"));
    assert_eq!(identity.hostname_soa_rname.as_deref(), Some("r.example."));
    assert_eq!((config.nsid, config.version_txt.as_deref()), (vec![0xFF, 0], Some("v")));
    // 64 connections of one address are the default only where there may be so many.
    assert_eq!((config.tcp.connections_max, config.tcp.connections_per_client_max), (10, 10));
    assert_eq!(config.tcp.message_timeout, Duration::from_millis(1500));
    assert_eq!((config.tcp.idle_timeout.as_secs(), config.tcp.write_timeout.as_secs()), (60, 3));
    assert_eq!((config.tcp.buffers_len_max, config.update), (1 << 30, UpdatePolicy::Drop));
    assert!(config.history.is_some_and(|dir| dir.ends_with("h")));
    let zones = &config.zones;
    assert_eq!((zones.direct, zones.dname, zones.special_use), (false, false, false));
    assert_eq!(zones.identity.node, "n");
    assert_eq!(zones.entries.iter().map(|entry| entry.force).collect::<Vec<_>>(), [true, false]);
    assert!(matches!(zones.entries[1].source, ZoneSource::DrEmpty));
}

#[test]
fn logs_and_taps_are_those_that_are_wanted() {
    let config = load_text("", &Flags::default()).unwrap();
    assert_eq!((config.log, config.query_log, config.dnstap), (log::Settings::default(), None, None));
    let text = "[log]\nlevel = 'debug'\nformat = 'json'\nfile = 'log'\n\
                [query_log]\nsample_every = 100\nfile = 'queries'\n\
                [dnstap]\nto = 'unix:tap'\naddresses = 'whole'\n";
    let config = load_text(text, &Flags::default()).unwrap();
    assert_eq!((config.log.level, config.log.format), (log::Level::Debug, log::Format::Json));
    assert!(config.log.file.is_some_and(|file| file.ends_with("log")));
    let query_log = config.query_log.unwrap();
    assert_eq!((query_log.sample_every.get(), query_log.addresses), (100, Addresses::Short));
    assert!(query_log.file.is_some_and(|file| file.ends_with("queries")));
    let dnstap = config.dnstap.unwrap();
    assert_eq!((dnstap.sample_every.get(), dnstap.addresses), (64, Addresses::Whole));
    assert!(dnstap.to.to_string().ends_with("tap"));
    let flags = Flags { log_format: Some(log::Format::Text), log_file: Some("l".into()), ..Flags::default() };
    let config = load_text(text, &flags).unwrap();
    assert_eq!((config.log.format, config.log.file), (log::Format::Text, Some("l".into())));
    for (text, fragment) in [
        ("[log]\nlevel = 'loud'", "give \"error\", \"warning\", \"info\" or \"debug\""),
        ("[query_log]\nfile = 'q'", "give it, 1 for every query"),
        ("[query_log]\nsample_every = 0", "give a whole number from 1 to 1048576"),
        ("[dnstap]\nto = '/run/tap'", "`/run/tap` is not a dnstap receiver; give a socket such as"),
        ("[dnstap]\ntoo = 1", "unknown key `too`; did you mean `to`?"),
    ] {
        let problems = load_text(text, &Flags::default()).unwrap_err();
        assert!(problems[0].contains(fragment), "{text}: {problems:?}");
    }
}

#[test]
fn paths_and_places_are_those_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conf.toml");
    let text = "[zones]\ndir = 'zones'\n[[zone]]\nname = 'a'\nfile = 'a.zone'\n\
                [[zone]]\nname = 'b'\nfile = '/etc/b'\n[history]\ndir = 'past'\n";
    fs::write(&path, text).unwrap();
    let config = load(Some(&path), &Flags::default()).unwrap();
    assert_eq!(config.history, Some(folder.path().join("past")));
    let zones = config.zones;
    assert_eq!(zones.dir, Some(folder.path().join("zones")));
    let place = |line: u32| format!("{}:{line}:8", path.display());
    assert_eq!(
        zones.entries.iter().map(|entry| entry.place.clone()).collect::<Vec<_>>(),
        [place(4), place(7)]
    );
    let file = |entry: &ZoneEntry| match &entry.source {
        ZoneSource::File(file) => file.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        zones.entries.iter().map(file).collect::<Vec<_>>(),
        [folder.path().join("a.zone"), "/etc/b".into()]
    );
}

#[test]
fn flags_go_before_the_file() {
    let text = "[server]\nlisten = ['::1']\nshards = 2\ncpus = '1-2'\ndatapath = 'mmsg'\n\
                steer = 'cpu'\nbusy_poll = 70\n\
                [identity]\nnode = 'file'\n[zones]\ndir = 'z'\n[http]\nlisten = '[::1]:1'\n";
    let flags = Flags {
        listen: vec![Listen::read("127.0.0.1").unwrap(), Listen::read("127.0.0.2:54").unwrap()],
        shards: Some(Shards::read("3").unwrap()),
        cpus: Some(Cpus::read("5-7").unwrap()),
        steer: Some(Steer::Off),
        busy_poll: Some(BusyPoll::read("0").unwrap()),
        datapath: Some(DatapathChoice::IoUring),
        http: Some(HttpListen::Off),
        http_public: None,
        control: None,
        node: Some(Text::read("flag").unwrap()),
        zones: Some("here".into()),
        xdp: Vec::new(),
        log_format: None,
        log_file: None,
    };
    let config = load_text(text, &flags).unwrap();
    assert_eq!((config.steer, config.busy_poll), (Steer::Off, 0));
    assert_eq!(config.listen, ["127.0.0.1:53", "127.0.0.2:54"].map(|text| text.parse().unwrap()));
    assert_eq!((config.shards.to_string().as_str(), config.cpus), ("3", Some(Cpus::List(vec![5, 6, 7]))));
    assert_eq!((config.datapath, config.zones.dir), (DatapathChoice::IoUring, Some("here".into())));
    assert_eq!((config.identity.node.as_str(), config.nsid.as_slice()), ("flag", &b"flag"[..]));
    assert_eq!((config.zones.identity.node.as_str(), config.http), ("flag", HttpListen::Off));

    // Without flags it is the file, and without either the default.
    let http = |text| load_text(text, &Flags::default()).unwrap().http;
    assert_eq!(http(text), HttpListen::At("[::1]:1".parse().unwrap()));
    assert_eq!(http(""), HttpListen::IfFree);

    // The NSID follows the name unless it was given by itself.
    let config = load_text("[identity]\nnsid = 'id'", &flags).unwrap();
    assert_eq!((config.identity.node.as_str(), config.nsid.as_slice()), ("flag", &b"id"[..]));
}

#[test]
fn mistakes_of_flags_name_the_option() {
    let flags = Flags {
        listen: vec![Listen::read("::").unwrap(), Listen::read("as112").unwrap()],
        shards: Some(Shards::read("2").unwrap()),
        ..Flags::default()
    };
    let found = load_text("[server]\ncpus = '1'\nuser = ''", &flags).unwrap_err();
    let places: Vec<&str> = found.iter().map(|line| line.split(": ").next().unwrap()).collect();
    let listen = ["--listen"; 4];
    assert_eq!(places, [&listen[..], &["--shards", "as112d.toml:3:8"]].concat(), "{found:#?}");
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let problem = |path: &Path| load(Some(path), &Flags::default()).map(drop).unwrap_err()[0].clone();
    let absent = problem(&folder.path().join("absent.toml"));
    assert!(absent.message.contains("No such file") && absent.message.ends_with("with --config"), "{absent}");
    assert!(problem(folder.path()).message.starts_with("cannot be read"));
    let path = folder.path().join("latin1.toml");
    fs::write(&path, b"[identity]\nlocation = 'M\xFCnchen'\n").unwrap();
    assert_eq!(problem(&path).place, format!("{}:2", path.display()));
    let long = folder.path().join("long.toml");
    fs::File::create(&long).unwrap().set_len(crate::limits::CONFIG_LEN_MAX + 1).unwrap();
    assert!(problem(&long).message.starts_with("is longer than 16777216 bytes"));
    // A device without an end.
    assert!(problem(Path::new("/dev/zero")).message.contains("a device, not a file"));
}

/// Corrupts the example in one to four places, as a typing error would, and loads it.
#[test]
fn damage_never_panics_and_every_message_is_one_line_with_a_place() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(112);
    let mut state: u64 = seed;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let whole: Vec<char> = uncommented().chars().collect();
    let strokes: Vec<char> = "[]{}=\"'`#.,:-_ \n\t\\x0é9".chars().collect();
    let mut refused = 0;
    for _ in 0..400 {
        let mut text = whole.clone();
        for _ in 0..=random(4) {
            let at = random(text.len());
            match random(3) {
                0 => drop(text.remove(at)),
                1 => text[at] = strokes[random(strokes.len())],
                _ => text.insert(at, strokes[random(strokes.len())]),
            }
        }
        let text: String = text.into_iter().collect();
        let Err(found) = load_text(&text, &Flags::default()) else { continue };
        refused += 1;
        for line in found {
            let mut place =
                line.strip_prefix("as112d.toml:").unwrap_or_else(|| panic!("{seed}: {line}")).split(':');
            let mut number = || place.next().and_then(|text| text.parse::<usize>().ok());
            assert!(number().is_some() && number().is_some() && !line.contains('\n'), "{seed}: {line}");
        }
    }
    assert!(refused > 100, "most damage is a mistake: {refused}");
}

//------------ The example file ---

/// The example with every `# key = value` and `# [[table]]` made live.
pub(super) fn uncommented() -> String {
    let is_key = |text: &str| text.split_once(" = ").is_some_and(|(key, _)| !key.contains([' ', '`', ':']));
    let live = |line: &'static str| match line.strip_prefix("# ") {
        Some(text) if text.starts_with("[[") || is_key(text) => text,
        _ => line,
    };
    EXAMPLE.lines().map(live).collect::<Vec<_>>().join("\n")
}

#[test]
fn example_says_the_defaults() {
    let example = load_text(EXAMPLE, &Flags::default()).unwrap();
    let default = load(None, &Flags::default()).unwrap();
    assert_eq!(format!("{example:#?}"), format!("{default:#?}"));
}

#[test]
fn example_holds_every_key_and_each_is_right() {
    let text = uncommented();
    load_text(&text, &Flags::default()).unwrap();
    let example: toml::Table = text.parse().unwrap();
    for section in spec::known_keys("") {
        let table = match &example[section.as_str()] {
            toml::Value::Array(tables) => {
                tables.iter().flat_map(|table| table.as_table().unwrap().keys()).collect::<Vec<_>>()
            }
            table => table.as_table().unwrap().keys().collect(),
        };
        let known = spec::known_keys(&section);
        assert!(!known.is_empty(), "{section}");
        for key in known {
            assert!(table.contains(&&key), "[{section}] lacks {key}");
        }
    }
}
