//! `tuning/tune` on recorded hosts, with stand-ins for ethtool, nft and sysctl that keep what they are told;
//! and for real, in a network namespace with a card of several queues.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::host::RecordedHost;
use common::skip::skipped;

/// Keeps each value in a file and prints them as ethtool does. Writes go to `calls`.
const ETHTOOL: &str = r#"#!/bin/bash
[[ $1 != -?[A-Z]* && $1 != -[LGN] ]] || echo "ethtool $*" >>"$STAND_IN/calls"
value() { cat "$STAND_IN/$1" 2>/dev/null || echo n/a; }
card=$2
case $1 in
    -l) printf 'Channel parameters for %s:\nPre-set maximums:\n' "$card"
        printf 'RX:\t\tn/a\nTX:\t\tn/a\nOther:\t\t1\nCombined:\t%s\n' "$(value "$card.most")"
        echo 'Current hardware settings:'
        printf 'RX:\t\tn/a\nTX:\t\tn/a\nOther:\t\t1\nCombined:\t%s\n' "$(value "$card.combined")" ;;
    -g) ring='RX:\t\t%s\nRX Mini:\tn/a\nRX Jumbo:\tn/a\nTX:\t\t%s\n'
        printf 'Ring parameters for %s:\nPre-set maximums:\n' "$card"
        printf "$ring" "$(value "$card.ringmost")" "$(value "$card.ringmost")"
        printf "Current hardware settings:\n$ring" "$(value "$card.rx")" "$(value "$card.tx")" ;;
    -n) fields=$(value "$card.$4")
        if [[ $fields == n/a ]]; then
            echo "Cannot get RX network flow hashing options: Operation not supported" >&2
            exit 1
        fi
        echo "UDP over IPV4 flows use these fields for computing Hash flow key:"
        [[ $fields != *s* ]] || echo "IP SA"
        [[ $fields != *d* ]] || echo "IP DA"
        [[ $fields != *f* ]] || echo "L4 bytes 0 & 1 [TCP/UDP src port]"
        [[ $fields != *n* ]] || echo "L4 bytes 2 & 3 [TCP/UDP dst port]" ;;
    -L | -G) echo "$4" >"$STAND_IN/$card.$3" ;;
    -N) echo "$5" >"$STAND_IN/$card.$4" ;;
esac
"#;
const SYSCTL: &str = r#"#!/bin/bash
if [[ $1 == -n ]]; then exec cat "$STAND_IN/$2"; fi
echo "sysctl $*" >>"$STAND_IN/calls"
echo "${2#*=}" >"$STAND_IN/${2%%=*}"
"#;
const NFT: &str = r#"#!/bin/bash
case "$*" in
    '-s list '*) exec cat "$STAND_IN/table" ;;
    'delete '*) echo "nft $*" >>"$STAND_IN/calls"; rm "$STAND_IN/table" ;;
    '-f -') echo "nft $*" >>"$STAND_IN/calls"; cat >"$STAND_IN/table" ;;
esac
"#;

fn tune() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning/tune")
}

/// A recorded host and the tools that act on it.
struct Bench {
    host: RecordedHost,
    tools: tempfile::TempDir,
}

impl Bench {
    fn new(name: &str, values: &[(&str, &str)]) -> Self {
        let bench = Self { host: RecordedHost::unpack(name), tools: tempfile::tempdir().expect("a folder") };
        for (tool, text) in [("ethtool", ETHTOOL), ("sysctl", SYSCTL), ("nft", NFT)] {
            let path = bench.tools.path().join(tool);
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made a program");
        }
        for (key, value) in values {
            fs::write(bench.tools.path().join(key), format!("{value}\n")).expect("written");
        }
        bench
    }

    fn state(&self) -> PathBuf {
        self.tools.path().join("state")
    }

