//! `as112d-fleet agent`: follows the fleet's releases on a node.

use as112d::commands::Failure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

use super::wait;
use crate::agent::node::Node;
use crate::agent::{Agent, Settings};
use crate::cli::AgentOptions;
use crate::limits::SIMULATION_START;

/// Follows the fleet until a signal ends it (SIGTERM, SIGINT). SIGHUP has it try once more what was refused.
///
/// # Errors
/// If the configuration is wrong, the directory cannot be used, or the source cannot be opened. That a source
/// is away is none.
pub fn agent(options: &AgentOptions) -> Result<String, Failure> {
    let settings = Settings::read(&options.config)?;
    wait(async {
        let failed = |error: std::io::Error| Failure::from(format!("cannot wait for signals: {error}"));
        let mut stops = [SignalKind::terminate(), SignalKind::interrupt()].map(signal).into_iter();
        let (mut one, mut other) = match (stops.next(), stops.next()) {
            (Some(one), Some(other)) => (one.map_err(failed)?, other.map_err(failed)?),
            _ => return Err(Failure::from("cannot wait for signals".to_owned())),
        };
        let stop = async {
            tokio::select! {
                _ = one.recv() => {}
                _ = other.recv() => {}
            }
        };
        match options.simulate {
            None => {
                let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
                let mut agent = Agent::open(settings).await?;
                agent.run(stop, async || again(&mut hangup).await).await;
            }
            Some(count) => {
                let all = LocalSet::new();
                let simulated = all.run_until(async {
                    simulate(&settings, count).await?;
                    stop.await;
                    Ok::<_, Failure>(())
                });
                simulated.await?;
            }
        }
        Ok(String::new())
    })
}

async fn again(hangup: &mut Signal) {
    if hangup.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Starts so many agents, each with its name, its directory and its connection.
async fn simulate(settings: &Settings, count: u32) -> Result<(), Failure> {
    // A connection for each, a lock, and what it reads and writes at the moment.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .map_err(|error| Failure::from(format!("cannot open enough files: {error}")))?;
    for number in 1..=count {
        let mut settings = settings.clone();
        let name = format!("{}-{number:04}", settings.who.node);
        settings.who.node = name.parse().map_err(|refused| Failure::from(format!("{refused}")))?;
        settings.dir.push(&name);
        settings.access.name = Some(name);
        settings.node = Node::Nobody;
        let mut agent = Agent::open(settings).await?;
        tokio::task::spawn_local(async move {
            agent.run(std::future::pending(), async || std::future::pending().await).await;
        });
        tokio::time::sleep(SIMULATION_START).await;
    }
    println!("{count} agents");
    Ok(())
}
