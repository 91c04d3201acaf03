//! The driver on loopback. Times are five times what is meant, for slow machines.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::limits::TCP_IDLE_TIMEOUT_MIN;
use harness::{Server, Toy, ask, assert_soon, breathe, expect_end, framed_query, is_over, read_reply};

mod harness;
mod pending;
mod retire;

#[test]
fn a_thousand_queries_of_one_write_are_answered_in_order() {
    let server = Server::start(TcpSettings::default());
    let mut stream = server.connect();
    let queries: Vec<u8> = (0..1000).flat_map(|id| framed_query(id, 100)).collect();
    stream.write_all(&queries).unwrap();
    for id in 0..1000_u16 {
        let reply = read_reply(&mut stream).unwrap();
        assert_eq!((reply.len(), &reply[..2]), (100, &id.to_be_bytes()[..]));
        assert_eq!(reply[4..6], [0, 100], "10 s in units of 100 ms");
    }
    ask(&mut stream, 7).unwrap();
}

#[test]
fn every_listener_is_served_and_each_query_knows_its_two_ends() {
    let bind = |ip: &str| std::net::TcpListener::bind((ip, 0)).unwrap();
    let listeners = vec![bind("127.0.0.1"), bind("127.0.0.9"), bind("::1")];
    let addresses: Vec<SocketAddr> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
    let driver = TcpDriver::new(listeners, TcpSettings::default()).unwrap();
    let (mut toy, orders) = (Toy::default(), Orders::default());
    std::thread::scope(|scope| {
        let running = scope.spawn(|| driver.run(&orders, &mut toy));
        let replies = addresses.iter().map(|address| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(&framed_query(1, 0)).unwrap();
            (stream.local_addr().unwrap(), read_reply(&mut stream).unwrap())
        });
        let replies: Vec<_> = replies.collect();
        orders.stop();
        running.join().unwrap().unwrap();
        for ((client, reply), address) in replies.iter().zip(&addresses) {
            assert_eq!(reply[6..8], address.port().to_be_bytes());
            assert_eq!(reply[8..10], client.port().to_be_bytes());
        }
    });
    assert_eq!(toy.counts()[&TcpEvent::Opened], 3);
}

#[test]
fn clients_that_ask_without_pause_leave_their_turn_to_others() {
    let server = Server::start(TcpSettings::default());
    let over = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for source in 10..14 {
            let mut reader = server.connect_from(source);
            let mut writer = reader.try_clone().unwrap();
            scope.spawn(move || {
                let queries: Vec<u8> = (0..1000).flat_map(|id| framed_query(id, 0)).collect();
                while writer.write_all(&queries).is_ok() {}
            });
            let (over, answered) = (&over, &answered);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    answered.fetch_add(reader.read(&mut [0; 65_536]).unwrap() / 42, Ordering::Relaxed);
                }
                reader.shutdown(Shutdown::Both).ok();
            });
        }
        let mut honest = server.connect_from(2);
        let latencies: Vec<_> = (0..100).map(|id| ask(&mut honest, id).unwrap()).collect();
        over.store(true, Ordering::Relaxed);
        assert_soon(latencies, Duration::from_millis(5 * 100));
    });
    assert!(answered.load(Ordering::Relaxed) > 1000);
}

#[test]
fn queries_before_a_half_close_are_answered_then_fin() {
    let server = Server::start(TcpSettings::default());
    let mut stream = server.connect();
    // More than the kernel takes at once, so that answers are still due when the end is read.
    let queries: Vec<u8> = (0..40).flat_map(|id| framed_query(id, 50_000)).collect();
    stream.write_all(&queries).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    for id in 0..40_u16 {
        let reply = read_reply(&mut stream).unwrap();
        assert_eq!((reply.len(), &reply[..2]), (50_000, &id.to_be_bytes()[..]));
    }
    expect_end(&mut stream);
    server.wait_closed(Closed::Client, 1);
}

