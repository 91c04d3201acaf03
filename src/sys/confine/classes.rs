//! For each class of threads the system calls that it makes while it serves and while it ends, and no others.
//!
//! They were found by running everything under strace, and a missing one is counted where it is refused. What
//! could do more than it is here for is bound to the arguments that we use.

use std::fmt;
use std::os::fd::RawFd;

use libc::c_long;

use crate::sys::ethtool;

/// What a thread is here for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Starts and stops the others, and waits.
    Main,
    /// Turns signals into events.
    Signals,
    /// Answers datagrams through a ring.
    ShardRing,
    /// Answers datagrams with recvmmsg and sendmmsg.
    ShardMmsg,
    /// Answers connections.
    Tcp,
    /// Serves statistics.
    Http,
    /// Reads the history for HTTP.
    Reader,
    /// Stores the history.
    Aggregator,
    /// Writes files for other programs.
    Exports,
    /// Does what the operator says over the control socket.
    Control,
    /// Writes the log, or that of queries.
    Log,
    /// Tells others of queries.
    Taps,
    /// Waits for another process: the one that this one succeeds, or the resolver.
    Elder,
    /// Says to the program in the driver that the node lives, and reads its counters.
    Xdp,
    /// Looks which addresses and VLANs the host has, and what drivers lost.
    XdpHost,
    /// Has the queries that may wait, and asks other servers.
    Worker,
    /// Resolves, in a process of its own.
    Resolver,
    /// Learns from beacons, in a process of its own.
    Learner,
}

impl Class {
    /// All of them, in their order.
    pub const ALL: [Self; 18] = [
        Self::Main,
        Self::Signals,
        Self::ShardRing,
        Self::ShardMmsg,
        Self::Tcp,
        Self::Http,
        Self::Reader,
        Self::Aggregator,
        Self::Exports,
        Self::Control,
        Self::Log,
        Self::Taps,
        Self::Elder,
        Self::Xdp,
        Self::XdpHost,
        Self::Worker,
        Self::Resolver,
        Self::Learner,
    ];

    /// Those that open files.
    #[cfg(test)]
    pub(super) const FILES: [Self; 6] =
        [Self::Main, Self::Reader, Self::Aggregator, Self::Exports, Self::Log, Self::Learner];

