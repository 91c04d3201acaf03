//! A probe: what a resolver would ask a service address, asked over the way that its packets take.
//!
//! Three questions, over UDP and over TCP: the SOA of a zone, a name that does not exist, and which node
//! answers here. The daemon takes no part in it other than answering, so what is probed is what the public
//! gets; another name server with the zones of AS112 passes as well.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use domain::base::iana::{Class, Rcode};
use domain::base::{Header, MessageBuilder, Name, Rtype};

use super::service;
use crate::dns::consts::HEADER_LEN;
use crate::limits::SLOT_PAYLOAD_LEN;
use crate::zone::Service;

/// A question, and what the reply must say.
struct Question {
    name: &'static str,
    rtype: Rtype,
    rcode: Rcode,
}

/// What is asked of the direct service (RFC 7534).
const DIRECT: [Question; 3] = [
    Question { name: "10.in-addr.arpa", rtype: Rtype::SOA, rcode: Rcode::NOERROR },
    Question { name: "1.0.0.10.in-addr.arpa", rtype: Rtype::PTR, rcode: Rcode::NXDOMAIN },
    Question { name: "hostname.as112.net", rtype: Rtype::TXT, rcode: Rcode::NOERROR },
];

/// What is asked of the target of DNAMEs (RFC 7535).
const DNAME: [Question; 3] = [
    Question { name: "empty.as112.arpa", rtype: Rtype::SOA, rcode: Rcode::NOERROR },
    Question { name: "1.empty.as112.arpa", rtype: Rtype::PTR, rcode: Rcode::NXDOMAIN },
    Question { name: "hostname.as112.arpa", rtype: Rtype::TXT, rcode: Rcode::NOERROR },
];

/// Asks an address everything; how long that took. An address outside AS112 is asked as one of the
/// direct service, and a wildcard is asked on loopback.
///
/// # Errors
/// What was wrong first, within `timeout`.
pub fn probe(address: SocketAddr, place: ProbedHost, timeout: Duration) -> Result<Duration, String> {
    ask(address, place, Over::Both, timeout)
}

/// What a probe asks over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// UDP alone: that is what nearly everybody asks over, and costs the node no connection.
    Udp,
    /// UDP, and then TCP.
    Both,
}

/// The same as [`probe`], over what `over` says.
///
/// # Errors
/// What was wrong first, within `timeout`.
pub fn ask(
    address: SocketAddr,
    place: ProbedHost,
    over: Over,
    timeout: Duration,
) -> Result<Duration, String> {
    let (begin, deadline) = (Instant::now(), Deadline::after(timeout));
    let address = SocketAddr::new(reachable(address.ip()), address.port());
    let queries = queries(address.ip());
    over_udp(address, place, &queries, deadline).map_err(|reason| format!("UDP: {reason}"))?;
    if over == Over::Both {
        over_tcp(address, place, &queries, deadline).map_err(|reason| format!("TCP: {reason}"))?;
    }
    Ok(begin.elapsed())
}

/// Probes addresses at the same time; what came of each, in their order.
#[must_use]
pub fn probe_all(
    addresses: &[SocketAddr],
    place: ProbedHost,
    timeout: Duration,
) -> Vec<Result<Duration, String>> {
    thread::scope(|scope| {
        let probes: Vec<_> =
            addresses.iter().map(|&address| scope.spawn(move || probe(address, place, timeout))).collect();
        probes.into_iter().map(|probe| probe.join().expect("a probe does not panic")).collect()
    })
}

/// Where an address must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbedHost {
    /// On this host. A service address that is not would be answered by the next AS112 node, as if all were
    /// well here.
    This,
    /// Wherever it is.
    Any,
}

impl ProbedHost {
    /// Looks at the end of a socket of ours that is connected to `address`: what is on this host is reached
    /// from itself.
    fn check(self, ours: SocketAddr, address: SocketAddr) -> Result<(), String> {
        if self == Self::This && ours.ip() != address.ip() {
            return Err("not an address of this host; add it with `as112d addresses --apply`".to_owned());
        }
        Ok(())
    }
}