#[test]
fn a_query_and_fin_that_came_together_are_both_seen() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.write_all(&framed_query(1, 0)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let driver = TcpDriver::new(vec![listener], TcpSettings::default()).unwrap();
    let (mut toy, orders) = (Toy::default(), Orders::default());
    std::thread::scope(|scope| {
        let running = scope.spawn(|| driver.run(&orders, &mut toy));
        assert_eq!(read_reply(&mut stream).unwrap()[..2], [0, 1]);
        expect_end(&mut stream);
        orders.stop();
        running.join().unwrap().unwrap();
    });
    assert_eq!(toy.counts()[&TcpEvent::Closed(Closed::Client)], 1);
}

#[test]
fn after_a_protocol_error_the_answers_due_arrive_although_the_client_goes_on_sending() {
    let server = Server::start(TcpSettings::default());
    let mut response = framed_query(9, 0);
    response[4] = 0x80;
    for bad in [vec![0, 0], vec![0, 11], response] {
        let mut stream = server.connect();
        let mut bytes: Vec<u8> = (0..10).flat_map(|id| framed_query(id, 0)).collect();
        bytes.extend_from_slice(&bad);
        bytes.resize(bytes.len() + 200_000, 0x55);
        stream.write_all(&bytes).unwrap();
        for id in 0..10_u16 {
            assert_eq!(read_reply(&mut stream).unwrap()[..2], id.to_be_bytes());
        }
        expect_end(&mut stream);
    }
    server.wait_closed(Closed::Protocol, 3);
}

#[test]
fn a_reset_hurts_nobody_else() {
    let server = Server::start(TcpSettings::default());
    let mut honest = server.connect_from(2);
    for round in 0..50 {
        let mut hostile = server.connect();
        let bytes = [framed_query(1, 60_000), framed_query(2, 60_000), vec![0, 40, 1]].concat();
        hostile.write_all(&bytes).unwrap();
        SockRef::from(&hostile).set_linger(Some(Duration::ZERO)).unwrap();
        drop(hostile);
        ask(&mut honest, round).unwrap();
    }
    server.wait_closed(Closed::Failed, 50);
}

#[test]
fn a_client_that_never_reads_is_closed_and_delays_nobody() {
    let write_timeout = Duration::from_secs(3);
    let server = Server::start(TcpSettings { write_timeout, ..TcpSettings::default() });
    let mut greedy = server.connect();
    greedy.set_nonblocking(true).unwrap();
    let mut honest = server.connect_from(2);
    let queries: Vec<u8> = (0..1000).flat_map(|id| framed_query(id, 60_000)).collect();
    let began = Instant::now();
    let (mut sent_len, mut latencies) = (0, Vec::new());
    while server.closed(Closed::Unread) == 0 {
        sent_len += greedy.write(&queries).unwrap_or(0);
        latencies.push(ask(&mut honest, 1).unwrap());
        assert!(began.elapsed() < 5 * write_timeout);
    }
    assert!(began.elapsed() >= write_timeout);
    assert!(latencies.len() > 50, "whoever waits for the greedy one answers few: {latencies:?}");
    assert_soon(latencies, Duration::from_millis(5 * 20));
    assert!(sent_len < 20 << 20, "{sent_len} bytes were taken from a client that reads nothing");
}

#[test]
fn a_client_that_waits_for_nothing_or_takes_nothing_wakes_nobody() {
    let server = Server::start(TcpSettings::default());
    let (mut greedy, mut lingers, _idle) = (server.connect(), server.connect(), server.connect());
    greedy.set_nonblocking(true).unwrap();
    let queries: Vec<u8> = (0..1000).flat_map(|id| framed_query(id, 60_000)).collect();
    while greedy.write(&queries).is_ok() {
        breathe();
    }
    lingers.write_all(&[0, 0]).unwrap();
    expect_end(&mut lingers);
    let before = server.toy.wakes.load(Ordering::Relaxed);
    let wakes = || server.toy.wakes.load(Ordering::Relaxed) - before;
    let began = Instant::now();
    while began.elapsed() < 5 * TCP_TICK || wakes() == 0 {
        breathe();
    }
    let (wakes, ticks) = (wakes(), began.elapsed().as_millis() / TCP_TICK.as_millis());
    assert!((wakes as u128) < 10 * ticks, "{wakes} in {ticks} ticks");
}