    /// As in labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Signals => "signals",
            Self::ShardRing => "shard-ring",
            Self::ShardMmsg => "shard-mmsg",
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Reader => "reader",
            Self::Aggregator => "aggregator",
            Self::Exports => "exports",
            Self::Control => "control",
            Self::Log => "log",
            Self::Taps => "taps",
            Self::Elder => "elder",
            Self::Xdp => "xdp",
            Self::XdpHost => "xdp-host",
            Self::Worker => "worker",
            Self::Resolver => "resolver",
            Self::Learner => "learner",
        }
    }

    /// Whether what it does can wait for those that answer queries.
    pub(super) const fn is_nice(self) -> bool {
        matches!(
            self,
            Self::Http | Self::Reader | Self::Aggregator | Self::Exports | Self::Taps | Self::Learner
        )
    }

    /// Whether signals that others send end it, or are what it is here for.
    pub(super) const fn takes_signals(self) -> bool {
        matches!(self, Self::Signals | Self::Resolver | Self::Learner)
    }

    /// Whether it starts threads, which are of the same class. None starts a process.
    pub(super) const fn starts_threads(self) -> bool {
        matches!(self, Self::Main)
    }

    /// What it may call. Of several entries for one call, any will do. Threads that hand queries over, and
    /// those that give them back, wake each other by writing to descriptors; workers connect to local sockets
    /// where an application does.
    pub(super) fn calls(self, granted: &Granted) -> Vec<Call> {
        let groups: &[&[Call]] = match self {
            Self::Main => &[FILES, STREAMS, THREADS, PASSAGE, PROGRAMS],
            Self::Signals => &[STDERR, STREAMS],
            Self::ShardRing => &[STDERR, RING, DATAGRAMS],
            Self::ShardMmsg => &[STDERR, DATAGRAMS],
            Self::Tcp => &[STREAMS, CONNECTIONS],
            Self::Http => &[STREAMS, CONNECTIONS, HOST_COUNTS],
            Self::Reader => &[STDERR, FILES],
            Self::Aggregator => &[STDERR, FILES],
            Self::Exports => &[STDERR, FILES],
            Self::Control => &[STREAMS, CONNECTIONS],
            Self::Log => &[FILES],
            Self::Taps => &[STREAMS, TAP_SOCKETS],
            Self::Elder => &[STREAMS, PASSAGE],
            // All that it shares is memory.
            Self::Xdp => &[STDERR],
            Self::XdpHost => &[STDERR, INTERFACES],
            Self::Worker => &[STDERR, UPSTREAMS],
            Self::Resolver => &[STREAMS, CONNECTIONS, UPSTREAMS, RESOLUTION],
            Self::Learner => &[STDERR, FILES],
        };
        let own = Call(libc::SYS_tgkill, Only::is(0, std::process::id()));
        let wakes = matches!(self, Self::ShardRing | Self::ShardMmsg | Self::Tcp | Self::Worker);
        let wakers = granted.wakers.iter().filter(|_| wakes);
        let wakers = wakers.map(|fd| Call(libc::SYS_write, Only::is(0, fd.cast_unsigned())));
        let local: &[Call] = if self == Self::Worker && granted.local_sockets { LOCAL_SOCKETS } else { &[] };
        let groups = groups.iter().flat_map(|group| group.iter()).chain(local);
        RUNTIME.iter().chain(groups).copied().chain([own]).chain(wakers).collect()
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What some threads may do besides, as the configuration has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Granted {
    /// What they wake each other with.
    pub(super) wakers: Vec<RawFd>,
    /// Workers connect to local sockets.
    pub(super) local_sockets: bool,
}

/// A system call that passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call(pub(super) c_long, pub(super) Only);

/// With which arguments.
#[derive(Clone, Copy, Debug)]
pub(super) enum Only {
    Any,
    /// Where an argument is as it should be.
    One(Argument),
    /// Where both are.
    Both([Argument; 2]),
}

/// The bits of `mask` in an argument's low 32 bits are those of `value`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argument {
    pub(super) index: u8,
    pub(super) mask: u64,
    pub(super) value: u64,
}

impl Argument {
    const fn is(index: u8, value: u32) -> Self {
        Self { index, mask: u32::MAX as u64, value: value as u64 }
    }
}

impl Only {
    /// Where the argument is that value.
    const fn is(index: u8, value: u32) -> Self {
        Self::One(Argument::is(index, value))
    }

    /// Where the argument has none of those bits.
    const fn without(index: u8, bits: i32) -> Self {
        Self::One(Argument { index, mask: bits.cast_unsigned() as u64, value: 0 })
    }
}

const fn any(number: c_long) -> Call {
    Call(number, Only::Any)
}

/// A call whose argument `index` must be `value`.
const fn with(number: c_long, index: u8, value: i32) -> Call {
    Call(number, Only::is(index, value.cast_unsigned()))
}

/// A socket of that domain and type, whatever flags come with the type.
const fn socket(domain: i32, kind: i32) -> Call {
    let kind = Argument { index: 1, mask: 0xF, value: kind.cast_unsigned() as u64 };
    Call(libc::SYS_socket, Only::Both([Argument::is(0, domain.cast_unsigned()), kind]))
}

/// This option of a socket.
const fn option(level: i32, name: i32) -> Call {
    let [level, name] = [level.cast_unsigned(), name.cast_unsigned()];
    Call(libc::SYS_setsockopt, Only::Both([Argument::is(1, level), Argument::is(2, name)]))
}

