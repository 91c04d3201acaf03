use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use super::*;

/// The receiver's end of a connection.
trait Socket: Read + Write {}
impl<T: Read + Write> Socket for T {}

struct Peer(Box<dyn Socket>);

impl Peer {
    fn says(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn hears(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The handshake up to the first frame, with `frames` taking its turns.
    fn accept(&mut self, frames: &mut Frames) {
        let ready = control_frame(control::READY, true);
        assert_eq!(self.hears(ready.len()), ready);
        self.says(&control_frame(control::ACCEPT, true));
        let start = control_frame(control::START, true);
        frames.turn(Instant::now());
        assert_eq!(self.hears(start.len()), start);
    }
}

/// Frames to a socket of the test's own.
fn listening() -> (tempfile::TempDir, UnixListener, Frames) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dnstap");
    let listener = UnixListener::bind(&path).unwrap();
    let frames = Frames::new(Receiver::Unix(path), Arc::default(), Log::silent());
    (folder, listener, frames)
}

fn peer(listener: &UnixListener) -> Peer {
    Peer(Box::new(listener.accept().unwrap().0))
}

fn counts(frames: &Frames) -> (bool, u64, u64) {
    (frames.status.is_connected(), frames.status.sent(), frames.status.dropped())
}

#[test]
fn frames_go_between_a_handshake_and_an_end() {
    let (_folder, listener, mut frames) = listening();
    frames.offer(b"before");
    frames.turn(Instant::now());
    let mut peer = peer(&listener);
    frames.offer(b"before");
    assert_eq!(counts(&frames), (false, 0, 2), "nothing goes before it is accepted");
    peer.accept(&mut frames);
    frames.offer(b"one");
    frames.offer(b"three");
    frames.turn(Instant::now());
    assert_eq!(counts(&frames), (true, 2, 2));
    assert_eq!(peer.hears(7 + 9), b"\0\0\0\x03one\0\0\0\x05three");
    let status = Arc::clone(&frames.status);
    frames.offer(b"last");
    let end = std::thread::spawn(|| frames.end(Instant::now() + Duration::from_secs(60)));
    assert_eq!(peer.hears(8), b"\0\0\0\x04last");
    let stop = control_frame(control::STOP, false);
    assert_eq!(peer.hears(stop.len()), stop);
    peer.says(&control_frame(control::FINISH, false));
    end.join().unwrap();
    assert_eq!((status.sent(), status.dropped()), (3, 2));
}

#[test]
fn what_a_receiver_does_not_take_is_dropped_and_counted() {
    let (_folder, listener, mut frames) = listening();
    let began = Instant::now();
    frames.turn(began);
    let mut peer = peer(&listener);
    peer.accept(&mut frames);
    // Far more than the socket and the queue hold.
    let offered = 4 * DNSTAP_QUEUED_LEN_MAX as u64 / 1000;
    for _ in 0..offered {
        frames.offer(&[7; 1000]);
        frames.turn(began);
    }
    let (connected, sent, dropped) = counts(&frames);
    assert!(connected && sent > 0 && dropped > 0, "{sent} {dropped}");
    let queued = frames.connection.as_ref().unwrap().frames_left();
    assert_eq!(sent + dropped + queued, offered);

    // It takes what is there, and all is well.
    for _ in 0..sent {
        assert_eq!(peer.hears(1004)[..5], [0, 0, 3, 232, 7]);
    }
    frames.turn(began);
    frames.turn(began + DNSTAP_STALL_MAX / 2);
    assert!(counts(&frames).0);
    // It takes nothing for long, and is given up with all that waits for it.
    for _ in 0..offered {
        frames.offer(&[7; 1000]);
        frames.turn(began + DNSTAP_STALL_MAX / 2);
    }
    frames.turn(began + 2 * DNSTAP_STALL_MAX);
    let (connected, sent, dropped) = counts(&frames);
    assert!(!connected);
    assert_eq!(sent + dropped, 2 * offered);
}

#[test]
fn a_receiver_that_goes_away_is_met_again() {
    let (_folder, listener, mut frames) = listening();
    let began = Instant::now();
    frames.turn(began);
    let mut first = peer(&listener);
    first.accept(&mut frames);
    drop(first);
    frames.turn(began);
    assert!(!counts(&frames).0);
    frames.turn(began + DNSTAP_RETRY / 2);
    assert!(frames.connection.is_none(), "not at once");
    frames.turn(began + DNSTAP_RETRY);
    let mut second = peer(&listener);
    second.accept(&mut frames);
    assert!(counts(&frames).0);
}

#[test]
fn a_receiver_over_tcp_may_come_later() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut frames = Frames::new(Receiver::Tcp(address), Arc::default(), Log::silent());
    let began = Instant::now();
    frames.turn(began);
    frames.turn(began);
    assert!(frames.connection.is_none(), "nobody is there");
    let listener = TcpListener::bind(address).unwrap();
    frames.turn(began + DNSTAP_RETRY);
    let mut peer = Peer(Box::new(listener.accept().unwrap().0));
    frames.turn(began + DNSTAP_RETRY);
    let ready = control_frame(control::READY, true);
    assert_eq!(peer.hears(ready.len()), ready);
    peer.says(&control_frame(control::ACCEPT, true));
    while !counts(&frames).0 {
        frames.turn(began + DNSTAP_RETRY);
    }
}

