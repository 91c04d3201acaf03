//! Every connection of the process, and which is closed when the table is full.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use mio::net::TcpStream;

use super::conn::Conn;
use super::{Closed, TcpSettings};
use crate::limits;

/// Length of the prefix by which IPv6 clients are told apart: one network is handed at least this much, and
/// could otherwise be as many clients as it likes.
const IPV6_CLIENT_PREFIX_LEN: u8 = 64;

/// The client that `address` belongs to: itself, or its /64. An IPv4 address is the same on an IPv6 socket.
fn client_of(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(address) => IpNet::from(IpAddr::V4(address)),
        address => IpNet::new(address, IPV6_CLIENT_PREFIX_LEN).expect("64 is at most 128").trunc(),
    }
}

/// One connection with its socket, and what the driver knows of that.
#[derive(Debug)]
pub(super) struct Entry<S> {
    /// The socket.
    pub(super) stream: S,
    /// The connection.
    pub(super) conn: Conn,
    /// The other end.
    pub(super) peer: SocketAddr,
    /// The client that it counts for.
    client: IpNet,
    /// Our end.
    pub(super) local: SocketAddr,
    /// The listener that took it, by its place.
    pub(super) listener: usize,
    /// The socket may have something to read.
    pub(super) readable: bool,
    /// The peer has closed or reset (EPOLLRDHUP): after the last bytes, read the end.
    pub(super) hung_up: bool,
    /// The socket's send buffer was full for an answer, so the socket is watched until it is writable.
    pub(super) waits_to_write: bool,
    /// Waits for its turn.
    pub(super) queued: bool,
    /// Bytes of buffers that are counted in [`Table::buffered`].
    buffered: usize,
}

impl<S> Entry<S> {
    pub(super) fn new(stream: S, conn: Conn, peer: SocketAddr, local: SocketAddr, listener: usize) -> Self {
        let client = client_of(peer.ip());
        Self {
            stream,
            conn,
            peer,
            client,
            local,
            listener,
            readable: false,
            hung_up: false,
            waits_to_write: false,
            queued: false,
            buffered: 0,
        }
    }
}

/// The connections, each under a key that stays the same while it is open; keys are reused.
#[derive(Debug)]
pub(super) struct Table<S> {
    entries: Vec<Option<Entry<S>>>,
    /// Free keys below `entries.len()`.
    free: Vec<usize>,
    /// Open connections of each client that has any.
    of_client: HashMap<IpNet, usize>,
    /// Bytes of all buffers, as of the last [`Table::settle`] of each connection.
    buffered: usize,
}

/// Bytes of all that TCP may hold: buffers, which the allocator rounds up and which are twice there while one
/// grows; connections, their clients and their turns, in tables that double.
#[must_use]
pub fn memory_len(settings: &TcpSettings) -> usize {
    let of_one = limits::TCP_UNSENT_LEN_MAX + limits::TCP_REPLY_LEN_MAX + limits::TCP_READ_LEN_MAX;
    let buffers = settings.buffers_len_max + settings.buffers_len_max / 4 + 4 * of_one;
    buffers + settings.connections_max * 3 * memory_len_of_entry()
}

/// Bytes of a connection in the table, of its client's count, and of its keys in the lists.
const fn memory_len_of_entry() -> usize {
    size_of::<Option<Entry<TcpStream>>>() + 2 * size_of::<(IpNet, usize)>() + 2 * size_of::<usize>()
}

