//! What is given up cannot be taken back, so each test does it in a child of its own: a fork of the test's
//! thread alone, as the process is when it is confined.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::path::Path;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use super::*;
use crate::sys::user;

/// Runs `test` in a child that has no other thread. What it asserts, it asserts there.
fn in_a_child(test: impl FnOnce() + std::panic::UnwindSafe) {
    // SAFETY: the child has this thread alone, and goes on with code that takes no lock that another thread
    // of the parent could have held: the C library's own, of memory, it has made sound.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "a process more");
    if child == 0 {
        // SAFETY: a plain number. Threads of the parent may have held locks that a failing test needs.
        unsafe { libc::alarm(60) };
        let passed = std::panic::catch_unwind(test).is_ok();
        // SAFETY: ends the child at once, without the parent's handlers.
        unsafe { libc::_exit(if passed { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: `status` is ours to be written to; `child` is our child.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0), "see above what failed in the child");
}

/// Folders that anybody may use, of which a plan knows two.
struct Folders {
    all: tempfile::TempDir,
    plan: Plan,
}

impl Folders {
    fn new() -> Self {
        let all = tempfile::tempdir().unwrap();
        let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        open(all.path());
        for name in ["read", "write", "neither"] {
            fs::create_dir(all.path().join(name)).unwrap();
            open(&all.path().join(name));
            fs::write(all.path().join(name).join("file"), name).unwrap();
        }
        let plan = Plan {
            read: vec![all.path().join("read"), "/proc".into()],
            write: vec![all.path().join("write"), all.path().join("write/made")],
            ..Plan::default()
        };
        Self { all, plan }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.all.path().join(path)
    }
}

fn errno<T>(result: io::Result<T>) -> i32 {
    result.err().and_then(|error| error.raw_os_error()).unwrap_or(0)
}

fn status(line: &str) -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let value = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(":\t"));
    value.unwrap().to_owned()
}

/// Makes `call` fail with `errno` for this thread, as an old kernel or a sandbox does.
fn without(call: i64, errno: i32) {
    let rules = BTreeMap::from([(call, Vec::new())]);
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let errno = SeccompAction::Errno(errno.cast_unsigned());
    let filter: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, errno, arch).unwrap().try_into().unwrap();
    seccompiler::apply_filter(&filter).unwrap();
}

#[test]
fn user_and_capabilities_are_gone() {
    let was_root = user::is_root();
    in_a_child(|| {
        let confined = process(&Plan { landlock: Want::Off, ..Plan::default() }).unwrap();
        let none = "0000000000000000";
        assert_eq!(status("CapEff"), none);
        assert_eq!(status("CapPrm"), none);
        assert_eq!(status("CapInh"), none);
        assert_eq!(status("CapAmb"), none);
        assert_eq!(status("NoNewPrivs"), "1");
        assert!(!user::is_root());
        if was_root {
            assert_eq!(status("CapBnd"), none);
            assert!(rights::USERS.contains(&confined.user.as_str()), "{confined:?}");
            // SAFETY: plain numbers; it must fail.
            assert_eq!(unsafe { libc::setuid(0) }, -1);
        } else {
            assert_eq!(confined.user, format!("uid {}", user::own_uid()));
        }
    });
}

#[test]
fn threads_that_would_stay_as_they_are_are_an_error() {
    in_a_child(|| {
        let (_keep, until) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || until.recv());
        assert!(matches!(process(&Plan::default()), Err(ConfineError::Threads(2))));
        drop(_keep);
        let _ = other.join();
    });
}

#[test]
fn a_user_that_was_asked_for_is_had_or_is_an_error() {
    let plan = Plan { user: Some("no-such-user-here".to_owned()), ..Plan::default() };
    in_a_child(move || {
        let error = process(&plan).unwrap_err().to_string();
        assert!(error.starts_with("cannot become user no-such-user-here: no such user"), "{error}");
    });
}

