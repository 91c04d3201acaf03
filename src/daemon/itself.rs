//! The node asks itself, over the addresses that it serves, before it says that it serves.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Instant;

use crate::announce::probe::reachable;
use crate::dns::consts::{HEADER_LEN, class, rtype};
use crate::limits::{ITSELF_TRY_MAX, ITSELF_WAIT_MAX};

/// id.server in wire form: every node answers that, whatever zones it has.
const QNAME: &[u8] = b"\x02id\x06server\0";

/// Asks at each address over UDP and TCP. One that is on no interface yet cannot be asked.
///
/// # Errors
/// The first address that does not answer, and what to do.
pub(super) fn ask(addresses: &[SocketAddr]) -> Result<(), String> {
    for &(mut address) in addresses {
        // Only the address: one of a link has an interface as well.
        address.set_ip(reachable(address.ip()));
        match udp(address).and_then(|()| tcp(address)) {
            Err(error) if error.kind() != io::ErrorKind::AddrNotAvailable => {
                return Err(format!(
                    "the node cannot reach itself at {address}: {error}; allow packets from and to its own \
                     addresses in the firewall"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// From the very address that is asked: the query stays on this host.
fn udp(address: SocketAddr) -> io::Result<()> {
    let mut ours = address;
    ours.set_port(0);
    let socket = UdpSocket::bind(ours)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(ITSELF_TRY_MAX))?;
    let began = Instant::now();
    let mut reply = [0; 512];
    // Who starts again is met by a flood of those who waited, and a query may get lost in it.
    while began.elapsed() < ITSELF_WAIT_MAX {
        socket.send(&query())?;
        match socket.recv(&mut reply) {
            Ok(len) if answers(&reply[..len]) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "no reply over UDP"))
}

fn tcp(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, ITSELF_WAIT_MAX)?;
    stream.set_read_timeout(Some(ITSELF_WAIT_MAX))?;
    let query = query();
    let mut message = (query.len() as u16).to_be_bytes().to_vec();
    message.extend(&query);
    stream.write_all(&message)?;
    let mut prefix = [0; 2];
    stream.read_exact(&mut prefix)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(prefix))];
    stream.read_exact(&mut reply)?;
    if answers(&reply) { Ok(()) } else { Err(io::Error::other("unexpected reply over TCP")) }
}

fn query() -> Vec<u8> {
    let mut query = vec![0; HEADER_LEN];
    query[..2].copy_from_slice(b"me");
    query[5] = 1;
    query.extend(QNAME);
    query.extend(rtype::TXT.to_be_bytes());
    query.extend(class::CH.to_be_bytes());
    query
}

/// Whether `reply` is the answer: a response to the query with no error and one record.
fn answers(reply: &[u8]) -> bool {
    reply.len() > HEADER_LEN
        && reply.starts_with(b"me")
        && reply[2] & 0x80 != 0
        && reply[3] & 0xF == 0
        && reply[6..8] == [0, 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_address_is_told_apart_from_a_silent_one() {
        let absent: SocketAddr = "192.0.2.1:53".parse().unwrap();
        assert_eq!(ask(&[absent]), Ok(()));
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let began = Instant::now();
        let error = ask(&[silent.local_addr().unwrap()]).unwrap_err();
        assert!(error.contains("no reply over UDP; allow packets"), "{error}");
        assert!(began.elapsed() >= ITSELF_WAIT_MAX);
    }
}