#[test]
fn who_does_not_accept_is_given_up() {
    for (said, reason) in [
        (control_frame(control::FINISH, false), "unexpected control frame 5"),
        (b"HTTP/1.1 400 Bad Request".to_vec(), "no control frame received"),
        (b"\0\0\0\0\xff\xff\xff\xff".to_vec(), "no control frame received"),
        (b"\0\0\0\0\0\0\0\x0a\0\0\0\x01\0\0\0\x01\0\0".to_vec(), "a control field is truncated"),
        (b"\0\0\0\0\0\0\0\x0d\0\0\0\x01\0\0\0\x01\0\0\0\x01x".to_vec(), "it does not accept dnstap frames"),
    ] {
        let (_folder, listener, mut frames) = listening();
        frames.turn(Instant::now());
        peer(&listener).says(&said);
        frames.turn(Instant::now());
        assert!(frames.connection.is_none(), "{reason}");
        let told = frames.said.as_deref().unwrap_or_default();
        assert!(told.contains(reason), "{told}, not {reason}");
    }
    // One who says nothing.
    let (_folder, listener, mut frames) = listening();
    let began = Instant::now();
    frames.turn(began);
    let _silent = peer(&listener);
    frames.turn(began + DNSTAP_STALL_MAX / 2);
    assert!(frames.connection.is_some());
    frames.turn(began + DNSTAP_STALL_MAX);
    assert_eq!(frames.said.as_deref(), Some("it read nothing for 10 s"));
}

#[test]
fn an_acceptance_without_types_is_one_and_may_come_in_pieces() {
    let (_folder, listener, mut frames) = listening();
    frames.turn(Instant::now());
    let mut peer = peer(&listener);
    for byte in control_frame(control::ACCEPT, false) {
        assert!(!counts(&frames).0);
        peer.says(&[byte]);
        frames.turn(Instant::now());
    }
    assert!(counts(&frames).0);
}

#[test]
fn an_end_waits_for_nobody_for_ever() {
    let (_folder, listener, mut frames) = listening();
    frames.turn(Instant::now());
    let mut peer = peer(&listener);
    peer.accept(&mut frames);
    frames.offer(&[1; 10]);
    let status = Arc::clone(&frames.status);
    frames.end(Instant::now() + Duration::from_millis(20));
    assert_eq!((status.sent(), status.dropped()), (1, 0));
    // Nor where nobody is.
    let nowhere = Receiver::Unix("/no/such/socket".into());
    let mut frames = Frames::new(nowhere, Arc::default(), Log::silent());
    frames.turn(Instant::now());
    frames.end(Instant::now() + Duration::from_secs(3600));
}
