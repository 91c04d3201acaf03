//! How a running node is found, and asked for its numbers: over its control socket and over HTTP.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;

use serde_json::Value;

use super::failure::Failure;
use crate::announce::probe::reachable;
use crate::cli::NodeOptions;
use crate::config;
use crate::config::doors::{ControlPath, HttpListen};
use crate::control::client;
use crate::limits::{STATS_LEN_MAX, STATS_TIMEOUT};

/// Where a node is asked unless somebody says otherwise.
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:9112";

/// Where a node may be found: what options and the configuration file say, else the usual places.
#[derive(Debug)]
pub(super) struct Whereabouts {
    /// Of its control socket.
    pub(super) paths: Vec<PathBuf>,
    http: HttpListen,
}

impl Whereabouts {
    /// # Errors
    /// If the configuration file cannot be read.
    pub(super) fn of(options: &NodeOptions) -> Result<Self, Failure> {
        let file = options.config.as_deref().map(config::doors_in).transpose()?;
        let (in_file, http) = file.unwrap_or_default();
        let paths = options.control.clone().map_or(in_file, ControlPath::At).candidates();
        Ok(Self { paths, http })
    }

    /// What the running node says of itself, if it answers.
    pub(super) fn status(&self) -> Option<Value> {
        client::status(&self.paths, STATS_TIMEOUT)
    }

    /// Where it serves HTTP: as the running node says, else as its configuration does.
    fn url(&self) -> Result<String, String> {
        let off = "the node does not serve HTTP; start it with --http, or give --url";
        if let Some(told) = self.status().as_ref().and_then(|status| status.get("http")) {
            let address = told.as_str().and_then(|text| text.parse().ok());
            return address.map(url_of).ok_or_else(|| off.to_owned());
        }
        match self.http {
            // Only the node itself knows which port it was given.
            HttpListen::At(address) if address.port() != 0 => Ok(url_of(address)),
            HttpListen::At(_) | HttpListen::IfFree => Ok(DEFAULT_URL.to_owned()),
            HttpListen::Off => Err(off.to_owned()),
        }
    }
}

fn url_of(address: SocketAddr) -> String {
    format!("http://{}", SocketAddr::new(reachable(address.ip()), address.port()))
}

/// A node that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Node {
    url: String,
}

impl Node {
    /// The node that serves HTTP at `url`; without it, the one that `options` name.
    ///
    /// # Errors
    /// If that is not a URL, and if the node serves no HTTP.
    pub(super) fn find(options: &NodeOptions, url: Option<&str>) -> Result<Self, Failure> {
        let url =
            url.map_or_else(|| Whereabouts::of(options)?.url().map_err(Failure::from), |url| Ok(url.into()));
        Self::at(url?)
    }

    /// The node that serves HTTP at `url`.
    ///
    /// # Errors
    /// If that is not a URL.
    pub(super) fn at(url: String) -> Result<Self, Failure> {
        let node = Self { url };
        if node.host().is_empty() {
            let url = &node.url;
            return Err(format!("`{url}` is not a URL that can be asked; write it like {DEFAULT_URL}").into());
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
            "no node answers at {}: {reason}; is it running? Give its --config, --control or --url",
            self.url
        ))
    }
    /// Host and port; nothing where it is not a URL.
    fn host(&self) -> &str {
        let rest = self.url.strip_prefix("http://").unwrap_or_default();
        rest.split('/').next().unwrap_or_default()
    }
}

fn wrong(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// One request. In the form of a client's: a node takes HTTP/1.0 and `Connection: close` for a proxy's. The
/// answer is as long as it says, or as the connection lasts.
fn exchange(host: &str, path: &str) -> io::Result<String> {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let with_port = if has_port { host.to_owned() } else { format!("{host}:80") };
    let addresses: Vec<SocketAddr> = with_port.to_socket_addrs()?.collect();
    let address = addresses.first().ok_or_else(|| wrong("the name has no address"))?;
    let mut stream = TcpStream::connect_timeout(address, STATS_TIMEOUT)?;
    stream.set_read_timeout(Some(STATS_TIMEOUT))?;
    stream.set_write_timeout(Some(STATS_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
    let mut answer = BufReader::new(stream.take(STATS_LEN_MAX));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if answer.read_line(&mut head)? == 0 {
            return Err(wrong("that is not HTTP"));
        }
    }
    let len = head.lines().find_map(|line| {
        let (name, len) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| len.trim().parse().ok())?
    });
    let mut body = String::new();
    answer.take(len.unwrap_or(STATS_LEN_MAX)).read_to_string(&mut body)?;
    if len.is_some_and(|len| len != body.len() as u64) {
        return Err(wrong("its answer is cut short"));
    }
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        let kind = match status {
            "404" => io::ErrorKind::NotFound,
            "503" => io::ErrorKind::ResourceBusy,
            _ => io::ErrorKind::InvalidData,
        };
        return Err(io::Error::new(kind, format!("the status is {status}")));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_host() {
        let host = |url: &str| Node::at(url.to_owned()).map(|node| node.host().to_owned());
        assert_eq!(host("http://[::1]:9112/metrics").unwrap(), "[::1]:9112");
        for bad in ["", "127.0.0.1:9112", "https://a", "http://", "http:///stats.json"] {
            let failure = host(bad).unwrap_err();
            assert_eq!(failure.code, 1);
            assert!(failure.problems[0].message.ends_with("write it like http://127.0.0.1:9112"), "{bad}");
        }
    }

    /// Without a running node that says where it is, the file says it.
    #[test]
    fn a_node_is_where_its_configuration_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("as112d.toml");
        let url = |http: &str| {
            // What else is in the file may be as wrong as it likes.
            let text = format!("[server]\nshards = 0\n[control]\npath = 'none'\n[http]\nlisten = '{http}'\n");
            std::fs::write(&file, text).unwrap();
            let options = NodeOptions { config: Some(file.clone()), control: None };
            Node::find(&options, None).map(|node| node.url)
        };
        assert_eq!(url("[::1]:9").unwrap(), "http://[::1]:9");
        assert_eq!(url("0.0.0.0:25112").unwrap(), "http://127.0.0.1:25112");
        assert!(url("off").unwrap_err().problems[0].message.starts_with("the node does not serve HTTP"));
        let gone = NodeOptions { config: Some(folder.path().join("gone")), control: None };
        assert_eq!(Node::find(&gone, None).unwrap_err().code, 1);
        assert_eq!(Node::find(&gone, Some("http://a")).unwrap().url, "http://a");
        let options = NodeOptions { config: Some(file), control: None };
        assert_eq!(Whereabouts::of(&options).unwrap().paths, [folder.path().join("none")]);
    }
}
