//! Routes, end to end: a node in a network namespace announces its prefixes through a real router, queries
//! reach it from elsewhere, and when it does not answer any more the routes are gone.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::daemon::{Daemon, is_as_shipped, program};
use common::lab::{Lab, NO_HOLD_DOWN, Namespace, Node, PREFIXES, is_there, printed};
use common::skip::skipped;

/// How soon routes must be gone.
const GONE_WITHIN: Duration = Duration::from_secs(2);
/// A test machine may stand still meanwhile: what was measured is reported.
const GONE_MAX: Duration = GONE_WITHIN.saturating_mul(5);

/// An address of the direct service in each family.
const SERVICE_ADDRESSES: [&str; 2] = ["192.175.48.6", "2620:4f:8000::42"];

/// Asks all service addresses on the node itself.
fn probe_locally(node: &Node) {
    node.run(&format!("{} probe --address as112 --timeout 5s", program().display()));
}

/// Asks all service addresses from where the client is.
fn probe_from_afar(lab: &Lab) {
    let mut probe = lab.client(program());
    let text = printed(probe.args(["probe", "--address", "as112", "--timeout", "5s"]));
    assert_eq!(text.lines().count(), 8, "{text}");
}

//------------ Probe and addresses ---

/// The exit code of a command, and what it printed.
fn ran(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn as112d(line: &str) -> Command {
    let mut command = Command::new(program());
    command.args(line.split_whitespace());
    command
}

#[test]
fn the_probe_says_by_its_exit_code_whether_an_address_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let control = folder.path().join("control").display().to_string();
    let daemon = Daemon::start(&["--control", &control]);
    let port = daemon.port;
    let line = format!("probe --address 127.0.0.1:{port} --address [::1]:{port} --timeout 5s");
    let (code, out, err) = ran(&mut as112d(&line));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = out.lines().collect();
    let starts = [format!("127.0.0.1:{port} answers ("), format!("[::1]:{port} answers (")];
    assert!(
        lines.len() == 2 && lines.iter().zip(&starts).all(|(line, start)| line.starts_with(start)),
        "{out}"
    );

    // The fastest of some: what another program had to do meanwhile is not the probe's time.
    let mut probe = as112d(&format!("probe --address 127.0.0.1:{port} --timeout 5s"));
    let took = (0..100).map(|_| {
        let begin = Instant::now();
        assert_eq!(ran(&mut probe).0, Some(0));
        begin.elapsed()
    });
    let fastest = took.min().expect("a hundred");
    println!(
        "report: a probe takes {:.2} ms, start and end of the process included",
        fastest.as_secs_f64() * 1e3
    );
    // It takes some 4 ms where nothing else runs; this is five times as much.
    if is_as_shipped() {
        assert!(fastest < Duration::from_millis(20), "{fastest:?}");
    }

    // A node that drains answers, and has failed for who asks it.
    let with_control = format!("{line} --control {control}");
    assert_eq!(ran(&mut as112d(&with_control)).0, Some(0));
    assert_eq!(ran(&mut as112d(&format!("drain --control {control}"))).0, Some(0));
    assert_eq!(ran(&mut as112d(&line)).0, Some(0));
    let (code, out, err) = ran(&mut as112d(&with_control));
    assert_eq!((code, out.matches(" answers (").count()), (Some(1), 2), "{out}");
    assert_eq!(err, format!("{control}: the node is draining or stopping; withdraw its routes\n"));

    daemon.stop();
    let (code, out, err) = ran(&mut as112d(&with_control));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let told = |ip: &str| format!("{ip}:{port}: UDP: connection refused: nothing listens there\n");
    assert_eq!(err, told("127.0.0.1") + &told("[::1]"));
}

#[test]
fn the_probe_asks_what_the_configuration_listens_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&[]);
    let path = folder.path().join("as112d.toml");
    let text = format!("[server]\nlisten = ['127.0.0.1:{}']\n", daemon.port);
    std::fs::write(&path, text).expect("written");
    let (code, out, _) = ran(as112d("probe --timeout 5s --config").arg(&path));
    assert!(code == Some(0) && out.starts_with(&format!("127.0.0.1:{} answers (", daemon.port)), "{out}");
    let (code, _, err) = ran(as112d("announce --config").arg(&path));
    assert_eq!(code, Some(1));
    assert_eq!(err, "no router is configured; give --config a file with `router` in [announce]\n");
}

