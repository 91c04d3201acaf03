//! The command line of each server, and the configuration that it reads.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use super::Outcome;
use super::bounds::ENTRIES_MAX;
use super::common::NODE;
use super::common::daemon::program;
use super::common::peers::{ZoneFile, knot_configuration, nsd_configuration};
use super::netns::INTERFACE;
use super::servers::{Engine, Setting, Subject, located};

/// The command line of a server without what it is bound to; its configuration is written to `dir`.
///
/// # Errors
/// It cannot be written.
pub fn command_line(
    subject: Subject,
    setting: &Setting,
    dir: &Path,
    address: SocketAddr,
    counters: SocketAddr,
) -> Outcome<Vec<String>> {
    let (conf, listen) = (dir.join("conf"), address.to_string());
    let conf_word = conf.display().to_string();
    let (addresses, workers) = (setting.all_addresses(address), setting.cpus.len().to_string());
    let words = match subject {
        Subject::Ours(_) | Subject::OursInDriver => {
            let engine = if let Subject::Ours(engine) = subject { engine } else { Engine::IoUring };
            let (program, counters) = (program().display().to_string(), counters.to_string());
            let control = dir.join("control").display().to_string();
            let (datapath, cpus) = (engine.name(), setting.cpu_list());
            let mut words = words(&[&program, "run", "--datapath", datapath, "--cpus", &cpus]);
            words.extend(addresses.iter().flat_map(|address| ["--listen".to_owned(), address.to_string()]));
            words.extend(["--http", &counters, "--control", &control, "--node", NODE].map(str::to_owned));
            let mut text = own_zones(&setting.all_zones(dir)?[setting.zones.len()..], dir)?;
            if subject == Subject::OursInDriver {
                // Whoever sends has a program at the other end of the veth pair, so that replies arrive.
                text.insert_str(0, "[xdp]\nmode = \"native\"\n");
                words.extend(["--xdp", INTERFACE].map(str::to_owned));
            }
            if !text.is_empty() {
                std::fs::write(&conf, text)?;
                words.extend(["--config".to_owned(), conf_word]);
            }
            words
        }
        Subject::Echo(engine) => {
            let own = std::env::current_exe()?.display().to_string();
            words(&[&own, "echo", "--engine", engine.name(), "--listen", &listen])
        }
        Subject::Nsd => {
            let mut text = nsd_configuration(dir, address, &setting.all_zones(dir)?).replacen(
                "server-count: 1",
                &format!("server-count: {workers}"),
                1,
            );
            let line = |address: &SocketAddr| format!("  ip-address: {}@{}\n", address.ip(), address.port());
            text = text.replacen(&line(&address), &addresses.iter().map(line).collect::<String>(), 1);
            let control = dir.join("control");
            let _ = write!(
                text,
                "remote-control:\n  control-enable: yes\n  control-interface: \"{}\"\n",
                control.display()
            );
            std::fs::write(&conf, text)?;
            words(&[&located("nsd"), "-d", "-c", &conf_word])
        }
        Subject::Knot | Subject::KnotInDriver => {
            let mut text = knot_configuration(dir, address, &setting.all_zones(dir)?).replacen(
                "udp-workers: 1",
                &format!("udp-workers: {workers}"),
                1,
            );
            let at = |address: &SocketAddr| format!("{}@{}", address.ip(), address.port());
            let all = addresses.iter().map(at).collect::<Vec<_>>().join(", ");
            text = text.replacen(&format!("listen: {}\n", at(&address)), &format!("listen: [{all}]\n"), 1);
            if subject == Subject::KnotInDriver {
                let _ = write!(text, "xdp:\n  listen: {INTERFACE}@{}\n", address.port());
            }
            std::fs::write(&conf, text)?;
            words(&[&located("knotd"), "-c", &conf_word])
        }
        Subject::Bind => {
            let zones = setting.all_zones(dir)?;
            std::fs::write(&conf, bind_configuration(dir, &addresses, counters, &zones))?;
            words(&[&located("named"), "-g", "-n", &workers, "-c", &conf_word])
        }
    };
    Ok(words)
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// BIND as an authoritative server alone, its files in `dir`.
fn bind_configuration(
    dir: &Path,
    addresses: &[SocketAddr],
    counters: SocketAddr,
    zones: &[ZoneFile],
) -> String {
    let (dir, port) = (dir.display(), addresses[0].port());
    let ips: String = addresses.iter().map(|address| format!("{}; ", address.ip())).collect();
    let mut text = format!(
        r#"options {{
  directory "{dir}";
  listen-on port {port} {{ {ips}}};
  listen-on-v6 {{ none; }};
  pid-file "{dir}/pid";
  session-keyfile "{dir}/session.key";
  recursion no;
  empty-zones-enable no;
  dnssec-validation no;
  minimal-responses yes;
  notify no;
  allow-transfer {{ none; }};
  max-udp-size 1232;
  edns-udp-size 1232;
  version none;
  server-id "{NODE}";
  tcp-clients 1000;
}};
controls {{ }};
statistics-channels {{ inet {} port {} allow {{ any; }}; }};
"#,
        counters.ip(),
        counters.port()
    );
    for ZoneFile { name, path } in zones {
        let _ = writeln!(text, "zone \"{name}\" {{ type primary; file \"{}\"; }};", path.display());
    }
    text
}

