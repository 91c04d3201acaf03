//! A probe of a PoP: a connection, or what it answers over HTTP.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::settings::ProbeTo;
use crate::announce::probe::Deadline;
use crate::limits::STATUS_LINE_LEN_MAX;

/// Asks once.
///
/// # Errors
/// What was wrong, within `timeout`.
pub(super) fn probe(to: &ProbeTo, timeout: Duration) -> Result<(), String> {
    let deadline = Deadline::after(timeout);
    let told = match to {
        ProbeTo::Tcp(address) => TcpStream::connect_timeout(address, timeout).map(|_| None),
        ProbeTo::Http(address, path) => status_line(*address, path, deadline).map(Some),
    };
    told.map_err(|error| deadline.explain(&error))?.as_deref().map_or(Ok(()), judge)
}

/// The first line of what is answered.
fn status_line(address: SocketAddr, path: &str, deadline: Deadline) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, deadline.left()?)?;
    stream.set_write_timeout(Some(deadline.left()?))?;
    let agent = concat!("as112d/", env!("CARGO_PKG_VERSION"));
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (mut line, mut filled) = ([0; STATUS_LINE_LEN_MAX], 0);
    while !line[..filled].contains(&b'\n') && filled < line.len() {
        let mut reader = &stream;
        let wait = |left| stream.set_read_timeout(Some(left));
        match deadline.read(wait, || reader.read(&mut line[filled..]))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => filled += len,
        }
    }
    Ok(String::from_utf8_lossy(&line[..filled]).lines().next().unwrap_or_default().to_owned())
}

/// Whether a status line says that all is well.
fn judge(line: &str) -> Result<(), String> {
    let (version, rest) = line.split_once(' ').unwrap_or((line, ""));
    let status = rest.split(' ').next().unwrap_or_default();
    match status.parse::<u16>() {
        Ok(200..=299) if version.starts_with("HTTP/1.") => Ok(()),
        Ok(status) if version.starts_with("HTTP/1.") => Err(format!("the status is {status}")),
        _ => Err("the answer is not HTTP".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// More than a loaded host needs for a connection on loopback.
    const LONG: Duration = Duration::from_secs(20);
    /// For what does not come.
    const SHORT: Duration = Duration::from_millis(100);

    /// Answers one connection with `text`, and holds it if that is something; what comes of a probe, and what
    /// it asked.
    fn probed(text: &'static str, timeout: Duration) -> (Result<(), String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let to = ProbeTo::Http(address, "/healthz?a=b".to_owned());
        let probing = thread::spawn(move || probe(&to, timeout));
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            asked.extend(byte);
        }
        stream.write_all(text.as_bytes()).unwrap();
        // Nobody who has his line waits for the end of a connection that stays open.
        let _held = Some(stream).filter(|_| !text.is_empty());
        let outcome = probing.join().unwrap();
        (outcome, String::from_utf8(asked).unwrap().replace(&address.port().to_string(), "PORT"))
    }

    #[test]
    fn over_http_a_good_status_is_up() {
        let (outcome, asked) = probed("HTTP/1.1 204 No Content\r\n", LONG);
        assert_eq!(outcome, Ok(()));
        assert!(asked.starts_with("GET /healthz?a=b HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"), "{asked}");
        for (text, told) in [
            ("HTTP/1.1 503 Service Unavailable\r\n", "the status is 503"),
            ("HTTP/1.1 301 Moved\r\n", "the status is 301"),
            ("SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"),
            ("HTTP/1.1\n", "the answer is not HTTP"),
            ("", "the connection was closed before the reply"),
        ] {
            assert_eq!(probed(text, LONG).0, Err(told.to_owned()), "{text}");
        }
        assert_eq!(probed("HTTP/1.1 20", SHORT).0, Err("no reply within 100 ms".to_owned()));
        let endless = String::leak("x".repeat(STATUS_LINE_LEN_MAX));
        assert_eq!(probed(endless, LONG).0, Err("the answer is not HTTP".to_owned()));
    }

    #[test]
    fn over_tcp_a_connection_is_up() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let to = ProbeTo::Tcp(listener.local_addr().unwrap());
        assert_eq!(probe(&to, LONG), Ok(()));
        drop(listener);
        let told = "connection refused: nothing listens there";
        assert_eq!(probe(&to, LONG), Err(told.to_owned()));
    }
}
