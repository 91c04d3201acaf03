//! The binary as an operator meets it: help, exit codes, and what goes to stdout and to stderr.

mod common;

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use common::daemon::program;
use tempfile::TempDir;

fn as112d(line: &str) -> Command {
    let mut command = Command::new(program());
    command.args(line.split_whitespace());
    command
}

/// A configuration file with `text` in a folder of its own.
fn config(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("there is room for a file");
    let path = folder.path().join("as112d.toml");
    fs::write(&path, text).expect("there is room for a file");
    (folder, path)
}

/// The exit code, and what was printed on stdout and stderr.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("as112d prints text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn help_fits_a_terminal_and_ends_in_examples() {
    for line in ["--help", "-h", "help", "run --help", "check --help", "zones --help", "query --help"] {
        let (code, out, err) = run(&mut as112d(line));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{line}");
        let long = out.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{line}");
        assert!(out.contains("--config <FILE>") && out.contains("--node <NAME>"), "{line}:\n{out}");
    }
    let (code, out, _) = run(&mut as112d("stats --help"));
    assert!(
        code == Some(0) && ["--json", "--watch", "--url"].iter().all(|option| out.contains(option)),
        "{out}"
    );
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    for (line, option) in
        [("probe --help", "--timeout"), ("announce --help", "--withdraw"), ("addresses --help", "--apply")]
    {
        let (code, out, _) = run(&mut as112d(line));
        assert!(code == Some(0) && out.contains(option), "{out}");
        assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    }
    let (_, out, _) = run(&mut as112d("--help"));
    let part = |heading: &str| out.find(heading).unwrap_or_else(|| panic!("no {heading}:\n{out}"));
    assert!(part("\nCommands:") < part("\nServing:") && part("\nServing:") < part("\nExamples:"));
    for option in [
        "--listen",
        "--shards",
        "--cpus",
        "--steer",
        "--busy-poll",
        "--dry-run",
        "--datapath",
        "--http",
        "--zones",
        "--version",
    ] {
        assert!(out.contains(option), "{option}:\n{out}");
    }
}

#[test]
fn version_is_that_of_the_package() {
    let expected = format!("as112d {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&mut as112d("--version")), (Some(0), expected, String::new()));
}

#[test]
fn usage_errors_exit_with_2() {
    for line in [
        "--no-such-option",
        "no-such-command",
        "--listen 127.0.0.1:0",
        "--shards 0",
        "--cpus 3-1",
        "--cpus nic:",
        "--steer numa",
        "--busy-poll 1001",
        "check --dry-run",
        "--datapath fast",
        "run --node",
        "check extra",
        "zones --format json",
        "query example.com",
        "--node n check",
    ] {
        let (code, out, err) = run(&mut as112d(line));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{line}: {err}");
        assert!(err.starts_with("error: "), "{line}: {err}");
    }
}

#[test]
fn check_tells_what_would_be_served() {
    let (_folder, path) = config("[server]\nlisten = ['192.0.2.1']\nshards = 2\n[identity]\nnode = 'file'\n");
    let (code, out, err) = run(as112d("check --node flag --shards 3 --config").arg(&path));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for line in [
        "listen     192.0.2.1:53\n",
        "shards     3 (3)\n",
        "cpus       any\n",
        "steer      off (",
        "busy_poll  0\n",
        "\nmemory     bounded at ",
        "node       flag\n",
        "nsid       flag\n",
        "\nzones ",
    ] {
        assert!(out.contains(line), "{line}:\n{out}");
    }
}

/// Statistics do not keep DNS from being served, so the check before a start does not fail for them.
#[test]
fn what_a_node_serves_without_is_a_warning_and_with_strict_an_error() {
    let (_folder, path) = config("[sources]\ndatabases = ['absent.mmdb']\n[export]\ndsc = '/proc/dsc'\n");
    let faults = ["absent.mmdb: ", "cannot write to /proc/dsc: "];
    let (code, out, err) = run(as112d("check --config").arg(&path));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let warnings: Vec<&str> = out.lines().filter(|line| line.starts_with("warning ")).collect();
    assert!(warnings.len() == 2 && faults.iter().all(|fault| out.contains(fault)), "{out}");
    assert!(out.ends_with("\nThe configuration is valid.\n"), "{out}");
    let (code, out, err) = run(as112d("check --strict --config").arg(&path));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.lines().count() == 2 && faults.iter().all(|fault| err.contains(fault)), "{err}");

    // A mistake in what is served is an error in any case.
    let (_folder, path) = config("[[zone]]\nname = 'example'\nfile = 'absent.zone'\n");
    assert_eq!(run(as112d("check --config").arg(&path)).0, Some(1));
}

