//! A fleet's tree, wherever it lies: what it holds is read, changed, and followed. Names are those of
//! the tree, below the folder of the fleet: `pointers/colo/ams`, `objects/ab/abcd...`.
//!
//! No carrier is believed. What it hands out is checked by who asked for it, by signature, by hash and by
//! serial; so whatever it loses, repeats or invents costs time alone.

mod address;
mod dir;
mod nats;
mod partial;
mod web;

use std::fmt;
use std::path::Path;
use std::time::Duration;

pub use address::{Access, Address};
pub use dir::Dir;
pub use nats::{Feed, Nats, Told};
pub use partial::Partial;
pub use web::Web;

/// Why a carrier did not do what it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not there, or broke off. Later it may be.
    Away(String),
    /// It refuses: rights, a name that it cannot have, something that it cannot do.
    Refused(String),
    /// What it has is longer than it may be.
    TooLong(String),
    /// Somebody else has changed it meanwhile: what is there now.
    Changed(Option<Vec<u8>>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(text) | Self::Refused(text) | Self::TooLong(text) => f.write_str(text),
            Self::Changed(_) => {
                f.write_str("somebody else has changed it meanwhile; look at it, then try again")
            }
        }
    }
}

/// What a node last said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The node, as the carrier knows it: only that node may write there.
    pub node: String,
    /// What it said.
    pub text: Vec<u8>,
    /// How long ago that arrived.
    pub age: Duration,
}

/// What may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Whatever one likes: the carrier was away, or does not know.
    Anything,
    /// The value of this name. It may be on its way still: it can be read some milliseconds later.
    Value {
        /// Its name.
        name: String,
        /// What it is to be.
        value: Vec<u8>,
    },
}

/// Hears of changes at a carrier. It may miss some.
#[derive(Debug)]
pub enum Wakes {
    /// Looks at the files of a folder.
    Dir(dir::Wakes),
    /// Nothing tells: a web server is asked from time to time.
    Web,
    /// Is told.
    Nats(nats::Wakes),
}

impl Wakes {
    /// The next one; none if there is nobody left who could tell.
    pub async fn next(&mut self) -> Option<Wake> {
        match self {
            Self::Dir(wakes) => Some(wakes.next().await),
            Self::Web => std::future::pending().await,
            Self::Nats(wakes) => wakes.next().await,
        }
    }
}

/// A fleet's tree at one of the carriers.
#[derive(Debug)]
pub enum Carrier {
    /// In a folder.
    Dir(Dir),
    /// At a web server, which is read only.
    Web(Web),
    /// At a server of NATS.
    Nats(Nats),
}

impl Carrier {
    /// The tree of `fleet` at `address`. Whether a server is there shows when it is asked for something.
    ///
    /// # Errors
    /// A seed, a password or certificates that cannot be read.
    pub async fn open(address: &Address, access: &Access, fleet: &str) -> Result<Self, Fault> {
        match address {
            Address::Dir(path) => Ok(Self::Dir(Dir::new(path, fleet))),
            Address::Web(url) => Web::open(url, access, fleet).map(Self::Web),
            Address::Nats(url) => Nats::open(url, access, fleet).await.map(Self::Nats),
        }
    }

    /// What it has by this name, if anything.
    ///
    /// # Errors
    /// If it is away, refuses, or has more than `len_max` bytes there.
    pub async fn read(&self, name: &str, len_max: u64) -> Result<Option<Vec<u8>>, Fault> {
        match self {
            Self::Dir(dir) => dir.read(name, len_max),
            Self::Web(web) => web.read(name, len_max).await,
            Self::Nats(nats) => nats.read(name, len_max).await,
        }
    }

