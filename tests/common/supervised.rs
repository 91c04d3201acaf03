//! A supervisor's part: a node that is killed again and again, and started again the moment it ends.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::common::daemon::{Configured, Daemon, V4, V6, free_port, program};
use crate::fault::{honest_query, pause};

/// How long a node may be away between a kill and the first answer of the next one.
pub const AWAY_MAX: Duration = Duration::from_millis(200);

/// A client that asks some hundred times a second, whether it is answered or not.
struct Load {
    stop: Arc<AtomicBool>,
    /// When each query was sent that was answered, and when its answer came.
    thread: JoinHandle<Vec<(Instant, Instant)>>,
}

impl Load {
    fn start(to: SocketAddr) -> Self {
        let socket = UdpSocket::bind((V4, 0)).expect("a socket");
        socket.connect(to).expect("connected");
        socket.set_read_timeout(Some(Duration::from_millis(5))).expect("a time-out");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut sent = vec![Instant::now(); 1 << 16];
            let (mut answered, mut reply) = (Vec::new(), [0; 512]);
            for id in (0..=u16::MAX).cycle() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                sent[usize::from(id)] = Instant::now();
                // Where nobody listens the kernel says so, at this call or the next.
                let _ = socket.send(&honest_query(id));
                if let Ok(len) = socket.recv(&mut reply) {
                    assert_eq!(len, 119, "an answer is right");
                    // It may be that of an earlier one, which waited for the node to be back.
                    let id = u16::from_be_bytes([reply[0], reply[1]]);
                    answered.push((sent[usize::from(id)], Instant::now()));
                }
                pause(Duration::from_millis(1));
            }
            answered
        });
        Self { stop, thread }
    }

    fn end(self) -> Vec<(Instant, Instant)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it asks and listens")
    }
}

/// Kills a node, each time it is back, as long as `goes_on` says so. For each kill, how long it took from
/// there to the first answer of the next one.
pub fn kill_again_and_again(datapath: &str, mut goes_on: impl FnMut() -> bool) -> Vec<Duration> {
    let node = Configured::new("[history]\ndir = 'past'\n");
    let (port, control) = (free_port(), node.path("control").display().to_string());
    let further = ["--config", &node.config, "--datapath", datapath, "--control", &control, "--shards", "2"];
    let start = || {
        let mut command = Command::new(program());
        command.args(Daemon::arguments(port, &further));
        Daemon::spawn(command, port)
    };
    let mut daemon = start();
    let load = Load::start(daemon.address(V4));
    let mut kills = Vec::new();
    while goes_on() {
        // Some are killed when they have served for a while, some right after their start.
        pause(Duration::from_millis(kills.len() as u64 * 37 % 100));
        let killed = Instant::now();
        daemon.signal(libc::SIGKILL);
        assert_eq!(daemon.wait().0.code(), None, "it was killed");
        kills.push((killed, Instant::now()));
        daemon = start();
        for ip in [V4, V6] {
            assert_eq!(daemon.ask_udp(ip, &honest_query(1)).len(), 119);
            assert_eq!(daemon.ask_tcp(ip, &honest_query(2)).map(|reply| reply.len()), Some(119));
        }
    }
    // It is asked and answered for a moment more, so that the last gap ends too.
    pause(Duration::from_millis(100));
    let answered = load.end();
    assert_eq!(daemon.stop().0.code(), Some(0));
    let gap = |&(killed, ended): &(Instant, Instant)| {
        // What was sent before the end may have been answered by the one that was killed.
        let back = answered.iter().find(|(sent, _)| *sent > ended).expect("it is back");
        back.1 - killed
    };
    kills.iter().map(gap).collect()
}
