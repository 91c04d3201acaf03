//! Where the users of resolvers are, learned from beacons: a page asks for a name that nobody else asks for,
//! and the node sees which resolver works for that client. Only places are kept, never a client's
//! network.
//!
//! A node writes observations ([`observation`]); `as112d learn` reads them into a state ([`state`]), decides
//! ([`decide`]), and writes files of networks ([`files`]). It has no clock and no chance: the same input
//! makes the same bytes.

pub mod collector;
pub mod decide;
pub mod files;
pub mod heavy;
pub mod join;
pub mod kept;
pub mod observation;
pub mod observed;
pub mod rtt;
pub mod state;
pub mod subject;
pub mod ticket;
pub mod unlearned;