#[test]
fn a_connection_closed_before_its_turn_leaves_the_queue() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let settings = TcpSettings { connections_max: 1, ..TcpSettings::default() };
    let mut driver = TcpDriver::new(vec![listener], settings).unwrap();
    let mut toy = Toy::default();
    let soon = || Instant::now() + Duration::from_secs(1);
    let mut first = TcpStream::connect(address).unwrap();
    driver.accept(&mut toy);
    first.write_all(b"x").unwrap();
    assert_eq!((driver.queue.len(), driver.table.open()), (1, 1));
    let second = TcpStream::connect(address).unwrap();
    driver.wait(soon()).unwrap();
    driver.accept(&mut toy);
    assert_eq!((driver.queue.len(), driver.table.open()), (1, 1));
    let left = driver.queue.pop().and_then(|key| driver.table.get_mut(key));
    assert_eq!(left.unwrap().peer, second.local_addr().unwrap());
    assert_eq!(toy.counts()[&TcpEvent::Closed(Closed::RoomInTable)], 1);
}

/// What epoll watches the only connection for.
fn watched(driver: &TcpDriver) -> Option<Interest> {
    let mut entries = driver.table.iter();
    let (_, entry) = entries.next().expect("a connection is open");
    assert!(entries.next().is_none());
    entry.watched
}

/// Its query is there when it is accepted, and its end when that was answered. (Mostly: a busy host may
/// deliver either later.)
#[test]
fn a_connection_with_one_query_is_never_watched() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut driver = TcpDriver::new(vec![listener], TcpSettings::default()).unwrap();
    let mut toy = Toy::default();
    let mut once = || {
        driver.listeners[0].ready = true;
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(&framed_query(1, 0)).unwrap();
        driver.accept(&mut toy);
        driver.take_turns(&mut toy);
        client.shutdown(Shutdown::Write).unwrap();
        let mut is_watched = watched(&driver).is_some();
        while driver.table.open() > 0 {
            driver.wait(Instant::now() + Duration::from_secs(5)).unwrap();
            driver.take_turns(&mut toy);
            is_watched |= driver.table.open() > 0;
        }
        assert_eq!(read_reply(&mut client).unwrap()[..2], [0, 1]);
        !is_watched
    };
    assert!((0..100).any(|_| once()));
}

#[test]
fn a_connection_that_stays_is_watched_once_it_has_nothing_to_read() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut driver = TcpDriver::new(vec![listener], TcpSettings::default()).unwrap();
    let mut toy = Toy::default();
    driver.accept(&mut toy);
    assert_eq!((driver.queue.len(), watched(&driver)), (1, None));
    for id in 0..10 {
        let query = framed_query(id, 0);
        client.write_all(&query).unwrap();
        client.set_nonblocking(true).unwrap();
        while driver.queue.len() > 0 || client.peek(&mut [0; 64]).unwrap_or(0) < query.len() {
            driver.wait(Instant::now() + Duration::from_millis(20)).unwrap();
            driver.take_turns(&mut toy);
        }
        assert_eq!(watched(&driver), Some(Interest::READABLE));
        client.set_nonblocking(false).unwrap();
        assert_eq!(read_reply(&mut client).unwrap()[..2], id.to_be_bytes());
    }
}

#[test]
fn beyond_the_budget_the_largest_holder_is_closed() {
    let server = Server::start(TcpSettings { buffers_len_max: 1 << 20, ..TcpSettings::default() });
    let mut honest = server.connect_from(2);
    let queries: Vec<u8> = (0..200).flat_map(|id| framed_query(id, 60_000)).collect();
    let mut greedy: Vec<TcpStream> = (0..40).map(|_| server.connect()).collect();
    for (id, stream) in greedy.iter_mut().enumerate() {
        stream.write_all(&queries).unwrap();
        ask(&mut honest, id as u16).unwrap();
    }
    server.wait_closed(Closed::Buffers, 20);
    ask(&mut honest, 1).unwrap();
}

