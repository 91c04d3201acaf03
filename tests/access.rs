//! Who may look at what over HTTP: the public listener, names that were made to lead here, and proxies.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::daemon::{Configured, Daemon, PATIENCE, free_port, program, wait_until};
use common::lab::is_there;
use common::skip::skipped;

/// What a browser sends to a node on its own host.
const BROWSER: &str = "User-Agent: Mozilla/5.0\r\nAccept: text/html\r\nAccept-Language: en\r\n\
                       Accept-Encoding: gzip\r\nConnection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n\
                       Sec-Fetch-Site: none\r\nSec-CH-UA-Mobile: ?0\r\nCookie: a=b\r\nPriority: u=0, i\r\n";

/// What is the operator's.
const OPERATORS: [&str; 3] = ["/node", "/metrics", "/stats.json"];

/// The status of the answer to a request with this head, without its end.
fn asked(at: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(at).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let _ = write!(stream, "{head}\r\n");
    let mut line = String::new();
    let _ = BufReader::new(stream).read_line(&mut line);
    line.split(' ').nth(1).unwrap_or("closed").to_owned()
}

fn status(at: SocketAddr, path: &str, host: &str) -> String {
    asked(at, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{BROWSER}"))
}

/// Where the public listener of a daemon is.
fn public(daemon: &Daemon) -> SocketAddr {
    let line = daemon.announcement.iter().find_map(|line| line.strip_prefix("public page: http://"));
    line.and_then(|line| line.strip_suffix('/')).expect("it says where").parse().expect("an address")
}

#[test]
fn the_public_listener_has_what_anybody_may_see_and_nothing_else() {
    let daemon = Daemon::start(&["--http", "127.0.0.1:0", "--http-public", "127.0.0.1:0"]);
    let (operator, public) = (daemon.http(), public(&daemon));
    for path in ["/page.css", "/healthz", "/readyz", "/events", "/1h.json"] {
        for at in [operator, public] {
            assert_eq!(
                asked(at, &format!("HEAD {path} HTTP/1.1\r\nHost: node.example\r\n")),
                "200",
                "{path}"
            );
        }
    }
    for path in OPERATORS {
        assert_eq!(status(operator, path, "localhost"), "200", "{path}");
        assert_eq!(status(public, path, "localhost"), "404", "{path}");
    }
    assert!(!common::daemon::get(public, "/1h.html").contains("stats.json"));
}

#[test]
fn the_public_listener_may_be_the_only_one() {
    let daemon = Daemon::start(&["--http", "off", "--http-public", "127.0.0.1:0"]);
    assert_eq!(status(public(&daemon), "/healthz", "n"), "200");
    assert_eq!(daemon.stop().0.code(), Some(0));
}

/// Connections that say nothing, as many as the public listener takes, and then some.
#[test]
fn whatever_the_public_does_the_operator_is_let_in() {
    let daemon = Daemon::start(&["--http", "127.0.0.1:0", "--http-public", "127.0.0.1:0"]);
    let (operator, public) = (daemon.http(), public(&daemon));
    let connect = || {
        let mut stream = TcpStream::connect(public).expect("a connection");
        let _ = stream.write_all(b"GET /events HTTP/1.1\r\nHost: n\r\n\r\n");
        stream
    };
    let mut held: Vec<TcpStream> = Vec::new();
    // A slow head has a second: they are renewed for as long as it takes to see that it is full.
    wait_until("the public listener is full", || {
        held.extend((0..64).map(|_| TcpStream::connect(public).expect("a connection")));
        held.extend((0..16).map(|_| connect()));
        let full = status(public, "/healthz", "n") == "closed";
        assert_eq!(status(operator, "/metrics", "localhost"), "200");
        assert_eq!(asked(operator, "HEAD /events HTTP/1.1\r\nHost: localhost\r\n"), "200");
        full
    });
}

#[test]
fn a_name_that_was_made_to_lead_here_shows_nothing() {
    let configured = Configured::new("[http]\nallowed_hosts = ['stats.example.net']\n");
    let daemon = configured.start();
    let http = daemon.http();
    for path in OPERATORS {
        for host in
            ["localhost", "LOCALHOST:9112", "127.0.0.1", &http.to_string(), "[::1]:1", "Stats.Example.Net:1"]
        {
            assert_eq!(status(http, path, host), "200", "{path} {host}");
        }
        for host in
            ["evil.example", "evil.example:27112", "localhost.evil.example", "127.0.0.1.nip.io", "", "[::1"]
        {
            assert_eq!(status(http, path, host), "421", "{path} {host}");
        }
        let two = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n");
        assert!(["400", "421"].contains(&asked(http, &two).as_str()));
        let absolute = format!("GET http://evil.example{path} HTTP/1.1\r\nHost: localhost\r\n");
        assert_eq!(asked(http, &absolute), "421");
    }
    // It has a name of its own for everything that is the public's.
    assert_eq!(status(http, "/healthz", "evil.example"), "200");
    // No browser asks without a name.
    assert_eq!(asked(http, "GET /metrics HTTP/1.0\r\n"), "200");
}

#[test]
fn where_all_may_connect_names_matter_to_the_view_alone() {
    let daemon = Daemon::start(&["--http", "0.0.0.0:0"]);
    let http = SocketAddr::new(common::daemon::V4, daemon.http().port());
    assert_eq!(status(http, "/metrics", "node.example"), "200");
    assert_eq!(status(http, "/node", "node.example"), "421");
    assert_eq!(status(http, "/node", "localhost"), "200");
}

#[test]
fn what_proxies_add_closes_the_view() {
    let daemon = Daemon::start(&["--http", "127.0.0.1:0"]);
    let http = daemon.http();
    let with = |version: &str, headers: &str| {
        asked(http, &format!("GET /node HTTP/{version}\r\nHost: {http}\r\n{headers}"))
    };
    assert_eq!(with("1.1", "User-Agent: curl/8.5.0\r\nAccept: */*\r\n"), "200");
    assert_eq!(with("1.1", BROWSER), "200");
    for header in [
        "Connection: close",
        "Via: 1.1 proxy",
        "Forwarded: for=192.0.2.1",
        "X-Forwarded-For: 192.0.2.1",
        "CF-Connecting-IP: 192.0.2.1",
        "X-Anything: 1",
    ] {
        assert_eq!(with("1.1", &format!("{BROWSER}{header}\r\n")), "403", "{header}");
    }
    assert_eq!(with("1.0", ""), "403");
}

/// A program in the foreground, which is ended with the test.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).expect("a process");
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// Starts a proxy with a configuration, and waits until it takes connections on `port`.
fn proxy(command: &mut Command, port: u16) -> Proxy {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let proxy = Proxy(child.expect("it runs"));
    wait_until("the proxy listens", || TcpStream::connect((common::daemon::V4, port)).is_ok());
    proxy
}

fn nginx(folder: &Path, port: u16, location: &str) -> Command {
    let dir = folder.display();
    let file = folder.join("nginx.conf");
    let text = format!(
        "daemon off; pid {dir}/pid; error_log {dir}/error;\nevents {{}}\nhttp {{ access_log off; \
         client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; \
         uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; server {{ listen 127.0.0.1:{port}; location / {{ {location} }} }} }}"
    );
    fs::write(&file, text).expect("there is room");
    let mut command = Command::new("nginx");
    command.arg("-c").arg(file).arg("-e").arg(folder.join("error"));
    command
}

/// nginx as its documents set it up: nothing but `proxy_pass`.
#[test]
fn behind_nginx_as_it_comes_the_view_is_closed() {
    if !is_there("nginx") {
        return skipped("nginx is missing");
    }
    let daemon = Daemon::start(&["--http", "127.0.0.1:0", "--http-public", "127.0.0.1:0"]);
    let (operator, public) = (daemon.http(), public(&daemon));
    for (location, expected) in [
        (format!("proxy_pass http://{operator};"), "403"),
        (format!("proxy_pass http://{operator}; proxy_http_version 1.1;"), "403"),
        (format!("proxy_pass http://{operator}; proxy_set_header Host $host;"), "403"),
        (format!("proxy_pass http://{public};"), "404"),
    ] {
        let (folder, port) = (common::folder(), free_port());
        let _proxy = proxy(&mut nginx(folder.path(), port, &location), port);
        let at = SocketAddr::new(common::daemon::V4, port);
        assert_eq!(status(at, "/healthz", "node.example"), "200", "{location}");
        for host in ["node.example", "localhost"] {
            assert_eq!(status(at, "/node", host), expected, "{location} {host}");
        }
    }
}

/// HAProxy adds nothing and leaves the name as it was: that is what closes the view. Who lies about the name
/// is let in, as the documents say.
#[test]
fn behind_haproxy_the_name_closes_the_view() {
    if !is_there("haproxy") {
        return skipped("haproxy is missing");
    }
    let daemon = Daemon::start(&["--http", "127.0.0.1:0", "--http-public", "127.0.0.1:0"]);
    let servers = [(daemon.http(), "421"), (public(&daemon), "404")];
    for (server, expected) in servers {
        let (folder, port) = (common::folder(), free_port());
        let file = folder.path().join("haproxy.cfg");
        let text = format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
             listen l\n bind 127.0.0.1:{port}\n server s {server}\n"
        );
        fs::write(&file, text).expect("there is room");
        let _proxy = proxy(Command::new("haproxy").arg("-f").arg(&file), port);
        let at = SocketAddr::new(common::daemon::V4, port);
        assert_eq!(status(at, "/healthz", "node.example"), "200");
        assert_eq!(status(at, "/node", "node.example"), expected);
    }
}

#[test]
fn an_upgrade_hands_both_listeners_over() {
    let folder = common::folder();
    let control = folder.path().join("control").display().to_string();
    let arguments = ["--http", "127.0.0.1:0", "--http-public", "127.0.0.1:0", "--control", &control];
    let daemon = Daemon::start(&arguments);
    let (operator, public) = (daemon.http(), public(&daemon));
    let output = Command::new(program()).args(["upgrade", "--control", &control]).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let asked = |word: &str| {
        let output = Command::new(program()).args([word, "--json", "--control", &control]).output();
        serde_json::from_slice::<serde_json::Value>(&output.expect("it runs").stdout).expect("JSON")
    };
    let told = asked("status");
    assert_eq!(told["http"], operator.to_string());
    assert_eq!(told["http_public"], public.to_string());
    assert_eq!(status(public, "/healthz", "n"), "200");
    assert_eq!(status(operator, "/metrics", "localhost"), "200");
    daemon.end_family();
}
