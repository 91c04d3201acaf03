//! Counters, all named in one table. A shard counts into a [`Tally`] of its own and folds it, once per batch,
//! into its [`Counters`]: it alone writes them, with a plain load and store, and anybody reads them. They are
//! never reset.

use std::sync::atomic::{AtomicU64, Ordering};

/// Makes the three forms of every counter from one line: its name and what it counts.
macro_rules! counters {
    ($($name:ident: $help:literal,)*) => {
        /// What was counted since the last fold.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Tally { $(#[doc = $help] pub $name: u32,)* }

        /// The counters of one shard. Two cache lines apart from anybody else's: processors fetch lines in
        /// pairs.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters { $($name: AtomicU64,)* }

        /// Counters as they stood when they were read, or sums of them.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Totals { $(#[doc = $help] pub $name: u64,)* }

        impl Counters {
            /// Adds a tally and empties it. Only the owner may call this: there is no lock and no atomic
            /// addition.
            pub fn fold(&self, tally: &mut Tally) {
                $(add(&self.$name, tally.$name);)*
                *tally = Tally::default();
            }

            /// Adds the counters, as they stand, to `totals`.
            pub fn read(&self, totals: &mut Totals) {
                $(totals.$name += self.$name.load(Ordering::Relaxed);)*
            }
        }

        impl Totals {
            /// Every counter with its name and what it counts, in the order of the table.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), $help, self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    queries: "Queries that were answered, or deliberately not answered because of what they ask.",
    replies_noerror: "Replies with NOERROR.",
    replies_formerr: "Replies with FORMERR.",
    replies_nxdomain: "Replies with NXDOMAIN.",
    replies_notimp: "Replies with NOTIMP.",
    replies_refused: "Replies with REFUSED.",
    replies_yxdomain: "Replies with YXDOMAIN.",
    replies_notauth: "Replies with NOTAUTH.",
    replies_badvers: "Replies with BADVERS.",
    truncated: "Replies with TC: the answer did not fit.",
    dropped_short: "Packets under 12 bytes.",
    dropped_response: "Packets with QR set.",
    dropped_source: "Packets from a port that no client has, or from an address of our own.",
    dropped_update: "Updates that the configuration drops.",
    dropped_error_cap: "FORMERR and NOTIMP replies beyond the cap.",
    received: "Datagrams received.",
    sent: "Datagrams handed to the kernel for sending.",
    send_again: "Replies lost to a full send buffer.",
    send_no_buffers: "Replies lost because the kernel had no memory (ENOBUFS).",
    send_invalid: "Replies lost to an address that cannot be sent to (EINVAL).",
    send_forbidden: "Replies lost to a packet filter (EPERM, EACCES).",
    send_unreachable: "Replies lost because there is no route.",
    send_other: "Replies lost to another error of the kernel.",
    rearmed_no_buffers: "Receive requests renewed after the ring ran out of buffers.",
    rearmed_empty: "Receive requests renewed after an empty datagram.",
    rearmed_other: "Receive requests renewed after another end.",
    short_submissions: "System calls that took fewer requests than they were given.",
    tcp_opened: "TCP connections accepted.",
    tcp_closed_client: "TCP connections that the client ended.",
    tcp_closed_idle: "TCP connections closed after they were idle for too long.",
    tcp_closed_message: "TCP connections closed because a message was not whole in time.",
    tcp_closed_unread: "TCP connections closed because the client did not take its answers.",
    tcp_closed_table: "TCP connections closed to make room in a full table.",
    tcp_closed_address: "TCP connections closed to make room for another of the same address.",
    tcp_closed_buffers: "TCP connections closed because they held the most of used-up buffers.",
    tcp_closed_protocol: "TCP connections closed because they sent what gets no answer.",
    tcp_closed_failed: "TCP connections that failed; mostly, the client reset them.",
    tcp_closed_stop: "TCP connections closed because the server stops.",
    tcp_accept_failed: "TCP connections lost while they were accepted.",
    tcp_accept_paused: "Pauses in accepting, for want of descriptors or memory.",
}

fn add(counter: &AtomicU64, count: u32) {
    if count > 0 {
        counter.store(counter.load(Ordering::Relaxed) + u64::from(count), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_adds_and_empties() {
        let counters = Counters::default();
        let mut tally = Tally { queries: 3, sent: 2, ..Tally::default() };
        counters.fold(&mut tally);
        assert_eq!(tally, Tally::default());
        counters.fold(&mut Tally { queries: 1, ..Tally::default() });
        let mut totals = Totals::default();
        counters.read(&mut totals);
        assert_eq!(totals, Totals { queries: 4, sent: 2, ..Totals::default() });
        assert_eq!(totals.iter().map(|(_, _, count)| count).sum::<u64>(), 6);
        assert_eq!(totals.iter().next().unwrap().0, "queries");
    }

    #[test]
    fn two_shards_share_no_pair_of_cache_lines() {
        assert_eq!((align_of::<Counters>(), size_of::<Counters>() % 128), (128, 0));
    }
}
