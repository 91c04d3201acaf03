//! Releases: what a fleet's nodes should serve, as signed files that anybody may carry.
//!
//! A *release* is a manifest, its signatures, and the files that the manifest names by their hashes. It never
//! changes. A *pointer* is a signed line that says which release a fleet, a colo or a node should have. Who
//! carries them may lose, delay or repeat them, but can neither forge one nor turn back time: pointers have
//! serial numbers, and releases are known by their hashes.
//!
//! This room reads and checks; it has no I/O and no clock. `as112d-fleet` makes what is read here.

mod digest;
mod eras;
mod keys;
pub mod layout;
pub mod manifest;
mod path;
pub mod pointer;
mod pointers;
mod refused;
mod scope;
mod signed;
#[cfg(test)]
mod tests;
mod words;

pub use digest::{Digest, Hasher};
pub use eras::{Eras, Signed};
pub use keys::{KeyId, Keys, PublicKey};
pub use manifest::{File, Manifest, ReleaseName};
pub use path::RelPath;
pub use pointer::Pointer;
pub use pointers::{Pointers, Taken};
pub use refused::{Code, Refused};
pub use scope::{Label, Scope, Who};
pub use signed::SignedLine;
pub use words::Words;