#[test]
fn addresses_are_applied_found_and_taken_back() {
    let Some(host) = Namespace::new("addresses") else {
        return skipped("a network of one's own takes root and ip");
    };
    let addresses =
        |options: &str| ran(&mut host.line(&format!("{} addresses {options}", program().display())));
    for whole in ["", " --whole-prefix"] {
        let locals = if whole.is_empty() { 8 } else { 12 };
        let (code, _, err) = addresses(&format!("--check{whole}"));
        assert!(code == Some(1) && err.lines().count() == locals, "{err}");
        assert!(
            err.starts_with("192.175.48.1: is not an address of this host; `as112d addresses --apply"),
            "{err}"
        );
        let before = ran(&mut host.line("ip address")).1 + &ran(&mut host.line("ip route show table all")).1;
        let (code, printed, _) = addresses(whole);
        assert!(code == Some(0) && printed.lines().all(|line| line.starts_with("ip ")), "{printed}");
        assert_eq!(addresses(&format!("--check{whole}")).0, Some(1), "printing them is all");
        // Twice is no error.
        for _ in 0..2 {
            assert_eq!(addresses(&format!("--apply{whole}")), (Some(0), printed.clone(), String::new()));
        }
        let (code, out, err) = addresses(&format!("--check{whole}"));
        assert!(code == Some(0) && out.lines().count() == locals, "{out}{err}");
        assert!(out.lines().all(|line| line.ends_with(" is local (lo)")), "{out}");
        assert_eq!(addresses(&format!("--undo{whole} as112-dname")).0, Some(0));
        let (_, _, err) = addresses(&format!("--check{whole}"));
        assert!(err.lines().all(|line| line.contains("--apply as112-dname`")) && !err.is_empty(), "{err}");
        assert_eq!(addresses(&format!("--undo{whole} as112-direct")).0, Some(0));
        let behind = ran(&mut host.line("ip address")).1 + &ran(&mut host.line("ip route show table all")).1;
        assert_eq!(behind, before);
    }
    // What is not there need not be taken away.
    let nothing = "none of the addresses is there\n".to_owned();
    assert_eq!(addresses("--undo"), (Some(0), nothing, String::new()));
}

//------------ What is shipped ---

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn shellcheck_finds_nothing_in_the_scripts() {
    for name in ["docs/examples/routes/frr", "docs/examples/routes/gobgp"] {
        match Command::new("shellcheck").arg(shipped(name)).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
            Err(_) => return skipped("shellcheck is missing (Debian package shellcheck)"),
        }
    }
}

#[test]
fn the_units_are_sound() {
    if !is_there("systemd-analyze") {
        return skipped("systemd-analyze is missing (Debian package systemd)");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let drop_ins = "as112d-announce.service.d";
    std::fs::create_dir(folder.path().join(drop_ins)).expect("there is room");
    for name in ["bird.conf", "frr.conf"] {
        let from = shipped("docs/examples/systemd").join(drop_ins).join(name);
        std::fs::copy(from, folder.path().join(drop_ins).join(name)).expect("a drop-in");
    }
    for name in ["as112d-announce.service", "as112d-addresses.service", "as112d-tune@.service"] {
        // Where the programs are now.
        let text = std::fs::read_to_string(shipped("packaging/systemd").join(name)).expect("a unit");
        let unit = folder.path().join(name);
        let text = text.replace("/usr/bin/as112d", &program().display().to_string());
        let text = text.replace("/usr/share/as112d/tune", &shipped("tuning/tune").display().to_string());
        std::fs::write(&unit, text).expect("written");
        let (code, out, err) = ran(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit));
        assert!(code == Some(0) && !err.contains(name), "{out}{err}");
    }
    let unit = folder.path().join("as112d-announce.service");
    let mut command = Command::new("systemd-analyze");
    // In tenths: 1.5.
    let (code, out, _) =
        ran(command.args(["security", "--offline=true", "--no-pager", "--threshold=15"]).arg(&unit));
    assert_eq!(code, Some(0), "{out}");
}

//------------ BIRD ---