impl<S> Table<S> {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), of_client: HashMap::new(), buffered: 0 }
    }

    /// Open connections.
    pub(super) fn open(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut Entry<S>> {
        self.entries.get_mut(key)?.as_mut()
    }

    /// The open connections in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Entry<S>)> {
        self.entries.iter().enumerate().filter_map(|(key, entry)| Some((key, entry.as_ref()?)))
    }

    /// Adds a connection; [`Table::in_the_way`] was asked before.
    pub(super) fn insert(&mut self, entry: Entry<S>) -> usize {
        *self.of_client.entry(entry.client).or_default() += 1;
        let key = self.free.pop().unwrap_or(self.entries.len());
        if key == self.entries.len() {
            self.entries.push(Some(entry));
        } else {
            self.entries[key] = Some(entry);
        }
        self.settle(key);
        key
    }

    pub(super) fn remove(&mut self, key: usize) -> Option<Entry<S>> {
        let entry = self.entries.get_mut(key)?.take()?;
        self.free.push(key);
        self.buffered -= entry.buffered;
        let of_client = self.of_client.get_mut(&entry.client).expect("each open connection is counted");
        *of_client -= 1;
        if *of_client == 0 {
            self.of_client.remove(&entry.client);
        }
        Some(entry)
    }

    /// Which connection has to go before one more from `address` is added, and for which limit.
    pub(super) fn in_the_way(&self, address: IpAddr, settings: &TcpSettings) -> Option<(usize, Closed)> {
        let client = client_of(address);
        let of_client = self.of_client.get(&client).copied().unwrap_or(0);
        if of_client >= settings.connections_per_client_max {
            let its_own = self.iter().filter(|(_, entry)| entry.client == client);
            return Some((first_to_go(its_own)?, Closed::RoomOfClient));
        }
        if self.open() >= settings.connections_max {
            return Some((first_to_go(self.iter())?, Closed::RoomInTable));
        }
        None
    }

    /// Learns how much the connection holds now.
    pub(super) fn settle(&mut self, key: usize) {
        if let Some(entry) = self.entries.get_mut(key).and_then(Option::as_mut) {
            self.buffered -= entry.buffered;
            entry.buffered = entry.conn.buffered();
            self.buffered += entry.buffered;
        }
    }

    /// The largest holder, when all together hold more than `buffers_len_max`.
    pub(super) fn over_budget(&self, settings: &TcpSettings) -> Option<usize> {
        if self.buffered <= settings.buffers_len_max {
            return None;
        }
        self.iter().max_by_key(|(_, entry)| entry.buffered).map(|(key, _)| key)
    }
}

