//! An upstream server that knows no record: it sends back the question alone.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// The sections of a configuration that has it asked for names below `example`, and its address.
pub fn forwarded() -> String {
    format!(
        "[[upstream]]\nname = 'lan'\nservers = ['{}']\n[[route]]\nname = 'lan'\n\
         when = 'qname-suffix = example'\nthen = 'forward upstream lan'\nallow = ['127.0.0.0/8']\n",
        server()
    )
}

/// Where it listens. It ends with the test.
fn server() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = socket.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((len, peer)) = socket.recv_from(&mut packet) {
            let end = 12 + packet[12..len].iter().position(|byte| *byte == 0).unwrap_or(0) + 5;
            packet[2..12].copy_from_slice(&[0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
            let _ = socket.send_to(&packet[..end], peer);
        }
    });
    address
}