#[test]
#[ignore = "needs root and BIRD; tests/run installs it"]
fn routes_come_with_the_node_and_go_with_it() {
    let Some(lab) = Lab::new() else { return };
    let node = lab.node(1);
    let (_bird, announcer) = node.with_bird(NO_HOLD_DOWN);
    for (how, signal) in [("stop", 15), ("crash", 9), ("hang", 19)] {
        let daemon = node.daemon();
        let came = lab.wait_for_routes(&PREFIXES);
        probe_from_afar(&lab);
        daemon.signal(signal);
        let gone = lab.wait_for_routes(&[]);
        println!(
            "report: {how}: routes came {came:.1?} after the node served, and were gone after {gone:.2?}"
        );
        assert!(gone < GONE_MAX, "{how}: {gone:?}\n{}", lab.said());
    }
    // What hung answers again, and what announces it ends by itself.
    let daemon = node.daemon();
    lab.wait_for_routes(&PREFIXES);
    assert!(announcer.stop(), "{}", lab.said());
    let gone = lab.wait_for_routes(&[]);
    assert!(gone < GONE_MAX, "{gone:?}");
    drop(daemon);

    // One that is killed leaves its routes; what cleans up behind it takes them away.
    let daemon = node.daemon();
    let announcer = node.announce();
    lab.wait_for_routes(&PREFIXES);
    drop(announcer);
    drop(daemon);
    assert_eq!(lab.routes().len(), 4);
    let line =
        format!("{} announce --withdraw --config {}/as112d.toml", program().display(), node.folder.display());
    node.run(&line);
    lab.wait_for_routes(&[]);
}

/// Nothing but what came from elsewhere is counted as a query, however much is probed; and a drain waits for
/// nobody but clients.
#[test]
#[ignore = "needs root and BIRD; tests/run installs it"]
fn probes_of_a_node_are_not_counted_as_queries() {
    let Some(lab) = Lab::new() else { return };
    let node = lab.node(1);
    let (_bird, _announcer) = node.with_bird("");
    let daemon = node.daemon();
    lab.wait_for_routes(&PREFIXES);
    let status = || -> serde_json::Value {
        let line =
            format!("{} status --json --control {}/control", program().display(), node.folder.display());
        serde_json::from_str(&node.run(&line)).expect("JSON")
    };
    let asked =
        |status: &serde_json::Value| ["queries", "probes"].map(|key| status[key].as_u64().expect(key));
    // Routes are there after five good probes: three queries over UDP each time, and twice over TCP.
    let before = asked(&status());
    assert!(before[0] == 0 && before[1] >= 8 * (15 + 3), "{before:?}");
    probe_from_afar(&lab);
    node.ask("drain");
    let after = asked(&status());
    assert!(after[0] == 8 * 6 && after[1] > before[1], "{after:?}");
    let begin = Instant::now();
    daemon.signal(15);
    assert_eq!(count(daemon), 8 * 6);
    // Its drain_time is 1 s, and three times as long where queries go on.
    println!("report: with probes going on a node stops within {:.1?}", begin.elapsed());
}

#[test]
#[ignore = "needs root and BIRD; tests/run installs it"]
fn each_prefix_goes_with_its_own_addresses() {
    let Some(lab) = Lab::new() else { return };
    let node = lab.node(1);
    let (_bird, _announcer) = node.with_bird(NO_HOLD_DOWN);
    let _daemon = node.daemon();
    lab.wait_for_routes(&PREFIXES);
    let [direct_v4, direct_v6, dname_v4, dname_v6] = PREFIXES;
    for (address, others) in [
        ("192.175.48.42/32", [direct_v6, dname_v4, dname_v6]),
        ("2001:4:112::1/128", [direct_v4, direct_v6, dname_v4]),
    ] {
        node.run(&format!("ip address del {address} dev lo"));
        lab.wait_for_routes(&others);
        node.run(&format!("{} addresses --apply", program().display()));
        lab.wait_for_routes(&PREFIXES);
    }
}