fn first_to_go<'a, S: 'a>(entries: impl Iterator<Item = (usize, &'a Entry<S>)>) -> Option<usize> {
    entries.min_by_key(|(_, entry)| entry.conn.rank()).map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::limits::TCP_REPLY_LEN_MAX;
    use crate::serve::Verdict;

    struct Bench {
        table: Table<()>,
        settings: TcpSettings,
        began: Instant,
    }

    impl Bench {
        fn new(connections_max: usize, connections_per_client_max: usize) -> Self {
            let settings =
                TcpSettings { connections_max, connections_per_client_max, ..TcpSettings::default() };
            Self { table: Table::new(), settings, began: Instant::now() }
        }

        fn at(&self, second: u64) -> Instant {
            self.began + Duration::from_secs(second)
        }

        /// Adds a connection that was accepted at `second`.
        fn insert(&mut self, second: u64, address: &str) -> usize {
            let peer = SocketAddr::new(address.parse().unwrap(), 4242);
            let local = "192.0.2.1:53".parse().unwrap();
            self.table.insert(Entry::new((), Conn::new(self.at(second)), peer, local, 0))
        }

        /// Receives `bytes` at `second`; a message is answered by `reply_len` bytes.
        fn receive(&mut self, key: usize, second: u64, bytes: &[u8], reply_len: usize) {
            let now = self.at(second);
            let mut slot = Box::new([0; TCP_REPLY_LEN_MAX]);
            let conn = &mut self.table.get_mut(key).unwrap().conn;
            conn.receive(bytes, now, &mut slot, &mut |_, _| Verdict::Reply(reply_len));
            self.table.settle(key);
        }

        fn send_all(&mut self, key: usize, second: u64) {
            let now = self.at(second);
            let conn = &mut self.table.get_mut(key).unwrap().conn;
            conn.sent(conn.unsent().len(), now);
            self.table.settle(key);
        }

        fn in_the_way(&self, address: &str) -> Option<(usize, Closed)> {
            self.table.in_the_way(address.parse().unwrap(), &self.settings)
        }
    }

    const QUERY: [u8; 14] = [0, 12, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn a_full_table_gives_up_the_connection_whose_last_message_is_longest_ago() {
        let mut bench = Bench::new(3, 3);
        let [a, b, c] = [(1, "192.0.2.1"), (2, "192.0.2.2"), (3, "2001:db8::3")]
            .map(|(second, address)| bench.insert(second, address));
        assert_eq!(bench.in_the_way("192.0.2.9"), Some((a, Closed::RoomInTable)));
        // A whole message is activity, a partial one is not.
        bench.receive(a, 4, &QUERY, 12);
        bench.send_all(a, 4);
        bench.receive(b, 5, &QUERY[..13], 12);
        assert_eq!(bench.in_the_way("192.0.2.9"), Some((b, Closed::RoomInTable)));
        // Unsent answers come last, however old; among them the oldest goes first.
        bench.receive(b, 6, &QUERY[13..], 12);
        bench.receive(a, 7, &QUERY, 12);
        assert_eq!(bench.in_the_way("192.0.2.9"), Some((c, Closed::RoomInTable)));
        bench.receive(c, 8, &QUERY, 12);
        assert_eq!(bench.in_the_way("192.0.2.9"), Some((b, Closed::RoomInTable)));
        bench.table.remove(b);
        assert_eq!(bench.in_the_way("192.0.2.9"), None);
    }

    #[test]
    fn a_client_at_its_limit_gives_up_one_of_its_own_even_in_a_full_table() {
        let mut bench = Bench::new(4, 2);
        bench.insert(1, "192.0.2.1");
        let own = bench.insert(2, "192.0.2.2");
        bench.insert(3, "192.0.2.2");
        assert_eq!(bench.in_the_way("192.0.2.2"), Some((own, Closed::RoomOfClient)));
        assert_eq!(bench.in_the_way("192.0.2.1"), None);
        bench.insert(4, "192.0.2.1");
        assert_eq!(bench.in_the_way("192.0.2.2"), Some((own, Closed::RoomOfClient)));
        assert_eq!(bench.in_the_way("192.0.2.3"), Some((0, Closed::RoomInTable)));
    }

    #[test]
    fn an_ipv6_client_is_its_64_and_a_mapped_address_is_ipv4() {
        let mut bench = Bench::new(9, 1);
        let six = bench.insert(1, "2001:db8:0:1::1");
        let four = bench.insert(1, "::ffff:192.0.2.1");
        assert_eq!(bench.in_the_way("2001:db8:0:1:ffff::"), Some((six, Closed::RoomOfClient)));
        assert_eq!(bench.in_the_way("2001:db8:0:2::1"), None);
        assert_eq!(bench.in_the_way("192.0.2.1"), Some((four, Closed::RoomOfClient)));
        assert_eq!(bench.in_the_way("::ffff:192.0.2.2"), None);
    }

    #[test]
    fn keys_are_reused_and_the_counts_follow() {
        let mut bench = Bench::new(2, 2);
        let a = bench.insert(1, "192.0.2.1");
        let b = bench.insert(2, "192.0.2.1");
        bench.receive(a, 3, &QUERY, 500);
        assert!(bench.table.remove(a).is_some() && bench.table.remove(a).is_none());
        assert_eq!((bench.table.open(), bench.table.buffered), (1, 0));
        assert_eq!(bench.insert(4, "192.0.2.2"), a);
        assert!(bench.table.get_mut(b).is_some() && bench.table.get_mut(7).is_none());
        bench.table.remove(a);
        bench.table.remove(b);
        assert_eq!((bench.table.open(), bench.table.of_client.len()), (0, 0));
        // With limits of zero there is no connection to close; the new one is added.
        let bench = Bench::new(0, 0);
        assert_eq!(bench.in_the_way("192.0.2.1"), None);
    }

    #[test]
    fn over_the_budget_the_largest_holder_goes() {
        let mut bench = Bench::new(9, 9);
        bench.settings.buffers_len_max = 100_000;
        let [a, b, c] = [1, 2, 3].map(|second| bench.insert(second, "192.0.2.1"));
        bench.receive(a, 4, &QUERY, 30_000);
        bench.receive(b, 4, &QUERY, 40_000);
        assert_eq!(bench.table.over_budget(&bench.settings), None);
        bench.receive(c, 4, &QUERY, 35_000);
        assert_eq!(bench.table.over_budget(&bench.settings), Some(b));
        bench.table.remove(b);
        assert_eq!(bench.table.over_budget(&bench.settings), None);
        bench.send_all(a, 5);
        bench.send_all(c, 5);
        assert!(bench.table.buffered <= 2 * limits::TCP_UNSENT_KEPT_LEN);
    }
}
