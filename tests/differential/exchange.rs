//! Many queries to one server, pipelined. Each batch ends with a query that is always answered: the servers
//! take what one socket sends in order, so that when its reply is there, a query without one will get none.
//! Where some have none that is done twice: of what NSD receives by one system call, what it drops changes
//! the order of the rest.

use std::net::{SocketAddr, TcpStream, UdpSocket};

use crate::common::daemon::{PATIENCE, V4, read_message, send_message};
use crate::common::query;
use crate::generate::Query;

/// Queries that are outstanding at one time: their longest replies fit the receive buffer that a socket has
/// by default.
const UDP_BATCH: usize = 63;
const TCP_BATCH: usize = 15;

/// The packet with the ID that it is sent with.
fn numbered(packet: &[u8], id: usize) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[..2].copy_from_slice(&(id as u16).to_be_bytes());
    packet
}

fn sentinel(id: usize) -> Vec<u8> {
    numbered(&query("10.in-addr.arpa", 6), id)
}

/// What `server` replies to each query over UDP; `None` for nothing.
pub fn udp(server: SocketAddr, queries: &[Query]) -> Vec<Option<Vec<u8>>> {
    let socket = UdpSocket::bind((V4, 0)).expect("a socket");
    socket.connect(server).expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut replies = vec![None; queries.len()];
    let mut buffer = vec![0; 65_535];
    for (batch, queries) in queries.chunks(UDP_BATCH).enumerate() {
        // No ID stands in two batches that follow each other: a late reply would be seen.
        let first = batch * (UDP_BATCH + 2);
        for (index, query) in queries.iter().enumerate() {
            socket.send(&numbered(&query.packet, first + index)).expect("sent");
        }
        let mut missing = queries.len();
        for last in [queries.len(), queries.len() + 1] {
            socket.send(&sentinel(first + last)).expect("sent");
            loop {
                let len =
                    socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{server} is silent: {error}"));
                let id = u16::from_be_bytes([buffer[0], buffer[1]]);
                let index = usize::from(id.wrapping_sub(first as u16));
                if index == last {
                    break;
                }
                assert!(index < queries.len(), "{server}: a reply after the one to a later query");
                let reply = replies[batch * UDP_BATCH + index].replace(buffer[..len].to_vec());
                assert!(reply.is_none(), "{server}: a second reply to {:?}", queries[index]);
                missing -= 1;
            }
            if missing == 0 {
                break;
            }
        }
    }
    replies
}

/// As [`udp`], over TCP: ordinary queries in batches on one connection, odd ones each on its own, as a server
/// may close at them.
pub fn tcp(server: SocketAddr, queries: &[Query]) -> Vec<Option<Vec<u8>>> {
    let mut stream = connect(server);
    let mut replies = vec![None; queries.len()];
    let mut at = 0;
    while at < queries.len() {
        let is_ordinary = |query: &&Query| query.oddity.is_none();
        let mut batch = queries[at..].iter().take(TCP_BATCH).take_while(is_ordinary).count();
        if batch == 0 {
            batch = 1;
            stream = connect(server);
        }
        for (index, query) in queries[at..at + batch].iter().enumerate() {
            send_message(&mut stream, &numbered(&query.packet, index));
        }
        send_message(&mut stream, &sentinel(batch));
        while let Some(reply) = read_message(&mut stream) {
            let id = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
            if id == batch {
                break;
            }
            assert!(id < batch, "{server}: a reply that nobody waits for");
            replies[at + id] = Some(reply);
        }
        at += batch;
    }
    replies
}

/// What `server` replies to one ordinary query.
pub fn one(server: SocketAddr, query: &Query, over_tcp: bool) -> Option<Vec<u8>> {
    if !over_tcp {
        return udp(server, std::slice::from_ref(query)).remove(0);
    }
    let mut stream = connect(server);
    send_message(&mut stream, &query.packet);
    read_message(&mut stream)
}

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_nodelay(true).expect("no delay");
    stream
}
