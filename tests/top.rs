//! `as112d top` on a terminal: what it shows of a live node, what keys do, and that the terminal is whole
//! afterwards. The terminal is tmux's, on a server of each test's own.

mod common;
#[path = "common/echo.rs"]
mod echo;

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::daemon::{Daemon, PATIENCE, V4, V6, program, read_message, send_message};
use common::{query, with_opt};
use tempfile::TempDir;

/// A terminal in which `top` runs, and then says how it ended.
struct Terminal {
    socket: String,
    dir: TempDir,
}

impl Terminal {
    /// 80 columns of 24 lines, with `top` asking at `url`.
    fn start(url: &str) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let socket = format!("as112d-test-{}-{number}", std::process::id());
        let terminal = Self { socket, dir: TempDir::new().expect("a folder") };
        let id_file = terminal.dir.path().join("id");
        let shell = format!(
            "sh -c 'echo $$ >{}; exec {} top --url {url}'; echo ended $?; stty -a; exec sleep 1000",
            id_file.display(),
            program().display()
        );
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &shell]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-u", "-L", &self.socket])
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .env("TMUX_TMPDIR", self.dir.path())
            .output()
            .expect("tmux is there");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {complaint}");
        String::from_utf8(output.stdout).expect("the screen is text")
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The screen as soon as it is as wanted.
    #[expect(clippy::disallowed_methods, reason = "a screen is looked at, it does not call")]
    fn wait(&self, what: &str, mut is_wanted: impl FnMut(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if is_wanted(&screen) {
                return screen;
            }
            assert!(began.elapsed() < PATIENCE, "not seen: {what}\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The end of `top`, and a terminal as it was before.
    fn assert_ended(&self, code: &str) -> String {
        let end = format!("ended {code}\n");
        let screen = self.wait(&end, |screen| screen.contains(&end) && screen.contains("iexten"));
        for setting in [" echo ", " icanon ", " isig ", " opost "] {
            assert!(screen.replace('\n', " ").contains(setting), "{setting}\n{screen}");
        }
        let flags = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(flags.trim(), "0 1", "the first screen, and a cursor");
        screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket, "kill-server"]).env("TMUX_TMPDIR", self.dir.path());
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Names that were asked for.
static NAMES: AtomicUsize = AtomicUsize::new(0);

/// A node of two shards, and where it serves HTTP.
fn start(http: &str) -> (Daemon, String) {
    let daemon = Daemon::start(&["--shards", "2", "--node", "watched", "--http", http]);
    let url = format!("http://{}", daemon.http());
    (daemon, url)
}

/// Some queries, again and again until it is over: NXDOMAIN over both families and over TCP, with and without
/// EDNS, and a packet that is none.
fn load(doors: [SocketAddr; 2], is_over: &AtomicBool) {
    let plain = query("1.2.3.10.in-addr.arpa", 12);
    let packets = [plain.clone(), with_opt(plain, 1232, &[]), query("1.1.168.192.in-addr.arpa", 1)];
    while !is_over.load(Ordering::Relaxed) {
        for door in doors {
            let socket = UdpSocket::bind((door.ip(), 0)).expect("a socket");
            socket.connect(door).expect("connected");
            socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            socket.send(&[0; 5]).expect("sent");
            for packet in packets.iter().cycle().take(50) {
                socket.send(packet).expect("sent");
                socket.recv(&mut [0; 512]).expect("a reply");
            }
        }
        let mut stream = TcpStream::connect(doors[0]).expect("a connection");
        send_message(&mut stream, &packets[0]);
        assert!(read_message(&mut stream).is_some());
    }
}

/// The number before `/s` in the line that begins with `start`.
fn rate(screen: &str, start: &str) -> Option<f64> {
    let line = screen.lines().find_map(|line| line.strip_prefix(start))?;
    line.trim_start().split_once("/s")?.0.replace(',', "").parse().ok()
}

#[test]
#[ignore = "needs tmux; tests/run installs it"]
fn rules_and_upstream_servers_of_a_live_node_are_shown() {
    let folder = TempDir::new().expect("a folder");
    let config = folder.path().join("as112d.toml");
    fs::write(&config, echo::forwarded()).expect("there is room");
    let daemon = Daemon::start(&["--config", &config.display().to_string(), "--http", "127.0.0.1:0"]);
    let terminal = Terminal::start(&format!("http://{}", daemon.http()));
    let screen = terminal.wait("a server that has answered", |screen| {
        // A name of its own each time, as the cache would answer the same one.
        let name = format!("{}.example", NAMES.fetch_add(1, Ordering::Relaxed));
        assert_eq!(daemon.ask_udp(V4, &query(&name, 1))[3] & 0xF, 0);
        screen
            .lines()
            .any(|line| line.contains("  lan/127.0.0.1:") && line.contains(" up ") && line.contains("s  "))
            && rate(screen, "workers").is_some_and(|rate| rate > 0.0)
    });
    assert!(screen.contains(" rule ─") && screen.contains(" upstream ─"), "{screen}");
    assert!(screen.lines().any(|line| line.starts_with("lan ") && line.contains("100.0 %")), "{screen}");
    terminal.press("q");
    terminal.assert_ended("0");
    assert_eq!(daemon.stop().0.code(), Some(0));
}

#[test]
#[ignore = "needs tmux; tests/run installs it"]
fn a_live_node_is_shown_and_keys_do_what_they_say() {
    let (daemon, url) = start("127.0.0.1:0");
    let (doors, is_over) = ([V4, V6].map(|ip| daemon.address(ip)), AtomicBool::new(false));
    let terminal = Terminal::start(&url);
    std::thread::scope(|scope| {
        scope.spawn(|| load(doors, &is_over));
        // Whatever fails, the load ends.
        let _over = Over(&is_over);
        let is_live = |screen: &str| rate(screen, "queries").is_some_and(|rate| rate > 10.0);
        let screen = terminal.wait("rates", is_live);
        assert_eq!(screen.lines().count(), 24);
        for fragment in [
            "watched  ",
            "every 1 s",
            "unanswered short ",
            "lost       nothing",
            "NXDOMAIN",
            "UDP IPv4",
            "UDP IPv6",
            "TCP IPv4",
            "EDNS",
            "direct",
            "10.in-addr.arpa",
            "168.192.in-addr.arpa",
            "0  CPU any",
            "1  CPU any",
            "queries/s, peak ",
            "q quit   p pause   +/- interval",
            "█",
        ] {
            // The first numbers may be those of the first queries, which came one way alone.
            terminal.wait(fragment, |screen| screen.contains(fragment));
        }

        terminal.press("+");
        terminal.wait("a longer interval", |screen| screen.contains("every 2 s"));
        terminal.press("-");
        terminal.wait("a shorter interval", |screen| screen.contains("every 1 s"));
        terminal.press("p");
        terminal.wait("a pause", |screen| screen.contains("paused") && screen.contains("p resume"));
        // A second and a half would have brought new numbers. What was under way may change it once more.
        let mut last = (String::new(), Instant::now());
        let still = terminal.wait("nothing", |screen| {
            if screen != last.0 {
                last = (screen.to_owned(), Instant::now());
            }
            last.1.elapsed() > Duration::from_millis(1500)
        });
        terminal.press("p");
        terminal.wait("the end of the pause", |screen| screen.contains("every 1 s") && *screen != still);

        terminal.tmux(&["resize-window", "-x", "120", "-y", "40"]);
        terminal.wait("a larger screen", |screen| {
            screen.lines().count() == 40 && screen.lines().any(|line| line.chars().count() > 110)
        });
        terminal.tmux(&["resize-window", "-x", "30", "-y", "6"]);
        terminal.wait("a tiny screen", |screen| {
            screen.lines().count() == 6 && screen.contains("queries") && screen.contains("lost")
        });
    });
    terminal.tmux(&["resize-window", "-x", "80", "-y", "24"]);
    terminal.wait("the first size", |screen| screen.contains("q quit   p pause   +/- interval"));
    terminal.press("q");
    terminal.assert_ended("0");
}

/// Says that something is over, whether by its end or by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
#[ignore = "needs tmux; tests/run installs it"]
fn a_node_may_go_away_and_come_back() {
    let (daemon, url) = start("127.0.0.1:0");
    let terminal = Terminal::start(&url);
    terminal.wait("the node", |screen| screen.contains("watched  ") && screen.contains("queries    0/s"));
    assert!(daemon.stop().0.success());
    terminal.wait("its absence", |screen| screen.contains("no answer for ") && screen.contains("refused"));
    let (daemon, _) = start(url.strip_prefix("http://").expect("it is HTTP"));
    let query = query("1.2.3.10.in-addr.arpa", 12);
    // Nothing that it counts now is less than nothing.
    terminal.wait("its return", |screen| {
        daemon.ask_udp(V4, &query);
        rate(screen, "queries").is_some_and(|rate| (1.0..1e4).contains(&rate))
            && !screen.contains("no answer")
    });
    terminal.press("C-c");
    terminal.assert_ended("0");
}

#[test]
#[ignore = "needs tmux; tests/run installs it"]
fn the_terminal_is_whole_after_every_end() {
    let (daemon, url) = start("127.0.0.1:0");
    let terminal = Terminal::start(&url);
    terminal.wait("the node", |screen| screen.contains("watched  "));
    terminal.press("Escape");
    terminal.assert_ended("0");

    let terminal = Terminal::start(&url);
    terminal.wait("the node", |screen| screen.contains("watched  "));
    let id = fs::read_to_string(terminal.dir.path().join("id")).expect("the shell wrote it");
    assert!(Command::new("kill").arg(id.trim()).status().expect("kill runs").success());
    terminal.assert_ended("0");

    drop(daemon);
    let terminal = Terminal::start(&url);
    let screen = terminal.assert_ended("3");
    assert!(screen.starts_with(&format!("no node answers at {url}: ")), "{screen}");
}

#[test]
fn without_a_terminal_top_says_what_to_use() {
    let output = Command::new(program()).arg("top").stdin(Stdio::null()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains("use `as112d stats`") && said.lines().count() == 1, "{said}");
}