    /// The names in a folder of the tree (`releases`, `pointers/colo`), sorted; without the folder's.
    ///
    /// # Errors
    /// If it is away, or has no lists.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, Fault> {
        match self {
            Self::Dir(dir) => dir.list(folder),
            Self::Web(web) => Err(web.no_lists()),
            Self::Nats(nats) => nats.list(folder).await,
        }
    }

    /// Copies what has this name behind what `partial` has of it. Whether there is such a name.
    ///
    /// # Errors
    /// If it broke off, in which case `partial` has more than before, or the disk has no room.
    pub async fn fetch(&self, name: &str, partial: &mut Partial) -> Result<bool, Fault> {
        match self {
            Self::Dir(dir) => dir.fetch(name, partial),
            Self::Web(web) => web.fetch(name, partial).await,
            Self::Nats(nats) => nats.fetch(name, partial).await,
        }
    }

    /// Puts something there that never changes: an object, a manifest, signatures. Whether it was new.
    ///
    /// # Errors
    /// If it is away or refuses.
    pub async fn store(&self, name: &str, bytes: &[u8]) -> Result<bool, Fault> {
        match self {
            Self::Dir(dir) => dir.store(name, bytes),
            Self::Web(web) => Err(web.read_only()),
            Self::Nats(nats) => nats.store(name, bytes).await,
        }
    }

    /// The same with the bytes of a file, which may be many.
    ///
    /// # Errors
    /// Those of [`store`](Self::store), or that the file cannot be read.
    pub async fn store_file(&self, name: &str, file: &Path) -> Result<bool, Fault> {
        match self {
            Self::Dir(dir) => dir.store_file(name, file),
            Self::Web(web) => Err(web.read_only()),
            Self::Nats(nats) => nats.store_file(name, file).await,
        }
    }

    /// Replaces a value (a pointer, the roll) that is still `old`.
    ///
    /// # Errors
    /// [`Fault::Changed`] if it is not, with what is there; or that it is away or refuses.
    pub async fn swap(&self, name: &str, old: Option<&[u8]>, new: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Dir(dir) => dir.swap(name, old, new),
            Self::Web(web) => Err(web.read_only()),
            Self::Nats(nats) => nats.swap(name, old, new).await,
        }
    }

    /// Adds a line to the fleet's log.
    ///
    /// # Errors
    /// If it is away or refuses.
    pub async fn append(&self, line: &str) -> Result<(), Fault> {
        match self {
            Self::Dir(dir) => dir.append(line),
            Self::Web(web) => Err(web.read_only()),
            Self::Nats(nats) => nats.append(line).await,
        }
    }

    /// The lines of the fleet's log, the newest last.
    ///
    /// # Errors
    /// If it is away.
    pub async fn log(&self) -> Result<Vec<String>, Fault> {
        match self {
            Self::Dir(dir) => dir.log(),
            Self::Web(web) => Err(web.no_lists()),
            Self::Nats(nats) => nats.log().await,
        }
    }

    /// Replaces what this node says of itself.
    ///
    /// # Errors
    /// If it is away, or takes no reports.
    pub async fn report(&self, node: &str, text: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Dir(dir) => dir.report(node, text),
            Self::Web(web) => Err(web.read_only()),
            Self::Nats(nats) => nats.report(node, text).await,
        }
    }

    /// Whether nodes can report there.
    #[must_use]
    pub fn takes_reports(&self) -> bool {
        match self {
            Self::Dir(dir) => dir.takes_reports(),
            Self::Web(_) => false,
            Self::Nats(_) => true,
        }
    }

    /// What all nodes say of themselves, by their names.
    ///
    /// # Errors
    /// If it is away, or takes no reports.
    pub async fn reports(&self) -> Result<Vec<Said>, Fault> {
        match self {
            Self::Dir(dir) => dir.reports(),
            Self::Web(web) => Err(web.no_lists()),
            Self::Nats(nats) => nats.reports().await,
        }
    }

    /// Makes what the carrier needs for a fleet, where that is not there; the publisher asks for it.
    ///
    /// # Errors
    /// If it is away or refuses.
    pub async fn prepare(&self) -> Result<(), Fault> {
        match self {
            Self::Dir(dir) => dir.prepare(),
            Self::Web(web) => Err(web.read_only()),
            Self::Nats(nats) => nats.prepare().await,
        }
    }

    /// Hears of changes of these names.
    ///
    /// # Errors
    /// If it refuses.
    pub async fn wakes(&self, names: &[String]) -> Result<Wakes, Fault> {
        match self {
            Self::Dir(dir) => Ok(Wakes::Dir(dir.wakes(names))),
            Self::Web(_) => Ok(Wakes::Web),
            Self::Nats(nats) => nats.wakes(names).await.map(Wakes::Nats),
        }
    }

    /// Waits until it can be asked, at most for `patience`.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn ready(&self, patience: Duration) -> Result<(), Fault> {
        match self {
            Self::Dir(_) | Self::Web(_) => Ok(()),
            Self::Nats(nats) => nats.connected(patience).await,
        }
    }
}
