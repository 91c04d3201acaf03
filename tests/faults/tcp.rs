//! TCP clients that are too many, too slow, or never read; and the honest ones beside them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use socket2::{Domain, Socket, Type};

use crate::common::daemon::{Daemon, PATIENCE, V4, program, read_message, send_message};
use crate::fault::{
    LENIENCY, alone, argument, beside, config, honest_query, pause, ping_pong, report, skipped, tcp_from,
    tool, wait_until,
};

/// The 99th percentile of UDP's latency may not pass so many times what it was without the fault, or this, in
/// microseconds, where it was less: as long as a machine with other work may let one of us wait.
const UDP_P99_QUIET_US: u64 = 10_000;

/// Says and compares the latency of UDP before and during a fault.
fn assert_unaffected(name: &str, before: &Histogram<u64>, during: &Histogram<u64>, count: u64) {
    let p99 = |histogram: &Histogram<u64>| histogram.value_at_quantile(0.99);
    report(&format!("{name}_udp_p99_us_before"), p99(before));
    report(&format!("{name}_udp_p99_us_during"), p99(during));
    assert_eq!((before.len(), during.len()), (count, count), "every query is answered");
    let limit = u64::from(LENIENCY) * p99(before).max(UDP_P99_QUIET_US);
    assert!(p99(during) <= limit, "{} over {limit} us", p99(during));
}

/// How long one query takes, with its connection, in milliseconds.
fn honest_tcp(number: usize, to: SocketAddr) -> f64 {
    let began = Instant::now();
    let mut stream = tcp_from(number, to).expect("a connection");
    send_message(&mut stream, &honest_query(3));
    assert_eq!(read_message(&mut stream).expect("an answer").len(), 119);
    began.elapsed().as_secs_f64() * 1000.0
}

/// Waits for the end of a connection that nobody reads; how long it took.
fn time_to_end(stream: &mut TcpStream, began: Instant) -> Duration {
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    match stream.read(&mut [0; 16]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("the connection should have ended: {other:?}"),
    }
    began.elapsed()
}

#[test]
fn without_descriptors_udp_goes_on_and_tcp_comes_back() {
    let _turn = alone();
    const FILES: usize = 64;
    if !tool("prlimit --version") {
        return skipped("there is no prlimit");
    }
    as112d::sys::sockets::raise_nofile().expect("the kernel lets us");
    let daemon = Daemon::start_with(&[], |command| {
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        *command = std::process::Command::new("prlimit");
        command.arg(format!("--nofile={FILES}:{FILES}")).arg(program()).args(arguments);
    });
    let udp = daemon.udp(V4);
    let before = ping_pong(&udp, 1000);
    let streams: Vec<TcpStream> =
        (0..1000).map(|number| tcp_from(number, daemon.address(V4)).expect("the kernel takes it")).collect();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", daemon.id())).expect("it runs").count();
    assert!(wait_until(PATIENCE, || open() >= FILES).is_some(), "all its descriptors are in use: {}", open());
    let during = ping_pong(&udp, 1000);
    assert_unaffected("no_descriptors", &before, &during, 1000);
    drop(streams);
    let began = Instant::now();
    honest_tcp(1001, daemon.address(V4));
    let elapsed = began.elapsed();
    report("no_descriptors_tcp_back_ms", elapsed.as_millis());
    // Those that waited to be accepted stand before it: some 50 at a time, with a pause of 100 ms behind
    // each.
    assert!(elapsed < LENIENCY * Duration::from_secs(2), "{elapsed:?}");
    assert!(wait_until(PATIENCE, || open() < FILES / 2).is_some(), "they were closed: {}", open());
    assert_eq!(daemon.stop().0.code(), Some(0));
}

/// The median, and the longest, which a host that stands still for a moment makes.
fn typical(times: &mut [f64]) -> [f64; 2] {
    times.sort_unstable_by(f64::total_cmp);
    [times[times.len() / 2], times[times.len() - 1]]
}

#[test]
fn two_thousand_slow_clients_delay_nobody() {
    let _turn = alone();
    const SLOW: usize = 2000;
    as112d::sys::sockets::raise_nofile().expect("the kernel lets us");
    let file = config("[tcp]\nmessage_timeout = '30s'\n");
    let daemon = Daemon::start(&["--config", argument(file.path())]);
    let address = daemon.address(V4);
    let udp = daemon.udp(V4);
    let before = ping_pong(&udp, 1000);
    let mut slow: Vec<TcpStream> = Vec::new();
    for number in 0..SLOW {
        let mut stream = tcp_from(number, address).expect("a connection");
        stream.write_all(&[0]).expect("it takes a byte");
        slow.push(stream);
    }
    let open = || std::fs::read_dir(format!("/proc/{}/fd", daemon.id())).expect("it runs").count();
    assert!(wait_until(PATIENCE, || open() > SLOW).is_some(), "all are open: {}", open());
    let mut times: Vec<f64> = (0..200).map(|number| honest_tcp(SLOW + number, address)).collect();
    let [median, slowest] = typical(&mut times);
    report("slow_clients_honest_tcp_max_ms", format!("{slowest:.1}"));
    let during = ping_pong(&udp, 1000);
    assert_unaffected("slow_clients", &before, &during, 1000);
    assert!(median < 50.0 * f64::from(LENIENCY), "{median} and at most {slowest} ms");
    assert!(open() > SLOW, "all the while they are open: {}", open());
    // They are slow, not wrong: the rest of a query still gets its answer.
    let stream = &mut slow[SLOW / 2];
    let query = honest_query(77);
    stream.write_all(&[query.len() as u8]).expect("it takes the rest");
    stream.write_all(&query).expect("it takes the rest");
    assert_eq!(read_message(stream).map(|reply| reply.len()), Some(119));
    assert_eq!(daemon.stop().0.code(), Some(0));
}

