//! How a router is told what to announce: an include file of BIRD and `birdc configure`, lines on standard
//! output for ExaBGP, or any command.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use crossbeam_channel::{after, bounded};
use ipnet::IpNet;

use crate::limits::{
    ANNOUNCED_LEN_MAX, COMMAND_LOOK_EVERY, COMMANDS_LEFT_MAX, ROUTER_OUTPUT_LEN_MAX, ROUTER_TIMEOUT,
};
use crate::sys::{files, process};

/// Who announces for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Router {
    /// BIRD 2, whose filter includes a file of ours.
    Bird {
        /// The file: `if net = PREFIX then accept;` for each prefix that is announced.
        file: PathBuf,
        /// birdc and its options; `configure` is added.
        birdc: Vec<String>,
    },
    /// ExaBGP, which has started us and reads what we print.
    Exabgp,
    /// A program and its first arguments; `announce` or `withdraw` and the prefix are added. It must bear
    /// being told what is so already.
    Command(Vec<String>),
}

impl fmt::Display for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bird { file, .. } => write!(f, "BIRD, in {}", file.display()),
            Self::Exabgp => f.write_str("ExaBGP"),
            // What follows the program may be a password.
            Self::Command(command) => write!(f, "`{}`", program(command)),
        }
    }
}

/// A router, and what it was told.
#[derive(Debug)]
pub struct Teller {
    router: Router,
    prefixes: Vec<IpNet>,
    /// By prefix; `None` as long as it was told nothing that it took.
    told: Vec<Option<bool>>,
    commands: Commands,
    /// Where it is written down what is announced, where BIRD's file does not say so.
    memory: Option<PathBuf>,
}

impl Teller {
    /// A router that was told nothing yet. What it announces is then unknown: an earlier run may have been
    /// killed.
    #[must_use]
    pub fn new(router: Router, prefixes: Vec<IpNet>, memory: Option<PathBuf>) -> Self {
        let told = vec![None; prefixes.len()];
        let memory = memory.filter(|_| !matches!(router, Router::Bird { .. }));
        Self { router, prefixes, told, commands: Commands::default(), memory }
    }

