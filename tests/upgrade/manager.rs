//! A service manager: sockets that it opened, sockets that it keeps, and what it is told of an upgrade.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use crate::common::daemon::{PATIENCE, V4, free_port, program};
use crate::common::query;
use crate::common::skip::skipped;
use crate::node::Node;

/// systemd's own tool opens the sockets.
#[test]
fn sockets_that_a_manager_opened_are_served() {
    if Command::new("systemd-socket-activate").arg("--version").output().is_err() {
        skipped("there is no systemd-socket-activate");
        return;
    }
    let port = free_port();
    let folder = tempfile::tempdir().expect("a folder");
    let address = format!("127.0.0.1:{port}");
    // The tool opens one kind only: TCP here; UDP is bound by the node, and the HTTP listener is given too.
    let http = free_port();
    let mut child = Command::new("systemd-socket-activate")
        .args(["--listen", &address, "--listen", &format!("127.0.0.1:{http}")])
        .arg(program())
        .args(["run", "--listen", &address, "--shards", "1", "--http", &format!("127.0.0.1:{http}")])
        .args(["--control", &folder.path().join("control").display().to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let stderr = BufReader::new(child.stderr.take().expect("piped"));
    let (sender, lines) = channel();
    std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    // It starts the program at the first connection, which waits in the queue of the listener meanwhile.
    while lines.recv_timeout(PATIENCE).is_ok_and(|line| !line.contains("Listening on 127.0.0.1:")) {}
    let mut early = TcpStream::connect(&address).expect("a connection");
    early.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    crate::common::daemon::send_message(&mut early, &query("10.in-addr.arpa.", 6));
    let reply = crate::common::daemon::read_message(&mut early);
    assert!(reply.is_some_and(|reply| reply.len() > 50), "what came before is answered");
    let pid = u64::from(child.id());
    let ended = Command::new("kill").arg(pid.to_string()).status().expect("kill runs");
    assert!(ended.success() && child.wait().expect("it ends").success());
}

/// What the manager is told: sockets to keep, each with its name; the new main process at an upgrade.
#[test]
fn a_manager_is_told_and_keeps_the_sockets() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut node = Node::start_with("", &["--shards", "2"], |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    let told = || {
        let mut bytes = [0; 4096];
        let len = manager.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    };
    let until = |wanted: &str| {
        let mut before = Vec::new();
        loop {
            let message = told();
            if message.contains(wanted) {
                return before;
            }
            before.push(message);
        }
    };
    until("READY=1");
    // Two addresses with two sockets and a listener each, and the control socket.
    let kept = until("FDNAME=as112d-6\n");
    assert_eq!(kept.iter().filter(|message| message.starts_with("FDSTORE=1")).count(), 6, "{kept:?}");
    std::thread::scope(|scope| {
        let listening = scope.spawn(|| until("MAINPID="));
        node.upgrade();
        let before = listening.join().expect("it is told");
        assert!(before.iter().any(|message| message == "FDSTOREREMOVE=1\nFDNAME=as112d-6"), "{before:?}");
    });
    node.stop();
}

/// After a crash the manager gives the sockets back, in no order; what came meanwhile is answered. It is to
/// keep those that this process has, and none of an earlier one.
#[test]
fn kept_sockets_come_back_with_what_is_queued_in_them() {
    let port = free_port();
    let (udp, tcp) =
        (UdpSocket::bind((V4, port)).expect("free"), TcpListener::bind((V4, port)).expect("free"));
    let client = UdpSocket::bind((V4, 0)).expect("a socket");
    client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    client.send_to(&query("10.in-addr.arpa.", 6), (V4, port)).expect("sent");
    // A shell gives them their numbers, and its own process as the one that they are for.
    let script = "exec 30<&$TCP 31<&$UDP; exec 3<&30 4<&31 30<&- 31<&-; export LISTEN_PID=$$ LISTEN_FDS=2 \
                  LISTEN_FDNAMES=as112d-7:as112d-0; exec \"$@\"";
    let [udp_fd, tcp_fd] = [udp.as_fd(), tcp.as_fd()].map(|socket| {
        // Without the flag that closes it at exec.
        rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty()).expect("set");
        socket.as_raw_fd().to_string()
    });
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut child = Command::new("bash")
        .args(["-c", script, "bash"])
        .arg(program())
        .args([
            "run",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--shards",
            "1",
            "--http",
            "off",
            "--control",
            "off",
        ])
        .env("UDP", udp_fd)
        .env("TCP", tcp_fd)
        .env("NOTIFY_SOCKET", &path)
        .stderr(Stdio::null())
        .spawn()
        .expect("bash runs");
    let mut reply = [0; 1500];
    assert!(client.recv(&mut reply).expect("the query that waited is answered") > 50);
    let told = || {
        let mut bytes = [0; 4096];
        let len = manager.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    };
    let stored: Vec<String> =
        std::iter::repeat_with(told).filter(|message| message.starts_with("FDSTORE")).take(10).collect();
    let (removed, kept) = stored.split_at(8);
    let name = |index: usize| format!("FDNAME=as112d-{index}");
    for (index, message) in removed.iter().enumerate() {
        assert_eq!(*message, format!("FDSTOREREMOVE=1\n{}", name(index)));
    }
    for (index, message) in kept.iter().enumerate() {
        assert_eq!(*message, format!("FDSTORE=1\n{}\nFDPOLL=0", name(index)));
    }
    let pid = u64::from(child.id());
    assert!(Command::new("kill").arg(pid.to_string()).status().expect("kill runs").success());
    assert!(child.wait().expect("it ends").success());
}