/// Where a socket that is bound to `ip` is reached from this host: a wildcard, on the loopback of the
/// same family.
#[must_use]
pub fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

//------------ Queries ---

/// A question as a packet.
struct Query {
    question: &'static Question,
    packet: Vec<u8>,
}

/// The queries for an address. Their IDs tell their replies apart.
fn queries(ip: IpAddr) -> Vec<Query> {
    let questions = if service::of(ip) == Some(Service::Dname) { &DNAME } else { &DIRECT };
    let query = |(id, question): (u16, &'static Question)| {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(id);
        let mut builder = builder.question();
        let name = Name::vec_from_str(question.name).expect("the names above are well formed");
        builder.push((name, question.rtype, Class::IN)).expect("a Vec has room for a question");
        Query { question, packet: builder.finish() }
    };
    (1..).zip(questions).map(query).collect()
}

impl Query {
    /// Whether `reply` is one to this query.
    fn is_asked_in(&self, reply: &[u8]) -> bool {
        reply.len() >= HEADER_LEN && reply[..2] == self.packet[..2] && reply[2] & 0x80 != 0
    }

    /// Whether it says what it must. A truncated reply sends its reader to TCP, and needs no records.
    fn judge(&self, reply: &[u8]) -> Result<(), String> {
        let Question { name, rtype, rcode } = self.question;
        let header = Header::for_message_slice(reply);
        let wrong = if header.rcode() != *rcode {
            format!("{}, expected {rcode}", header.rcode())
        } else if reply.get(HEADER_LEN..self.packet.len()) != Some(&self.packet[HEADER_LEN..]) {
            "the reply is for another question".to_owned()
        } else if !header.aa() {
            "the reply is not authoritative".to_owned()
        } else if *rcode == Rcode::NOERROR && reply[6..8] == [0, 0] && !header.tc() {
            "the answer section is empty".to_owned()
        } else {
            return Ok(());
        };
        Err(format!("{name} {rtype}: {wrong}"))
    }
}

/// Takes the query that `reply` is to out of those that wait for one; what is not a reply to any is ignored.
fn settle(waiting: &mut Vec<&Query>, reply: &[u8]) -> Result<(), String> {
    match waiting.iter().position(|query| query.is_asked_in(reply)) {
        Some(at) => waiting.swap_remove(at).judge(reply),
        None => Ok(()),
    }
}

//------------ Transports ---

/// When a probe must be through.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    timeout: Duration,
    at: Instant,
}

impl Deadline {
    /// After so long.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        Self { timeout, at: Instant::now() + timeout }
    }

    /// What is left.
    ///
    /// # Errors
    /// When nothing is.
    pub fn left(self) -> io::Result<Duration> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    /// Reads, with what is left set as the time-out. A signal that this thread has taken fails nothing.
    ///
    /// # Errors
    /// When nothing is left, and those of `read`.
    pub fn read(
        self,
        set: impl Fn(Duration) -> io::Result<()>,
        mut read: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            set(self.left()?)?;
            match read() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// An error for the operator.
    #[must_use]
    pub fn explain(self, error: &io::Error) -> String {
        match error.kind() {
            // A socket's own time-out is EAGAIN.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("no reply within {} ms", self.timeout.as_millis())
            }
            io::ErrorKind::ConnectionRefused => "connection refused: nothing listens there".to_owned(),
            io::ErrorKind::UnexpectedEof => "the connection was closed before the reply".to_owned(),
            _ => error.to_string(),
        }
    }
}

fn over_udp(
    address: SocketAddr,
    place: ProbedHost,
    queries: &[Query],
    deadline: Deadline,
) -> Result<(), String> {
    let explain = |error| deadline.explain(&error);
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).map_err(explain)?;
    // Connected: only that address is heard, and "port unreachable" comes back as an error.
    socket.connect(address).map_err(explain)?;
    place.check(socket.local_addr().map_err(explain)?, address)?;
    for query in queries {
        socket.send(&query.packet).map_err(explain)?;
    }
    let mut waiting: Vec<&Query> = queries.iter().collect();
    let mut reply = [0; SLOT_PAYLOAD_LEN];
    while !waiting.is_empty() {
        let wait = |left| socket.set_read_timeout(Some(left));
        let len = deadline.read(wait, || socket.recv(&mut reply)).map_err(explain)?;
        settle(&mut waiting, &reply[..len])?;
    }
    Ok(())
}

