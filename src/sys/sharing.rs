//! Sockets at an address that several processes share.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::sockets::{common_options, retried};

/// Binds sockets for datagrams and connections at an address that other processes of the same user may share,
/// as two of a kind do while one takes over from the other.
///
/// # Errors
///
/// If the address is not available.
pub fn bind_shared(address: SocketAddr, backlog: i32) -> io::Result<(UdpSocket, TcpListener)> {
    let shared = |of_type, protocol| {
        let socket = Socket::new(Domain::for_address(address), of_type, Some(protocol))?;
        socket.set_reuse_port(true)?;
        common_options(&socket, address)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        io::Result::Ok(socket)
    };
    let datagrams = retried(|| shared(Type::DGRAM, Protocol::UDP))?;
    let connections = retried(|| shared(Type::STREAM, Protocol::TCP))?;
    connections.listen(backlog)?;
    Ok((datagrams.into(), connections.into()))
}
