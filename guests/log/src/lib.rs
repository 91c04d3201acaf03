//! A line for each chosen query, to a local socket.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod lines;

use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;

use as112_guest::{
    log, sleep, spawn, App, Level, Metric, Phase, Query, Refused, Reply, Signal, Socket, Start, StartError,
    Verdict,
};

use lines::Lines;

const LOGGED: Metric = Metric(0);
const DROPPED: Metric = Metric(1);

/// Lines are gathered for so long before they are written: one write has those of many queries.
const GATHER_MS: u32 = 100;
/// The longest write.
const WRITE_LEN_MAX: usize = 32_768;
/// Pauses between tries to connect.
const PAUSE_MS: u32 = 1000;
const PAUSE_MS_MAX: u32 = 60_000;

/// The application.
pub struct Log {
    lines: Rc<RefCell<Lines>>,
    signal: Signal,
}

impl App for Log {
    fn start(start: &mut Start<'_>) -> Result<Self, StartError> {
        let config = start.config();
        let socket = config.get("socket").and_then(|path| path.text()).ok_or("socket: give a path")?;
        let buffer = config.get("buffer").map_or(Some(65_536), |len| len.number());
        let buffer = buffer
            .filter(|len| (1024..=1 << 20).contains(len))
            .ok_or("buffer: give 1024 to 1048576 bytes")?;
        let when = config.get("when").and_then(|when| when.text()).ok_or("when: give a condition")?;
        start.hook(&[Phase::Done], when)?;
        let lines = Rc::new(RefCell::new(Lines::new(buffer as usize)));
        let signal = Signal::new();
        spawn(write(socket.into(), Rc::clone(&lines), signal.clone()));
        Ok(Self { lines, signal })
    }

    fn query(&mut self, query: Query<'_>, _: Reply<'_>) -> Verdict {
        if self.lines.borrow_mut().push(&query) {
            self.signal.set();
        } else {
            DROPPED.add(1);
        }
        Verdict::pass()
    }
}

/// Writes lines for as long as the instance lives.
async fn write(path: String, lines: Rc<RefCell<Lines>>, signal: Signal) {
    let mut pause = PAUSE_MS;
    loop {
        let refused = match Socket::open(&path).await {
            Ok(socket) => {
                pause = PAUSE_MS;
                write_to(socket, &lines, &signal).await
            }
            Err(refused) => refused,
        };
        log!(Level::Warning, "{}: {}; trying again in {} s", path, refused.message(), pause / 1000);
        let _ = sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MS_MAX);
    }
}

/// Writes lines until the other side closes.
async fn write_to(mut socket: Socket, lines: &RefCell<Lines>, signal: &Signal) -> Refused {
    loop {
        let bytes = lines.borrow().first(WRITE_LEN_MAX);
        if bytes.is_empty() {
            signal.wait().await;
            let _ = sleep(GATHER_MS).await;
            continue;
        }
        // Those that are lost with the other side are written again: none is missing, and some may be there
        // twice.
        if let Err(refused) = socket.send(&bytes).await {
            return refused;
        }
        LOGGED.add(lines.borrow_mut().remove(bytes.len()));
    }
}

as112_guest::export!(Log);

#[cfg(test)]
mod tests {
    use super::*;
    use as112_guest::mock::{Ask, Host, Outcome, Setup};
    use as112_guest::{query_for, rtype, Address, NameBuf};

    const PATH: &str = "/run/log.sock";
    const CONFIG: &str = r#"{"socket": "/run/log.sock", "when": "rcode = NXDOMAIN", "buffer": 1024}"#;

    fn done(host: &mut Host<Log>, name: &str) {
        let query = query_for(name.parse::<NameBuf>().unwrap().as_name(), rtype::PTR);
        let mut reply = query.clone();
        reply[3] = 3;
        let peer = Address::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let ask = Ask { phase: Phase::Done, reply: &reply, peer, ..Ask::new(&query) };
        assert_eq!(host.ask(&ask), Outcome::Pass);
    }

    fn sent(host: &Host<Log>) -> Vec<String> {
        let bytes = String::from_utf8(host.sent(PATH)).unwrap();
        bytes.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_tells_what_happened() {
        let mut host = Setup::new(CONFIG).socket(PATH).start::<Log>().unwrap();
        assert_eq!(host.hooks(), [(vec![Phase::Done], "rcode = NXDOMAIN".to_owned())]);
        done(&mut host, "a\\\"\\\\b.\\007.example");
        assert_eq!(sent(&host), [""; 0], "lines are gathered");
        host.advance(100);
        let line = &sent(&host)[0];
        let value = as112_guest::Value::parse(line).unwrap_or_else(|_| panic!("{line}"));
        let text = |key: &str| value.get(key).and_then(as112_guest::Value::text).map(str::to_owned);
        let number = |key: &str| value.get(key).and_then(as112_guest::Value::number);
        assert_eq!(text("client").as_deref(), Some("2001:db8::1"));
        assert_eq!(text("name").as_deref(), Some("a\\\"\\\\b.\\007.example."));
        assert_eq!((number("type"), number("rcode")), (Some(12), Some(3)));
        assert_eq!(text("transport").as_deref(), Some("udp"));
        assert_eq!(number("time"), Some(1_700_000_000_000));
        assert_eq!((host.metric(0), host.metric(1)), (1, 0));
    }

    #[test]
    fn what_nobody_takes_waits_and_what_has_no_room_is_dropped() {
        let mut host = Setup::new(CONFIG).socket(PATH).start::<Log>().unwrap();
        host.listen(PATH, false);
        for number in 0..20 {
            done(&mut host, &format!("n{number}.example"));
        }
        host.advance(1000);
        let dropped = host.metric(1);
        assert!((5..19).contains(&dropped), "{dropped} dropped");
        assert_eq!((sent(&host).len(), host.metric(0)), (0, 0));
        host.listen(PATH, true);
        host.advance(10_000);
        assert_eq!(sent(&host).len() as u64, 20 - dropped);
        assert_eq!(host.metric(0), 20 - dropped);
        assert!(sent(&host)[0].contains("\"n0.example.\""), "the oldest are kept");
        done(&mut host, "later.example");
        host.advance(1000);
        assert!(sent(&host).last().unwrap().contains("later.example"), "it goes on");
    }

    #[test]
    fn pauses_between_tries_double_up_to_a_minute() {
        let mut host = Setup::new(CONFIG).start::<Log>().unwrap();
        host.advance(200_000);
        let pauses: Vec<String> =
            host.log().into_iter().map(|(_, line)| line.split("in ").last().unwrap().to_owned()).collect();
        assert_eq!(pauses, ["1 s", "2 s", "4 s", "8 s", "16 s", "32 s", "60 s", "60 s", "60 s"]);
    }

    #[test]
    fn mistakes_are_told() {
        for (config, told) in [
            (r#"{"when": "any"}"#, "socket"),
            (r#"{"socket": "/x"}"#, "when"),
            (r#"{"socket": "/x", "when": "any", "buffer": 1}"#, "buffer"),
        ] {
            let error = Host::<Log>::start(config).map(drop).unwrap_err();
            assert!(error.message().contains(told), "{config}: {error}");
        }
    }
}
