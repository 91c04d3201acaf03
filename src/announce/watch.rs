//! What the daemon says of itself: a connection to its control socket that lasts as long as the daemon does.
//!
//! The daemon sends its state at once and at each change. When it ends, so does the connection. At an
//! upgrade the socket passes to the successor: a connection that has ended is made again at once,
//! and only if nobody answers there the daemon is gone.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after};
use serde_json::Value;

use super::state::News;
use crate::limits::NEWS_LEN_MAX;

/// Where a daemon may be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Where its control socket may be; the first at which somebody answers is followed.
    pub paths: Vec<PathBuf>,
    /// What it is asked for, a line: its state, now and at each change.
    pub request: String,
    /// The same of one that also hears how its routes are, lines that follow. An older one does not know it.
    pub request_to_tell: String,
}

impl Daemon {
    /// What it says of itself now; `None` if nobody answers, within `patience` at each path.
    #[must_use]
    pub fn news(&self, patience: Duration) -> Option<News> {
        self.open(&self.request, patience).ok().map(|(_, news)| news)
    }

    /// The first that answers. If none does, the error is a time-out where one was there and said nothing.
    fn open(&self, request: &str, patience: Duration) -> io::Result<(Connection, News)> {
        let mut missed = io::Error::from(io::ErrorKind::NotFound);
        for path in &self.paths {
            match Connection::open(path, request, patience) {
                Err(error) if is_timeout(&error) || is_refused(&error) => missed = error,
                Err(_) => {}
                opened => return opened,
            }
        }
        Err(missed)
    }
}

/// The way of reports to the daemon: the latest goes out when it comes, and to each daemon that comes.
#[derive(Clone, Debug, Default)]
pub struct Reports(Arc<Mutex<Outlet>>);

#[derive(Debug, Default)]
struct Outlet {
    latest: Option<String>,
    stream: Option<UnixStream>,
}

impl Reports {
    /// Starts the thread that sends them: nobody else waits for a daemon that does not read.
    ///
    /// # Errors
    /// If there can be no such thread.
    pub fn start(reports: Receiver<String>) -> io::Result<Self> {
        let outlets = Self::default();
        let own = outlets.clone();
        let run =
            move || reports.into_iter().for_each(|line| own.change(|outlet| outlet.latest = Some(line)));
        thread::Builder::new().name("reports".to_owned()).spawn(run)?;
        Ok(outlets)
    }

    /// Changes something, and sends what is the latest then.
    fn change(&self, change: impl FnOnce(&mut Outlet)) {
        let mut outlet = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut outlet);
        let Outlet { latest: Some(line), stream: Some(stream) } = &mut *outlet else { return };
        if stream.write_all(line.as_bytes()).and_then(|()| stream.write_all(b"\n")).is_err() {
            // The connection ends with that, and the next one has the whole of it.
            let _ = stream.shutdown(Shutdown::Both);
            outlet.stream = None;
        }
    }
}

/// Follows a daemon; gives each news to `tell`, until that says no. Where nobody listens it tries again
/// `every` so often.
pub fn follow(daemon: &Daemon, every: Duration, reports: &Reports, mut tell: impl FnMut(News) -> bool) {
    let mut is_known = false;
    loop {
        let opened = Instant::now();
        let told = daemon.open(&daemon.request_to_tell, every);
        let hears = told.is_ok();
        let connection = match told {
            Err(error) if is_refused(&error) => daemon.open(&daemon.request, every),
            told => told,
        };
        match connection {
            Ok((mut connection, first)) => {
                let stream = connection.lines.get_ref().try_clone().ok().filter(|_| hears);
                reports.change(|outlet| outlet.stream = stream);
                let mut news = Ok(first);
                while let Ok(one) = news {
                    if !tell(one) {
                        return;
                    }
                    news = connection.next();
                }
                reports.0.lock().unwrap_or_else(PoisonError::into_inner).stream = None;
                is_known = true;
                if opened.elapsed() >= every {
                    continue;
                }
                // One that ends at once again and again is asked no more often than one that is not there.
            }
            // A successor that still reads its history: the socket is there, and who will answer.
            Err(error) if is_timeout(&error) => continue,
            Err(_) => {}
        }
        if std::mem::take(&mut is_known) && !tell(News::Gone) {
            return;
        }
        after(every).recv().expect("this channel is never closed");
    }
}

struct Connection {
    lines: BufReader<UnixStream>,
}

impl Connection {
    /// Connects, and waits for the first news for a while.
    fn open(path: &Path, request: &str, patience: Duration) -> io::Result<(Self, News)> {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.write_all(request.as_bytes())?;
        let mut connection = Self { lines: BufReader::new(stream) };
        let first = connection.next()?;
        connection.lines.get_ref().set_read_timeout(None)?;
        Ok((connection, first))
    }

