//! Every connection of the process, counted by client and kept in the order in which they make room.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ipnet::IpNet;
use mio::Interest;
use mio::net::TcpStream;

use super::conn::Conn;
use super::lists::Links;
use super::order::{Order, Rank};
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
    /// What epoll watches it for; nothing until a turn has left it with nothing to read.
    pub(super) watched: Option<Interest>,
    /// The connection.
    pub(super) conn: Conn,
    /// The other end.
    pub(super) peer: SocketAddr,
    /// Our end.
    pub(super) local: SocketAddr,
    /// The listener that took it, by its place.
    pub(super) listener: usize,
    /// How many connections were added before it, modulo 2^32: keys are reused.
    pub(super) generation: u32,
    /// The socket may have something to read.
    pub(super) readable: bool,
    /// The peer has closed or reset (EPOLLRDHUP): after the last bytes, read the end.
    pub(super) hung_up: bool,
    /// The socket's send buffer was full for an answer, so the socket is watched until it is writable.
    pub(super) waits_to_write: bool,
    /// Waits for its turn.
    pub(super) queued: bool,
    /// The client that it counts for, by its key.
    client: usize,
    /// Its rank as of the last [`Table::settle`].
    rank: Rank,
    /// Bytes of buffers, as of the last [`Table::settle`].
    buffered: usize,
}

impl<S> Entry<S> {
    pub(super) fn new(stream: S, conn: Conn, peer: SocketAddr, local: SocketAddr, listener: usize) -> Self {
        Self {
            rank: conn.rank(),
            stream,
            watched: None,
            conn,
            peer,
            local,
            listener,
            generation: 0,
            readable: false,
            hung_up: false,
            waits_to_write: false,
            queued: false,
            client: 0,
            buffered: 0,
        }
    }
}

/// A client that has connections.
#[derive(Debug)]
struct Client {
    address: IpNet,
    open: usize,
    order: Order,
}

/// Values, each under a key that stays the same while it is there; keys are reused.
#[derive(Debug)]
struct Slab<T> {
    values: Vec<Option<T>>,
    /// Free keys below `values.len()`.
    free: Vec<usize>,
}

impl<T> Slab<T> {
    const fn new() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }

    const fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }

    fn get(&self, key: usize) -> Option<&T> {
        self.values.get(key)?.as_ref()
    }

    fn get_mut(&mut self, key: usize) -> Option<&mut T> {
        self.values.get_mut(key)?.as_mut()
    }

    fn insert(&mut self, value: T) -> usize {
        if let Some(key) = self.free.pop() {
            self.values[key] = Some(value);
            return key;
        }
        self.values.push(Some(value));
        self.values.len() - 1
    }

    fn remove(&mut self, key: usize) -> Option<T> {
        let value = self.values.get_mut(key)?.take()?;
        self.free.push(key);
        Some(value)
    }
}

/// What has to happen before one more connection is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Nothing.
    Free,
    /// This one is closed, for this reason.
    Instead(usize, Closed),
    /// It is not added: the client uses all the connections that it may have.
    Refused,
}

/// The connections.
#[derive(Debug)]
pub(super) struct Table<S> {
    entries: Slab<Entry<S>>,
    /// All of them, in the order in which they make room.
    order: Order,
    links: Links,
    clients: Slab<Client>,
    client_keys: HashMap<IpNet, usize>,
    /// The links of each client's own order.
    client_links: Links,
    /// Bytes of buffers and key of each connection that has any.
    holders: BTreeSet<(usize, usize)>,
    /// Bytes of all buffers.
    buffered: usize,
    /// Connections that were added, modulo 2^32.
    added: u32,
}

/// Bytes of all that TCP may hold: buffers, which the allocator rounds up and which are twice there while one
/// grows; connections, their clients and their turns, in tables that double.
#[must_use]
pub fn memory_len(settings: &TcpSettings) -> usize {
    let of_one = limits::TCP_UNSENT_LEN_MAX + limits::TCP_REPLY_LEN_MAX + limits::TCP_READ_LEN_MAX;
    let buffers = settings.buffers_len_max + settings.buffers_len_max / 4 + 4 * of_one;
    buffers + settings.connections_max * 3 * memory_len_of_entry()
}

/// Bytes of a connection in the table, of its client, of its links and of its keys.
const fn memory_len_of_entry() -> usize {
    let client = size_of::<Option<Client>>() + size_of::<(IpNet, usize)>();
    let keys = 2 * size_of::<usize>() + size_of::<(usize, usize)>();
    size_of::<Option<Entry<TcpStream>>>() + client + 3 * Links::LEN + keys
}