/// What every thread does: memory that holds no code, time, waiting for each other, its end and that of the
/// process.
const RUNTIME: &[Call] = &[
    // What a tracer makes of a call that it has answered itself; the kernel has none of this number.
    any(u32::MAX as c_long),
    Call(libc::SYS_mmap, Only::without(2, libc::PROT_EXEC)),
    Call(libc::SYS_mprotect, Only::without(2, libc::PROT_EXEC)),
    any(libc::SYS_munmap),
    any(libc::SYS_mremap),
    any(libc::SYS_madvise),
    any(libc::SYS_brk),
    with(libc::SYS_prctl, 0, libc::PR_SET_VMA),
    any(libc::SYS_futex),
    any(libc::SYS_sched_yield),
    any(libc::SYS_sched_getaffinity),
    any(libc::SYS_clock_gettime),
    any(libc::SYS_clock_nanosleep),
    any(libc::SYS_getrandom),
    any(libc::SYS_gettid),
    any(libc::SYS_getpid),
    any(libc::SYS_close),
    // In debug, std asks whether a descriptor is open before it closes it.
    with(libc::SYS_fcntl, 1, libc::F_GETFD),
    any(libc::SYS_rt_sigprocmask),
    any(libc::SYS_rt_sigaction),
    any(libc::SYS_rt_sigreturn),
    any(libc::SYS_sigaltstack),
    any(libc::SYS_restart_syscall),
    any(libc::SYS_exit),
    any(libc::SYS_exit_group),
];

/// To the launcher, and through it to a successor.
const PASSAGE: &[Call] =
    &[with(libc::SYS_socketpair, 0, libc::AF_UNIX), with(libc::SYS_setsockopt, 1, libc::SOL_SOCKET)];

/// To wait until a program in the driver has left what it reads (MEMBARRIER_CMD_GLOBAL).
const PROGRAMS: &[Call] = &[with(libc::SYS_membarrier, 0, 1)];

/// What a thread that is started does first. Whether one may be started is not decided by these tables: see
/// `filter.rs`.
const THREADS: &[Call] = &[
    any(libc::SYS_clone),
    any(libc::SYS_set_robust_list),
    any(libc::SYS_rseq),
    any(libc::SYS_prlimit64),
    with(libc::SYS_prctl, 0, libc::PR_SET_NAME),
];

/// Last words, where a thread writes nothing else.
const STDERR: &[Call] = &[with(libc::SYS_write, 0, 2), with(libc::SYS_writev, 0, 2)];

/// A ring that exists already; its end.
const RING: &[Call] = &[
    any(libc::SYS_io_uring_enter),
    // What an operation may be is also for the ring to say (ring/uring.rs).
    with(libc::SYS_io_uring_register, 1, 3),
    with(libc::SYS_io_uring_register, 1, 21),
];

/// Datagrams of sockets that exist already.
const DATAGRAMS: &[Call] = &[
    any(libc::SYS_recvmmsg),
    any(libc::SYS_sendmmsg),
    any(libc::SYS_ppoll),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_poll),
    any(libc::SYS_getsockopt),
    // At the end of a ring what is queued is answered with recvmmsg, which asks for the sockets' addresses.
    any(libc::SYS_getsockname),
    with(libc::SYS_setsockopt, 2, libc::SO_RCVTIMEO),
];

/// Sockets and pipes that exist already.
const STREAMS: &[Call] = &[
    any(libc::SYS_read),
    any(libc::SYS_readv),
    any(libc::SYS_write),
    any(libc::SYS_writev),
    any(libc::SYS_recvfrom),
    any(libc::SYS_sendto),
    any(libc::SYS_recvmsg),
    any(libc::SYS_sendmsg),
    any(libc::SYS_shutdown),
    any(libc::SYS_ppoll),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_poll),
    any(libc::SYS_epoll_pwait),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_epoll_wait),
    any(libc::SYS_epoll_ctl),
    with(libc::SYS_ioctl, 1, libc::FIONBIO as i32),
    with(libc::SYS_fcntl, 1, libc::F_GETFL),
    any(libc::SYS_getsockopt),
    any(libc::SYS_getsockname),
    any(libc::SYS_getpeername),
];

/// Connections that come in.
const CONNECTIONS: &[Call] = &[any(libc::SYS_accept4), with(libc::SYS_setsockopt, 1, libc::IPPROTO_TCP)];

/// Questions about interfaces, over a socket of rtnetlink that exists already.
const INTERFACES: &[Call] =
    &[any(libc::SYS_sendto), any(libc::SYS_recvfrom), with(libc::SYS_ioctl, 1, ethtool::SIOCETHTOOL)];

