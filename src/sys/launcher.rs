//! The launcher: a process that starts the successor of this one.
//!
//! It is forked before this process has threads, opens anything or drops any privilege, and waits. When it is
//! told to, it starts the program that this one was started from, by the same path and with the same
//! arguments, as the file may hold a newer version by then. What this process may no longer do, its successor
//! then may: bind low ports, read as root, set up its own confinement. It also starts the resolver, which is
//! the same program by its subcommand, with the same configuration. Nothing that the launcher is told can
//! change what it starts. It ends with its daemon.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, iter, ptr};

use super::memory::forget_code;
use super::passing::Passage;

/// Where a successor finds its end of the pair, and how it learns of it.
const DESCRIPTOR: i32 = 3;
const VARIABLE: &str = "AS112D_HANDOVER";
/// What a service manager said to the first of us: no matter of its successors.
const NOT_PASSED_ON: [&str; 4] = ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_PID"];

/// No descriptor of a process that just begins is above this.
const DESCRIPTORS_BEFORE: libc::c_uint = 255;

/// What a resolver says when it takes queries.
pub const READY: &[u8] = b"ready";

/// What the launcher is told.
const LAUNCH: u8 = b'L';
const KILL: u8 = b'K';
const LAUNCH_RESOLVER: u8 = b'R';
const KILL_RESOLVER: u8 = b'E';

/// The bytes of a question: what, and its number.
const QUESTION_LEN: usize = 5;

/// How often a program is started at the most. It is done by hand, or by a package.
const LAUNCH_EVERY: Duration = Duration::from_secs(1);
/// How long the launcher may take to start a program, or to kill it, and what it says of it in bytes. It
/// needs milliseconds, but for [`LAUNCH_EVERY`] and for two times [`ENDING_LOOKS_MAX`].
const ANSWER_MAX: Duration = Duration::from_secs(5);
const ANSWER_LEN_MAX: usize = 8 << 10;
/// How often it is looked whether it ends by itself, and how many times.
const ENDING_LOOK: Duration = Duration::from_millis(10);
const ENDING_LOOKS_MAX: usize = 30;

/// The daemon's side.
#[derive(Debug)]
pub struct Launcher {
    line: Passage,
    /// The number of the last question.
    asked: Mutex<u32>,
    /// How long an answer may take.
    patience: Duration,
}

impl Launcher {
    const fn new(line: Passage) -> Self {
        Self { line, asked: Mutex::new(0), patience: ANSWER_MAX }
    }
}

/// What a launcher starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// This one: its path as it was called (a symbolic link may lead to a newer one by then), and its
    /// arguments.
    ///
    /// # Errors
    /// If nothing tells the path.
    pub fn this() -> io::Result<Self> {
        let mut arguments = std::env::args_os();
        let called = arguments.next().map(PathBuf::from).filter(|path| path.components().count() > 1);
        let path = called.map_or_else(std::env::current_exe, std::path::absolute)?;
        Ok(Self { path, arguments: arguments.collect() })
    }

    /// The resolver of this program, with the configuration in that file.
    ///
    /// # Errors
    /// If nothing tells the path.
    pub fn resolver(config: Option<&Path>) -> io::Result<Self> {
        let file = config.iter().flat_map(|path| ["--config".into(), path.as_os_str().to_owned()]);
        let arguments = iter::once("resolver".into()).chain(file).collect();
        Ok(Self { path: Self::this()?.path, arguments })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts it with `line` as its descriptor [`DESCRIPTOR`].
    fn start(&self, line: OwnedFd) -> io::Result<Child> {
        let image = Image::new(self)?;
        let become_it = move || {
            // SAFETY: plain numbers; in this child nothing of ours is descriptor 3, unless `line` is.
            let given = unsafe { libc::dup2(line.as_raw_fd(), DESCRIPTOR) };
            if given == line.as_raw_fd() {
                // SAFETY: plain numbers; a descriptor that is there already keeps its flags with dup2.
                unsafe { libc::fcntl(DESCRIPTOR, libc::F_SETFD, 0) };
            }
            if given < 0 {
                return Err(io::Error::last_os_error());
            }
            // A child begins with the signals that its parent blocks, and the launcher blocks all.
            // SAFETY: zero is a value of the type: an empty set.
            let none: libc::sigset_t = unsafe { std::mem::zeroed() };
            // SAFETY: `none` is read during the call only; nothing is to be written.
            unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()) };
            Err(image.execute())
        };
        let mut command = Command::new(&self.path);
        // SAFETY: `become_it` makes four system calls and touches no memory but its own: this is sound
        // between fork and exec even if the process had threads.
        unsafe { command.pre_exec(become_it) };
        // The exec of `Command` is never reached: it would take a file that is no program for a script of the
        // shell.
        command.spawn()
    }
}