/// All queries at once over one connection (RFC 7766, section 6.2.1.1).
fn over_tcp(
    address: SocketAddr,
    place: ProbedHost,
    queries: &[Query],
    deadline: Deadline,
) -> Result<(), String> {
    let explain = |error| deadline.explain(&error);
    let mut stream =
        TcpStream::connect_timeout(&address, deadline.left().map_err(explain)?).map_err(explain)?;
    place.check(stream.local_addr().map_err(explain)?, address)?;
    let mut messages = Vec::new();
    for Query { packet, .. } in queries {
        messages.extend(u16::try_from(packet.len()).expect("a question is short").to_be_bytes());
        messages.extend(packet);
    }
    // They fit any send buffer.
    stream.write_all(&messages).map_err(explain)?;
    let mut waiting: Vec<&Query> = queries.iter().collect();
    while !waiting.is_empty() {
        let mut len = [0; 2];
        read_exact(&stream, &mut len, deadline).map_err(explain)?;
        let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
        read_exact(&stream, &mut reply, deadline).map_err(explain)?;
        settle(&mut waiting, &reply)?;
    }
    Ok(())
}

/// Fills `buffer` by the deadline, however slowly the bytes come.
fn read_exact(stream: &TcpStream, buffer: &mut [u8], deadline: Deadline) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        let mut reader = stream;
        let wait = |left| stream.set_read_timeout(Some(left));
        match deadline.read(wait, || reader.read(&mut buffer[filled..]))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => filled += len,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(200);

    /// `announce` gets signals on any of its threads.
    #[test]
    fn a_signal_fails_no_probe() {
        let deadline = Deadline { timeout: LONG, at: Instant::now() + LONG };
        let mut reads = [Err(io::ErrorKind::Interrupted.into()), Ok(7)].into_iter();
        assert_eq!(deadline.read(|_| Ok(()), || reads.next().unwrap()).unwrap(), 7);
        let over = Deadline { timeout: TIMEOUT, at: Instant::now() };
        let error = over.read(|_| Ok(()), || Err(io::ErrorKind::Interrupted.into())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
    /// For what comes, however late a busy host is.
    const LONG: Duration = Duration::from_secs(10);

    /// A right reply to a query of ours.
    fn right(query: &[u8]) -> Vec<u8> {
        let mut reply = query.to_vec();
        let is_ptr = query[query.len() - 3] == 12;
        (reply[2], reply[3], reply[7]) = if is_ptr { (0x84, 3, 0) } else { (0x84, 0, 1) };
        reply
    }

    /// A name server for one probe on loopback that answers as it is told, or not at all.
    fn server(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static, tcp: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(address).unwrap();
        // It ends when nothing comes any more, whatever the probe does.
        socket.set_read_timeout(Some(LONG)).unwrap();
        thread::spawn(move || {
            let mut query = [0; 512];
            for _ in 0..3 {
                let Ok((len, client)) = socket.recv_from(&mut query) else { return };
                if let Some(reply) = answer(&query[..len]) {
                    socket.send_to(&reply, client).unwrap();
                }
            }
            if !tcp {
                return;
            }
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            let mut len = [0; 2];
            while stream.read_exact(&mut len).is_ok() {
                let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
                stream.read_exact(&mut query).unwrap();
                if let Some(reply) = answer(&query) {
                    let _ = stream.write_all(&(reply.len() as u16).to_be_bytes());
                    let _ = stream.write_all(&reply);
                }
            }
        });
        address
    }

    #[test]
    fn right_answers_pass_in_any_order_and_among_others() {
        let address = server(|query| Some(right(query)), true);
        let took = probe(address, ProbedHost::This, LONG).unwrap();
        assert!(took > Duration::ZERO);
    }

    /// What is changed in a reply, and what is said of it.
    type Fault = (fn(&mut Vec<u8>), &'static str);

    #[test]
    fn each_wrong_answer_is_named() {
        let faults: [Fault; 6] = [
            (|reply| reply[3] |= 2, "UDP: 10.in-addr.arpa SOA: SERVFAIL, expected NOERROR"),
            (|reply| reply[2] &= !4, "UDP: 10.in-addr.arpa SOA: the reply is not authoritative"),
            (|reply| reply[7] = 0, "UDP: 10.in-addr.arpa SOA: the answer section is empty"),
            (|reply| reply[13] ^= 1, "UDP: 10.in-addr.arpa SOA: the reply is for another question"),
            (|reply| reply.truncate(12), "UDP: 10.in-addr.arpa SOA: the reply is for another question"),
            // No response, and no reply to anything that was asked, is as nothing.
            (|reply| reply[2] &= !0x80, "UDP: no reply within 200 ms"),
        ];
        for (fault, told) in faults {
            let answer = move |query: &[u8]| {
                let mut reply = right(query);
                if query[1] == 1 {
                    fault(&mut reply);
                }
                Some(reply)
            };
            let timeout = if told.contains("no reply") { TIMEOUT } else { LONG };
            assert_eq!(probe(server(answer, false), ProbedHost::This, timeout), Err(told.to_owned()));
        }
    }

    #[test]
    fn a_truncated_reply_over_udp_needs_no_records() {
        let query = &queries("192.175.48.6".parse().unwrap())[2];
        let mut reply = right(&query.packet);
        reply[7] = 0;
        assert!(query.judge(&reply).unwrap_err().starts_with("hostname.as112.net TXT: "));
        reply[2] |= 2;
        assert_eq!(query.judge(&reply), Ok(()));
    }

    #[test]
    fn silence_ends_at_the_time_out_and_a_closed_port_at_once() {
        let begin = Instant::now();
        assert_eq!(
            probe(server(|_| None, false), ProbedHost::This, TIMEOUT),
            Err("UDP: no reply within 200 ms".to_owned())
        );
        assert!(begin.elapsed() >= TIMEOUT);

        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(
            probe(closed, ProbedHost::This, LONG),
            Err("UDP: connection refused: nothing listens there".to_owned())
        );

        // UDP alone is half a server.
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut query = [0; 512];
            for _ in 0..3 {
                let (len, client) = socket.recv_from(&mut query).unwrap();
                socket.send_to(&right(&query[..len]), client).unwrap();
            }
        });
        assert_eq!(
            probe(address, ProbedHost::This, LONG),
            Err("TCP: connection refused: nothing listens there".to_owned())
        );
    }

    #[test]
    fn addresses_are_asked_for_their_own_service() {
        let first = |ip: &str| queries(ip.parse().unwrap())[0].question.name;
        for ip in ["192.175.48.1", "2620:4f:8000::42", "127.0.0.1"] {
            assert_eq!(first(ip), "10.in-addr.arpa");
        }
        for ip in ["192.31.196.1", "2001:4:112::1"] {
            assert_eq!(first(ip), "empty.as112.arpa");
        }
    }

    #[test]
    fn behind_a_wildcard_the_loopback_is_asked() {
        for (ip, asked) in [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.1", "192.0.2.1")] {
            assert_eq!(reachable(ip.parse().unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn what_answers_elsewhere_is_not_here() {
        let at = |ip: [u8; 4], port| SocketAddr::from((ip, port));
        let (ours, elsewhere) = (at([192, 0, 2, 1], 40_000), at([192, 175, 48, 1], 53));
        assert_eq!(ProbedHost::Any.check(ours, elsewhere), Ok(()));
        assert_eq!(ProbedHost::This.check(at([192, 175, 48, 1], 40_000), elsewhere), Ok(()));
        assert!(
            ProbedHost::This.check(ours, elsewhere).unwrap_err().starts_with("not an address of this host")
        );
    }
}