#[test]
fn a_client_that_never_reads_is_closed_and_the_others_are_served() {
    let _turn = beside();
    let file = config("[tcp]\nwrite_timeout = '3s'\n");
    let daemon = Daemon::start(&["--config", argument(file.path())]);
    let address = daemon.address(V4);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    // A small window, so that it is soon full.
    socket.set_recv_buffer_size(4096).expect("set");
    socket.connect(&address.into()).expect("a connection");
    let mut greedy = TcpStream::from(socket);
    greedy.set_nonblocking(true).expect("set");
    let mut framed = vec![0, 42];
    framed.extend(honest_query(1));
    let burst = framed.repeat(1000);
    let mut asked = 0;
    // Until nothing goes any more: the daemon has stopped reading.
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_millis(200) {
        match greedy.write(&burst[asked % framed.len()..]) {
            Ok(len) => {
                asked += len;
                last = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => pause(Duration::from_millis(1)),
            Err(error) => panic!("closed before its time: {error}"),
        }
    }
    let answers_len = asked / framed.len() * (2 + 119);
    assert!(answers_len > 64 << 10, "answers of {answers_len} bytes");
    let began = last;
    let mut times = Vec::new();
    let ended = wait_until(PATIENCE, || {
        times.push(honest_tcp(times.len(), address));
        greedy.take_error().expect("it is a socket").is_some()
    });
    assert!(ended.is_some(), "it is closed");
    let elapsed = began.elapsed();
    report("never_reads_closed_after_ms", elapsed.as_millis());
    let (served, [median, slowest]) = (times.len(), typical(&mut times));
    report("never_reads_honest_tcp_max_ms", format!("{slowest:.1}"));
    assert!(elapsed >= Duration::from_millis(2000), "not before its time: {elapsed:?}");
    assert!(elapsed < LENIENCY * Duration::from_secs(3), "{elapsed:?}");
    assert!(served > 10 && median < 50.0 * f64::from(LENIENCY), "{served}: {median} to {slowest} ms");
    assert_eq!(daemon.stop().0.code(), Some(0));
}

#[test]
fn a_message_that_drips_ends_at_its_deadline() {
    let _turn = beside();
    let daemon = Daemon::start(&[]);
    let mut stream = daemon.tcp(V4);
    let mut framed = vec![0, 42];
    framed.extend(honest_query(5));
    // Another one, whole, first: the deadline is that of the message.
    stream.write_all(&framed).expect("sent");
    assert!(read_message(&mut stream).is_some());
    let began = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
    for byte in &framed[..framed.len() - 1] {
        // A byte every tenth of a second would take 4.3 s. The daemon may close between two of them.
        let dripped = stream.write_all(&[*byte]).is_ok();
        let end = stream.read(&mut [0; 1]);
        let waits = end.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        if !dripped || !waits {
            break;
        }
    }
    let elapsed = time_to_end(&mut stream, began);
    report("drip_closed_after_ms", elapsed.as_millis());
    assert!(elapsed >= Duration::from_millis(1900), "not before its time: {elapsed:?}");
    assert!(elapsed < LENIENCY * Duration::from_secs(2), "{elapsed:?}");
}

#[test]
fn an_idle_connection_ends() {
    let _turn = beside();
    let file = config("[tcp]\nidle_timeout = '3s'\n");
    let daemon = Daemon::start(&["--config", argument(file.path())]);
    for asks in [false, true] {
        let mut stream = daemon.tcp(V4);
        let began = Instant::now();
        if asks {
            pause(Duration::from_millis(500));
            send_message(&mut stream, &honest_query(6));
            assert!(read_message(&mut stream).is_some());
        }
        let elapsed = time_to_end(&mut stream, began);
        let active = if asks { Duration::from_millis(500) } else { Duration::ZERO };
        report("idle_closed_after_ms", (elapsed - active).as_millis());
        assert!(elapsed >= active + Duration::from_millis(2900), "not before its time: {elapsed:?}");
        assert!(elapsed < active + LENIENCY * Duration::from_secs(3), "{elapsed:?}");
    }
}
