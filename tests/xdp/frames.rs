//! Frames of UDP: made from parts, and read back by other code than the program's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const CLIENT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xC0, 0x01];
pub const NODE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xA5, 0x12];

/// What becomes of the UDP checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    Right,
    /// As senders may leave it in IPv4.
    Zero,
    Wrong,
}

/// The parts of a frame with a datagram.
#[derive(Clone, Debug)]
pub struct Frame {
    pub to: [u8; 6],
    pub from: [u8; 6],
    /// VLAN tags: protocol and control information.
    pub tags: Vec<(u16, u16)>,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub source_port: u16,
    pub port: u16,
    pub payload: Vec<u8>,
    pub sum: Sum,
    /// Bytes behind the IP packet, as Ethernet pads short ones.
    pub padding: usize,
}

fn sum(bytes: &[u8], start: u64) -> u64 {
    let words = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)));
    words.fold(start, |sum, word| sum + word)
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum as u16
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The sum over pseudo-header and datagram: 0xFFFF where the checksum in it is right.
fn udp_sum(source: IpAddr, destination: IpAddr, datagram: &[u8]) -> u16 {
    let addresses = [octets(source), octets(destination)].concat();
    folded(sum(datagram, sum(&addresses, 17 + datagram.len() as u64)))
}

impl Frame {
    pub fn bytes(&self) -> Vec<u8> {
        let mut datagram = Vec::new();
        for word in [self.source_port, self.port, self.payload.len() as u16 + 8, 0] {
            datagram.extend(word.to_be_bytes());
        }
        datagram.extend(&self.payload);
        let right = match !udp_sum(self.source, self.destination, &datagram) {
            0 => 0xFFFF,
            right => right,
        };
        let value = match self.sum {
            Sum::Right => right,
            Sum::Zero => 0,
            Sum::Wrong => right ^ 0x5A00,
        };
        datagram[6..8].copy_from_slice(&value.to_be_bytes());
        let mut frame = [self.to, self.from].concat();
        for (protocol, control) in &self.tags {
            frame.extend(protocol.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend([0x08, 0x00]);
                frame.extend(ipv4(source, destination, datagram.len()));
            }
            (source, destination) => {
                frame.extend([0x86, 0xDD, 0x60, 0x12, 0x34, 0x56]);
                frame.extend((datagram.len() as u16).to_be_bytes());
                frame.extend([17, 57]);
                frame.extend([octets(source), octets(destination)].concat());
            }
        }
        frame.extend(datagram);
        frame.extend(vec![0xAA; self.padding]);
        frame
    }
}

fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, datagram_len: usize) -> Vec<u8> {
    let mut header = vec![0x45, 0x28];
    header.extend((datagram_len as u16 + 20).to_be_bytes());
    header.extend([0xBE, 0xEF, 0, 0, 57, 17, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    let check = !folded(sum(&header, 0));
    header[10..12].copy_from_slice(&check.to_be_bytes());
    header
}

/// What of a frame reads as one datagram and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub to: Vec<u8>,
    pub from: Vec<u8>,
    pub tags: Vec<u8>,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub source_port: u16,
    pub port: u16,
    pub payload: Vec<u8>,
    pub udp_check: u16,
    pub is_ip_check_right: bool,
    pub is_udp_check_right: bool,
    /// Bytes behind the packet.
    pub rest: usize,
    pub hops: u8,
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// Reads an unfragmented datagram without options and extension headers, whose lengths agree; `None` else.
pub fn read(frame: &[u8]) -> Option<Read> {
    let mut at = 12;
    while at < 20 && [0x8100, 0x88A8].contains(&word(frame, at)?) {
        at += 4;
    }
    let (kind, packet) = (word(frame, at)?, &frame[at + 2..]);
    let (source, destination, datagram, len, is_ip_check_right, hops): (IpAddr, IpAddr, _, _, _, _) =
        match kind {
            0x0800 => {
                let header = packet.get(..20)?;
                let len = usize::from(word(header, 2)?);
                if header[0] != 0x45 || header[9] != 17 || word(header, 6)? & !0x4000 != 0 {
                    return None;
                }
                let ip = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&header[at..at + 4]).expect("four"));
                let is_right = folded(sum(header, 0)) == 0xFFFF;
                (ip(12).into(), ip(16).into(), packet.get(20..len)?, len, is_right, header[8])
            }
            0x86DD => {
                let header = packet.get(..40)?;
                let len = 40 + usize::from(word(header, 4)?);
                if header[0] >> 4 != 6 || header[6] != 17 {
                    return None;
                }
                let ip =
                    |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&header[at..at + 16]).expect("sixteen"));
                (ip(8).into(), ip(24).into(), packet.get(40..len)?, len, true, header[7])
            }
            _ => return None,
        };
    if datagram.len() < 8 || usize::from(word(datagram, 4)?) != datagram.len() {
        return None;
    }
    Some(Read {
        to: frame[..6].to_vec(),
        from: frame[6..12].to_vec(),
        tags: frame[12..at].to_vec(),
        source,
        destination,
        source_port: word(datagram, 0)?,
        port: word(datagram, 2)?,
        payload: datagram[8..].to_vec(),
        udp_check: word(datagram, 6)?,
        is_ip_check_right,
        is_udp_check_right: udp_sum(source, destination, datagram) == 0xFFFF,
        rest: packet.len() - len,
        hops,
    })
}

#[test]
fn what_is_made_is_read() {
    let [v4, v6]: [[IpAddr; 2]; 2] = [["192.0.2.1", "192.0.2.2"], ["2001:db8::1", "2001:db8::2"]]
        .map(|ips| ips.map(|ip| ip.parse().unwrap()));
    for (ips, tags, sum) in [(v4, vec![], Sum::Right), (v6, vec![(0x88A8, 5), (0x8100, 6)], Sum::Wrong)] {
        let [source, destination] = ips;
        let payload = b"odd length!".to_vec();
        let frame = Frame {
            to: NODE_MAC,
            from: CLIENT_MAC,
            tags: tags.clone(),
            source,
            destination,
            source_port: 40_000,
            port: 53,
            payload: payload.clone(),
            sum,
            padding: 7,
        };
        let read = read(&frame.bytes()).unwrap();
        assert_eq!(
            (read.source, read.destination, read.source_port, read.port),
            (source, destination, 40_000, 53)
        );
        assert_eq!((read.payload, read.rest, read.tags.len()), (payload, 7, 4 * tags.len()));
        assert_eq!((read.is_ip_check_right, read.is_udp_check_right), (true, sum == Sum::Right));
    }
}