    /// What an earlier run has left announced, by prefix, as far as that is written down.
    #[must_use]
    pub fn found(&self) -> Vec<bool> {
        let file =
            if let Router::Bird { file, .. } = &self.router { Some(file) } else { self.memory.as_ref() };
        // Without a file nothing is known to be announced.
        let bytes = file.and_then(|file| files::read(file, ANNOUNCED_LEN_MAX).ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let accepted: Vec<&str> = text.lines().collect();
        self.prefixes.iter().map(|prefix| accepted.contains(&statement(prefix).as_str())).collect()
    }

    /// From now on it is about other prefixes. The router is told of all of them.
    pub fn change(&mut self, prefixes: Vec<IpNet>) {
        self.told = vec![None; prefixes.len()];
        self.prefixes = prefixes;
    }

    /// Whether the router took all of what is `wanted`.
    #[must_use]
    pub fn has_told(&self, wanted: &[bool]) -> bool {
        self.told.iter().zip(wanted).all(|(told, wanted)| *told == Some(*wanted))
    }

    /// Tells the router what is new in `wanted`. All of it was told if this returns `Ok`; else some may have
    /// been, and it may be called again.
    ///
    /// # Errors
    /// Why the router did not take it.
    pub fn tell(&mut self, wanted: &[bool]) -> Result<(), String> {
        if self.has_told(wanted) {
            return Ok(());
        }
        let news = |told: &[Option<bool>]| -> Vec<usize> {
            (0..wanted.len()).filter(|&at| told[at] != Some(wanted[at])).collect()
        };
        match &self.router {
            Router::Bird { file, birdc } => {
                // What fails may have been done all the same: until it is known, nothing is.
                self.told.fill(None);
                write(file, &self.prefixes, wanted)?;
                // birdc ends well whatever BIRD thinks of its configuration.
                let said = self.commands.run(birdc, &["configure"])?;
                if !said.contains("Reconfigur") {
                    return Err(format!("`{} configure` said: {}", program(birdc), last_line(&said)));
                }
                self.told = wanted.iter().copied().map(Some).collect();
                Ok(())
            }
            Router::Exabgp => {
                let lines = news(&self.told)
                    .into_iter()
                    .map(|at| format!("{} route {} next-hop self\n", verb(wanted[at]), self.prefixes[at]));
                let mut out = io::stdout().lock();
                out.write_all(lines.collect::<String>().as_bytes())
                    .and_then(|()| out.flush())
                    .map_err(|error| format!("cannot write to ExaBGP: {error}"))?;
                self.told = wanted.iter().copied().map(Some).collect();
                self.remember(wanted)
            }
            Router::Command(command) => {
                // One that fails keeps no other, and none waits for another.
                let news = news(&self.told);
                let further = |at: usize| vec![verb(wanted[at]).to_owned(), self.prefixes[at].to_string()];
                let further: Vec<Vec<String>> = news.iter().map(|&at| further(at)).collect();
                let results = self.commands.run_all(command, &further);
                for (&at, result) in news.iter().zip(&results) {
                    self.told[at] = result.is_ok().then_some(wanted[at]);
                }
                let remembered = self.remember(wanted);
                results.into_iter().collect::<Result<Vec<_>, _>>().and(remembered)
            }
        }
    }

    /// Writes down what is announced.
    fn remember(&self, wanted: &[bool]) -> Result<(), String> {
        self.memory.as_ref().map_or(Ok(()), |file| write(file, &self.prefixes, wanted))
    }
}

fn program(command: &[String]) -> &str {
    command.first().map_or("", String::as_str)
}

const fn verb(is_announced: bool) -> &'static str {
    if is_announced { "announce" } else { "withdraw" }
}

/// The statement inside a filter of BIRD that stands for a prefix that is announced.
fn statement(prefix: &IpNet) -> String {
    format!("if net = {prefix} then accept;")
}

/// Writes the include file of BIRD, of which none stands for a prefix that is not announced. BIRD may read
/// it at any time. Below /run the directory may be gone since the last start of the host.
fn write(file: &Path, prefixes: &[IpNet], wanted: &[bool]) -> Result<(), String> {
    let announced = prefixes.iter().zip(wanted).filter(|(_, wanted)| **wanted);
    let text = "# The prefixes announced now. Written by `as112d announce`.\n".to_owned()
        + &announced.map(|(prefix, _)| statement(prefix) + "\n").collect::<String>();
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".new");
    files::replace(file, Path::new(&unfinished), text.as_bytes())
        .map_err(|error| format!("cannot write {}: {error}", file.display()))
}

/// Runs commands.
#[derive(Debug, Default)]
struct Commands {
    /// Those that could not be killed, as they run as somebody else (sudo, it may be).
    left: Vec<Child>,
}

impl Commands {
    /// Runs a command to its end; what it printed, as far as it is read.
    fn run(&mut self, command: &[String], further: &[&str]) -> Result<String, String> {
        let further = further.iter().map(|&word| word.to_owned()).collect();
        self.run_all(command, &[further]).pop().expect("as many results as commands")
    }

