//! The control socket: a line that asks, a line of JSON that answers.
//!
//! ```text
//! as112d 1 reload
//! {"need_restart":[],"ok":true,"zones":24}
//! ```
//!
//! `watch` is answered by a line with the state now and one at each change, until the process ends. So is
//! `announce`, whose client then sends the state of its routes, lines of JSON
//! ([`Report`](crate::announce::report::Report)), and `health`, whose client sends which PoPs are up
//! ([`Report`](crate::pops::Report)). Who may open the socket may do everything: it has the mode
//! 0660, in a directory of its own; who ordered what is logged.

pub mod client;
mod hall;
pub mod orders;
pub mod questions;

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use crossbeam_channel::Sender;
use tokio::net::UnixListener;
use tokio::select;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::board::{Board, State};
use crate::config::doors::{ControlPath, default_path};
use crate::control::orders::Order;
use crate::limits::{CONTROL_ACCEPT_PAUSE, CONTROL_CLIENTS_MAX, CONTROL_STEP_MAX, CONTROL_STOP_MAX};
use crate::net::{self, Event};
use crate::sys::confine::{Class, Confined};
use crate::sys::files;
use crate::sys::inherited::Inherited;

pub use client::GREETING;
pub use hall::{ANNOUNCE, HEALTH, WATCH};

/// What came of the wish for a control socket.
#[derive(Debug)]
pub(super) enum Opened {
    /// A listener, and where it is.
    At(StdListener, PathBuf),
    /// None; and why, unless none is wanted.
    None(String),
}

impl Opened {
    /// The directory that it is in.
    pub(super) fn dir(&self) -> Option<&Path> {
        match self {
            Self::At(_, path) => path.parent(),
            Self::None(_) => None,
        }
    }

    /// What an operator wants to know of it.
    pub(super) fn line(&self) -> String {
        match self {
            Self::At(_, path) => format!("control: {}", path.display()),
            Self::None(reason) => format!("control: off{reason}"),
        }
    }
}

/// Opens the socket. The file of a node that has ended is replaced.
///
/// # Errors
/// If the configured path is not available, and what to do.
pub(super) fn open(wanted: &ControlPath, inherited: &mut Inherited) -> Result<Opened, String> {
    let mut bind = |path: &Path| adopt(path, inherited).map_or_else(|| bind(path), Ok);
    let way_out = "choose another path with --control, or give --control off";
    match wanted {
        ControlPath::Off => Ok(Opened::None(String::new())),
        ControlPath::At(path) => match bind(path) {
            Ok(listener) => Ok(Opened::At(listener, path.clone())),
            Err(error) => {
                Err(format!("cannot open the control socket {}: {error}; {way_out}", path.display()))
            }
        },
        ControlPath::IfFree => {
            let Some(path) = default_path() else {
                return Ok(Opened::None("; XDG_RUNTIME_DIR is not set (give --control a path)".to_owned()));
            };
            Ok(match bind(&path) {
                Ok(listener) => Opened::At(listener, path),
                Err(error) => {
                    let path = path.display();
                    Opened::None(format!("; {path}: {error} (choose another path with --control)"))
                }
            })
        }
    }
}

/// The socket at `path` that was there before this process, if its file still is.
fn adopt(path: &Path, inherited: &mut Inherited) -> Option<StdListener> {
    let listener = inherited.take_unix(|found| found == path || is_nameless(found, path))?;
    let is_there = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    listener.set_nonblocking(true).ok().filter(|()| is_there).map(|()| listener)
}

/// Where a socket is bound before it gets the name `path`, by the process with this number.
fn nameless(path: &Path, process: u32) -> PathBuf {
    path.with_extension(format!("{process}.new"))
}

/// Whether `found` may be such a place: that is what the kernel knows of the socket.
fn is_nameless(found: &Path, path: &Path) -> bool {
    let process = found.file_stem().map(Path::new).and_then(Path::extension);
    let process = process.and_then(|process| process.to_str()?.parse().ok());
    process.is_some_and(|process| nameless(path, process) == found)
}

/// Binds `path`, where nobody may answer. The socket has its mode before it has its name.
fn bind(path: &Path) -> io::Result<StdListener> {
    if StdStream::connect(path).is_ok() {
        let status = client::status(&[path.to_owned()], CONTROL_STEP_MAX).unwrap_or_default();
        let process = status["pid"].as_u64().map_or_else(String::new, |pid| format!(" (process {pid})"));
        let message = format!("another node answers there{process}");
        return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
    }
    make_dir(path)?;
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is not a socket"));
        }
        _ => {}
    }
    let nameless = nameless(path, std::process::id());
    let listener = StdListener::bind(&nameless)?;
    let named = files::set_socket_mode(&nameless, 0o660)
        .and_then(|()| listener.set_nonblocking(true))
        .and_then(|()| fs::rename(&nameless, path));
    if let Err(error) = named {
        // What is left of it is in nobody's way.
        let _ = fs::remove_file(&nameless);
        return Err(error);
    }
    Ok(listener)
}

