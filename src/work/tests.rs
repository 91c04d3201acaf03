//! Workers with real sockets: the test plays the shard and the clients, and a server that does what names
//! tell it.

mod forwarding;
mod guests;
mod harness;
mod native;
mod upstream;
