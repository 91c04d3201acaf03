//! The configuration, read again while the node serves. All of it is checked before any of it takes effect; a
//! mistake anywhere leaves everything as it was.

use std::path::PathBuf;

use super::placement::Placement;
use crate::config::loaded::Loaded;
use crate::config::{self, Config, Flags};
use crate::problem::Problem;

/// Where the configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// What goes before the file.
    pub flags: Flags,
}

impl Source {
    /// Reads it.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn read(&self) -> Result<Config, Vec<Problem>> {
        config::load(self.file.as_deref(), &self.flags)
    }
}

/// A configuration that was read again, with everything that it names.
#[derive(Debug)]
pub(super) struct Reloaded {
    pub(super) config: Config,
    pub(super) loaded: Loaded,
    /// The settings that differ from those in effect and take effect after a restart only.
    pub(super) need_restart: Vec<&'static str>,
}

impl Reloaded {
    /// Reads and checks everything. The zones of `series` are counted already.
    ///
    /// # Errors
    /// Every mistake.
    pub(super) fn read(source: &Source, running: &Config, series: Vec<String>) -> Result<Self, Vec<Problem>> {
        let mut config = source.read()?;
        // What a restart would refuse is refused now; but whether there is a user, a confined process cannot
        // see.
        Placement::here(&config)?;
        let need_restart = keep_what_stays(&mut config, running);
        let loaded = Loaded::read(&config, series)?;
        Ok(Self { config, loaded, need_restart })
    }
}

/// Puts what only a restart changes back to what `running` has; which of that would have changed.
fn keep_what_stays(config: &mut Config, running: &Config) -> Vec<&'static str> {
    let mut changed = Vec::new();
    let log_level = std::mem::replace(&mut config.log.level, running.log.level);
    macro_rules! keep {
        ($($name:literal: $($field:ident)+;)*) => {$(
            if $(config.$field != running.$field)||+ {
                changed.push($name);
                $(config.$field.clone_from(&running.$field);)+
            }
        )*};
    }
    keep! {
        "[server] listen": listen;
        "[server] shards": shards;
        "[server] cpus": cpus;
        "[server] steer": steer;
        "[server] busy_poll": busy_poll;
        "[server] datapath": datapath;
        "[server] user": user;
        "[server] rcvbuf": rcvbuf;
        "[server] sndbuf": sndbuf;
        "[tcp]": tcp;
        "[http]": http http_public node_view allowed_hosts;
        "[history] dir": history;
        "[sources] sample_every": sample_every;
        "[export]": export;
        "[xdp]": xdp;
        "[control] path": control;
        "[confine]": confine;
        "[log]": log;
        "[query_log]": query_log;
        "[dnstap]": dnstap;
    }
    // Of the log the level alone is taken over.
    config.log.level = log_level;
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_restart_takes_is_named_and_left_as_it_is() {
        let running = Source::default().read().unwrap();
        let mut config = running.clone();
        assert!(keep_what_stays(&mut config, &running).is_empty());
        config.listen.pop();
        config.rcvbuf += 1;
        config.nsid = vec![1];
        assert_eq!(keep_what_stays(&mut config, &running), ["[server] listen", "[server] rcvbuf"]);
        assert_eq!((&config.listen, config.rcvbuf), (&running.listen, running.rcvbuf));
        assert_eq!(config.nsid, [1], "the rest is taken over");
    }
}