/// Makes the directory of `path`. The one above it must be there: a path that was mistyped makes no tree.
fn make_dir(path: &Path) -> io::Result<()> {
    let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) else { return Ok(()) };
    match fs::create_dir(dir) {
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = dir.parent().unwrap_or(dir).display();
            Err(io::Error::new(error.kind(), format!("the directory {above} does not exist")))
        }
        made => made,
    }
}

use hall::{Hall, Leave};

/// The thread that speaks with clients.
#[derive(Debug)]
pub(super) struct Control {
    /// None once a successor tells those who watch.
    state: Option<watch::Sender<State>>,
    leave: Arc<Leave>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    path: Option<PathBuf>,
}

impl Control {
    /// Serves clients of `opened`, once it is told to [`begin`](Self::begin): their orders go to `orders`,
    /// and those who watch are told how the node of `board` is.
    ///
    /// # Errors
    /// If there can be no such thread.
    pub(super) fn start(
        opened: Opened,
        orders: Sender<Order>,
        events: &Sender<Event>,
        board: &Board,
    ) -> io::Result<Self> {
        let (state, watched) = watch::channel(board.life.state());
        let (leave, stop) = (Arc::<Leave>::default(), Arc::new(Notify::new()));
        leave.change(true);
        let state = Some(state);
        let Opened::At(listener, path) = opened else {
            return Ok(Self { state, leave, stop, thread: None, path: None });
        };
        let (stopped, confined) = (Arc::clone(&stop), board.confined.clone());
        let hall = Hall {
            orders,
            state: watched,
            leave: Arc::clone(&leave),
            watchers: Arc::default(),
            announcers: board.announcers.clone(),
            log: board.log.clone(),
        };
        let run = move || run(listener, hall, &stopped, &confined);
        let thread = Some(net::spawn("control".to_owned(), events.clone(), run)?);
        Ok(Self { state, leave, stop, thread, path: Some(path) })
    }

    /// Tells those who watch.
    pub(super) fn tell(&self, state: State) {
        if let Some(told) = &self.state {
            told.send_replace(state);
        }
    }

    /// Nobody else serves clients from now on.
    pub(super) fn begin(&self) {
        self.leave.change(false);
    }

    /// Leaves the socket, and those who watch, to a successor that has it too. Who has asked for something
    /// gets the answer here.
    pub(super) fn leave(&mut self) {
        self.leave.change(true);
        self.state = None;
    }

    /// The successor can be controlled at `path`. Its file is that one's; one elsewhere is nobody's.
    pub(super) fn left_to(&mut self, path: Option<&Path>) {
        self.path.take_if(|own| path == Some(own.as_path()));
    }

    /// Where the socket is.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    /// Ends the thread, once clients have their answers, and takes the socket away.
    pub(super) fn stop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
        if let Some(path) = self.path.take() {
            // Somebody may have taken it away before.
            let _ = fs::remove_file(path);
        }
    }
}

fn run(listener: StdListener, hall: Hall, stop: &Notify, confined: &Confined) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot start the event loop: {error}");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(failed)?;
    confined.thread(Class::Control)?;
    runtime.block_on(async {
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        // One count is the loop's own.
        let (hall, open) = (Arc::new(hall), Arc::new(()));
        let leave = Arc::clone(&hall.leave);
        loop {
            let is_left = leave.is_left.load(Ordering::Relaxed);
            select! {
                () = stop.notified() => break,
                () = leave.news.notified() => {}
                accepted = listener.accept(), if !is_left => match accepted {
                    Ok((stream, _)) if Arc::strong_count(&open) <= CONTROL_CLIENTS_MAX => {
                        let (hall, open) = (Arc::clone(&hall), Arc::clone(&open));
                        tokio::spawn(async move {
                            // What a client makes of its connection is its own affair.
                            let _ = hall.exchange(stream).await;
                            drop(open);
                        });
                    }
                    Ok(_) => {}
                    // Out of descriptors, it may be: so would be the next.
                    Err(_) => sleep(CONTROL_ACCEPT_PAUSE).await,
                },
            }
        }
        // The last answers are on their way.
        let answered = async {
            while Arc::strong_count(&open) > 1 {
                sleep(CONTROL_STOP_MAX / 100).await;
            }
        };
        let _ = timeout(CONTROL_STOP_MAX, answered).await;
        Ok(())
    })
}