    /// The exit code and what was printed.
    fn run(&self, line: &str) -> (i32, String) {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.tools.path().display());
        self.run_on(line, &path)
    }

    fn run_on(&self, line: &str, path: &str) -> (i32, String) {
        let mut command = Command::new(tune());
        command.args(line.split_whitespace()).env_clear().env("PATH", path);
        command.env("STAND_IN", self.tools.path()).env("AS112D_TUNE_ROOT", self.host.root());
        finish(command.env("AS112D_TUNE_STATE", self.state()))
    }

    /// What was written since this was last asked.
    fn calls(&self) -> Vec<String> {
        let path = self.tools.path().join("calls");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        text.lines().map(str::to_owned).collect()
    }

    /// Every file of the host and every value of the tools.
    fn everything(&self) -> BTreeMap<PathBuf, String> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.host.root().to_owned(), self.tools.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_symlink() || path.ends_with("calls") {
                    continue;
                } else if path.is_dir() {
                    folders.push(path);
                } else {
                    let text = fs::read_to_string(&path).expect("text");
                    files.insert(path, text);
                }
            }
        }
        files
    }
}

fn finish(command: &mut Command) -> (i32, String) {
    let output = command.output().expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().expect("an exit"), String::from_utf8(text).expect("text"))
}

const HOST_VALUES: [(&str, &str); 4] = [
    ("net.core.rmem_max", "212992"),
    ("net.core.wmem_max", "16777216"),
    ("net.ipv4.udp_early_demux", "1"),
    ("net.core.somaxconn", "4096"),
];

/// The large Intel card, as it comes.
fn large() -> Bench {
    let card = [
        ("ens1f0.most", "64"),
        ("ens1f0.combined", "16"),
        ("ens1f0.ringmost", "4096"),
        ("ens1f0.rx", "512"),
        ("ens1f0.tx", "512"),
        ("ens1f0.udp4", "sd"),
        ("ens1f0.udp6", "sdfn"),
    ];
    let bench = Bench::new("64", &[&card[..], &HOST_VALUES].concat());
    bench.host.write("proc/sys/net/netfilter/nf_conntrack_count", "12");
    bench
}

#[test]
fn check_says_what_is_not_so_and_changes_nothing() {
    let bench = large();
    let before = bench.everything();
    let (code, out) = bench.run("--check ens1f0");
    assert_eq!(code, 1, "{out}");
    for line in [
        // 14 cores of node 0 are not isolated.
        "differs: combined queues of ens1f0 is 16, should be 14 (one queue for each CPU that serves",
        "differs: rx ring of ens1f0 is 512, should be at least 4096 (",
        "differs: tx ring of ens1f0 is 512, should be at least 1024 (",
        "differs: RSS hash of udp4 on ens1f0 is sd, should be sdfn (resolvers are few and their ports many",
        "differs: affinity of IRQ 144 (i40e-ens1f0-TxRx-14) is 28, should be 0 (queue 14 of ens1f0",
        "differs: /sys/class/net/ens1f0/queues/tx-13/xps_cpus is 00000000,00000000, should be 4000000 (",
        "differs: notrack of port 53 is off, should be on (an entry for each query costs",
        "differs: /sys/devices/system/cpu/cpu61/cpufreq/scaling_governor is schedutil, should be perf",
        "differs: net.core.rmem_max is 212992, should be at least 8388608 (see 90-as112d.conf)",
        "differs: net.ipv4.udp_early_demux is 1, should be 0 (",
    ] {
        assert!(out.lines().any(|told| told.starts_with(line)), "{line}\n{out}");
    }
    // What is so is not spoken of: ports in the hash of IPv6, 16 MiB, RPS, the first 14 interrupts.
    for so in ["udp6", "wmem_max", "somaxconn", "rps_cpus", "TxRx-13 is"] {
        assert!(!out.contains(so), "{so}\n{out}");
    }
    assert!(out.lines().all(|line| line.ends_with(')')), "each line ends in its reason:\n{out}");
    assert_eq!((bench.everything(), bench.calls()), (before, vec![]));
}

