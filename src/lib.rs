//! as112d: a name server for AS112 nodes (RFC 7534, RFC 7535).
//!
//! The house, floor by floor; a room calls only rooms on lower floors:
//!
//! | floor | room | what it knows |
//! |---|---|---|
//! | 0 | [`limits`], [`problem`] | every bound with its reason; a mistake, with its place and what to do |
//! | 1 | [`sys`] | Linux: rings, sockets, CPUs. The only unsafe code. No DNS |
//! | 1 | [`dns`] | the wire vocabulary: bytes in, values out |
//! | 2 | [`stats`] | what threads count with |
//! | 2 | [`log`] | lines for the operator, and the thread that writes them |
//! | 2 | [`nets`] | prefix tables: what an address is in, how far that holds; files, databases |
//! | 2 | [`zone`] | what we serve: checked zones, from files and built in |
//! | 3 | [`answer`] | zones become bytes, and the lookup |
//! | 3 | [`policy`] | the router: the language of rules, and one decision per phase |
//! | 3 | [`tailor`] | which PoP a client gets, how far that holds, and why |
//! | 3 | [`taps`] | copies of queries for the query log and dnstap |
//! | 3 | [`announce`] | what is announced: probes, the state of each route, and how a router is told |
//! | 4 | [`serve`] | one decision per packet |
//! | 4 | [`board`] | the numbers of now |
//! | 4 | [`pops`] | whether PoPs are up: probes and files, and the process that tells the node |
//! | 4 | [`learn`] | where the users of resolvers are, from beacons |
//! | 5 | [`net`] | shards: datagrams and connections |
//! | 5 | [`work`] | what may wait: workers, the life of a query, the cache, the exchange with upstreams |
//! | 5 | [`xdp`] | answers in the driver: a program for the kernel, and the memory it shares with us |
//! | 5 | [`history`] | what is remembered, in SQLite |
//! | 6 | [`report`] | forms: Prometheus, JSON, Radar, the page, exports |
//! | 7 | [`config`] | what an operator writes, and everything that it names |
//! | 8 | [`web`], [`control`], [`cli`] | HTTP, orders over a socket, the command line |
//! | 9 | [`daemon`] | the process: start, reload, upgrade, stop |
//! | 10 | [`commands`] | one file per subcommand |
//!
//! [`limits`], [`problem`] and [`dns::consts`] are open to all.

#![warn(missing_docs, unreachable_pub)]

extern crate alloc;

pub mod limits;
pub mod problem;

pub mod dns;
pub mod sys;

pub mod log;
pub mod nets;
pub mod stats;
pub mod zone;

pub mod announce;
pub mod answer;
pub mod policy;
pub mod tailor;
pub mod taps;

pub mod board;
pub mod learn;
pub mod pops;
pub mod serve;

pub mod history;
pub mod net;
pub mod work;
pub mod xdp;

pub mod report;

pub mod config;

pub mod cli;
pub mod control;
pub mod web;

pub mod daemon;

pub mod commands;