#[test]
fn files_and_ports_are_those_of_the_plan() {
    let folders = Folders::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let [known, unknown] = [&listener, &other].map(|listener| listener.local_addr().unwrap());
    let name = UnixAddr::from_abstract_name(format!("as112d-test-{}", std::process::id())).unwrap();
    let _unix = UnixListener::bind_addr(&name).unwrap();
    let plan = Plan { connect: vec![known.port()], ..folders.plan.clone() };
    let folders = std::panic::AssertUnwindSafe(folders);
    in_a_child(move || {
        let opened = fs::File::open(folders.at("neither/file")).unwrap();
        let confined = process(&plan).unwrap();
        if confined.landlock.starts_with("off") {
            eprintln!("skipped: landlock is {}", confined.landlock);
            return;
        }
        assert_eq!(fs::read(folders.at("read/file")).unwrap(), b"read");
        assert_eq!(fs::read_dir(folders.at("read")).unwrap().count(), 1);
        let denied = [libc::EACCES, libc::EPERM];
        for result in [
            fs::read(folders.at("neither/file")).map(|_| ()),
            fs::read_dir(folders.at("neither")).map(|_| ()),
            fs::write(folders.at("neither/new"), "").map(|_| ()),
            fs::write(folders.at("read/new"), ""),
            fs::create_dir(folders.at("read/new")),
            fs::remove_file(folders.at("read/file")),
            fs::rename(folders.at("write/file"), folders.at("read/moved")),
            std::os::unix::fs::symlink("file", folders.at("write/link")),
            fs::read("/etc/hostname").map(|_| ()),
            std::process::Command::new("/bin/true").status().map(|_| ()),
        ] {
            let errno = errno(result);
            assert!(denied.contains(&errno) || errno == libc::EXDEV, "errno {errno}");
        }
        // What was open is, and what is written to can be.
        assert_eq!(io::read_to_string(opened).unwrap(), "neither");
        fs::create_dir_all(folders.at("write/made/below")).unwrap();
        let mut file = fs::File::create(folders.at("write/made/below/new")).unwrap();
        file.write_all(b"12").unwrap();
        file.set_len(1).unwrap();
        fs::rename(folders.at("write/made/below/new"), folders.at("write/made/below/renamed")).unwrap();
        assert_eq!(fs::read(folders.at("write/made/below/renamed")).unwrap(), b"1");
        fs::remove_file(folders.at("write/made/below/renamed")).unwrap();
        // Where the kernel has rules for them.
        if confined.landlock == "on" {
            TcpStream::connect(known).unwrap();
            assert_eq!(errno(TcpStream::connect(unknown)), libc::EACCES);
            assert_eq!(errno(TcpListener::bind("127.0.0.1:0")), libc::EACCES);
            assert!(denied.contains(&errno(UnixStream::connect_addr(&name))));
        }
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    });
}

#[test]
fn a_folder_that_is_not_there_is_told_and_no_error() {
    let plan = Plan { read: vec!["/no/such/folder".into()], ..Plan::default() };
    in_a_child(move || {
        let confined = process(&plan).unwrap();
        let told = "/no/such/folder does not exist; it can only be used after a restart";
        assert!(confined.landlock.starts_with("off") || confined.notes[0] == told, "{confined:?}");
    });
}