impl<S> Table<S> {
    pub(super) fn new() -> Self {
        Self {
            entries: Slab::new(),
            order: Order::default(),
            links: Links::default(),
            clients: Slab::new(),
            client_keys: HashMap::new(),
            client_links: Links::default(),
            holders: BTreeSet::new(),
            buffered: 0,
            added: 0,
        }
    }

    /// Open connections.
    pub(super) const fn open(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut Entry<S>> {
        self.entries.get_mut(key)
    }

    /// The open connections in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Entry<S>)> {
        self.entries.values.iter().enumerate().filter_map(|(key, entry)| Some((key, entry.as_ref()?)))
    }

    /// Adds a connection; [`Table::room_for`] was asked before.
    pub(super) fn insert(&mut self, mut entry: Entry<S>) -> usize {
        let address = client_of(entry.peer.ip());
        let new = || self.clients.insert(Client { address, open: 0, order: Order::default() });
        entry.client = *self.client_keys.entry(address).or_insert_with(new);
        entry.generation = self.added;
        self.added = self.added.wrapping_add(1);
        let (client, rank) = (entry.client, entry.rank);
        let key = self.entries.insert(entry);
        self.order.add(&mut self.links, key, rank);
        if let Some(client) = self.clients.get_mut(client) {
            client.open += 1;
            client.order.add(&mut self.client_links, key, rank);
        }
        self.settle(key);
        key
    }

