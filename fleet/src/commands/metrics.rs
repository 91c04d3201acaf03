//! `as112d-fleet metrics`: collects the statistics of all nodes, and serves them.

use as112d::commands::Failure;

use super::wait;
use crate::carry::Carrier;
use crate::cli::MetricsOptions;
use crate::metrics::collector::{self, Settings};
use crate::metrics::source::Source;

/// Collects and serves until a signal; what it prints is nothing.
///
/// # Errors
/// Why it cannot start, or had to end.
pub fn metrics(options: &MetricsOptions) -> Result<String, Failure> {
    let settings = Settings {
        fleet: options.fleet.clone(),
        dir: options.dir.clone(),
        http: options.http,
        public: options.public,
        allowed_hosts: options.allowed_hosts.clone(),
    };
    wait(async {
        let source = match &options.at {
            None => Source::of_nodes(options.nodes.clone()),
            Some(at) => {
                let carrier = Carrier::open(at, &options.access.access(), &options.fleet).await;
                match carrier.map_err(|fault| Failure::from(fault.to_string()))? {
                    Carrier::Nats(nats) => Source::of_hub(nats),
                    Carrier::Dir(_) | Carrier::Web(_) => {
                        let way_out = "give --at a server of NATS, or --node for each node";
                        return Err(
                            format!("{at}: nodes tell of their minutes over NATS alone; {way_out}").into()
                        );
                    }
                }
            }
        };
        collector::run(settings, source).await
    })
}
