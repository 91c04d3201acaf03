//! The Radar paths, asked over HTTP: by hand, and with the client that is made for Cloudflare Radar.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use common::daemon::{Daemon, PATIENCE, V4, V6};
use common::{query, with_opt};
use serde_json::{Value, json};

/// A daemon, and where it serves HTTP.
fn start(further: &[&str]) -> (Daemon, String) {
    let daemon = Daemon::start(&[&["--http", "127.0.0.1:0"], further].concat());
    let address = daemon.http().to_string();
    (daemon, address)
}

#[test]
fn the_paths_are_served_over_http() {
    let (_daemon, http) = start(&[]);
    let ask = |method: &str, path: &str| {
        let mut stream = TcpStream::connect(&http).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        write!(stream, "{method} /client/v4/radar/as112/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_owned(), body.to_owned())
    };
    let (head, body) = ask("GET", "timeseries?dateRange=1d&aggInterval=1h");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("\ncontent-type: application/json\r\n"),
        "{head}"
    );
    let document: Value = serde_json::from_str(&body).expect("JSON");
    let values = document.pointer("/result/serie_0/values").and_then(Value::as_array).expect("values");
    assert!([24, 25].contains(&values.len()), "{values:?}");
    let (head, body) = ask("GET", "summary/EDNS?format=CSV");
    assert!(head.contains("\ncontent-type: text/csv; charset=utf-8\r\n"), "{head}");
    assert_eq!(body, "summary_0.SUPPORTED,summary_0.NOT_SUPPORTED\r\n0,0\r\n");
    let (head, body) = ask("GET", "timeseries?dateRange=x");
    assert!(head.starts_with("HTTP/1.1 400 ") && body.contains("Unknown dateRange"), "{head}{body}");
    let (head, body) = ask("HEAD", "timeseries");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty(), "{head}{body}");
    assert!(ask("POST", "timeseries").0.starts_with("HTTP/1.1 405 "));
    let (head, body) = ask("GET", "top/locations");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.contains("\"top_0\": []"), "{head}{body}");
    assert!(ask("GET", "top/cities").0.starts_with("HTTP/1.1 404 "));
}

#[test]
#[ignore = "needs the cloudflare package of PyPI in a virtual environment; tests/run installs it"]
fn the_client_for_radar_reads_everything() {
    // Three queries over UDP and one over TCP, stored when the first daemon ends.
    let folder = common::folder();
    let config = folder.path().join("as112d.toml");
    let places = [
        ("127.0.0.0/8", json!({"country": {"iso_code": "PT", "names": {"en": "Portugal"}}})),
        ("::1/128", json!({"autonomous_system_number": 64_500, "autonomous_system_organization": "Example"})),
    ];
    let mut writer = mmdb_writer::Writer::new("Places");
    for (network, record) in &places {
        writer.insert(network.parse::<ipnet::IpNet>().expect("a network"), record).expect("a record");
    }
    std::fs::write(folder.path().join("places.mmdb"), writer.to_bytes().expect("a database"))
        .expect("there is room");
    let text = "[history]\ndir = 'past'\n[sources]\nsample_every = 1\ndatabases = ['places.mmdb']\n";
    std::fs::write(&config, text).expect("there is room");
    let config = config.display().to_string();
    let (daemon, _) = start(&["--config", &config]);
    let asked = query("1.1.168.192.in-addr.arpa", 12);
    (0..3).for_each(|_| drop(daemon.ask_udp(V4, &asked)));
    assert!(daemon.ask_tcp(V6, &with_opt(asked, 1232, &[])).is_some());
    assert!(daemon.stop().0.success());
    let (_daemon, http) = start(&["--config", &config]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("target/venv/bin/python"))
        .arg(root.join("tests/radar.py"))
        .arg(format!("http://{http}/client/v4"))
        .output()
        .expect("Python is there");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim() == "radar: all read", "{said}{complaint}");
}
