//! Ports that somebody else has, that take rights, and that have just become free.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::time::Instant;

use socket2::{Domain, Socket, Type};

use crate::common::daemon::{Daemon, PATIENCE, V4, V6, free_port, program};
use crate::fault::{as_nobody, beside, ended, honest_query, refused, report, skipped};

/// It refused to start because of these: one line for each cause, with addresses and protocols, and how to
/// find out who has them.
fn assert_taken((code, said): (Option<i32>, String), port: u16, taken: &[&str]) {
    assert_eq!(code, Some(1), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), taken.len(), "{said}");
    for (line, taken) in lines.iter().zip(taken) {
        let begin = format!("cannot listen on {taken}: address in use");
        assert!(line.starts_with(&begin.replace("PORT", &port.to_string())), "{said}");
        assert!(
            line.contains(&format!("(`ss -lnp 'sport = :{port}'` shows which); stop it, or choose")),
            "{said}"
        );
    }
}

#[test]
fn a_taken_port_is_named_with_its_protocol() {
    let _turn = beside();
    let port = free_port();
    let start = || {
        let arguments = Daemon::arguments(port, &[]);
        refused(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };

    let udp = UdpSocket::bind((V4, port)).expect("it is free");
    assert_taken(start(), port, &["127.0.0.1:PORT (UDP)"]);
    drop(udp);

    let tcp = TcpListener::bind((V6, port)).expect("it is free");
    assert_taken(start(), port, &["[::1]:PORT (TCP)"]);
    drop(tcp);

    // This process is the other one: it would share the port with all comers.
    let shared = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    shared.set_reuse_port(true).expect("set");
    shared.bind(&SocketAddr::new(V4, port).into()).expect("it is free");
    assert_taken(start(), port, &["127.0.0.1:PORT (UDP)"]);
    drop(shared);

    let arguments = Daemon::arguments(port, &[]);
    let mut command = Command::new(program());
    command.args(&arguments);
    let first = Daemon::spawn(command, port);
    let all = ["127.0.0.1:PORT and [::1]:PORT (UDP and TCP)"];
    assert_taken(start(), port, &all);
    for shards in ["1", "2"] {
        let second = Daemon::arguments(port, &["--shards", shards]);
        assert_taken(refused(&second.iter().map(String::as_str).collect::<Vec<_>>()), port, &all);
    }
    assert_eq!(first.ask_udp(V4, &honest_query(1)).len(), 119, "the first is not disturbed");
}

#[test]
fn a_privileged_port_without_rights_says_how_to_get_them() {
    let _turn = beside();
    let first_free = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first_free.is_ok_and(|port| port.trim().parse::<u16>().is_ok_and(|port| port <= 53)) {
        return skipped("on this host port 53 takes no rights");
    }
    let Some(mut command) = as_nobody() else { return };
    let (code, said) = ended(command.args(["--listen", "127.0.0.1:53"]));
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.starts_with("cannot listen on 127.0.0.1:53 (UDP and TCP): permission denied; "), "{said}");
    for way_out in ["CAP_NET_BIND_SERVICE", "setcap cap_net_bind_service=+ep", "--listen"] {
        assert!(said.contains(way_out), "{said}");
    }
}

#[test]
fn a_killed_daemon_can_be_started_again_at_once() {
    let _turn = beside();
    for datapath in ["io_uring", "mmsg"] {
        let port = free_port();
        let start = || {
            let mut command = Command::new(program());
            command.args(Daemon::arguments(port, &["--datapath", datapath, "--shards", "2"]));
            Daemon::spawn(command, port)
        };
        let mut daemon = start();
        for _ in 0..3 {
            // A connection that is open at the end leaves the port in the hands of the kernel for a while.
            let _open = daemon.tcp(V4);
            assert_eq!(daemon.ask_tcp(V4, &honest_query(1)).map(|reply| reply.len()), Some(119));
            daemon.signal(libc::SIGKILL);
            assert_eq!(daemon.wait().0.code(), None, "it was killed");
            let began = Instant::now();
            daemon = start();
            assert_eq!(daemon.ask_udp(V6, &honest_query(2)).len(), 119);
            report(&format!("restart_after_kill_{datapath}_ms"), began.elapsed().as_millis());
            assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
        }
    }
}