#[test]
fn a_slow_reader_gets_every_answer() {
    let server = Server::start(TcpSettings::default());
    let mut stream = server.connect();
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let queries: Vec<u8> = (0..5000).flat_map(|id| framed_query(id, 3000)).collect();
        writer.write_all(&queries).unwrap();
    });
    for id in 0..5000_u16 {
        if id < 20 {
            breathe();
        }
        let reply = read_reply(&mut stream).unwrap();
        assert_eq!((reply.len(), &reply[..2]), (3000, &id.to_be_bytes()[..]));
    }
    writing.join().unwrap();
}

#[test]
fn one_more_of_a_client_closes_its_idlest_and_no_other() {
    let settings = TcpSettings { connections_per_client_max: 3, ..TcpSettings::default() };
    let server = Server::start(settings);
    let mut other = server.connect_from(3);
    ask(&mut other, 1).unwrap();
    let mut own: Vec<TcpStream> = (0..3).map(|_| server.connect_from(2)).collect();
    for stream in [2, 0, 1] {
        ask(&mut own[stream], 1).unwrap();
    }
    // The beginning of a message is no activity.
    own[2].write_all(&[0]).unwrap();
    let rested = Instant::now() + TCP_IDLE_TIMEOUT_MIN;
    while Instant::now() < rested {
        for stream in &mut own[..2] {
            ask(stream, 1).unwrap();
        }
        breathe();
    }
    let mut fourth = server.connect_from(2);
    ask(&mut fourth, 1).unwrap();
    assert!(is_over(&mut own[2]));
    for stream in own[..2].iter_mut().chain([&mut fourth, &mut other]) {
        ask(stream, 2).unwrap();
    }
    assert_eq!((server.closed(Closed::RoomOfClient), server.closed(Closed::RoomInTable)), (1, 0));
}

#[test]
fn one_more_of_a_client_that_uses_all_it_has_is_refused_and_no_other_is_closed() {
    let settings = TcpSettings { connections_per_client_max: 3, ..TcpSettings::default() };
    let server = Server::start(settings);
    let mut own: Vec<TcpStream> = (0..3).map(|_| server.connect_from(2)).collect();
    // Answers that wait to be taken keep a connection in use, however slow the machine is.
    let queries: Vec<u8> = (0..400).flat_map(|id| framed_query(id, 60_000)).collect();
    for stream in &mut own {
        stream.write_all(&queries[..42 * 5]).unwrap();
        assert_eq!(read_reply(stream).unwrap()[..2], [0, 0]);
        stream.write_all(&queries[42 * 5..]).unwrap();
    }
    for refused in 1..20 {
        assert!(is_over(&mut server.connect_from(2)));
        assert_eq!(server.closed(Closed::Refused), refused);
    }
    ask(&mut server.connect_from(3), 1).unwrap();
    for stream in &mut own {
        for id in 1..400_u16 {
            assert_eq!(read_reply(stream).unwrap()[..2], id.to_be_bytes());
        }
    }
    assert_eq!(server.closed(Closed::RoomOfClient), 0);
}

/// An error of one connection that came to nothing must not keep all others waiting.
#[test]
fn errors_of_one_connection_are_those_that_accept_lists() {
    let of_one = [
        libc::ENETDOWN,
        libc::EPROTO,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EHOSTUNREACH,
        libc::EOPNOTSUPP,
        libc::ENETUNREACH,
        libc::EPERM,
        libc::ECONNABORTED,
        libc::EINTR,
    ];
    let is_of_one = |&errno: &i32| is_of_one_connection(&io::Error::from_raw_os_error(errno));
    assert!(of_one.iter().all(is_of_one));
    let of_all = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EBADF, libc::EINVAL];
    assert!(!of_all.iter().any(is_of_one));
}

#[test]
fn one_more_than_the_table_holds_closes_the_idlest_of_all_and_idle_times_shrink() {
    let settings = TcpSettings { connections_max: 8, ..TcpSettings::default() };
    let server = Server::start(settings);
    let mut streams: Vec<TcpStream> = (10..18).map(|source| server.connect_from(source)).collect();
    for stream in &mut streams {
        ask(stream, 1).unwrap();
    }
    let mut ninth = server.connect_from(18);
    ninth.write_all(&framed_query(1, 0)).unwrap();
    assert_eq!(read_reply(&mut ninth).unwrap()[4..6], [0, 10], "1 s is left in a full table");
    assert!(is_over(&mut streams[0]));
    for stream in &mut streams[1..] {
        ask(stream, 2).unwrap();
    }
    server.wait_closed(Closed::RoomInTable, 1);
    // The eight that are left are idle; from a half-full table on they have the whole idle time again.
    server.wait_closed(Closed::Idle, 4);
}