#[test]
fn what_is_required_is_had_or_there_is_no_start() {
    for (call, errno) in [
        (libc::SYS_landlock_create_ruleset, libc::ENOSYS),
        (libc::SYS_landlock_create_ruleset, libc::EOPNOTSUPP),
        (libc::SYS_landlock_restrict_self, libc::EPERM),
    ] {
        in_a_child(move || {
            without(call, errno);
            let error = process(&Plan { landlock: Want::Required, ..Plan::default() }).unwrap_err();
            assert!(error.to_string().starts_with("landlock is required but not available: "), "{error}");
        });
        in_a_child(move || {
            without(call, errno);
            let confined = process(&Plan::default()).unwrap();
            assert!(confined.landlock.starts_with("off ("), "{confined:?}");
            assert!(
                confined.notes[0].starts_with("file access is not restricted (landlock): "),
                "{confined:?}"
            );
        });
    }
    in_a_child(|| {
        without(libc::SYS_seccomp, libc::EINVAL);
        let error = process(&Plan { seccomp: Want::Required, ..Plan::default() }).unwrap_err().to_string();
        assert!(error.starts_with("seccomp is required but not available: "), "{error}");
    });
    in_a_child(|| {
        without(libc::SYS_seccomp, libc::EINVAL);
        let confined = process(&Plan::default()).unwrap();
        assert!(confined.notes.last().unwrap().starts_with("no system call filter: "), "{confined:?}");
        confined.thread(Class::Tcp).expect("it does without");
        fs::File::open("/proc/self/status").expect_err("landlock");
    });
    in_a_child(|| {
        let off = Plan { landlock: Want::Off, seccomp: Want::Off, ..Plan::default() };
        let confined = process(&off).unwrap();
        confined.thread(Class::ShardRing).unwrap();
        fs::File::open("/proc/self/status").expect("nothing keeps it from that");
    });
}

/// A call that no class makes, or not this one, and how it ends.
fn refused_calls(class: Class) -> Vec<(&'static str, io::Result<()>)> {
    // SAFETY: each call has plain numbers or C strings as its arguments, and must fail.
    let call = |number, arguments: [usize; 4]| unsafe {
        libc::syscall(number, arguments[0], arguments[1], arguments[2], arguments[3])
    };
    let result = |result: i64| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    let path = c"/bin/true".as_ptr() as usize;
    let (inet, stream) = (libc::AF_INET as usize, libc::SOCK_STREAM as usize);
    let (netlink, raw) = (libc::AF_NETLINK as usize, libc::SOCK_RAW as usize);
    let exec = (libc::PROT_READ | libc::PROT_EXEC) as usize;
    let private = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    let mut calls = vec![
        ("execve", libc::SYS_execve, [path, 0, 0, 0]),
        ("socket", libc::SYS_socket, [netlink, raw, 0, 0]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [8, 0, 0, 0]),
        ("mmap", libc::SYS_mmap, [0, 4096, exec, private]),
        ("kill", libc::SYS_kill, [1, 0, 0, 0]),
        ("ptrace", libc::SYS_ptrace, [0, 0, 0, 0]),
        ("setuid", libc::SYS_setuid, [0, 0, 0, 0]),
        ("seccomp", libc::SYS_seccomp, [0, 0, 0, 0]),
        ("bpf", libc::SYS_bpf, [0, 0, 0, 0]),
        ("memfd_create", libc::SYS_memfd_create, [path, 0, 0, 0]),
    ];
    if class == Class::Worker {
        let timestamps = libc::SO_TIMESTAMP as usize;
        calls.push(("setsockopt", libc::SYS_setsockopt, [0, libc::SOL_SOCKET as usize, timestamps, 0]));
    }
    let asks = matches!(class, Class::Worker | Class::Resolver);
    if asks {
        calls.push(("socket", libc::SYS_socket, [inet, raw, 0, 0]));
        calls.push(("socket", libc::SYS_socket, [libc::AF_UNIX as usize, stream, 0, 0]));
    } else if class != Class::Taps {
        calls.push(("socket", libc::SYS_socket, [inet, stream, 0, 0]));
    }
    if !asks {
        calls.push(("bind", libc::SYS_bind, [0, 0, 0, 0]));
    }
    if !Class::FILES.contains(&class) {
        calls.push(("openat", libc::SYS_openat, [usize::MAX, path, 0, 0]));
    }
    if class != Class::ShardRing {
        calls.push(("io_uring_enter", libc::SYS_io_uring_enter, [0, 0, 0, 0]));
    }
    calls.into_iter().map(|(name, number, arguments)| (name, result(call(number, arguments)))).collect()
}