#[test]
fn config_show_says_what_is_in_effect_and_where_it_came_from() {
    let (_folder, path) = config("[server]\nshards = 2\nsteer = 'cpu'\n");
    let (code, out, err) = run(as112d("config show --shards 3 --config").arg(&path));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = out.lines().skip(1).collect();
    assert_eq!(lines, ["", "[server]", "shards = 3", "steer = \"cpu\""], "{out}");

    let (code, out, _) = run(as112d("config show --effective --origin --shards 3 --config").arg(&path));
    let ends = |start: &str| {
        let line =
            out.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}\n{out}"));
        line.rsplit(" # ").next().expect("an origin").to_owned()
    };
    assert_eq!((code, ends("shards").as_str(), ends("rcvbuf").as_str()), (Some(0), "--shards", "default"));
    assert_eq!(ends("steer"), format!("{}:3:9", path.display()));
}

#[test]
fn nothing_to_show_is_said() {
    let (code, out, err) = run(&mut as112d("config show"));
    let expected = "# nothing is configured; --effective shows the defaults\n";
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), expected, ""));
}

#[test]
fn a_first_configuration_is_valid_and_is_written_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("as112d.toml");
    let init = |file: &PathBuf| {
        let mut command = as112d("config init --node first --facility IX -l as112-dname -l 127.0.0.1:5300");
        run(command.arg("--location").arg("Lisbon, Portugal").arg(file))
    };
    let (code, out, err) = init(&file);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let name = file.display();
    for step in [
        &format!("as112d check -c {name} "),
        &format!("as112d probe -c {name} "),
        "as112d addresses --apply ",
    ] {
        assert!(out.contains(step), "{step}\n{out}");
    }
    let (code, out, err) = run(as112d("check --control off -c").arg(&file));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("\nlocation   Lisbon, Portugal\n"), "{out}");
    assert!(out.ends_with("\n\nThe configuration is valid.\n"), "{out}");

    fs::write(&file, "# mine\n").expect("it is ours");
    let (code, _, err) = init(&file);
    assert_eq!((code, fs::read_to_string(&file).expect("it is there").as_str()), (Some(1), "# mine\n"));
    assert!(err.contains(": exists already, and is left as it is; "), "{err}");
    let (code, _, err) = init(&folder.path().join("none/as112d.toml"));
    assert!(code == Some(1) && err.contains("its directory does not exist"), "{err}");
    let (code, out, _) = run(&mut as112d("config init"));
    assert!(code == Some(0) && out.contains("\nlisten = [\"as112\"]\n"), "{out}");
}

#[test]
fn the_end_of_many_mistakes_is_counted() {
    let keys: String = (0..25).map(|n| format!("key{n} = {n}\n")).collect();
    let (_folder, path) = config(&keys);
    let (code, _, err) = run(as112d("check -c").arg(&path));
    assert_eq!((code, err.lines().count()), (Some(1), 21), "{err}");
    assert!(err.ends_with("\n... and 5 more\n"), "{err}");
}

#[test]
fn doctor_says_what_to_do_and_writes_a_bundle_once() {
    let (folder, path) = config("[server]\nshard = 2\n");
    let bundle = folder.path().join("bundle.txt");
    // Nobody is in the discard port, so that no node of somebody else is asked.
    let doctor = |bundle: &PathBuf| {
        let mut command = as112d("doctor --url http://127.0.0.1:9 --control off --config");
        run(command.arg(&path).arg("--bundle").arg(bundle))
    };
    let (code, out, err) = doctor(&bundle);
    assert_eq!(code, Some(1), "{out}{err}");
    let wrong = out.lines().find(|line| line.starts_with("do    configuration ")).expect(&out);
    assert!(wrong.contains(":2:1: unknown key `shard`; did you mean `shards`?"), "{wrong}");
    for subject in ["kernel", "io_uring", "limits", "clock", "buffers", "conntrack", "addresses", "routes"] {
        assert!(out.lines().any(|line| line.split_whitespace().nth(1) == Some(subject)), "{subject}\n{out}");
    }
    assert!(err.ends_with(" to do: see the lines that begin with `do`\n"), "{err}");
    let text = fs::read_to_string(&bundle).expect("it was written");
    assert!(text.contains(&out) && text.contains("\n==== configuration\n"), "{text}");

    let (code, _, err) = doctor(&bundle);
    assert!(code == Some(1) && err.contains("give a new file"), "{err}");
}

