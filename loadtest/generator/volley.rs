//! Many datagrams in one system call: sendmmsg and recvmmsg on a connected socket that does not block.

use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use arrayvec::ArrayVec;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg};

use super::super::bounds::VOLLEY;
use super::super::{Outcome, fail};

/// Bytes of the longest query and of the longest reply of a load.
const DATAGRAM_LEN: usize = 2048;

pub struct Volley {
    outgoing: Vec<[u8; DATAGRAM_LEN]>,
    lens: ArrayVec<usize, VOLLEY>,
    incoming: Box<[[u8; DATAGRAM_LEN]; VOLLEY]>,
    sending: MultiHeaders<()>,
    receiving: MultiHeaders<()>,
}

impl Volley {
    pub fn new() -> Self {
        Self {
            outgoing: vec![[0; DATAGRAM_LEN]; VOLLEY],
            lens: ArrayVec::new(),
            incoming: Box::new([[0; DATAGRAM_LEN]; VOLLEY]),
            sending: MultiHeaders::preallocate(VOLLEY, None),
            receiving: MultiHeaders::preallocate(VOLLEY, None),
        }
    }

    pub fn clear(&mut self) {
        self.lens.clear();
    }

    /// Puts a message to those to be sent, with this ID. There is room for [`VOLLEY`].
    pub fn push(&mut self, packet: &[u8], id: u16) {
        let buffer = &mut self.outgoing[self.lens.len()];
        buffer[..packet.len()].copy_from_slice(packet);
        buffer[..2].copy_from_slice(&id.to_be_bytes());
        self.lens.push(packet.len());
    }

    /// Sends what was put, and says how many the kernel took. If it has no room the rest is lost, as in a
    /// network.
    pub fn send(&mut self, socket: &UdpSocket) -> Outcome<usize> {
        let slices: ArrayVec<[IoSlice; 1], VOLLEY> = self
            .outgoing
            .iter()
            .zip(&self.lens)
            .map(|(buffer, len)| [IoSlice::new(&buffer[..*len])])
            .collect();
        let addresses = [None; VOLLEY];
        let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        match sendmmsg(fd, &mut self.sending, &slices, &addresses[..slices.len()], [], flags) {
            Ok(sent) => Ok(sent.count()),
            // ECONNREFUSED tells of an earlier datagram, which nobody wanted.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS | Errno::ECONNREFUSED) => Ok(0),
            Err(error) => fail(format!("sendmmsg: {error}")),
        }
    }

    /// Lends each datagram that has come, at most [`VOLLEY`]; a longer one is cut.
    pub fn receive(&mut self, socket: &UdpSocket, each: &mut impl FnMut(&[u8])) -> Outcome<()> {
        // An array: the signature of recvmmsg borrows it for as long as it lives, which a type with a
        // destructor would not outlive.
        let mut slices = self.incoming.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let lens = recvmmsg(fd, &mut self.receiving, &mut slices, flags, None)
            .map(|messages| messages.map(|message| message.bytes).collect::<ArrayVec<usize, VOLLEY>>());
        let lens = match lens {
            Ok(lens) => lens,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Ok(()),
            Err(error) => return fail(format!("recvmmsg: {error}")),
        };
        self.incoming.iter().zip(&lens).for_each(|(buffer, len)| each(&buffer[..*len]));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_go_and_come_whole() {
        let [here, there] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        here.connect(there.local_addr().unwrap()).unwrap();
        there.connect(here.local_addr().unwrap()).unwrap();
        let mut volley = Volley::new();
        for round in 0..3_u8 {
            volley.clear();
            (0..VOLLEY).for_each(|number| volley.push(&vec![round; 20 + number], number as u16));
            assert_eq!(volley.send(&here).unwrap(), VOLLEY);
            let mut seen = Vec::new();
            volley.receive(&there, &mut |datagram| seen.push(datagram.to_vec())).unwrap();
            assert_eq!(seen.len(), VOLLEY);
            for (number, datagram) in seen.iter().enumerate() {
                assert_eq!(datagram[..2], (number as u16).to_be_bytes());
                assert_eq!(datagram[2..], vec![round; 18 + number]);
            }
            volley.receive(&there, &mut |_| panic!("there is no more")).unwrap();
        }
    }
}