#[test]
fn apply_is_undone_exactly_and_twice_is_once() {
    let bench = large();
    let before = bench.everything();
    let (code, out) = bench.run("--apply ens1f0");
    assert_eq!(code, 0, "{out}");
    let calls = bench.calls();
    for call in [
        "ethtool -L ens1f0 combined 14",
        "ethtool -G ens1f0 rx 4096",
        "ethtool -N ens1f0 rx-flow-hash udp4 sdfn",
        "nft -f -",
        "sysctl -qw net.core.rmem_max=8388608",
    ] {
        assert_eq!(calls.iter().filter(|made| *made == call).count(), 1, "{call}\n{calls:#?}");
    }
    let read = |path: &str| fs::read_to_string(bench.host.root().join(path)).expect(path);
    assert_eq!(read("proc/irq/135/smp_affinity_list"), "10\n");
    assert_eq!(read("sys/class/net/ens1f0/queues/tx-3/xps_cpus"), "40\n");
    assert_eq!(read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"), "performance\n");
    assert_eq!(bench.run("--check ens1f0"), (0, "everything is as recommended\n".to_owned()));

    // Once more changes nothing, and forgets nothing of what was before.
    let applied = bench.everything();
    assert_eq!(bench.run("--apply ens1f0"), (0, "everything is as recommended\n".to_owned()));
    assert_eq!((bench.everything(), bench.calls()), (applied, vec![]));

    // Nor does a run for other CPUs in between.
    let (code, out) = bench.run("--apply --cpus 1,3,5-7 ens1f0");
    assert_eq!(code, 0, "{out}");
    assert_eq!(read("proc/irq/135/smp_affinity_list"), "1\n");
    let (code, out) = bench.run("--undo");
    assert_eq!(code, 0, "{out}");
    assert_eq!(bench.everything(), before);
    let (code, out) = bench.run("--undo");
    assert!(code == 0 && out.starts_with("nothing to undo: there is no "), "{out}");
}

#[test]
fn a_cpu_past_the_32nd_is_in_the_second_word_of_a_mask() {
    let bench = large();
    let (code, out) = bench.run("--apply --only xps --cpus 31-33 ens1f0");
    assert_eq!((code, bench.calls()), (0, vec![]), "{out}");
    let masks = [0, 1, 2].map(|queue| {
        let path = format!("sys/class/net/ens1f0/queues/tx-{queue}/xps_cpus");
        fs::read_to_string(bench.host.root().join(path)).expect("a mask")
    });
    assert_eq!(masks, ["80000000\n", "1,00000000\n", "2,00000000\n"]);
}

#[test]
fn what_a_host_does_not_have_is_said_and_is_no_fault() {
    // A virtual machine: one queue, no ports in the hash, no cpufreq, no conntrack, no early demux.
    let values =
        [("net.core.rmem_max", "8388608"), ("net.core.wmem_max", "8388608"), ("net.core.somaxconn", "9000")];
    let card = [
        ("eth0.most", "1"),
        ("eth0.combined", "1"),
        ("eth0.ringmost", "256"),
        ("eth0.rx", "256"),
        ("eth0.tx", "256"),
    ];
    let bench = Bench::new("2", &[&values[..], &card].concat());
    let (code, out) = bench.run("--apply eth0");
    assert_eq!(code, 0, "{out}");
    for thing in [
        "RSS hash of udp4 on eth0",
        "RSS hash of udp6 on eth0",
        "connection tracking",
        "cpufreq",
        "net.ipv4.udp_early_demux",
    ] {
        assert!(out.contains(&format!("not available: {thing}")), "{thing}\n{out}");
    }
    assert!(out.contains("set: affinity of IRQ 38 (virtio2-input.0) from 0-1 to 0 ("), "{out}");
    assert!(out.contains("set: affinity of IRQ 39 (virtio2-output.0) from 0-1 to 0 ("), "{out}");
    assert_eq!(bench.run("--undo").0, 0);
    assert_eq!(fs::read_to_string(bench.host.root().join("proc/irq/38/smp_affinity_list")).unwrap(), "0-1\n");
}

#[test]
fn missing_tools_are_named_with_their_package() {
    let bench = large();
    let path = bench.tools.path().join("few");
    fs::create_dir(&path).expect("a folder");
    for tool in ["bash", "cat", "grep", "awk", "seq", "tr", "sort", "readlink", "dirname", "ls", "rm", "env"]
    {
        let found =
            ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(tool)).find(|path| path.exists());
        std::os::unix::fs::symlink(found.expect(tool), path.join(tool)).expect("a link");
    }
    let few = path.display().to_string();
    for mode in ["--check", "--apply"] {
        let (code, out) = bench.run_on(&format!("{mode} ens1f0"), &few);
        assert_eq!(code, 1, "{out}");
        for tool in [
            "ethtool, of the package ethtool;",
            "nft, of the package nftables;",
            "sysctl, of the package procps;",
        ] {
            let told = out.matches(&format!("missing: {tool}")).count();
            assert_eq!(told, 1, "{tool}\n{out}");
        }
        // What needs no tool was looked at all the same.
        let file =
            if mode == "--check" { "differs: /sys/class/net/ens1f0/" } else { "set: /sys/class/net/ens1f0/" };
        assert!(out.contains(file), "{out}");
    }
    // What was set with a tool that has gone since is kept for later.
    bench.run("--apply ens1f0");
    let (code, out) = bench.run_on("--undo", &few);
    let left = fs::read_to_string(bench.state()).expect("the state is kept");
    assert!(
        code == 1 && left.lines().all(|line| !line.starts_with("file") && !line.starts_with("irq")),
        "{out}{left}"
    );
    assert_eq!(bench.run("--undo").0, 0);
    assert!(!bench.state().exists());
}