#[test]
fn check_tells_what_would_be_announced() {
    let (_folder, path) = config("[server]\nlisten = ['as112-dname']\n[announce]\nrouter = 'exabgp'\n");
    let (code, out, err) = run(as112d("check --config").arg(&path));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("announce   192.31.196.0/24 2001:4:112::/48 by ExaBGP\n"), "{out}");
}

#[test]
fn a_dry_run_tells_where_shards_would_run_and_opens_nothing() {
    // Port 53 of an address of nobody: a node that opened it would not end.
    let (code, out, err) = run(&mut as112d("--dry-run --shards 3 --listen 192.0.2.1"));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 7, "{out}");
    assert_eq!(lines[0], "shard  CPU  core  node  queue  IRQ  why");
    assert_eq!(lines[3], "2      any  -     -     -      -    as configured");
    assert!(lines[4].starts_with("steering: off (shards are not tied to NIC queues"), "{out}");
    assert_eq!(lines[5], "workers: 0 (auto): no rule needs one");
    assert!(lines[6].starts_with("memory: bounded at ") && !lines[6].contains("workers"), "{out}");

    let (code, out, err) = run(&mut as112d("run --dry-run --cpus nic:lo"));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("lo is not a physical NIC, "), "{err}");
}

#[test]
fn check_reports_every_mistake_and_exits_with_1() {
    let (_folder, path) = config("[server]\nshard = 2\nlisten = ['::1', 'x']\n");
    let (code, out, err) = run(as112d("check --config").arg(&path));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 2, "{err}");
    assert_eq!(lines[0], format!("{}:2:1: unknown key `shard`; did you mean `shards`?", path.display()));
    assert!(
        lines[1].starts_with(&format!("{}:3:18: `x` is not an address; give one such as", path.display())),
        "{err}"
    );

    let (code, _, err) = run(&mut as112d("check --listen ::1 --listen [::1]:53"));
    assert_eq!(code, Some(1));
    assert_eq!(err, "--listen: [::1]:53 is listed twice; remove one\n");

    let (_folder, path) = config("[server]\nuser = 'no-such-user-here'\n");
    let (code, out, err) = run(as112d("check --cpus 1023 --zones /no/such/folder --config").arg(&path));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let told = ["/no/such/folder: cannot read", "CPU 1023 is not online", "user no-such-user-here: "];
    assert_eq!(err.lines().count(), told.len(), "{err}");
    assert!(err.lines().zip(told).all(|(line, told)| line.starts_with(told)), "{err}");

    let (code, _, err) = run(&mut as112d("check --config /no/such/file.toml"));
    assert_eq!(code, Some(1));
    assert!(err.starts_with("/no/such/file.toml: cannot be read ("), "{err}");
}

#[test]
fn every_command_refuses_a_wrong_configuration() {
    let (_folder, path) = config("[tcp]\nidle_timeout = '1'\n");
    for line in ["--config", "run --config", "zones --config", "query a A --config"] {
        let (code, out, err) = run(as112d(line).arg(&path));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{line}");
        assert!(
            err.contains(":2:16: `1` is not a time; give a number with ms, s, m, h or d"),
            "{line}: {err}"
        );
    }
}

#[test]
fn zones_are_those_that_are_configured() {
    let (code, out, err) = run(&mut as112d("zones"));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for apex in
        ["10.in-addr.arpa.", "31.172.in-addr.arpa.", "empty.as112.arpa.", "home.arpa.", "hostname.as112.net."]
    {
        assert!(out.contains(&format!("; zone {apex}\n")), "{apex}:\n{out}");
    }
    let (_folder, path) = config("[zones]\ndirect = false\n");
    let (code, out, _) = run(as112d("zones --config").arg(&path));
    assert!(
        code == Some(0) && !out.contains("in-addr.arpa.\n") && out.contains("; zone empty.as112.arpa.\n"),
        "{out}"
    );
}

#[test]
fn query_prints_the_reply() {
    let (code, out, err) = run(&mut as112d("query 1.0.0.10.in-addr.arpa PTR --nsid --node n"));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for fragment in ["rcode: NXDOMAIN", "1.0.0.10.in-addr.arpa", "AUTHORITY: 1", "NSID: 6E (n)"] {
        assert!(out.contains(fragment), "{fragment}:\n{out}");
    }
    let (code, _, err) = run(&mut as112d("query example..com A"));
    assert_eq!(code, Some(1));
    assert!(
        err.starts_with("`example..com` ") && err.ends_with("give a name as 1.0.0.10.in-addr.arpa\n"),
        "{err}"
    );
}