/// What the kernel counts for the host and the process, in files that are open; open descriptors are the
/// entries of a directory.
const HOST_COUNTS: &[Call] = &[any(libc::SYS_pread64), any(libc::SYS_lseek), any(libc::SYS_getdents64)];

/// Files, as far as landlock lets them be opened; what SQLite does with its own.
const FILES: &[Call] = &[
    any(libc::SYS_openat),
    // A reload asks for the host's name.
    any(libc::SYS_uname),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_open),
    any(libc::SYS_read),
    any(libc::SYS_pread64),
    any(libc::SYS_write),
    any(libc::SYS_pwrite64),
    any(libc::SYS_lseek),
    any(libc::SYS_fsync),
    any(libc::SYS_fdatasync),
    any(libc::SYS_ftruncate),
    any(libc::SYS_statx),
    any(libc::SYS_fstat),
    any(libc::SYS_newfstatat),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_stat),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_lstat),
    any(libc::SYS_faccessat),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_access),
    any(libc::SYS_getcwd),
    any(libc::SYS_readlinkat),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_readlink),
    any(libc::SYS_getdents64),
    any(libc::SYS_mkdirat),
    any(libc::SYS_renameat),
    any(libc::SYS_unlinkat),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_mkdir),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_rename),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_unlink),
    any(libc::SYS_fchmod),
    any(libc::SYS_geteuid),
    with(libc::SYS_fcntl, 1, libc::F_SETFD),
    with(libc::SYS_fcntl, 1, libc::F_GETLK),
    with(libc::SYS_fcntl, 1, libc::F_SETLK),
    with(libc::SYS_fcntl, 1, libc::F_OFD_SETLK),
    with(libc::SYS_fcntl, 1, libc::F_GETFL),
    with(libc::SYS_fcntl, 1, libc::F_DUPFD_CLOEXEC),
];

/// Connections to the receiver of a tap; of TCP, landlock checks the port.
const TAP_SOCKETS: &[Call] = &[
    with(libc::SYS_socket, 0, libc::AF_UNIX),
    with(libc::SYS_socket, 0, libc::AF_INET),
    with(libc::SYS_socket, 0, libc::AF_INET6),
    any(libc::SYS_connect),
    any(libc::SYS_setsockopt),
];

/// Local sockets of applications.
const LOCAL_SOCKETS: &[Call] =
    &[socket(libc::AF_UNIX, libc::SOCK_STREAM), socket(libc::AF_UNIX, libc::SOCK_DGRAM)];

/// Sockets for single queries, each bound to a port by chance.
const RESOLUTION: &[Call] = &[any(libc::SYS_bind), any(libc::SYS_setsockopt)];

/// Replies on the sockets of shards; queries to upstreams, over sockets that it opens and binds to random
/// ports. Of TCP, landlock checks the port that is connected to, and lets none be bound.
const UPSTREAMS: &[Call] = &[
    any(libc::SYS_sendmmsg),
    any(libc::SYS_recvmmsg),
    any(libc::SYS_recvfrom),
    any(libc::SYS_sendto),
    any(libc::SYS_readv),
    any(libc::SYS_writev),
    any(libc::SYS_shutdown),
    any(libc::SYS_epoll_pwait),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_epoll_wait),
    any(libc::SYS_epoll_ctl),
    any(libc::SYS_getsockopt),
    any(libc::SYS_getsockname),
    any(libc::SYS_getpeername),
    option(libc::IPPROTO_TCP, libc::TCP_NODELAY),
    option(libc::SOL_SOCKET, libc::SO_RCVBUF),
    option(libc::IPPROTO_IP, libc::IP_RECVERR),
    option(libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    option(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
    // What came of datagrams that nobody took.
    any(libc::SYS_recvmsg),
    with(libc::SYS_ioctl, 1, libc::FIONBIO as i32),
    any(libc::SYS_bind),
    socket(libc::AF_INET, libc::SOCK_DGRAM),
    socket(libc::AF_INET6, libc::SOCK_DGRAM),
    socket(libc::AF_INET, libc::SOCK_STREAM),
    socket(libc::AF_INET6, libc::SOCK_STREAM),
    any(libc::SYS_connect),
];
