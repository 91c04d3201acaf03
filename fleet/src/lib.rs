//! The fleet's side of as112d: releases are made, signed, carried and followed. What they are is in the
//! node's library ([`as112d`]), which only reads them.
//!
//! | module | what it knows |
//! |---|---|
//! | [`limits`] | every bound with its reason |
//! | [`carry`] | a fleet's tree in a directory, at a web server, in NATS: read, changed, followed |
//! | [`roll`], [`gates`] | how a release reaches a fleet in stages, and when nodes do not keep it. No I/O |
//! | [`settings`], [`sign`] | what a publisher would repeat, and who signs |
//! | [`draft`], [`loads`], [`diff`] | what becomes a release, what nodes would serve, the difference |
//! | [`desk`], [`proposal`], [`view`] | the tree as publishers see and change it, what nodes report |
//! | [`agent`] | what follows the releases on a node |
//! | [`metrics`] | what nodes counted: told, collected, served |
//! | [`cli`], [`commands`] | the command line; one file per subcommand |

#![warn(missing_docs, unreachable_pub)]

pub mod limits;

pub mod carry;
pub mod metrics;

pub mod gates;
pub mod roll;

pub mod diff;
pub mod draft;
pub mod loads;
pub mod settings;
pub mod sign;

pub mod desk;
pub mod proposal;
pub mod view;

pub mod agent;

pub mod cli;
pub mod commands;