#[test]
fn what_cannot_be_set_fails_and_is_not_written_down() {
    let bench = large();
    let refusing = "#!/bin/bash\n[[ $1 == -n ]] && exec cat \"$STAND_IN/$2\"\nexit 1\n";
    fs::write(bench.tools.path().join("sysctl"), refusing).expect("written");
    let before = bench.everything();
    let (code, out) = bench.run("--apply --only sysctl ens1f0");
    assert_eq!(code, 1);
    assert!(out.contains("failed: net.core.rmem_max stays at 212992, should be 8388608 ("), "{out}");
    assert_eq!(bench.everything(), before, "no state is left of what did not happen");
}

#[test]
fn a_daemon_that_would_move_interrupts_is_named() {
    let bench = large();
    bench.host.write("proc/1002/comm", "irqbalance");
    let (code, out) = bench.run("--apply ens1f0");
    assert!(
        code == 1 && out.contains("differs: irqbalance is running and will move the interrupts"),
        "{out}"
    );
}

#[test]
fn a_command_line_that_makes_no_sense_exits_with_2() {
    let bench = large();
    for (line, told) in [
        ("", "give --check, --apply or --undo"),
        ("--check", "give the interfaces"),
        ("--check eth9", "there is no interface eth9"),
        ("--check --apply ens1f0", "give only one of --check, --apply, --undo"),
        ("--check --cpus all ens1f0", "--cpus takes a list"),
        ("--check --only cpus ens1f0", "--only takes some of"),
        ("--chekc ens1f0", "no such option: --chekc"),
    ] {
        let (code, out) = bench.run(line);
        assert!(code == 2 && out.starts_with(&format!("tune: {told}")), "{line}: {out}");
    }
    let (code, out) = bench.run("--help");
    assert!(
        code == 0 && out.starts_with("usage: tune ") && out.lines().all(|line| line.len() <= 90),
        "{out}"
    );
}

/// A namespace that goes with its test.
struct Namespace(String);

impl Namespace {
    fn new() -> Option<Self> {
        let name = format!("as112d-tune-{}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        if !made.is_ok_and(|output| output.status.success()) {
            skipped("a network namespace takes root and ip");
            return None;
        }
        Some(Self(name))
    }

    fn run(&self, line: &str) -> (i32, String) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).args(line.split_whitespace());
        finish(&mut command)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