    /// The next news; an error at the end, and for what is not in this language.
    fn next(&mut self) -> io::Result<News> {
        let mut line = String::new();
        self.lines.by_ref().take(NEWS_LEN_MAX).read_line(&mut line)?;
        let value: Value = serde_json::from_str(&line)?;
        match value["state"].as_str() {
            Some("serving") => Ok(News::Serving),
            Some("draining" | "stopping") => Ok(News::Leaving),
            // It is a daemon, but an older one, or one that has no room for more.
            _ if value["ok"] == false => Err(io::ErrorKind::Unsupported.into()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Whether the other end is there, and said nothing.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Whether a daemon is there that does not know what it was asked for.
fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use crossbeam_channel::unbounded;

    use super::*;

    const EVERY: Duration = Duration::from_millis(20);
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Follows the socket in `folder`; what is told.
    fn followed(folder: &Path) -> Receiver<News> {
        let (sender, news) = unbounded();
        let paths = vec![folder.join("elsewhere"), folder.join("control")];
        let daemon = Daemon { paths, request: "watch\n".to_owned(), request_to_tell: "tell\n".to_owned() };
        let reports = Reports::default();
        reports.change(|outlet| outlet.latest = Some("how things are".to_owned()));
        thread::spawn(move || follow(&daemon, EVERY, &reports, |one| sender.send(one).is_ok()));
        news
    }

    /// Takes one connection, and reads what it asks for.
    fn accept(listener: &UnixListener) -> UnixStream {
        let (stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        assert_eq!(line, "tell\n");
        stream
    }

    /// A daemon that hears reports gets the latest at once; an older one is only heard.
    #[test]
    fn who_can_be_told_is_told_and_who_cannot_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("control")).unwrap();
        let news = followed(folder.path());
        let mut stream = accept(&listener);
        writeln!(stream, "{{\"state\":\"serving\"}}").unwrap();
        assert_eq!(news.recv_timeout(PATIENCE), Ok(News::Serving));
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        assert_eq!(line, "how things are\n");
        // Longer than it takes to be one that ends at once.
        assert!(news.recv_timeout(2 * EVERY).is_err());
        drop(stream);
        writeln!(accept(&listener), "{{\"ok\":false}}").unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        line.clear();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line, "watch\n");
        writeln!(stream, "{{\"state\":\"draining\"}}").unwrap();
        assert_eq!(news.recv_timeout(PATIENCE), Ok(News::Leaving));
        stream.set_read_timeout(Some(3 * EVERY)).unwrap();
        assert!(lines.read_line(&mut line).is_err(), "{line}");
    }

    #[test]
    fn a_daemon_is_followed_from_before_its_start_to_behind_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let news = followed(folder.path());
        assert!(news.recv_timeout(3 * EVERY).is_err(), "nobody is there, and nobody was");
        let listener = UnixListener::bind(folder.path().join("control")).unwrap();
        let mut stream = accept(&listener);
        for (state, expected) in [
            ("serving", News::Serving),
            ("draining", News::Leaving),
            ("serving", News::Serving),
            ("stopping", News::Leaving),
        ] {
            writeln!(stream, "{{\"state\":\"{state}\"}}").unwrap();
            assert_eq!(news.recv_timeout(PATIENCE), Ok(expected));
        }
        drop((stream, listener));
        assert_eq!(news.recv_timeout(PATIENCE), Ok(News::Gone));
        assert!(news.recv_timeout(3 * EVERY).is_err(), "it is gone once");
    }

    #[test]
    fn a_successor_is_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("control")).unwrap();
        let news = followed(folder.path());
        for _ in 0..3 {
            let mut stream = accept(&listener);
            writeln!(stream, "{{\"state\":\"serving\"}}").unwrap();
            assert_eq!(news.recv_timeout(PATIENCE), Ok(News::Serving));
            // Longer than it takes to be one that ends at once.
            assert!(news.recv_timeout(2 * EVERY).is_err());
        }
    }

    #[test]
    fn what_speaks_another_language_or_without_end_is_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("control")).unwrap();
        let news = followed(folder.path());
        let endless = vec![b'x'; 1 << 20];
        for words in [&b"{\"state\":\"asleep\"}\n"[..], b"[]\n", b"\xFF\n", b"\n", &endless] {
            let _ = accept(&listener).write_all(words);
        }
        assert!(news.try_recv().is_err());
        // One that says nothing is given up after a while, and asked again.
        let _silent = accept(&listener);
        let mut stream = accept(&listener);
        writeln!(stream, "{{\"state\":\"draining\"}}").unwrap();
        assert_eq!(news.recv_timeout(PATIENCE), Ok(News::Leaving));
    }
}
