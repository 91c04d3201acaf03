//! Whether this host's ring does what we rely on. Fixes of io_uring travel between kernel versions, so the
//! version says little; a few datagrams of our own say it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::{Ring, RingError};
use crate::limits::{SELF_TEST_LATE_TURNS_MAX, SELF_TEST_MS_MAX};
use crate::sys::datagram::Turn;
use crate::sys::sockets::{UdpOptions, bind_udp_group};

/// How the self-test ended, if it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfTest {
    /// The ring can be trusted.
    Passed,
    /// It could be set up, but there is no 127.0.0.1 to try it on.
    Skipped,
}

/// Sends a few datagrams through a small ring on 127.0.0.1: plain ones; an empty one, which ends the receive;
/// and more than there are slots. Then a few through a ring with a wildcard socket, whose replies must leave
/// from the address that was asked. Takes a few milliseconds, at most [`SELF_TEST_MS_MAX`] and a bit.
///
/// # Errors
///
/// [`RingError`] if no ring can be set up, or it does not answer as it must.
pub fn self_test() -> Result<SelfTest, RingError> {
    self_test_within(Duration::from_millis(SELF_TEST_MS_MAX))
}

fn self_test_within(limit: Duration) -> Result<SelfTest, RingError> {
    const SLOTS: u16 = 2;
    let localhost = Ipv4Addr::LOCALHOST;
    let Ok((server, client)) = pair(|| UdpSocket::bind((localhost, 0)), localhost) else {
        let anywhere = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
        return match anywhere {
            Ok(socket) => Ring::new(vec![socket], SLOTS, 0).map(|_| SelfTest::Skipped),
            Err(error) => Err(RingError::Refused { step: "a socket for the self-test", error }),
        };
    };
    let mut trial = Trial::new(server, client, SLOTS, limit)?;
    trial.round("a datagram is answered", &[b"one"])?;
    trial.round("the receive continues after an empty datagram", &[b"two", b"", b"three"])?;
    if trial.sum.rearms.empty == 0 {
        return Err(RingError::Untrusted { trial: "an empty datagram ends the multishot receive" });
    }
    trial.round("the receive continues after buffers ran out", &[b"4", b"5", b"6", b"7", b"8", b"9"])?;
    if trial.sum.rearms.no_buffers == 0 {
        return Err(RingError::Untrusted { trial: "a multishot receive without buffers ends" });
    }
    trial.end()?;
    // Not the address that the kernel replies from by itself.
    let asked = Ipv4Addr::new(127, 0, 0, 2);
    if let Ok((server, client)) = pair(wildcard, asked) {
        let mut trial = Trial::new(server, client, SLOTS, limit)?;
        trial.round("a wildcard socket replies from the address that was asked", &[b"one", b"", b"two"])?;
        trial.end()?;
    }
    Ok(SelfTest::Passed)
}

fn wildcard() -> io::Result<UdpSocket> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let mut group = bind_udp_group(any, 1, &UdpOptions::default())?;
    group.pop().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// A socket for the ring and one that is connected to it, on the loopback, at the address `asked`.
fn pair(
    server: impl FnOnce() -> io::Result<UdpSocket>,
    asked: Ipv4Addr,
) -> io::Result<(UdpSocket, UdpSocket)> {
    let server = server()?;
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    client.connect((asked, server.local_addr()?.port()))?;
    client.set_nonblocking(true)?;
    // A loopback that is down takes an address, and loses datagrams or refuses them.
    client.send(b"anybody there?")?;
    server.set_read_timeout(Some(Duration::from_millis(SELF_TEST_MS_MAX / 4)))?;
    server.recv(&mut [0; 16])?;
    server.set_read_timeout(None)?;
    Ok((server, client))
}

struct Trial {
    ring: Ring,
    client: UdpSocket,
    deadline: Instant,
    late_turns: u32,
    sum: Turn,
}

