//! The agent of a fleet with real nodes and a real server of NATS: what nodes answer over DNS is the
//! evidence, a token in a TXT record that nobody can have known before.

#[path = "../common/mod.rs"]
mod common;
#[path = "../fleet/publisher.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod publisher;

mod crashes;
mod falls;
mod follow;
mod site;
mod sources;
mod thousand;