#[test]
fn in_a_namespace_it_works_for_real() {
    for tool in ["ethtool", "nft"] {
        if Command::new(tool).arg("--version").output().is_err() {
            return skipped(&format!("{tool} is missing (Debian packages ethtool, nftables)"));
        }
    }
    let Some(namespace) = Namespace::new() else { return };
    let peers =
        "ip link add near numrxqueues 4 numtxqueues 4 type veth peer name far numrxqueues 4 numtxqueues 4";
    assert_eq!(namespace.run(peers), (0, String::new()));
    let set = |queue: u8, mask: u8| format!("tee /sys/class/net/near/queues/tx-{queue}/xps_cpus <<< {mask}");
    let shell = |line: &str| {
        let mut command = Command::new("ip");
        finish(command.args(["netns", "exec", &namespace.0, "bash", "-c", line]))
    };
    assert_eq!(shell(&set(3, 1)).0, 0);
    let state = || {
        let xps = "tail -n1 /sys/class/net/near/queues/tx-*/xps_cpus";
        ["nft list ruleset", "ethtool -l near", xps, "sysctl net.ipv4.udp_early_demux"].map(shell)
    };
    let before = state();
    let folder = tempfile::tempdir().expect("a folder");
    let run = |line: &str| {
        let file = folder.path().join("state").display().to_string();
        // net.core.rmem_max cannot be set in a namespace, so it is brought down to what there is.
        let copy = folder.path().join("tune");
        fs::copy(tune(), &copy).expect("copied");
        fs::write(folder.path().join("90-as112d.conf"), "net.ipv4.udp_early_demux = 0\n").expect("written");
        shell(&format!("AS112D_TUNE_STATE={file} {} {line}", copy.display()))
    };
    let (code, out) = run("--check near --cpus 0");
    assert!(code == 1 && out.contains("differs: rx queues of near is 4, should be 1 ("), "{out}");
    let (code, out) = run("--apply near --cpus 0");
    assert_eq!(code, 0, "{out}");
    let rules = shell("nft list ruleset").1;
    let (of_incoming, _) = rules.split_once("chain output").expect("two chains");
    let notrack = of_incoming.lines().filter(|line| line.contains("notrack") && line.contains("dport"));
    let notrack: Vec<&str> = notrack.map(str::trim).collect();
    let local = |protocol: &str| format!("fib daddr type local {protocol} dport 53 notrack");
    assert_eq!(notrack, [local("udp"), local("tcp")], "what is forwarded may need tracking");
    assert!(shell("ls /sys/class/net/near/queues").1.lines().eq(["rx-0", "tx-0"]));
    let (code, out) = run("--check near --cpus 0");
    assert!(code == 0 && out.ends_with("everything is as recommended\n"), "{out}");
    let applied = state();
    assert_eq!((run("--apply near --cpus 0").0, state()), (0, applied));
    let (code, out) = run("--undo");
    assert_eq!(code, 0, "{out}");
    assert_eq!(state(), before);
}

#[test]
fn shellcheck_finds_nothing() {
    match Command::new("shellcheck").arg(tune()).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(_) => skipped("shellcheck is missing (Debian package shellcheck)"),
    }
}

/// The tables of the page on capacity are what its formula makes of its measured number.
#[test]
fn the_capacity_page_is_consistent() {
    let page = include_str!("../docs/capacity.md");
    let number = |after: &str| {
        let text = page.split_once(after).expect(after).1.trim_start_matches([' ', '|']);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').expect("something behind it");
        text[..end].parse::<f64>().expect("a number")
    };
    let cost = number("**c =") * 1e-6 * number("k, what a real NIC adds |");
    let (peak_to_mean, load) = (number("p, peak to mean |"), number("u, load at the peak |"));
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    for billions in [10, 50, 100] {
        let peak = f64::from(billions) * 1e9 / 86_400.0 * peak_to_mean;
        let cores = peak * cost / load;
        let start = format!("| {billions} billion |");
        let rows: Vec<Vec<String>> =
            page.lines().filter(|line| line.starts_with(&start)).map(cells).collect();
        let [needed, by_nodes] = &rows[..] else { panic!("two tables: {rows:?}") };
        assert_eq!(needed[4], format!("{cores:.1}: **{}**", cores.ceil()));
        let shown = |cell: &str| cell.replace(',', "").parse::<f64>().expect("a rate");
        assert!((shown(&needed[3]) / peak - 1.0).abs() < 0.01, "{needed:?}");
        let each = [2, 4, 8].map(|nodes| (cores / f64::from(nodes - 1)).ceil().to_string());
        for (cell, each) in by_nodes[2..5].iter().zip(each) {
            assert_eq!(cell.split(' ').next(), Some(each.as_str()), "{by_nodes:?}");
        }
    }
}
