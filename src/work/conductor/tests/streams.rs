//! Connections without I/O, cut at every byte.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::sim::{MS, S};
use crate::policy::upstream::Roots;
use crate::work::conductor::network::TryKey;
use crate::work::conductor::stream::{Broken, Stream};
use crate::work::conductor::tls::Client;

fn key(exchange: u32) -> TryKey {
    TryKey { exchange, generation: 0, nth: 0 }
}

fn query(id: u16) -> Vec<u8> {
    [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]].concat()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

fn messages(stream: &mut Stream) -> Vec<(u32, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((key, message)) = stream.next().unwrap() {
        found.push((key.exchange, message.to_vec()));
    }
    found
}

#[test]
fn messages_are_whole_wherever_the_stream_is_cut() {
    let long = [query(2), vec![7; 3000]].concat();
    let bytes = [framed(&query(1)), framed(&query(9)), framed(&long)].concat();
    for cut in 0..=bytes.len() {
        let mut stream = Stream::new(None, 0);
        stream.connected(0);
        stream.push(key(1), &query(1), 0).unwrap();
        stream.push(key(2), &query(2), 0).unwrap();
        let mut found = Vec::new();
        for part in [&bytes[..cut], &bytes[cut..]] {
            stream.read(part, 0).unwrap();
            found.extend(messages(&mut stream));
        }
        assert_eq!(found, [(1, query(1)), (2, long.clone())], "cut at {cut}");
        assert_eq!(stream.pending(), 0);
    }
    let mut stream = Stream::new(None, 0);
    stream.connected(0);
    stream.push(key(2), &query(2), 0).unwrap();
    stream.push(key(1), &query(1), 0).unwrap();
    let mut found = Vec::new();
    for byte in &bytes {
        stream.read(&[*byte], 0).unwrap();
        found.extend(messages(&mut stream));
    }
    assert_eq!(found.len(), 2, "in any order, byte by byte");
}

#[test]
fn queries_leave_in_one_piece_and_ids_are_not_used_twice() {
    let mut stream = Stream::new(None, 0);
    for exchange in 0..64 {
        stream.push(key(exchange), &query(0xFFF0), 0).unwrap();
    }
    assert_eq!(stream.push(key(64), &query(1), 0), Err(Broken), "it is full");
    let mut ids = Vec::new();
    let out = stream.unwritten().to_vec();
    for piece in out.chunks(2 + query(0).len()) {
        assert_eq!(piece[..2], [0, 17]);
        ids.push(u16::from_be_bytes([piece[2], piece[3]]));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 64);
    stream.wrote(5);
    assert_eq!(stream.unwritten(), &out[5..]);
    stream.wrote(out.len() - 5);
    assert!(stream.unwritten().is_empty());
}

#[test]
fn what_ends_gives_back_what_it_owes_and_what_is_silent_ends() {
    let mut stream = Stream::new(None, 0);
    stream.connected(0);
    assert!(!stream.is_over(9 * S) && stream.is_over(10 * S), "at rest");
    stream.push(key(1), &query(1), 9 * S).unwrap();
    stream.push(key(2), &query(2), 10 * S).unwrap();
    assert!(!stream.is_over(11 * S - MS) && stream.is_over(11 * S), "silent");
    stream.read(&framed(&query(1)), 10 * S).unwrap();
    assert_eq!(messages(&mut stream).len(), 1);
    assert!(!stream.is_over(12 * S - MS) && stream.is_useful());
    assert_eq!(stream.give_back().map(|key| key.exchange).collect::<Vec<_>>(), [2]);
    for short in [vec![0, 0], vec![0, 1, 7]] {
        let mut stream = Stream::new(None, 0);
        stream.read(&short, 0).unwrap();
        assert_eq!(stream.next().err(), Some(Broken));
    }
}

/// A certificate for `dns.example`, signed by an authority of its own: `ca.pem`, `cert.pem`, `key.pem`.
pub(super) fn certificates(directory: &Path) {
    std::fs::write(directory.join("leaf"), "subjectAltName=DNS:dns.example\n").unwrap();
    let run = |arguments: &str| {
        let arguments = arguments.split(' ').map(|argument| argument.replace('~', " "));
        let output = Command::new("openssl").args(arguments).current_dir(directory).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    run(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
    run(&format!("req {key} -keyout key.pem -out request -subj /CN=dns.example"));
    run("x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf -out cert.pem");
}

fn roots(directory: &Path) -> Roots {
    Roots(Arc::new(vec![CertificateDer::from_pem_file(directory.join("ca.pem")).unwrap().to_vec()]))
}

fn server(directory: &Path) -> ServerConnection {
    let certificate = CertificateDer::from_pem_file(directory.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![b"dot".to_vec()];
    ServerConnection::new(Arc::new(config)).unwrap()
}

/// Carries everything across in pieces of `len` bytes, until nothing moves.
fn carry(stream: &mut Stream, server: &mut ServerConnection, len: usize) -> Result<(), Broken> {
    loop {
        let mut to_server = stream.unwritten().to_vec();
        stream.wrote(to_server.len());
        let mut to_client = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut to_client).unwrap();
        }
        if to_server.is_empty() && to_client.is_empty() {
            return Ok(());
        }
        for piece in to_client.chunks(len) {
            stream.read(piece, 0)?;
        }
        let mut rest = to_server.as_mut_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at_mut(len.min(rest.len()));
            server.read_tls(&mut &*piece).unwrap();
            // What it dislikes it says, and the client hears.
            let _ = server.process_new_packets();
            rest = after;
        }
    }
}

#[test]
fn tls_carries_messages_whatever_the_pieces_and_only_to_who_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let trusted = roots(directory.path());
    let client = Client::new("dns.example", &trusted).unwrap();
    for len in [1, 2, 3, 7, 64, 1000, 100_000] {
        let mut server = server(directory.path());
        let mut stream = Stream::new(client.connect(), 0);
        stream.connected(0);
        assert!(!stream.is_ready());
        stream.push(key(1), &query(1), 0).unwrap();
        carry(&mut stream, &mut server, len).unwrap();
        assert!(stream.is_ready() && server.alpn_protocol() == Some(b"dot"));
        let mut asked = vec![0; 19];
        server.reader().read_exact(&mut asked).unwrap();
        assert_eq!(asked, framed(&query(1)));
        let answer = [query(1), vec![9; 30_000]].concat();
        server.writer().write_all(&framed(&answer)).unwrap();
        server.send_close_notify();
        carry(&mut stream, &mut server, len).unwrap();
        assert_eq!(messages(&mut stream), [(1, answer)], "pieces of {len}");
    }
    // Another name, and another authority.
    let elsewhere = tempfile::tempdir().unwrap();
    certificates(elsewhere.path());
    let others = roots(elsewhere.path());
    for wrong in [Client::new("other.example", &trusted), Client::new("dns.example", &others)] {
        let mut stream = Stream::new(wrong.unwrap().connect(), 0);
        stream.connected(0);
        assert_eq!(carry(&mut stream, &mut server(directory.path()), 1000), Err(Broken));
    }
}

#[test]
fn without_somebody_to_trust_or_a_name_there_is_no_tls() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    assert!(Client::new("dns.example", &Roots::default()).is_none());
    assert!(Client::new("not a name", &roots(directory.path())).is_none());
    assert!(Client::new("192.0.2.1", &roots(directory.path())).is_some(), "an address can be certified too");
}