impl Trial {
    fn new(server: UdpSocket, client: UdpSocket, slots: u16, limit: Duration) -> Result<Self, RingError> {
        let (ring, deadline) = (Ring::new(vec![server], slots, 0)?, Instant::now() + limit);
        Ok(Self { ring, client, deadline, late_turns: 0, sum: Turn::default() })
    }

    fn end(self) -> Result<(), RingError> {
        let ended = self.ring.end(&mut |_, _| None);
        ended.map(|_| ()).map_err(|error| RingError::Refused { step: "closing the ring", error })
    }

    /// Sends all `queries` at once; each must come back once, with its bytes turned over.
    fn round(&mut self, trial: &'static str, queries: &[&[u8]]) -> Result<(), RingError> {
        let untrusted = RingError::Untrusted { trial };
        let peer = self.client.local_addr().ok();
        if queries.iter().any(|query| self.client.send(query).is_err()) {
            return Err(untrusted);
        }
        let mut waiting: Vec<Vec<u8>> =
            queries.iter().map(|query| query.iter().map(|byte| !byte).collect()).collect();
        while !waiting.is_empty() {
            let mut strangers = 0;
            let mut answer = |arrived: &crate::sys::Arrived, slot: &mut [u8]| {
                strangers += u32::from(Some(arrived.peer) != peer);
                slot[..arrived.len].iter_mut().for_each(|byte| *byte = !*byte);
                Some(arrived.len)
            };
            let turn = self.ring.turn(Duration::from_millis(5), &mut answer);
            self.sum += turn.map_err(|error| RingError::Refused { step: "io_uring_enter", error })?;
            let mut reply = [0; 64];
            while let Ok(len) = self.client.recv(&mut reply) {
                let Some(place) = waiting.iter().position(|expected| expected[..] == reply[..len]) else {
                    return Err(untrusted);
                };
                waiting.swap_remove(place);
            }
            // A host that stalled until after the deadline does not count against the ring: it has a few
            // turns more, in which what is due comes.
            self.late_turns += u32::from(Instant::now() > self.deadline);
            if strangers > 0 || !waiting.is_empty() && self.late_turns > SELF_TEST_LATE_TURNS_MAX {
                return Err(untrusted);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_here_or_says_why_not() {
        // Also when the host stalls, and the deadline has passed before anything was looked at.
        for limit in [Duration::from_millis(SELF_TEST_MS_MAX), Duration::ZERO] {
            match self_test_within(limit) {
                Ok(outcome) => assert_eq!(outcome, SelfTest::Passed),
                // A host that denies io_uring: the error must say what to do.
                Err(RingError::Refused { step, error }) => {
                    assert_eq!(step, "io_uring_setup", "{error}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn without_a_loopback_it_is_skipped() {
        let outcome = std::thread::spawn(|| {
            // SAFETY: plain numbers; this thread alone moves to a new network, without addresses.
            let moved = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
            moved.then(self_test)
        });
        match outcome.join().unwrap() {
            Some(outcome) => assert_eq!(outcome.unwrap(), SelfTest::Skipped),
            None => eprintln!("skipped: only root can leave the network"),
        }
    }

    #[test]
    fn a_pair_talks() {
        let localhost = Ipv4Addr::LOCALHOST;
        let (server, client) = pair(|| UdpSocket::bind((localhost, 0)), localhost).unwrap();
        client.send(b"again").unwrap();
        assert_eq!(server.recv(&mut [0; 16]).unwrap(), 5);
    }

    #[test]
    fn a_wildcard_that_replies_from_another_address_is_noticed() {
        let (server, client) = pair(wildcard, Ipv4Addr::new(127, 0, 0, 2)).unwrap();
        client.send(b"from where?").unwrap();
        let mut bytes = [0; 16];
        let (len, peer) = server.recv_from(&mut bytes).unwrap();
        // As a ring would that does not say from which address.
        server.send_to(&bytes[..len], peer).unwrap();
        assert_eq!(client.recv(&mut bytes).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