#[test]
fn a_refused_call_is_an_error_and_is_counted() {
    for class in Class::ALL {
        in_a_child(move || {
            let confined = process(&Plan { landlock: Want::Off, ..Plan::default() }).unwrap();
            if confined.seccomp != "on" {
                eprintln!("skipped: seccomp is {}", confined.seccomp);
                return;
            }
            let tried = std::thread::spawn(move || {
                confined.thread(class).unwrap();
                refused_calls(class)
            });
            let tried = tried.join().unwrap();
            let mut expected = BTreeMap::<&str, u32>::new();
            for (name, result) in tried {
                *expected.entry(name).or_default() += 1;
                assert_eq!(errno(result), libc::EPERM, "{name} of {class}");
            }
            let counted = refused();
            assert!(counted.iter().all(|refused| refused.class == class), "{counted:?}");
            let counted: BTreeMap<&str, u32> =
                counted.iter().map(|refused| (refused.call, refused.count)).collect();
            assert_eq!(counted, expected, "{class}");
            // Others are as they were.
            fs::File::open("/proc/self/status").unwrap();
        });
    }
}

/// A thread that hands queries over writes to the descriptors of those who take them, and to no others.
#[test]
fn those_who_wake_each_other_write_to_the_wakers_alone() {
    in_a_child(|| {
        let confined = process(&Plan { landlock: Want::Off, ..Plan::default() }).unwrap();
        if confined.seccomp != "on" {
            eprintln!("skipped: seccomp is {}", confined.seccomp);
            return;
        }
        let event = || {
            // SAFETY: plain numbers.
            let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK) };
            assert!(fd > 2);
            fd
        };
        let (waker, other) = (event(), event());
        for class in [Class::ShardRing, Class::ShardMmsg, Class::Worker, Class::Aggregator, Class::Taps] {
            let confined = confined.with_wakers(vec![waker]);
            let wrote = std::thread::spawn(move || {
                confined.thread(class).unwrap();
                [waker, other].map(|fd| {
                    let one = 1_u64.to_ne_bytes();
                    // SAFETY: `one` is read during the call.
                    unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) == 8 }
                })
            });
            // Those that write to files and sockets may write to any descriptor.
            let expected = [true, matches!(class, Class::Aggregator | Class::Taps)];
            assert_eq!(wrote.join().unwrap(), expected, "{class}");
        }
    });
}

#[test]
fn a_worker_asks_over_udp_and_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    in_a_child(move || {
        let confined = process(&Plan { connect: vec![at.port()], ..Plan::default() }).unwrap();
        let asked = std::thread::spawn(move || {
            confined.thread(Class::Worker).unwrap();
            let mut stream = TcpStream::connect(at)?;
            stream.set_nodelay(true)?;
            stream.write_all(b"query")?;
            crate::sys::datagrams::open(false, 1 << 16)?;
            // A host may have no IPv6.
            let ipv6 = crate::sys::datagrams::open(true, 1 << 16).map(|_| ());
            assert_ne!(errno(ipv6), libc::EPERM);
            io::Result::Ok(())
        });
        asked.join().unwrap().unwrap();
        assert_eq!(refused(), []);
    });
}

#[test]
fn a_worker_connects_to_local_sockets_only_where_an_application_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    // The process becomes another user.
    for open in [folder.path(), &path] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o777)).unwrap();
    }
    in_a_child(move || {
        let confined = process(&Plan { landlock: Want::Off, ..Plan::default() }).unwrap();
        if confined.seccomp != "on" {
            eprintln!("skipped: seccomp is {}", confined.seccomp);
            return;
        }
        for granted in [true, false] {
            let (confined, path) = (confined.with_local_sockets(granted), path.clone());
            let connected = std::thread::spawn(move || {
                confined.thread(Class::Worker).unwrap();
                let mut stream = mio::net::UnixStream::connect(path)?;
                assert_eq!(stream.write_vectored(&[io::IoSlice::new(b"line")])?, 4);
                mio::net::UnixDatagram::unbound().map(|_| ())
            });
            match granted {
                true => connected.join().unwrap().unwrap(),
                false => assert_eq!(errno(connected.join().unwrap()), libc::EPERM),
            }
        }
    });
}

