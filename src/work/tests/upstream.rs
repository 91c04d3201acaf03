//! A server on loopback that does what names tell it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::harness::{pause, wire};

/// How long it takes for some names.
pub(super) const SLOW: Duration = Duration::from_millis(150);

/// What it does and has seen.
#[derive(Debug, Default)]
struct Shared {
    /// How often each name was asked for, over UDP.
    asked: Mutex<HashMap<Vec<u8>, u32>>,
    /// It says nothing at all.
    is_silent: AtomicBool,
    /// The last byte of the address in its answers.
    address: AtomicU32,
    /// The TTL in its answers.
    ttl: AtomicU32,
    is_over: AtomicBool,
}

#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Upstream {
    pub(super) fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let of_udp = |_| {
            let (udp, shared) = (udp.try_clone().unwrap(), Arc::clone(&shared));
            thread::spawn(move || serve_udp(&udp, &shared))
        };
        let mut threads: Vec<JoinHandle<()>> = (0..4).map(of_udp).collect();
        let of_tcp = Arc::clone(&shared);
        threads.push(thread::spawn(move || serve_tcp(&tcp, &of_tcp)));
        let upstream = Self { address, shared, threads };
        upstream.answer(1, 300);
        upstream
    }

    /// What its answers say: the last byte of the address, and the TTL.
    pub(super) fn answer(&self, address: u8, ttl: u32) {
        self.shared.address.store(address.into(), Ordering::Relaxed);
        self.shared.ttl.store(ttl, Ordering::Relaxed);
    }

    /// It says nothing from now on, or something again.
    pub(super) fn silence(&self, is_silent: bool) {
        self.shared.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// How often a name was asked for.
    pub(super) fn asked(&self, name: &str) -> u32 {
        self.shared.asked.lock().unwrap().get(&wire(name)).copied().unwrap_or(0)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Who waits for a connection gets one.
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve_udp(socket: &UdpSocket, shared: &Shared) {
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut packet = [0; 4096];
    while !shared.is_over.load(Ordering::Relaxed) {
        let Ok((len, peer)) = socket.recv_from(&mut packet) else { continue };
        if let Some(reply) = reply(&packet[..len], shared, true) {
            let _ = socket.send_to(&reply, peer);
        }
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Shared) {
    while let Ok((mut stream, _)) = listener.accept() {
        if shared.is_over.load(Ordering::Relaxed) {
            return;
        }
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut len = [0; 2];
        while stream.read_exact(&mut len).is_ok() {
            let mut packet = vec![0; usize::from(u16::from_be_bytes(len))];
            if stream.read_exact(&mut packet).is_err() {
                break;
            }
            if let Some(reply) = reply(&packet, shared, false) {
                let mut message = (reply.len() as u16).to_be_bytes().to_vec();
                message.extend(reply);
                let _ = stream.write_all(&message);
            }
        }
    }
}

fn reply(packet: &[u8], shared: &Shared, is_udp: bool) -> Option<Vec<u8>> {
    let name_end = 12 + packet[12..].iter().position(|byte| *byte == 0)? + 1;
    let name = packet[12..name_end].to_ascii_lowercase();
    if is_udp {
        *shared.asked.lock().unwrap().entry(name.clone()).or_default() += 1;
    }
    if shared.is_silent.load(Ordering::Relaxed) {
        return None;
    }
    let (rcode, answers, is_cut) = match &name[1..=usize::from(name[0])] {
        b"silent" => return None,
        b"servfail" => (2, 0, false),
        b"refused" => (5, 0, false),
        b"nx" => (3, 0, false),
        b"nodata" => (0, 0, false),
        b"big" => (0, if is_udp { 0 } else { 100 }, is_udp),
        b"slow" => {
            pause(SLOW);
            (0, 1, false)
        }
        _ => (0, 1, false),
    };
    let ttl = shared.ttl.load(Ordering::Relaxed);
    let mut reply = packet[..name_end + 4].to_vec();
    reply[2] = 0x84 | reply[2] & 1 | if is_cut { 2 } else { 0 };
    reply[3] = 0x20 | rcode;
    let is_negative = answers == 0 && matches!(rcode, 0 | 3) && !is_cut;
    reply[6..12].copy_from_slice(&[0, answers, 0, u8::from(is_negative), 0, 0]);
    for nth in 0..answers {
        reply.extend([0xC0, 12, 0, 1, 0, 1]);
        reply.extend(ttl.to_be_bytes());
        reply.extend([0, 4, 192, 0, nth, shared.address.load(Ordering::Relaxed) as u8]);
    }
    if is_negative {
        // A SOA of the root.
        reply.extend([0, 0, 6, 0, 1]);
        reply.extend(ttl.to_be_bytes());
        reply.extend([0, 22]);
        reply.extend([0; 18]);
        reply.extend(ttl.to_be_bytes());
    }
    Some(reply)
}
