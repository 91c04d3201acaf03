//! Shards: threads that move datagrams and connections between sockets and [`serve`](crate::serve::serve()).
//!
//! The datapath is chosen once, for the whole process: all shards use the ring, or none does.

mod drops;
mod hand_over;
pub mod orders;
mod probe;
pub mod tcp;
mod threads;
mod udp;
mod wall;

use std::fmt;
use std::io;

pub use crate::sys::threads::{Event, spawn};
pub use drops::SocketDrops;
pub use threads::{Net, Plan, memory_len_of_shard};
pub use wall::unix_time;

/// How datagrams are received and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datapath {
    /// One io_uring for each shard.
    IoUring,
    /// recvmmsg and sendmmsg.
    Mmsg,
}

/// What the operator asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DatapathChoice {
    /// io_uring where it is available and passes its self-test, else mmsg.
    #[default]
    Auto,
    /// io_uring, or the start fails.
    IoUring,
    /// recvmmsg and sendmmsg.
    Mmsg,
}

impl fmt::Display for Datapath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IoUring => "io_uring",
            Self::Mmsg => "mmsg",
        })
    }
}

/// Why the shards did not start.
#[derive(Debug)]
pub enum NetError {
    /// A shard could not be pinned to its CPU.
    Pin {
        /// The CPU.
        cpu: usize,
        /// What the kernel said.
        error: io::Error,
    },
    /// The configured datapath is not available.
    Datapath {
        /// Which.
        datapath: Datapath,
        /// Why not, and what to do.
        reason: String,
    },
    /// A thread could not be started.
    Thread(io::Error),
    /// The listeners could not be watched.
    Tcp(io::Error),
    /// A socket could not be shared.
    Socket(io::Error),
    /// A shard ended before it served.
    Ended,
    /// A thread does not pause.
    Stuck,
}

/// What to do where no thread can be started: EAGAIN has one of these for its cause, and does not say which.
pub const THREAD_ADVICE: &str =
    "raise the limit of processes (ulimit -u, TasksMax=, --pids-limit) or of memory (ulimit -v)";

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin { cpu, error } => {
                write!(f, "cannot pin a shard to CPU {cpu}: {error}; list other CPUs with --cpus")
            }
            Self::Datapath { datapath, reason } => {
                write!(
                    f,
                    "the {datapath} datapath is not available: {reason}; `--datapath auto` finds one that \
                     works"
                )
            }
            Self::Tcp(error) => {
                write!(
                    f,
                    "cannot watch the TCP listeners: {error}; raise the limit of open files (ulimit -n)"
                )
            }
            Self::Socket(error) => write!(f, "{error}; raise the limit of open files (ulimit -n)"),
            Self::Ended => f.write_str("a shard ended during startup; please report this"),
            Self::Stuck => f.write_str("a serving thread is stuck; restart the node"),
            Self::Thread(error) => {
                write!(f, "cannot start a thread: {error}; {THREAD_ADVICE}")
            }
        }
    }
}