#[test]
#[ignore = "needs root and BIRD; tests/run installs it"]
fn what_flaps_is_announced_ever_more_rarely() {
    let Some(lab) = Lab::new() else { return };
    let node = lab.node(1);
    let (_bird, _announcer) = node
        .with_bird("interval = '100ms'\ntimeout = '80ms'\nrise = 1\nhold_down = '1s'\nhold_down_max = '4s'");
    let daemon = node.daemon();
    lab.wait_for_routes(&PREFIXES);
    let mut gone_for = Vec::new();
    for _ in 0..4 {
        daemon.signal(19);
        lab.wait_for_routes(&[]);
        let gone = Instant::now();
        daemon.signal(18);
        lab.wait_for_routes(&PREFIXES);
        gone_for.push(gone.elapsed().as_secs_f64());
    }
    println!("report: a node that answers again at once is announced after {gone_for:.2?} s");
    // The router's own table lags a little behind the announcer at both ends.
    for (gone, held) in gone_for.iter().zip([1.0, 2.0, 4.0, 4.0]) {
        assert!(*gone > held - 0.3, "{gone_for:?}");
    }
}

#[test]
#[ignore = "needs root and BIRD; tests/run installs it"]
fn a_router_that_is_away_gets_what_it_missed() {
    let Some(lab) = Lab::new() else { return };
    let node = lab.node(1);
    let (bird, _announcer) = node.with_bird(NO_HOLD_DOWN);
    let daemon = node.daemon();
    lab.wait_for_routes(&PREFIXES);
    drop(bird);
    lab.wait_for_routes(&[]);
    drop(daemon);
    node.wait_until_said("retrying every second", 1);
    let folder = node.folder.display();
    let line = format!("bird -f -c {folder}/main -s {folder}/bird.ctl");
    let _bird = node.start("bird", &line, &[]);
    node.wait_until_said("the router accepts changes again", 1);
    assert_eq!(lab.routes(), [], "it came back without what is gone");
    let _daemon = node.daemon();
    lab.wait_for_routes(&PREFIXES);
}

//------------ Drain ---

/// Queries at a steady rate from the client to one address, as long as no more than so many have no reply.
fn load(lab: &Lab, address: &str, seconds: u32, under_way_max: u32) -> Child {
    let queries = lab.folder.path().join("queries");
    std::fs::write(&queries, "1.1.168.192.in-addr.arpa PTR\n").expect("written");
    let mut command = lab.client("dnsperf");
    let [seconds, under_way_max] = [seconds, under_way_max].map(|number| number.to_string());
    command.args(["-s", address, "-Q", "1000", "-q", &under_way_max, "-c", "4", "-l", &seconds, "-d"]);
    command.arg(queries).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("dnsperf starts")
}