/// What execve(2) takes.
struct Image {
    path: CString,
    /// What the pointers point to.
    _strings: [Vec<CString>; 2],
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
}

// SAFETY: the pointers point to the heap memory of `_strings`, which nobody changes and which moves with
// them.
unsafe impl Send for Image {}
// SAFETY: nothing in it can be changed through a shared reference.
unsafe impl Sync for Image {}

impl Image {
    fn new(program: &Program) -> io::Result<Self> {
        let c_string = |bytes: &[u8]| CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into());
        let path = c_string(program.path.as_os_str().as_bytes())?;
        let arguments = program.arguments.iter().map(|argument| c_string(argument.as_bytes()));
        let arguments: io::Result<Vec<CString>> = iter::once(Ok(path.clone())).chain(arguments).collect();
        let kept = std::env::vars_os().filter(|(name, _)| {
            name.to_str().is_none_or(|name| name != VARIABLE && !NOT_PASSED_ON.contains(&name))
        });
        let kept = kept.map(|(name, value)| c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat()));
        let ours = c_string(format!("{VARIABLE}={DESCRIPTOR}").as_bytes());
        let environment: io::Result<Vec<CString>> = kept.chain([ours]).collect();
        let strings = [arguments?, environment?];
        let [arguments, environment] = strings.each_ref().map(|strings| {
            strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>()
        });
        Ok(Self { path, _strings: strings, arguments, environment })
    }

    /// Becomes the program. If this returns it could not, and why.
    fn execute(&self) -> io::Error {
        // SAFETY: `path` is a C string; both lists end with a null pointer, and the strings that the others
        // point to live as long as `self`.
        unsafe { libc::execve(self.path.as_ptr(), self.arguments.as_ptr(), self.environment.as_ptr()) };
        io::Error::last_os_error()
    }
}