#[test]
fn idle_and_incomplete_are_closed_in_time() {
    let (idle_timeout, message_timeout) = (Duration::from_millis(600), Duration::from_millis(300));
    let server = Server::start(TcpSettings { idle_timeout, message_timeout, ..TcpSettings::default() });
    let (mut idle, mut drips) = (server.connect(), server.connect());
    // A thread that has to stand still for seconds is late, and yet far from a time that was not looked at.
    let at_most = Duration::from_secs(10);
    let began = Instant::now();
    ask(&mut idle, 1).unwrap();
    idle.set_read_timeout(Some(2 * at_most)).unwrap();
    drips.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    drips.write_all(&[1, 0]).unwrap();
    while !matches!(drips.read(&mut [0]), Ok(0)) {
        assert!(began.elapsed() < at_most);
        drips.write_all(&[0]).ok();
    }
    assert_eq!(server.closed(Closed::Message), 1);
    assert!(began.elapsed() >= message_timeout);
    expect_end(&mut idle);
    assert!((idle_timeout..at_most).contains(&began.elapsed()));
    assert_eq!(server.closed(Closed::Idle), 1);
}

#[test]
fn two_thousand_partial_messages_delay_no_honest_query() {
    let server = Server::start(TcpSettings::default());
    let mut honest = server.connect_from(2);
    let mut partial: Vec<TcpStream> = Vec::new();
    let mut latencies = Vec::new();
    for index in 0..2000 {
        let mut stream = server.connect_from(0x100 + index % 40);
        stream.write_all(&[0]).unwrap();
        partial.push(stream);
        if index % 100 == 0 {
            latencies.push(ask(&mut honest, index).unwrap());
        }
    }
    assert_soon(latencies, Duration::from_millis(5 * 20));
    while server.counted(TcpEvent::Opened) < 2001 {
        breathe();
    }
    let latencies = (0..200).map(|id| ask(&mut honest, id).unwrap()).collect();
    assert_soon(latencies, Duration::from_millis(5 * 20));
    server.wait_closed(Closed::Message, 2000);
    ask(&mut honest, 1).unwrap();
}

#[test]
fn accepted_sockets_inherit_what_the_listener_was_told() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let also = listener.try_clone().unwrap();
    let _driver = TcpDriver::new(vec![listener], TcpSettings::default()).unwrap();
    let _later = TcpStream::connect(also.local_addr().unwrap()).unwrap();
    also.accept().unwrap();
    let (accepted, _) = also.accept().unwrap();
    assert!(accepted.nodelay().unwrap());
    // The kernel doubles what it is told, to have room for its own book-keeping (socket(7)).
    assert_eq!(SockRef::from(&accepted).send_buffer_size().unwrap(), 2 * TCP_KERNEL_SEND_LEN);
    assert_eq!(SockRef::from(&accepted).recv_buffer_size().unwrap(), 2 * TCP_KERNEL_RECEIVE_LEN);
}

#[test]
fn stop_answers_what_has_come_and_says_that_it_is_the_last() {
    let mut server = Server::start(TcpSettings::default());
    let (mut busy, mut idle) = (server.connect(), server.connect());
    ask(&mut idle, 1).unwrap();
    ask(&mut busy, 1).unwrap();
    let queries: Vec<u8> = (0..40).flat_map(|id| framed_query(id, 50_000)).collect();
    busy.write_all(&queries).unwrap();
    let reading = std::thread::spawn(move || {
        let replies: Vec<_> = (0..40).map(|_| read_reply(&mut busy).unwrap()).collect();
        expect_end(&mut busy);
        replies
    });
    assert!(server.stop() < Duration::from_secs(5));
    let replies = reading.join().unwrap();
    assert!(replies.iter().zip(0..40_u16).all(|(reply, id)| reply[..2] == id.to_be_bytes()));
    expect_end(&mut idle);
    assert_eq!(server.closed(Closed::Stop), 2);
    assert!(TcpStream::connect(server.address).is_err(), "nobody listens any more");
}