    /// Runs a command with each of these further words, all at once.
    fn run_all(&mut self, command: &[String], further: &[Vec<String>]) -> Vec<Result<String, String>> {
        self.left.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
        if self.left.len() >= COMMANDS_LEFT_MAX {
            let ids: Vec<String> = self.left.iter().map(|child| child.id().to_string()).collect();
            let hang = format!("earlier commands hang and cannot be killed: processes {}", ids.join(", "));
            return further.iter().map(|_| Err(hang.clone())).collect();
        }
        let results: Vec<_> = thread::scope(|scope| {
            let begun = further.iter().map(|further| {
                let run = move || run(command, further);
                // Without a thread it is run by this one.
                thread::Builder::new().name("router".to_owned()).spawn_scoped(scope, run).map_err(|_| run())
            });
            let begun: Vec<_> = begun.collect();
            let end = |begun: Result<ScopedJoinHandle<'_, _>, _>| match begun {
                Ok(thread) => {
                    thread.join().unwrap_or_else(|_| Err(("its thread has ended".to_owned(), None)))
                }
                Err(result) => result,
            };
            begun.into_iter().map(end).collect()
        });
        let mut kept = |(error, child): (String, Option<Child>)| {
            self.left.extend(child);
            error
        };
        results.into_iter().map(|result| result.map_err(&mut kept)).collect()
    }
}

/// With an error comes the command if it still runs.
fn run(command: &[String], further: &[String]) -> Result<String, (String, Option<Child>)> {
    let line = || [program(command), &further.join(" ")].join(" ");
    let cannot = |error: io::Error| (format!("cannot run `{}`: {error}", line()), None);
    let (program, arguments) = command.split_first().ok_or(("no command is configured".to_owned(), None))?;
    let (mut reader, writer) = io::pipe().map_err(cannot)?;
    // Its own group, so that all of it can be killed. Both outputs in one pipe, in the order of what was
    // said.
    let mut child = Command::new(program)
        .args(arguments)
        .args(further)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(cannot)?)
        .stderr(writer)
        .spawn()
        .map_err(cannot)?;
    let deadline = Instant::now() + ROUTER_TIMEOUT;
    let (sender, output) = bounded(1);
    let reading = thread::Builder::new().name("output".to_owned()).spawn(move || {
        let mut said = Vec::new();
        let _ = reader.by_ref().take(ROUTER_OUTPUT_LEN_MAX).read_to_end(&mut said);
        let _ = io::copy(&mut reader, &mut io::sink());
        let _ = sender.send(String::from_utf8_lossy(&said).into_owned());
    });
    // The pipe ends when the last that holds it does.
    let said = reading.ok().and_then(|_| output.recv_deadline(deadline).ok());
    let slow = |then: &str| format!("`{}` took longer than {ROUTER_TIMEOUT:?} and {then}", line());
    match (said, ended(&mut child, deadline)) {
        (Some(said), Ok(Some(status))) if status.success() => Ok(said),
        (Some(said), Ok(Some(status))) => {
            Err((format!("`{}` failed ({status}): {}", line(), last_line(&said)), None))
        }
        (_, Ok(_)) => Err((slow("was killed"), None)),
        (_, Err(error)) => Err((slow(&format!("cannot be killed: {error}")), Some(child))),
    }
}

/// Waits for a leader of a group; at the deadline the group is killed, and `None` is what came of it. An
/// error is why it cannot be.
fn ended(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        after(COMMAND_LOOK_EVERY).recv().expect("this channel is never closed");
    }
    // A leader may have left its group.
    process::kill_group(child.id()).or_else(|_| child.kill())?;
    child.wait().map(|_| None)
}

