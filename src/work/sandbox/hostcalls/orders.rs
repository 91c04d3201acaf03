//! What a guest wants of the outside: nothing waits here, each is an order with a token.

use std::path::PathBuf;
use std::time::Duration;

use super::super::abi::{QUERY_LEN, REPLY_LEN, Refusal};
use super::super::area;
use super::super::call::Order;
use super::super::host::{Kind, Socket};
use super::super::settings::Isolation;
use super::guest::{Answer, Guest, No};
use crate::dns::consts::NAME_LEN_MAX;
use crate::dns::name::Name;
use crate::limits::{
    GUEST_EXCHANGE, GUEST_EXCHANGE_MAX, GUEST_EXCHANGES_MAX, GUEST_LINE_LEN_MAX, GUEST_ORDERS_MAX,
    GUEST_SOCKETS_MAX, GUEST_TIMER_MAX, GUEST_TIMERS_MAX, GUEST_UNSENT_MAX,
};
use crate::policy::upstream::UpstreamId;

/// A flag of `forward`: through the cache.
const CACHED: i32 = 1;

impl Guest<'_> {
    /// Whether there will be somebody to tell what came of it.
    fn lives_on(&self) -> Result<(), Refusal> {
        let is_kept = self.host.app.manifest.isolation == Isolation::App;
        if is_kept { Ok(()) } else { Err(Refusal::State) }
    }

    pub(super) fn forward(
        &mut self,
        to: i32,
        to_len: i32,
        query: i32,
        query_len: i32,
        timeout_ms: i32,
        flags: i32,
    ) -> Answer {
        let (to, query) = (self.range(to, to_len)?, self.range(query, query_len)?);
        let query = self.query(query)?;
        let forward = &self.host.app.manifest.allow.forward;
        let place = forward.iter().position(|known| *known.as_bytes() == self.memory[to.clone()]);
        let upstream = place.and_then(|place| self.host.app.upstream(place)).ok_or(Refusal::Denied)?;
        let timeout = u64::try_from(timeout_ms).map_err(|_| Refusal::Invalid)?;
        let timeout = if timeout == 0 { GUEST_EXCHANGE } else { Duration::from_millis(timeout) };
        if flags & !CACHED != 0 {
            return Err(Refusal::Invalid.into());
        }
        self.ask(upstream, query, flags & CACHED != 0, timeout)
    }

    pub(super) fn resolve(&mut self, query: i32, query_len: i32, flags: i32) -> Answer {
        let query = self.range(query, query_len)?;
        let query = self.query(query)?;
        let resolver = self.host.app.resolver.filter(|_| self.host.app.manifest.allow.resolve);
        let resolver = resolver.ok_or(Refusal::Denied)?;
        if flags != 0 {
            return Err(Refusal::Invalid.into());
        }
        self.ask(resolver, query, true, GUEST_EXCHANGE)
    }

    /// A query that can be asked.
    fn query(&mut self, range: std::ops::Range<usize>) -> Result<Vec<u8>, No> {
        if range.len() > QUERY_LEN {
            return Err(Refusal::Invalid.into());
        }
        let query = &self.memory[range];
        let (header, _) = area::read(query).ok_or(Refusal::Invalid)?;
        if header.is_response() {
            return Err(Refusal::Invalid.into());
        }
        // What it takes to ask: a parse, a copy, and a place in tables.
        self.host.spent += 500;
        Ok(query.to_vec())
    }

    fn ask(&mut self, upstream: UpstreamId, query: Vec<u8>, is_cached: bool, timeout: Duration) -> Answer {
        self.lives_on()?;
        let host = &mut *self.host;
        let held = host.doing.query.and_then(|query| host.held.get_mut(&query));
        let has_query = host.doing.query.is_some();
        let of_query = held.map_or(&mut host.exchanges_of_this, |held| &mut held.exchanges);
        let is_over = has_query && *of_query >= host.app.manifest.limits.upstreams;
        if is_over || host.exchanges >= GUEST_EXCHANGES_MAX {
            return Err(Refusal::Busy.into());
        }
        *of_query += 1;
        host.exchanges += 1;
        let timeout = timeout.min(GUEST_EXCHANGE_MAX);
        let order = Order::Ask { upstream: Some(upstream), query, is_cached, timeout };
        Ok(host.order(Kind::Exchange, order).cast_signed())
    }

    pub(super) fn timer(&mut self, ms: i32) -> Answer {
        self.lives_on()?;
        let time = u64::try_from(ms).map(Duration::from_millis).map_err(|_| Refusal::Invalid)?;
        if time > GUEST_TIMER_MAX {
            return Err(Refusal::Invalid.into());
        }
        if self.host.timers >= GUEST_TIMERS_MAX {
            return Err(Refusal::Limit.into());
        }
        self.host.timers += 1;
        Ok(self.host.order(Kind::Timer, Order::Timer(time)).cast_signed())
    }

    pub(super) fn cancel(&mut self, token: i32) -> Answer {
        let token = token.cast_unsigned();
        let pending = self.host.pending.get(&token).ok_or(Refusal::NotFound)?;
        if !matches!(pending.kind, Kind::Exchange | Kind::Timer) {
            return Err(Refusal::NotFound.into());
        }
        self.host.end(token);
        self.host.orders.push_back((token, Order::Cancel(token)));
        Ok(0)
    }

    pub(super) fn purge(&mut self, ptr: i32, len: i32, subtree: i32) -> Answer {
        let name = self.bytes(ptr, len, NAME_LEN_MAX)?;
        let name = Name::from_wire(name).map_err(|_| Refusal::Invalid)?.to_lowercase();
        let is_below =
            |apex: &[u8]| Name::from_wire(apex).is_ok_and(|apex| name.is_at_or_below(&apex.to_lowercase()));
        if !self.host.app.manifest.allow.cache_purge.iter().any(|apex| is_below(apex)) {
            return Err(Refusal::Denied.into());
        }
        self.room()?;
        let order = Order::Purge { qname: name.as_wire().into(), subtree: subtree != 0 };
        Ok(self.host.order(Kind::Purge, order).cast_signed())
    }

    /// Whether there may be one more of the orders that have no bound of their own.
    fn room(&self) -> Result<(), Refusal> {
        let others = self.host.pending.len() - self.host.exchanges - self.host.timers;
        if others < GUEST_ORDERS_MAX { Ok(()) } else { Err(Refusal::Limit) }
    }

    pub(super) fn open(&mut self, ptr: i32, len: i32) -> Answer {
        let path = self.bytes(ptr, len, GUEST_LINE_LEN_MAX)?.to_vec();
        let path = PathBuf::from(String::from_utf8(path).map_err(|_| Refusal::Denied)?);
        self.lives_on()?;
        if !self.host.app.manifest.allow.sockets.contains(&path) {
            return Err(Refusal::Denied.into());
        }
        if self.host.sockets.len() >= GUEST_SOCKETS_MAX {
            return Err(Refusal::Limit.into());
        }
        self.room()?;
        let token = self.host.order(Kind::Open, Order::Open(path));
        self.host.sockets.insert(token, Socket::default());
        Ok(token.cast_signed())
    }

    /// A socket that can be used.
    fn socket(&mut self, socket: i32) -> Result<&mut Socket, Refusal> {
        let socket = self.host.sockets.get_mut(&socket.cast_unsigned()).ok_or(Refusal::NotFound)?;
        match socket {
            Socket { is_closed: true, .. } => Err(Refusal::Closed),
            Socket { is_open: false, .. } => Err(Refusal::Again),
            _ => Ok(socket),
        }
    }

    pub(super) fn send(&mut self, socket: i32, ptr: i32, len: i32) -> Answer {
        let bytes = self.range(ptr, len)?;
        self.socket(socket)?;
        if bytes.len() > REPLY_LEN {
            return Err(Refusal::TooLong.into());
        }
        if self.host.unsent + bytes.len() > GUEST_UNSENT_MAX {
            return Err(Refusal::Limit.into());
        }
        self.room()?;
        self.host.charge(bytes.len());
        self.host.spent += 1000;
        let (len, bytes) = (bytes.len(), self.memory[bytes].to_vec());
        self.host.unsent += len;
        Ok(self
            .host
            .order(Kind::Send(socket.cast_unsigned(), len), Order::Send(socket.cast_unsigned(), bytes))
            .cast_signed())
    }

    pub(super) fn receive(&mut self, socket: i32) -> Answer {
        self.room()?;
        let state = self.socket(socket)?;
        if state.is_receiving {
            return Err(Refusal::Busy.into());
        }
        state.is_receiving = true;
        Ok(self
            .host
            .order(Kind::Receive(socket.cast_unsigned()), Order::Receive(socket.cast_unsigned()))
            .cast_signed())
    }

    pub(super) fn close(&mut self, socket: i32) -> Answer {
        let socket = socket.cast_unsigned();
        self.host.sockets.remove(&socket).ok_or(Refusal::NotFound)?;
        self.host.end_of_socket(socket);
        self.host.orders.push_back((socket, Order::Close(socket)));
        Ok(0)
    }
}