    pub(super) fn remove(&mut self, key: usize) -> Option<Entry<S>> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&mut self.links, key, entry.rank);
        self.buffered -= entry.buffered;
        self.holders.remove(&(entry.buffered, key));
        let client = self.clients.get_mut(entry.client).expect("each open connection has its client");
        client.order.remove(&mut self.client_links, key, entry.rank);
        client.open -= 1;
        if client.open == 0 {
            self.client_keys.remove(&client.address);
            self.clients.remove(entry.client);
        }
        Some(entry)
    }

    /// What has to happen before one more from `address` is added.
    pub(super) fn room_for(&self, address: IpAddr, now: Instant, settings: &TcpSettings) -> Room {
        let client = self.client_keys.get(&client_of(address)).and_then(|&key| self.clients.get(key));
        let (first, reason) = match client {
            Some(client) if client.open >= settings.connections_per_client_max => {
                (client.order.first(), Closed::RoomOfClient)
            }
            _ if self.open() >= settings.connections_max => (self.order.first(), Closed::RoomInTable),
            _ => return Room::Free,
        };
        match first.and_then(|key| Some((key, self.entries.get(key)?))) {
            None => Room::Free,
            Some((_, entry)) if reason == Closed::RoomOfClient && entry.rank.is_in_use(now) => Room::Refused,
            Some((key, _)) => Room::Instead(key, reason),
        }
    }

    /// Learns what the connection does now, and how much it holds.
    pub(super) fn settle(&mut self, key: usize) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let (rank, buffered) = (entry.conn.rank(), entry.conn.buffered());
        if rank != entry.rank {
            let before = std::mem::replace(&mut entry.rank, rank);
            self.order.remove(&mut self.links, key, before);
            self.order.add(&mut self.links, key, rank);
            if let Some(client) = self.clients.get_mut(entry.client) {
                client.order.remove(&mut self.client_links, key, before);
                client.order.add(&mut self.client_links, key, rank);
            }
        }
        if buffered != entry.buffered {
            self.buffered = self.buffered - entry.buffered + buffered;
            self.holders.remove(&(entry.buffered, key));
            self.holders.insert((buffered, key));
            entry.buffered = buffered;
        }
    }

    /// The largest holder, when all together hold more than `buffers_len_max`.
    pub(super) fn over_budget(&self, settings: &TcpSettings) -> Option<usize> {
        if self.buffered <= settings.buffers_len_max {
            return None;
        }
        self.holders.last().map(|&(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::TCP_REPLY_LEN_MAX;
    use crate::net::tcp::order::Class;
    use crate::net::tcp::random::Random;
    use crate::serve::Verdict;
    use crate::serve::job::Way;

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

        /// Receives a message at `second` that is handed over.
        fn hand_over(&mut self, key: usize, second: u64) {
            let now = self.at(second);
            let mut slot = Box::new([0; TCP_REPLY_LEN_MAX]);
            let way = Way { rule: 0, serial: 0 };
            let conn = &mut self.table.get_mut(key).unwrap().conn;
            conn.receive(&QUERY, now, &mut slot, &mut |_, _| Verdict::HandOff(way));
            self.table.settle(key);
        }

        /// A reply to one of those comes, if there is any.
        fn reply(&mut self, key: usize, second: u64) {
            let now = self.at(second);
            let conn = &mut self.table.get_mut(key).unwrap().conn;
            if !conn.is_settled() && conn.unsent().is_empty() {
                conn.reply(Some(&[0; 12]), now);
            }
            self.table.settle(key);
        }

        fn send_all(&mut self, key: usize, second: u64) {
            let now = self.at(second);
            let conn = &mut self.table.get_mut(key).unwrap().conn;
            conn.sent(conn.unsent().len(), now);
            conn.give_back(&mut Vec::new(), false);
            self.table.settle(key);
        }

        /// What a connection at `second` finds.
        fn room(&self, second: u64, address: &str) -> Room {
            let now = self.at(second);
            self.table.room_for(address.parse().unwrap(), now, &self.settings)
        }
    }

    const QUERY: [u8; 14] = [0, 12, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn a_full_table_gives_up_the_connection_whose_last_message_is_longest_ago() {
        let mut bench = Bench::new(3, 3);
        let [a, b, c] = [(1, "192.0.2.1"), (2, "192.0.2.2"), (3, "2001:db8::3")]
            .map(|(second, address)| bench.insert(second, address));
        assert_eq!(bench.room(20, "192.0.2.9"), Room::Instead(a, Closed::RoomInTable));
        // A whole message is activity, a partial one is not.
        bench.receive(a, 4, &QUERY, 12);
        bench.send_all(a, 4);
        bench.receive(b, 5, &QUERY[..13], 12);
        assert_eq!(bench.room(20, "192.0.2.9"), Room::Instead(b, Closed::RoomInTable));
        // Unsent answers come last, however old; among them the oldest goes first.
        bench.receive(b, 6, &QUERY[13..], 12);
        bench.receive(a, 7, &QUERY, 12);
        assert_eq!(bench.room(20, "192.0.2.9"), Room::Instead(c, Closed::RoomInTable));
        bench.receive(c, 8, &QUERY, 12);
        assert_eq!(bench.room(20, "192.0.2.9"), Room::Instead(b, Closed::RoomInTable));
        bench.table.remove(b);
        assert_eq!(bench.room(20, "192.0.2.9"), Room::Free);
    }

    #[test]
    fn a_client_at_its_limit_gives_up_one_of_its_own_even_in_a_full_table() {
        let mut bench = Bench::new(4, 2);
        bench.insert(1, "192.0.2.1");
        let own = bench.insert(2, "192.0.2.2");
        bench.insert(3, "192.0.2.2");
        assert_eq!(bench.room(20, "192.0.2.2"), Room::Instead(own, Closed::RoomOfClient));
        assert_eq!(bench.room(20, "192.0.2.1"), Room::Free);
        bench.insert(4, "192.0.2.1");
        assert_eq!(bench.room(20, "192.0.2.2"), Room::Instead(own, Closed::RoomOfClient));
        assert_eq!(bench.room(20, "192.0.2.3"), Room::Instead(0, Closed::RoomInTable));
    }

    #[test]
    fn a_client_that_uses_all_its_connections_is_refused_another() {
        let mut bench = Bench::new(4, 2);
        let [a, b] = [1, 5].map(|second| bench.insert(second, "192.0.2.1"));
        let other = bench.insert(1, "192.0.2.2");
        // A rest of a second is more than a round trip: whoever makes it can connect again.
        assert_eq!(bench.room(5, "192.0.2.1"), Room::Instead(a, Closed::RoomOfClient));
        bench.receive(a, 5, &QUERY, 12);
        bench.send_all(a, 5);
        assert_eq!(bench.room(5, "192.0.2.1"), Room::Refused);
        assert_eq!(bench.room(5, "192.0.2.3"), Room::Free);
        assert_eq!(bench.room(6, "192.0.2.1"), Room::Instead(b, Closed::RoomOfClient));
        // Answers that were not taken are work in progress, however old.
        bench.receive(a, 6, &QUERY, 12);
        bench.receive(b, 6, &QUERY, 12);
        assert_eq!(bench.room(15, "192.0.2.1"), Room::Refused);
        bench.send_all(b, 15);
        assert_eq!(bench.room(15, "192.0.2.1"), Room::Refused, "it takes answers now");
        // A full table is another matter: whoever comes is let in.
        bench.insert(15, "192.0.2.3");
        assert_eq!(bench.room(15, "192.0.2.4"), Room::Instead(other, Closed::RoomInTable));
    }

    /// What each choice was before there were lists: a look at every connection.
    impl Bench {
        fn first_by_scan(&self, client: Option<IpNet>) -> Option<usize> {
            let of_client = |address: IpNet| client.is_none_or(|client| client == address);
            let rank = |entry: &Entry<()>| {
                let conn = &entry.conn;
                (!conn.is_settled(), conn.rank().class != Class::Lingers, conn.rank().since)
            };
            let entries = self.table.iter().filter(|(_, entry)| of_client(client_of(entry.peer.ip())));
            entries.min_by_key(|(_, entry)| rank(entry)).map(|(key, _)| key)
        }

        fn largest_by_scan(&self) -> Option<usize> {
            let entries = self.table.iter().filter(|(_, entry)| entry.conn.buffered() > 0);
            entries.max_by_key(|&(key, entry)| (entry.conn.buffered(), key)).map(|(key, _)| key)
        }
    }

    #[test]
    fn lists_choose_as_a_look_at_every_connection_does() {
        let mut random = Random::new();
        let mut bench = Bench::new(0, 0);
        bench.settings.buffers_len_max = 0;
        let (mut chosen, mut classes) = (0, HashMap::new());
        for second in 0..40_000 {
            let key = random.below(60);
            let address = format!("192.0.2.{}", random.below(5));
            match random.below(11) {
                _ if bench.table.get_mut(key).is_none() => {
                    bench.insert(second, &address);
                }
                0 => drop(bench.table.remove(key)),
                1 | 2 => bench.receive(key, second, &QUERY[..1 + random.below(13)], 12),
                3..6 => bench.receive(key, second, &QUERY, 12 + random.len(60_000)),
                6 => bench.send_all(key, second),
                7 => bench.receive(key, second, &[0, 0], 12),
                8 => bench.hand_over(key, second),
                9 => bench.reply(key, second),
                _ => {
                    let now = bench.at(second);
                    let conn = &mut bench.table.get_mut(key).unwrap().conn;
                    conn.sent(random.below(1 + conn.unsent().len()), now);
                    conn.ending(now);
                    bench.table.settle(key);
                }
            }
            let client = client_of(address.parse().unwrap());
            bench.settings.connections_per_client_max = usize::MAX;
            let expected = bench.first_by_scan(None);
            assert_eq!(bench.room(second, &address), instead(expected, Closed::RoomInTable));
            bench.settings.connections_per_client_max = 1;
            let expected = bench.first_by_scan(Some(client));
            if let Some(key) = expected {
                let entry = &bench.table.entries.get(key).unwrap();
                *classes.entry(entry.rank.class as usize).or_insert(0) += 1;
                let room = bench.room(second + 1, &address);
                let is_unsent = !entry.conn.is_settled();
                let instead = instead(expected, Closed::RoomOfClient);
                assert_eq!(room, if is_unsent { Room::Refused } else { instead });
                chosen += 1;
            }
            assert_eq!(bench.table.over_budget(&bench.settings), bench.largest_by_scan());
        }
        assert!(chosen > 30_000 && classes.len() == 3, "{chosen} {classes:?}");
    }

    fn instead(key: Option<usize>, reason: Closed) -> Room {
        key.map_or(Room::Free, |key| Room::Instead(key, reason))
    }

    /// Not a test: prints what it costs to let one more into a full table, as it is and by a look at all.
    #[test]
    #[ignore = "a measurement"]
    fn the_cost_of_room() {
        for connections_max in [128, 4096, 65_536] {
            let mut bench = Bench::new(connections_max, usize::MAX);
            for number in 0..connections_max as u64 {
                bench.insert(number, &format!("10.{}.{}.1", number % 7, number % 11));
            }
            let mut cost = |choose: &dyn Fn(&Bench) -> Option<usize>| {
                let began = Instant::now();
                for second in 0..200 {
                    let key = choose(&bench).unwrap();
                    bench.table.remove(key);
                    bench.insert(connections_max as u64 + second, "192.0.2.1");
                }
                began.elapsed() / 200
            };
            let by_list = |bench: &Bench| match bench.room(0, "192.0.2.1") {
                Room::Instead(key, _) => Some(key),
                _ => None,
            };
            let list = cost(&by_list);
            println!("{connections_max}: {list:?}, by a scan {:?}", cost(&|bench| bench.first_by_scan(None)));
        }
    }

    #[test]
    fn an_ipv6_client_is_its_64_and_a_mapped_address_is_ipv4() {
        let mut bench = Bench::new(9, 1);
        let six = bench.insert(1, "2001:db8:0:1::1");
        let four = bench.insert(1, "::ffff:192.0.2.1");
        assert_eq!(bench.room(20, "2001:db8:0:1:ffff::"), Room::Instead(six, Closed::RoomOfClient));
        assert_eq!(bench.room(20, "2001:db8:0:2::1"), Room::Free);
        assert_eq!(bench.room(20, "192.0.2.1"), Room::Instead(four, Closed::RoomOfClient));
        assert_eq!(bench.room(20, "::ffff:192.0.2.2"), Room::Free);
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
        assert_eq!((bench.table.open(), bench.table.client_keys.len()), (0, 0));
        // With limits of zero there is no connection to close; the new one is added.
        let bench = Bench::new(0, 0);
        assert_eq!(bench.room(20, "192.0.2.1"), Room::Free);
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
        assert_eq!(bench.table.buffered, 0);
    }
}
