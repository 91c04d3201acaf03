//! The page: in a browser, over plain HTTP, and as files.

#[path = "common/browser.rs"]
mod browser;
mod common;
#[path = "common/past.rs"]
mod past;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use as112d::report::history::unix_time;
use browser::Browser;
use common::daemon::{Daemon, PATIENCE};
use serde_json::Value;

/// A daemon with a made-up past, and where it serves HTTP.
struct Node {
    _daemon: Daemon,
    http: String,
    _folder: tempfile::TempDir,
}

impl Node {
    fn start(days: u64, years: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        past::write(&folder.path().join("past"), unix_time(), days, years);
        let config = folder.path().join("as112d.toml");
        let text = "[history]\ndir = 'past'\n[identity]\nnode = 'as112-1.example.net'\n\
                    facility = 'Example Internet Exchange <Lisbon> & \"more\"'\n";
        std::fs::write(&config, text).expect("there is room");
        let daemon = Daemon::start(&["--config", &config.display().to_string(), "--http", "127.0.0.1:0"]);
        let line = daemon.announcement.iter().find_map(|line| line.strip_prefix("statistics: http://"));
        let http = line.and_then(|line| line.strip_suffix("/metrics")).expect("it says where").to_owned();
        Self { _daemon: daemon, http, _folder: folder }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// Head and body.
    fn get(&self, path: &str, headers: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.http).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: n\r\n{headers}\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_owned(), body.to_owned())
    }

    fn json(&self, path: &str) -> Value {
        let (head, body) = self.get(path, "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        serde_json::from_str(&body).expect("JSON")
    }
}

/// Where the pictures go that people look at.
fn shots() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
#[ignore = "needs chromium and chromedriver; tests/run installs them"]
fn a_browser_shows_it_wide_and_narrow_light_and_dark() {
    let node = Node::start(9, true);
    let browser = Browser::start();
    for (width, height) in [(1280, 900), (390, 844)] {
        for scheme in ["light", "dark"] {
            browser.screen(width, height, scheme);
            for (name, path) in [
                ("24h", "/"),
                ("1y", "/1y.html"),
                ("7d", "/7d.html"),
                ("30d", "/30d.html"),
                ("node", "/node"),
            ] {
                let began = std::time::Instant::now();
                browser.open(&node.url(path));
                println!("{name} {width} {scheme}: {:?}", began.elapsed());
                browser.screenshot(&shots().join(format!("{name}-{width}-{scheme}.png")));
                println!("{:?}", browser.console());
                println!("{:?}", browser.run("return [document.documentElement.scrollWidth, innerWidth]"));
            }
        }
    }
}