/// The last line that says something, without what would break a line of ours.
fn last_line(said: &str) -> String {
    let line = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("nothing");
    line.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::announce::service::PREFIXES;

    fn nets() -> Vec<IpNet> {
        PREFIXES.iter().map(|prefix| prefix.net).collect()
    }

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script, "sh"].map(str::to_owned).to_vec()
    }

    #[test]
    fn birds_file_accepts_what_is_announced_and_is_told_when_birdc_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run/announce.conf");
        let said = folder.path().join("said");
        fs::write(&said, "BIRD 2.0.12 ready.\nReading configuration from x\nReconfigured\n").unwrap();
        let birdc = sh(&format!("test $1 = configure && cat {}", said.display()));
        let mut teller = Teller::new(Router::Bird { file: file.clone(), birdc }, nets(), None);
        let without_comments = |file: &Path| {
            let text = fs::read_to_string(file).unwrap();
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(!teller.has_told(&[false; 4]), "what BIRD has at the start is not known");
        assert_eq!(teller.tell(&[false; 4]), Ok(()));
        assert_eq!(without_comments(&file), [""; 0]);
        assert_eq!(teller.tell(&[true, false, false, true]), Ok(()));
        let lines = ["if net = 192.175.48.0/24 then accept;", "if net = 2001:4:112::/48 then accept;"];
        assert_eq!(without_comments(&file), lines);
        assert!(teller.has_told(&[true, false, false, true]) && !teller.has_told(&[true; 4]));

        fs::write(&said, "BIRD 2.0.12 ready.\nbird.conf:3:1 syntax error, unexpected '}'\n\n").unwrap();
        let error = teller.tell(&[true; 4]).unwrap_err();
        assert!(error.ends_with("configure` said: bird.conf:3:1 syntax error, unexpected '}'"), "{error}");
        assert!(!teller.has_told(&[true; 4]));
        fs::write(&said, "Reconfiguration in progress").unwrap();
        assert_eq!(teller.tell(&[true; 4]), Ok(()));
        let left = fs::read_dir(file.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "nothing unfinished is left");
    }

    #[test]
    fn a_command_is_told_of_each_prefix_that_changed_and_again_where_it_failed() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let command = sh(&format!("echo $1 $2 >> {}; test ! -e {0}.fail", log.display()));
        let mut teller = Teller::new(Router::Command(command), nets()[..2].to_vec(), None);
        let logged = || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let _ = fs::remove_file(&log);
            // They run at once.
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(teller.tell(&[false, false]), Ok(()));
        assert_eq!(logged(), ["withdraw 192.175.48.0/24", "withdraw 2620:4f:8000::/48"]);
        assert_eq!(teller.tell(&[false, true]), Ok(()));
        assert_eq!(logged(), ["announce 2620:4f:8000::/48"]);
        let fail = log.with_extension("fail");
        fs::write(&fail, "").unwrap();
        let error = teller.tell(&[true, false]).unwrap_err();
        assert_eq!(
            error, "`sh announce 192.175.48.0/24` failed (exit status: 1): nothing",
            "no word of ours"
        );
        fs::remove_file(&fail).unwrap();
        let both = ["announce 192.175.48.0/24", "withdraw 2620:4f:8000::/48"];
        assert_eq!(logged(), both);
        assert_eq!(teller.tell(&[true, false]), Ok(()));
        assert_eq!(logged(), both);
    }

    /// What was told last and failed may have been done: then the router has what nobody wants any more.
    #[test]
    fn behind_what_failed_all_is_told_even_if_it_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let [file, fail] = ["announce.conf", "fail"].map(|name| folder.path().join(name));
        let fails = format!("test ! -e {} && echo Reconfigured", fail.display());
        let bird = Router::Bird { file: file.clone(), birdc: sh(&fails) };
        for router in [bird, Router::Command(sh(&fails))] {
            let mut teller = Teller::new(router, nets()[..1].to_vec(), None);
            assert_eq!(teller.tell(&[false]), Ok(()));
            fs::write(&fail, "").unwrap();
            assert!(teller.tell(&[true]).is_err());
            assert!(!teller.has_told(&[false]) && teller.tell(&[false]).is_err());
            fs::remove_file(&fail).unwrap();
            assert_eq!(teller.tell(&[false]), Ok(()));
        }
        assert!(!fs::read_to_string(file).unwrap().contains("accept"));
    }

    #[test]
    fn what_is_announced_is_found_by_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let [bird_file, memory] = ["bird.conf", "announced"].map(|name| folder.path().join("run").join(name));
        let bird = Router::Bird { file: bird_file.clone(), birdc: sh("echo Reconfigured") };
        for (router, file) in [(bird, &bird_file), (Router::Command(sh("true")), &memory)] {
            let teller = || Teller::new(router.clone(), nets(), Some(memory.clone()));
            assert_eq!(teller().found(), [false; 4], "nothing is known at first");
            for wanted in [[true, false, false, true], [false; 4], [true; 4]] {
                teller().tell(&wanted).unwrap();
                assert_eq!(teller().found(), wanted);
            }
            fs::write(file, "# if net = 192.175.48.0/24 then accept;\nif net = 2001:4:112::/48 then")
                .unwrap();
            assert_eq!(teller().found(), [false; 4]);
        }
        assert_eq!(Teller::new(Router::Exabgp, nets(), None).found(), [false; 4]);
    }

    /// A router that hangs takes the time of one command, and not of one after the other.
    #[test]
    fn commands_run_at_once() {
        let folder = tempfile::tempdir().unwrap();
        // Each waits until all four are there.
        let all_there = format!(
            "cd {}; echo >> begun; until test $(wc -l < begun) -ge 4; do sleep 0.01; done",
            folder.path().display()
        );
        let mut teller = Teller::new(Router::Command(sh(&all_there)), nets(), None);
        assert_eq!(teller.tell(&[true, true, false, false]), Ok(()));
    }

    #[test]
    fn a_prefix_that_a_command_refuses_keeps_no_other() {
        let refuses = sh("test $2 != 192.175.48.0/24");
        let mut teller = Teller::new(Router::Command(refuses), nets(), None);
        for wanted in [true, false] {
            assert!(teller.tell(&[wanted; 4]).unwrap_err().contains("192.175.48.0/24` failed"));
            assert_eq!(teller.told, [None, Some(wanted), Some(wanted), Some(wanted)]);
        }
    }

    #[test]
    fn commands_that_fail_hang_or_print_without_end_are_survived() {
        let runs = |command: &[String], further: &[&str]| {
            let further: Vec<String> = further.iter().copied().map(str::to_owned).collect();
            run(command, &further).map_err(|(error, _)| error)
        };
        let error = runs(&["/no/such/program".to_owned()], &["configure"]).unwrap_err();
        assert!(error.starts_with("cannot run `/no/such/program configure`: No such file"), "{error}");
        assert_eq!(runs(&[], &[]).unwrap_err(), "no command is configured");
        let error = runs(&sh("echo one; echo 'two\x1b[m' >&2; exit 3"), &[]).unwrap_err();
        assert!(error.ends_with("failed (exit status: 3): two[m"), "{error}");
        let said = runs(&sh("yes | head -c 100000"), &[]).unwrap();
        assert_eq!(said.len() as u64, ROUTER_OUTPUT_LEN_MAX);

        // One that hangs, one that leaves another behind, and one that says no more but goes on.
        for script in ["sleep 60 & sleep 60", "sleep 60 &", "exec >&- 2>&-; sleep 60"] {
            let error = runs(&sh(script), &[]).unwrap_err();
            assert!(error.ends_with("took longer than 2s and was killed"), "{error}");
        }
    }
    #[test]
    fn beside_too_many_that_cannot_be_killed_no_other_is_run() {
        let mut commands = Commands::default();
        let sleeper = || Command::new("sleep").arg("60").spawn().unwrap();
        commands.left.extend(std::iter::repeat_with(sleeper).take(COMMANDS_LEFT_MAX));
        let error = commands.run(&sh("echo"), &[]).unwrap_err();
        assert!(error.contains(&commands.left[0].id().to_string()), "{error}");
        for child in &mut commands.left {
            child.kill().unwrap();
        }
        let until = Instant::now() + ROUTER_TIMEOUT;
        while commands.run(&sh("echo"), &[]).is_err() && Instant::now() < until {}
        assert!(commands.run(&sh("echo"), &[]).is_ok());
        // Those that were left have ended, and were waited for.
        commands.left.iter_mut().for_each(|child| drop(child.wait()));
    }
}