/// What dnsperf has sent, and lost.
fn lost(load: Child) -> (u64, u64) {
    let output = load.wait_with_output().expect("dnsperf ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = |key: &str| {
        let line =
            text.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap_or_else(|| panic!("{text}"));
        line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    (number("Queries sent:"), number("Queries lost:"))
}

#[expect(clippy::disallowed_methods, reason = "what is waited for is time itself")]
fn let_run(time: Duration) {
    std::thread::sleep(time);
}

#[test]
#[ignore = "needs root, BIRD and dnsperf; tests/run installs them"]
fn another_node_takes_over_from_one_that_drains_or_dies() {
    let Some(lab) = Lab::new() else { return };
    if !is_there("dnsperf") {
        return skipped("dnsperf is missing (Debian package dnsperf)");
    }
    let nodes = [1, 2].map(|number| lab.node(number));
    let _routers = nodes.each_ref().map(|node| node.with_bird(NO_HOLD_DOWN));
    let [first, _second] = nodes.each_ref().map(Node::daemon);
    nodes[1].wait_until_said("announcing", 4);
    // Of two that are equal the router takes the one with the lower router id.
    lab.wait_for_way(&nodes[0]);

    // One that stops drains first: it answers as long as anybody is sent to it. So nothing is lost.
    let loads = SERVICE_ADDRESSES.map(|address| load(&lab, address, 6, 100));
    let_run(Duration::from_secs(2));
    first.signal(15);
    let gone = lab.wait_for_way(&nodes[1]);
    let queries = count(first);
    let lost = loads.map(lost);
    println!("report: stop: the other node had all routes after {gone:.2?}; sent and lost {lost:?}");
    assert!(gone < GONE_MAX && queries > 2000, "{gone:?}, {queries} answered\n{}", lab.said());
    assert!(lost.iter().all(|(sent, lost)| *sent > 3000 && *lost == 0), "{lost:?}\n{}", lab.said());

    // It comes back, and dies: what was under way is lost until the routes have changed.
    let first = nodes[0].daemon();
    lab.wait_for_way(&nodes[0]);
    let loads = SERVICE_ADDRESSES.map(|address| load(&lab, address, 5, 10_000));
    let_run(Duration::from_secs(2));
    first.signal(9);
    let gone = lab.wait_for_way(&nodes[1]);
    let lost = loads.map(self::lost);
    println!("report: crash: the other node had all routes after {gone:.2?}; sent and lost {lost:?}");
    assert!(gone < GONE_MAX, "{gone:?}\n{}", lab.said());
    assert!(lost.iter().all(|(sent, lost)| lost * 2 < *sent), "{lost:?}");
}

/// Waits for the end of a node, which must end well; how many queries it had answered.
fn count(daemon: Daemon) -> u64 {
    let (status, lines) = daemon.wait();
    assert_eq!(status.code(), Some(0), "{lines:?}");
    let count = lines.iter().find_map(|line| line.strip_prefix("stopped after "));
    count.and_then(|count| count.split(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("{lines:?}"))
}

#[test]
#[ignore = "needs root and BIRD; tests/run installs it"]
fn a_drain_withdraws_at_once_and_its_end_announces_at_once() {
    let Some(lab) = Lab::new() else { return };
    let node = lab.node(1);
    // With probes so rare they take no part in it; so the node must be there for the first.
    let (_bird, announcer) = node.with_bird("rise = 1\ninterval = '60s'");
    node.wait_until_said("probing 8 addresses of 4 prefixes", 1);
    assert!(announcer.stop());
    let daemon = node.daemon();
    let _announcer = node.announce();
    lab.wait_for_routes(&PREFIXES);
    for _ in 0..3 {
        node.ask("drain");
        let gone = lab.wait_for_routes(&[]);
        assert!(gone < GONE_MAX, "they are gone when the command ends: {gone:?}");
        probe_locally(&node);
        node.ask("undrain");
        let came = lab.wait_for_routes(&PREFIXES);
        println!("report: routes came {came:.2?} after a drain was taken back");
    }
    // The end of the connection is a failed probe, and the second follows at once.
    daemon.signal(9);
    let gone = lab.wait_for_routes(&[]);
    println!("report: crash, seen by the end of the connection: gone after {gone:.2?}");
    assert!(gone < GONE_MAX, "{gone:?}\n{}", lab.said());
}

//------------ Other routers ---

/// Stops and starts a node behind a router of the node's own; the routes must follow.
fn follows(lab: &Lab, node: &Node, what: &str) {
    for (how, signal) in [("stop", 15), ("crash", 9)] {
        let daemon = node.daemon();
        lab.wait_for_routes(&PREFIXES);
        probe_from_afar(lab);
        daemon.signal(signal);
        let gone = lab.wait_for_routes(&[]);
        println!("report: {what}: {how}: routes were gone after {gone:.2?}");
        assert!(gone < GONE_MAX, "{how}: {gone:?}\n{}", lab.said());
    }
}

#[test]
#[ignore = "needs root, BIRD and ExaBGP; tests/run installs them"]
fn exabgp_announces_what_answers() {
    let Some(lab) = Lab::new() else { return };
    if !is_there("exabgp") {
        return skipped("exabgp is missing (Debian package exabgp)");
    }
    let node = lab.node(1);
    node.configure(&format!("router = 'exabgp'\n{NO_HOLD_DOWN}"));
    let config = node.write("exabgp.conf", &node.adapted("exabgp.conf"));
    // It would become nobody, who may not read the folder of this test.
    let environment = [("exabgp.daemon.user", "root"), ("exabgp.log.destination", "stderr")];
    let exabgp = node.start("exabgp", &format!("exabgp {}", config.display()), &environment);
    follows(&lab, &node, "ExaBGP");
    // It notices the death of what tells it, and withdraws.
    let _daemon = node.daemon();
    lab.wait_for_routes(&PREFIXES);
    let announcers = node.processes("announce");
    assert_eq!(announcers.len(), 1, "{announcers:?}");
    node.run(&format!("kill -KILL {}", announcers[0]));
    let gone = lab.wait_for_routes(&[]);
    println!("report: ExaBGP: routes were gone {gone:.2?} after as112d announce was killed");
    // And announce ends with ExaBGP.
    drop(exabgp);
    node.wait_for_no("announce");
}

#[test]
#[ignore = "needs root, BIRD and GoBGP; tests/run installs them"]
fn gobgp_announces_what_answers() {
    let Some(lab) = Lab::new() else { return };
    if !is_there("gobgpd") {
        return skipped("gobgpd is missing (Debian package gobgpd)");
    }
    let node = lab.node(1);
    let script = node.original("gobgp");
    node.configure(&format!("router = 'command'\ncommand = ['{}']\n{NO_HOLD_DOWN}", script.display()));
    let config = node.write("gobgpd.toml", &node.adapted("gobgpd.toml"));
    let _gobgpd = node.start("gobgpd", &format!("gobgpd -f {}", config.display()), &[]);
    let announcer = node.announce();
    follows(&lab, &node, "GoBGP");
    assert!(announcer.stop(), "{}", lab.said());
}

#[test]
#[ignore = "needs root, BIRD and FRR; tests/run installs them"]
fn frr_announces_what_answers() {
    let Some(lab) = Lab::new() else { return };
    if !is_there("bgpd") || !is_there("vtysh") {
        return skipped("bgpd is missing (Debian package frr)");
    }
    let node = lab.node(1);
    let folder = node.folder.display();
    // Beside an FRR of the host: its sockets stand in the folder of this test.
    let config = node.write("frr.conf", &node.adapted("frr.conf"));
    let line = format!(
        "bgpd --skip_runas -f {} -i {folder}/pid -z {folder}/zserv --vty_socket {folder} -P 0 --log stdout",
        config.display()
    );
    let _bgpd = node.start("bgpd", &line, &[]);
    let script = node.original("frr");
    let vtysh = format!("vtysh --vty_socket {folder}");
    let command = format!("['env', 'VTYSH={vtysh}', '{}']", script.display());
    node.configure(&format!("router = 'command'\ncommand = {command}\n{NO_HOLD_DOWN}"));
    let announcer = node.announce();
    follows(&lab, &node, "FRR");
    assert!(announcer.stop(), "{}", lab.said());
}

#[test]
#[ignore = "needs root, BIRD and anycast-healthchecker; tests/run installs them"]
fn anycast_healthchecker_announces_what_the_probe_finds() {
    let Some(lab) = Lab::new() else { return };
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/anycast-healthchecker");
    if !program.exists() {
        return skipped("anycast-healthchecker is missing (tests/run puts it into target/venv)");
    }
    let node = lab.node(1);
    node.configure("");
    let checker = node.write("checker", &node.adapted("anycast-healthchecker.conf"));
    // A folder of more checks must be there, and has none.
    let folder = node.folder.join("checks");
    std::fs::create_dir(&folder).expect("a folder");
    let line = format!("{} --file {} --dir {}", program.display(), checker.display(), folder.display());
    let _checker = node.start("checker", &line, &[]);
    node.wait_for_file("as112-v4.conf", "];");
    node.wait_for_file("as112-v6.conf", "];");
    let whole = node.adapted("bird.conf");
    let (before, filter_and_rest) = whole.split_once("filter as112 {").expect("a filter");
    let (_, rest) = filter_and_rest.split_once("\n}\n").expect("its end");
    let filter = node.adapted("bird-filter-anycast-healthchecker.conf");
    let config = node.write("main", &format!("{before}{filter}{rest}"));
    let line = format!("bird -f -c {} -s {}/bird.ctl", config.display(), node.folder.display());
    let _bird = node.start("bird", &line, &[]);
    for (how, signal) in [("stop", 15), ("hang", 19)] {
        let daemon = node.daemon();
        lab.wait_for_routes(&PREFIXES);
        daemon.signal(signal);
        let gone = lab.wait_for_routes(&[]);
        // How soon is its own affair: it is a program of Python, and decides when it looks.
        println!("report: anycast-healthchecker: {how}: routes were gone after {gone:.2?}");
    }
}