#[test]
fn draining_announces_no_keepalive_and_ends_although_a_client_never_reads() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut driver = TcpDriver::new(vec![listener], TcpSettings::default()).unwrap();
    let mut toy = Toy::default();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut greedy = TcpStream::connect(address).unwrap();
    driver.accept(&mut toy);
    assert_eq!(driver.table.open(), 2);
    stream.write_all(&framed_query(1, 0)).unwrap();
    let queries: Vec<u8> = (0..300).flat_map(|id| framed_query(id, 60_000)).collect();
    greedy.write_all(&queries).unwrap();
    let began = Instant::now();
    let orders = Orders::default();
    orders.stop();
    driver.run(&orders, &mut toy).unwrap();
    assert!((TCP_DRAIN_MAX..5 * TCP_DRAIN_MAX).contains(&began.elapsed()));
    let reply = read_reply(&mut stream).unwrap();
    assert_eq!(reply[4..6], [0, 0]);
    expect_end(&mut stream);
    assert_eq!(toy.counts()[&TcpEvent::Closed(Closed::Stop)], 2);
}

/// Runs this test binary again, as the server, in a process that may open few files.
#[test]
fn without_descriptors_accepting_pauses_and_goes_on() {
    let exe = std::env::current_exe().unwrap();
    let mut child = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 40; exec \"$0\" \"$@\""])
        .arg(exe)
        .args(["--exact", "net::tcp::driver::tests::child_with_few_descriptors", "--ignored", "--nocapture"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut told = |what: &str| {
        let line = lines.find_map(|line| line.split_once(what).map(|(_, rest)| rest.to_owned()));
        line.unwrap_or_else(|| panic!("the child did not tell {what}"))
    };
    let port: u16 = told("PORT=").parse().unwrap();
    let connect = || {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    };
    let mut first = connect();
    ask(&mut first, 1).unwrap();
    let began = Instant::now();
    let mut more: Vec<TcpStream> = (0..60).map(|_| connect()).collect();
    let mut last = more.pop().unwrap();
    last.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(ask(&mut last, 2).is_err(), "the last is not accepted yet");
    let ask_first = |id| {
        breathe();
        ask(&mut first, id).unwrap()
    };
    // Over a quarter of a second, in which the child works and must pause.
    assert_soon((3..53).map(ask_first).collect(), Duration::from_millis(5 * 20));
    drop(more);
    last.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(read_reply(&mut last).unwrap()[..2], [0, 2]);
    drop(child.stdin.take());
    let most = 2 + began.elapsed().as_millis() / TCP_ACCEPT_PAUSE.as_millis();
    let pauses: u128 = told("PAUSES=").parse().unwrap();
    assert!((2..=most).contains(&pauses), "{pauses} pauses: one every 100 ms while there is no descriptor");
    assert!(child.wait().unwrap().success());
}

#[test]
#[ignore = "the child of without_descriptors_accepting_pauses_and_goes_on"]
fn child_with_few_descriptors() {
    let mut server = Server::start(TcpSettings::default());
    println!("PORT={}", server.address.port());
    io::stdin().read_line(&mut String::new()).unwrap();
    server.stop();
    println!("PAUSES={}", server.counted(TcpEvent::AcceptPaused));
}

#[test]
fn settings_hold_at_their_edges() {
    let settings = TcpSettings::default();
    let seconds = |open| settings.idle_in_force(open).as_secs_f64();
    assert_eq!([0, 2048, 3072, 4096, 5000].map(seconds), [10.0, 10.0, 5.0, 1.0, 1.0]);
    let tiny = TcpSettings { connections_max: 1, idle_timeout: Duration::from_millis(300), ..settings };
    assert_eq!([0, 1, 2].map(|open| tiny.idle_in_force(open).as_millis()), [300, 300, 300]);
}
