//! as112d: a name server for AS112 nodes (RFC 7534, RFC 7535).
//!
//! The house, floor by floor; a room calls only rooms on lower floors:
//!
//! | floor | room | what it knows |
//! |---|---|---|
//! | 0 | [`sys`] | Linux: rings, sockets, CPUs. The only unsafe code. No DNS |
//! | 0 | [`dns`] | the wire vocabulary: bytes in, values out |
//! | 0 | [`stats`] | counters |
//! | 1 | [`log`] | lines for the operator, and the thread that writes them |
//! | 1 | [`zone`] | what we serve: checked zones, from files and built in |
//! | 2 | [`answer`] | data become bytes: zones compiled to ready tails, and the lookup |
//! | 3 | [`serve`] | one decision per packet |
//! | 4 | [`net`] | shards: datagrams and connections |
//! | 4 | [`xdp`] | answers in the driver: a program for the kernel, and the memory it shares with us |
//! | 4 | [`report`] | what is made of counters: text for Prometheus, JSON |
//! | 4 | [`routes`] | what is announced: probes, the state of each route, and how a router is told |
//! | 5 | [`daemon`] | configuration, start and stop |
//! | 6 | [`cli`], [`commands`] | the command line |
//!
//! [`limits`] and [`dns::consts`] are open to all.

#![warn(missing_docs, unreachable_pub)]

pub mod limits;

pub mod dns;
pub mod stats;
pub mod sys;

pub mod log;
pub mod zone;

pub mod answer;

pub mod serve;

pub mod net;
pub mod report;
pub mod routes;
pub mod xdp;

pub mod daemon;

pub mod cli;
pub mod commands;