impl Launcher {
    /// Forks the launcher of `program` and its `resolver`. The new process holds no descriptors but standard
    /// input, output and error, and the pair to this one.
    ///
    /// # Errors
    /// If this process already has threads, or may not have a child.
    pub fn fork(program: &Program, resolver: &Program) -> io::Result<Self> {
        if std::fs::read_dir("/proc/self/task")?.count() != 1 {
            return Err(io::Error::other("this process already has threads"));
        }
        let (here, there) = Passage::pair()?;
        // SAFETY: this is the only thread, so the child is as whole as its parent: no lock is held by a
        // thread that it lacks. It never returns from here.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let there = settle(there);
                wait_and_launch(&there, program, resolver);
                // SAFETY: ends this process at once, without the destructors and buffers of its parent.
                unsafe { libc::_exit(0) }
            }
            _ => Ok(Self::new(here)),
        }
    }

    /// Starts a successor. The end that is returned leads to it.
    ///
    /// # Errors
    /// Why it cannot be started; or if there are no more descriptors, or the launcher is gone or does not
    /// answer.
    pub fn launch(&self) -> io::Result<Passage> {
        self.have_launched(LAUNCH)
    }

    /// Starts the resolver. The end that is returned leads to it; it says [`READY`] when it takes queries,
    /// and ends when this end is closed.
    ///
    /// # Errors
    /// As those of [`launch`](Self::launch).
    pub fn launch_resolver(&self) -> io::Result<Passage> {
        self.have_launched(LAUNCH_RESOLVER)
    }

    fn have_launched(&self, what: u8) -> io::Result<Passage> {
        let (here, there) = Passage::pair()?;
        match self.ask(what, &[there.as_fd()])? {
            why_not if why_not.is_empty() => Ok(here),
            why_not => Err(io::Error::other(why_not)),
        }
    }

    /// Kills the successor that was started last; how it ended, which it may have done before.
    ///
    /// # Errors
    /// If the launcher is gone or does not answer.
    pub fn kill(&self) -> io::Result<String> {
        self.ask(KILL, &[])
    }

    /// Kills the resolver; how it ended, which it may have done before.
    ///
    /// # Errors
    /// If the launcher is gone or does not answer.
    pub fn kill_resolver(&self) -> io::Result<String> {
        self.ask(KILL_RESOLVER, &[])
    }

    /// Whether it is there, as far as one can tell without asking.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !self.line.has_ended()
    }

    /// Each question has a number, and so does its answer: one that came too late for an earlier question is
    /// not taken for that to this one.
    fn ask(&self, what: u8, descriptors: &[BorrowedFd<'_>]) -> io::Result<String> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        *asked = asked.wrapping_add(1);
        self.line.send(&[&[what], &asked.to_be_bytes()[..]].concat(), descriptors)?;
        let deadline = Instant::now() + self.patience;
        loop {
            self.line.await_message(Some(deadline.saturating_duration_since(Instant::now())), None)?;
            // After an error in the middle of an answer nothing can be read any more.
            let answer = self.line.receive(ANSWER_LEN_MAX, Some(ANSWER_MAX));
            let answer = answer.inspect_err(|_| self.line.close())?;
            match answer.bytes.split_first_chunk() {
                Some((number, text)) if *number == asked.to_be_bytes() => {
                    return String::from_utf8(text.to_vec()).map_err(|_| io::ErrorKind::InvalidData.into());
                }
                Some(_) => {}
                None => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }
}

/// Makes the child a launcher: deaf to signals, as it ends with its daemon, which may have much to do when a
/// service manager tells them all to end; and without what its parent had open.
fn settle(line: Passage) -> Passage {
    let kept = line.as_fd().as_raw_fd().cast_unsigned();
    // SAFETY: a signal set is plain numbers, for which all zeros are a value.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `all` is ours, written during the call only.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: `all` is read during the call only; nothing is to be written.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut()) };
    // SAFETY: the name is a C string, read during the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"as112d-launch".as_ptr()) };
    close_others(kept);
    line
}

/// Closes all descriptors but the standard ones and `kept`.
pub(super) fn close_others(kept: libc::c_uint) {
    for (first, last) in [(DESCRIPTOR.cast_unsigned(), kept - 1), (kept + 1, libc::c_uint::MAX)] {
        // SAFETY: plain numbers. Values of the parent that own these descriptors exist in this process too,
        // but are never used or dropped: it ends by _exit.
        if first > last || unsafe { libc::close_range(first, last, 0) } == 0 {
            continue;
        }
        // Before Linux 5.9 they are closed one by one; so early a process has few.
        for descriptor in first..=last.min(DESCRIPTORS_BEFORE) {
            // SAFETY: as above.
            unsafe { libc::close(descriptor.cast_signed()) };
        }
    }
}

/// The launcher's life. It ends when the daemon closes the line, as it does by its own end.
fn wait_and_launch(line: &Passage, program: &Program, resolver: &Program) {
    let (mut started, mut resolving) = (Started::default(), Started::default());
    // It waits as long as the node lives, and mostly for nothing.
    forget_code();
    while let Ok(parcel) = line.receive(QUESTION_LEN, None) {
        let Some((&what, number)) = parcel.bytes.split_first().filter(|(_, number)| number.len() == 4) else {
            return;
        };
        let answer = match (what, parcel.descriptors.into_iter().next()) {
            (LAUNCH, Some(successor)) => started.launch(program, successor),
            (KILL, _) => started.kill(),
            (LAUNCH_RESOLVER, Some(resolver_line)) => resolving.launch(resolver, resolver_line),
            (KILL_RESOLVER, _) => resolving.kill(),
            _ => return,
        };
        if line.send(&[number, answer.as_bytes()].concat(), &[]).is_err() {
            return;
        }
    }
}

/// What a launcher has started of a program. Never two at a time, nor two within a moment: whoever is able to
/// tell it to launch, a daemon that was taken over, say, cannot make it fill the host with processes.
#[derive(Default)]
struct Started {
    child: Option<Child>,
    at: Option<Instant>,
}

impl Started {
    /// Starts the program; if it cannot, why.
    fn launch(&mut self, program: &Program, successor: OwnedFd) -> String {
        if let Some(child) = &mut self.child
            && matches!(child.try_wait(), Ok(None))
        {
            return format!("process {}, which was started before, has not ended yet", child.id());
        }
        let since = self.at.map_or(LAUNCH_EVERY, |at| at.elapsed());
        std::thread::park_timeout(LAUNCH_EVERY.saturating_sub(since));
        self.at = Some(Instant::now());
        match program.start(successor) {
            Ok(child) => {
                self.child = Some(child);
                String::new()
            }
            Err(error) => {
                self.child = None;
                format!("cannot start {}: {error}", program.path.display())
            }
        }
    }

    /// Kills what was started, and how it ended. It may be about to end by itself, which tells more. One that
    /// cannot be killed at once, as it waits for a disk, is not waited for.
    fn kill(&mut self) -> String {
        let Some(child) = &mut self.child else { return "it never ran".to_owned() };
        let ended = look(child).or_else(|| {
            // One that has ended by itself meanwhile cannot be killed, and tells how.
            let _ = child.kill();
            look(child)
        });
        let Some(ended) = ended else {
            return format!("process {} was killed, but the kernel has not ended it yet", child.id());
        };
        self.child = None;
        ended
    }
}

/// Looks for a moment whether `child` ends; how it did.
fn look(child: &mut Child) -> Option<String> {
    for _ in 0..ENDING_LOOKS_MAX {
        match child.try_wait() {
            Ok(None) => std::thread::park_timeout(ENDING_LOOK),
            Ok(Some(status)) => return Some(status.to_string()),
            Err(error) => return Some(error.to_string()),
        }
    }
    None
}

/// The line to the process that this one is to succeed, if a launcher has started it. The first call takes
/// it.
///
/// # Errors
/// If there should be one, and there is not.
pub fn predecessor() -> io::Result<Option<Passage>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let is_successor = std::env::var(VARIABLE).is_ok_and(|value| value == DESCRIPTOR.to_string());
    if !is_successor || TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(None);
    }
    // SAFETY: plain numbers. It also tells whether there is such a descriptor.
    if unsafe { libc::fcntl(DESCRIPTOR, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, and the launcher gave it to this process for this purpose alone:
    // nothing else owns it, and `TAKEN` lets only one caller take it.
    let line = unsafe { OwnedFd::from_raw_fd(DESCRIPTOR) };
    Passage::new(line.into()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Option<Duration> = Some(Duration::from_secs(10));

    /// The launcher of a shell script, on a thread instead of in a process.
    fn launcher(path: &str, script: &str) -> Launcher {
        let (here, there) = Passage::pair().unwrap();
        let program = Program { path: path.into(), arguments: vec!["-c".into(), script.into()] };
        let resolver =
            Program { arguments: vec!["-c".into(), "read forever <&3; exit 3".into()], ..program.clone() };
        std::thread::spawn(move || wait_and_launch(&there, &program, &resolver));
        Launcher::new(here)
    }

    #[test]
    fn a_successor_finds_the_line_as_its_descriptor_3() {
        // Length and number of descriptors, then the value of the variable.
        let script = r"printf '\0\0\0\001\0\0\0\0%s' $AS112D_HANDOVER >&3; read forever <&3";
        let line = launcher("/bin/sh", script).launch().unwrap();
        let parcel = line.receive(100, SOON).unwrap();
        assert_eq!(parcel.bytes, b"3");
        drop(line);
    }

    #[test]
    fn one_that_hangs_is_killed_and_one_that_ended_tells_how() {
        let hangs = launcher("/bin/sh", "read forever <&3");
        let line = hangs.launch().unwrap();
        assert_eq!(hangs.kill().unwrap(), "signal: 9 (SIGKILL)");
        assert_eq!(line.receive(100, SOON).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(hangs.kill().unwrap(), "it never ran");
        let ends = launcher("/bin/sh", "exit 7");
        for _ in 0..2 {
            let line = ends.launch().unwrap();
            assert_eq!(line.receive(100, SOON).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(ends.kill().unwrap(), "exit status: 7");
        }
    }

    #[test]
    fn why_it_cannot_be_started_is_told() {
        let none = launcher("/no/such/program", "");
        let told = none.launch().unwrap_err().to_string();
        assert_eq!(told, "cannot start /no/such/program: No such file or directory (os error 2)");
        assert_eq!(none.kill().unwrap(), "it never ran");
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text");
        std::fs::write(&text, "echo a shell would run this").unwrap();
        std::fs::set_permissions(&text, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let told = launcher(text.to_str().unwrap(), "").launch().unwrap_err().to_string();
        assert!(told.ends_with("Exec format error (os error 8)"), "{told}");
    }

    #[test]
    fn one_that_does_not_answer_as_it_should_is_not_asked_again() {
        let (here, there) = Passage::pair().unwrap();
        let launcher = Launcher::new(here);
        there.send(&[b'x'; ANSWER_LEN_MAX + 1], &[]).unwrap();
        assert_eq!(launcher.launch().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(!launcher.is_there());
        assert_eq!(launcher.launch().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn an_answer_that_comes_too_late_is_not_taken_for_another() {
        let (here, there) = Passage::pair().unwrap();
        let launcher = Launcher { patience: Duration::from_millis(20), ..Launcher::new(here) };
        assert_eq!(launcher.kill().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(launcher.is_there(), "slow is not gone");
        let slow = std::thread::spawn(move || {
            for text in ["of the first", "of the second"] {
                let question = there.receive(QUESTION_LEN, SOON).unwrap().bytes;
                there.send(&[&question[1..], text.as_bytes()].concat(), &[]).unwrap();
            }
            there
        });
        let launcher = Launcher { patience: ANSWER_MAX, ..launcher };
        assert_eq!(launcher.kill().unwrap(), "of the second");
        drop(slow.join().unwrap());
        assert!(!launcher.is_there());
    }

    #[test]
    fn there_is_one_child_at_a_time_and_one_a_second() {
        let launcher = launcher("/bin/sh", "read forever <&3; read forever <&3");
        let first = launcher.launch().unwrap();
        let began = Instant::now();
        for _ in 0..3 {
            let told = launcher.launch().unwrap_err().to_string();
            assert!(told.ends_with("which was started before, has not ended yet"), "{told}");
        }
        assert_eq!(launcher.kill().unwrap(), "signal: 9 (SIGKILL)", "it was not forgotten");
        assert!(first.await_end(ANSWER_MAX));
        let second = launcher.launch().unwrap();
        assert!(began.elapsed() > LAUNCH_EVERY / 2, "they do not follow one another at once");
        // One that has ended by itself is in nobody's way.
        drop(second);
        let third = iter::repeat_with(|| launcher.launch().ok()).take(1000).find_map(|launched| {
            std::thread::park_timeout(ENDING_LOOK);
            launched
        });
        assert!(third.is_some());
        launcher.kill().unwrap();
    }

    #[test]
    fn a_resolver_is_started_beside_a_successor_and_ends_with_its_line() {
        let launcher = launcher("/bin/sh", "read forever <&3");
        assert_eq!(launcher.kill_resolver().unwrap(), "it never ran");
        let (successor, resolver) = (launcher.launch().unwrap(), launcher.launch_resolver().unwrap());
        assert!(launcher.launch_resolver().is_err(), "one at a time");
        drop(resolver);
        assert_eq!(launcher.kill_resolver().unwrap(), "exit status: 3");
        assert!(!successor.has_ended());
        let again = launcher.launch_resolver().unwrap();
        assert_eq!(launcher.kill_resolver().unwrap(), "signal: 9 (SIGKILL)");
        assert!(again.await_end(ANSWER_MAX));
        assert_eq!(launcher.kill().unwrap(), "signal: 9 (SIGKILL)", "that was the successor's");
    }

    #[test]
    fn a_resolver_gets_the_configuration_and_nothing_else() {
        let arguments = |config: Option<&str>| Program::resolver(config.map(Path::new)).unwrap().arguments;
        assert_eq!(arguments(None), ["resolver"]);
        assert_eq!(arguments(Some("a b.toml")), ["resolver", "--config", "a b.toml"]);
        assert_eq!(Program::resolver(None).unwrap().path(), Program::this().unwrap().path());
    }

    #[test]
    fn a_process_with_threads_is_not_forked() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || stopped.recv());
        let this = Program::this().unwrap();
        assert!(Launcher::fork(&this, &this).is_err());
        drop(stop);
        assert!(other.join().unwrap().is_err());
    }

    #[test]
    fn who_was_not_launched_has_no_predecessor() {
        assert!(predecessor().unwrap().is_none());
    }
}