#[test]
fn a_thread_starts_no_other_and_no_process() {
    in_a_child(|| {
        let confined = process(&Plan::default()).unwrap();
        if confined.seccomp != "on" {
            eprintln!("skipped: seccomp is {}", confined.seccomp);
            return;
        }
        let started = std::thread::spawn(move || {
            confined.thread(Class::Http).unwrap();
            [
                std::thread::Builder::new().spawn(|| ()).map(|_| ()),
                std::process::Command::new("/bin/true").spawn().map(|_| ()),
                // SAFETY: a plain number; it must fail.
                match unsafe { libc::fork() } {
                    -1 => Err(io::Error::last_os_error()),
                    _ => Ok(()),
                },
            ]
        });
        for result in started.join().unwrap() {
            assert_eq!(errno(result), libc::EPERM);
        }
    });
}

#[test]
fn a_thread_that_may_starts_others_like_itself_and_no_process() {
    in_a_child(|| {
        let confined = process(&Plan { landlock: Want::Off, ..Plan::default() }).unwrap();
        if confined.seccomp != "on" {
            eprintln!("skipped: seccomp is {}", confined.seccomp);
            return;
        }
        let started = std::thread::spawn(move || {
            confined.thread(Class::Main).unwrap();
            let other = std::thread::Builder::new().name("other".to_owned()).spawn(|| {
                // SAFETY: plain numbers; it must fail.
                let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) };
                (socket, io::Error::last_os_error().raw_os_error())
            });
            assert_eq!(other.unwrap().join().unwrap(), (-1, Some(libc::EPERM)));
            std::process::Command::new("/bin/true").spawn().map(|_| ())
        });
        assert_eq!(errno(started.join().unwrap()), libc::EPERM);
    });
}

#[test]
fn signals_go_to_the_thread_that_is_here_for_them() {
    in_a_child(|| {
        let confined = process(&Plan { landlock: Want::Off, ..Plan::default() }).unwrap();
        if confined.seccomp != "on" {
            eprintln!("skipped: seccomp is {}", confined.seccomp);
            return;
        }
        for class in Class::ALL {
            let confined = confined.clone();
            let blocked = std::thread::spawn(move || {
                confined.thread(class).unwrap();
                // SAFETY: zero is a value of `sigset_t`, the empty set.
                let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
                // SAFETY: nothing is changed; `set` is ours to be written to.
                unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut set) };
                [libc::SIGTERM, libc::SIGHUP, libc::SIGSYS].map(|signal| {
                    // SAFETY: `set` is read during the call.
                    unsafe { libc::sigismember(&raw const set, signal) == 1 }
                })
            });
            let others = !matches!(class, Class::Signals | Class::Resolver | Class::Learner);
            assert_eq!(blocked.join().unwrap(), [others, others, false], "{class}");
        }
    });
}

#[test]
fn what_a_tracer_answers_is_left_to_it() {
    in_a_child(|| {
        let confined = process(&Plan::default()).unwrap();
        let tried = std::thread::spawn(move || {
            confined.thread(Class::Signals).unwrap();
            // SAFETY: there is no call of that number.
            let result = unsafe { libc::syscall(-1) };
            (result, io::Error::last_os_error().raw_os_error())
        });
        assert_eq!(tried.join().unwrap(), (-1, Some(libc::ENOSYS)));
        assert_eq!(refused(), []);
    });
}