/// What our configuration says of zones that have one file in `dir`: of many, that they are in a pack.
fn own_zones(zones: &[ZoneFile], dir: &Path) -> Outcome<String> {
    if zones.len() <= ENTRIES_MAX {
        let zone = |zone: &ZoneFile| format!("[[zone]]\nname = \"{}\"\nfile = \"zone\"\n", zone.name);
        return Ok(zones.iter().map(zone).collect());
    }
    let records = std::fs::read_to_string(dir.join("zone"))?;
    let mut pack = BufWriter::new(File::create(dir.join("pack"))?);
    zones.iter().try_for_each(|zone| write!(pack, "$ORIGIN {}.\n{records}", zone.name))?;
    pack.flush()?;
    Ok("[zones]\npacks = [\"pack\"]\n".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::netns::Place;
    use super::*;

    /// What is written for a server with two workers, three addresses and two zones of an operator.
    fn configuration(subject: Subject) -> (String, String) {
        let (dir, place) = (tempfile::TempDir::new().unwrap(), Place::loopback());
        let own = [ZoneFile { name: "own.example".to_owned(), path: "own".into() }];
        let setting = Setting { further: 2, addresses: 3, ..Setting::new(&place, &own, &[0, 1]) };
        let [address, counters] = [53, 80].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let words = command_line(subject, &setting, dir.path(), address, counters).unwrap();
        let zone = std::fs::read_to_string(dir.path().join("zone")).unwrap();
        assert!(zone.contains(" SOA ") && zone.contains(" NS "));
        (words.join(" "), std::fs::read_to_string(dir.path().join("conf")).unwrap())
    }

    #[test]
    fn every_server_gets_all_that_it_is_to_have() {
        let addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
        for (subject, worker, listens) in [
            (Subject::Nsd, "server-count: 2\n", addresses.map(|ip| format!("ip-address: {ip}@53\n"))),
            (Subject::Knot, "udp-workers: 2\n", addresses.map(|ip| format!("{ip}@53"))),
            (Subject::Bind, "", addresses.map(|ip| format!(" {ip};"))),
        ] {
            let (words, text) = configuration(subject);
            assert!(text.contains(worker), "{text}");
            assert!(listens.iter().all(|listen| text.contains(listen)), "{text}");
            for zone in ["own.example", "z0.operator.example", "z1.operator.example"] {
                assert!(text.contains(zone), "{zone}: {text}");
            }
            assert!(subject != Subject::Bind || words.contains(" -n 2 "), "{words}");
        }
        let (words, text) = configuration(Subject::Ours(Engine::IoUring));
        for address in addresses {
            assert!(words.contains(&format!("--listen {address}:53 ")), "{words}");
        }
        assert!(words.contains("--cpus 0,1 ") && words.contains("--config "), "{words}");
        assert_eq!(text.matches("[[zone]]").count(), 2, "the others are built in: {text}");
    }

    #[test]
    fn more_zones_than_a_configuration_names_are_a_pack() {
        let (dir, place) = (tempfile::TempDir::new().unwrap(), Place::loopback());
        let setting = Setting { further: ENTRIES_MAX + 1, ..Setting::new(&place, &[], &[0]) };
        let [address, counters] = [53, 80].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        command_line(Subject::Ours(Engine::IoUring), &setting, dir.path(), address, counters).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("conf"), "[zones]\npacks = [\"pack\"]\n");
        assert_eq!(read("pack").matches(" SOA ").count(), ENTRIES_MAX + 1);
    }
}
