//! How a running node is asked for its numbers: over HTTP.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};

use serde_json::Value;

use super::Failure;
use crate::limits::{STATS_LEN_MAX, STATS_TIMEOUT};

/// Where a node is asked unless somebody says otherwise.
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:9112";

/// A node that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Node {
    url: String,
}

impl Node {
    /// The node that serves HTTP at `url`, else at [`DEFAULT_URL`].
    ///
    /// # Errors
    /// If that is no URL.
    pub(super) fn at(url: Option<&str>) -> Result<Self, Failure> {
        let node = Self { url: url.unwrap_or(DEFAULT_URL).to_owned() };
        if node.host().is_empty() {
            let url = &node.url;
            return Err(format!("`{url}` is no URL that can be asked; give one as {DEFAULT_URL}").into());
        }
        Ok(node)
    }

    /// Its URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What it says: the text, and what that means.
    ///
    /// # Errors
    /// If no node answers.
    pub(super) fn ask(&self) -> io::Result<(String, Value)> {
        let text = self.get("/stats.json")?;
        let numbers = serde_json::from_str(&text)
            .map_err(|error| wrong(&format!("its answer is not JSON: {error}")))?;
        Ok((text, numbers))
    }

    /// What it has at a path.
    ///
    /// # Errors
    /// If no node answers, or it has nothing there.
    pub(super) fn get(&self, path: &str) -> io::Result<String> {
        exchange(self.host(), path)
    }

    /// The end of a command to which it did not answer.
    pub(super) fn no_answer(&self, reason: &io::Error) -> Failure {
        Failure::no_answer(format!(
            "no node answers at {}: {reason}; is it running, and is this its --http? Give --url",
            self.url
        ))
    }

    /// Host and port; nothing where the URL is none.
    fn host(&self) -> &str {
        let rest = self.url.strip_prefix("http://").unwrap_or_default();
        rest.split('/').next().unwrap_or_default()
    }
}

fn wrong(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// One request, after which the server closes (HTTP/1.0), so that the answer ends where the connection does.
fn exchange(host: &str, path: &str) -> io::Result<String> {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let with_port = if has_port { host.to_owned() } else { format!("{host}:80") };
    let addresses: Vec<SocketAddr> = with_port.to_socket_addrs()?.collect();
    let address = addresses.first().ok_or_else(|| wrong("the name has no address"))?;
    let mut stream = TcpStream::connect_timeout(address, STATS_TIMEOUT)?;
    stream.set_read_timeout(Some(STATS_TIMEOUT))?;
    stream.set_write_timeout(Some(STATS_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(STATS_LEN_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| wrong("that is not HTTP"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        let kind = match status {
            "404" => io::ErrorKind::NotFound,
            "503" => io::ErrorKind::ResourceBusy,
            _ => io::ErrorKind::InvalidData,
        };
        return Err(io::Error::new(kind, format!("the status is {status}")));
    }
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_host() {
        let host = |url: &str| Node::at(Some(url)).map(|node| node.host().to_owned());
        assert_eq!(host("http://[::1]:9112/metrics").unwrap(), "[::1]:9112");
        assert_eq!(Node::at(None).unwrap().url(), DEFAULT_URL);
        for bad in ["", "127.0.0.1:9112", "https://a", "http://", "http:///stats.json"] {
            let failure = host(bad).unwrap_err();
            assert_eq!(failure.code, 1);
            assert!(failure.problems[0].message.ends_with("give one as http://127.0.0.1:9112"), "{bad}");
        }
    }
}
