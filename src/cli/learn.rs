//! What the command line says of learning.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

/// Options of `learn`.
#[derive(Args, Clone, Debug)]
pub struct LearnOptions {
    /// The configuration of the node: its PoPs, its maps, its beacons
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// The directory of observations. Default: as the configuration says
    #[arg(long, value_name = "DIR")]
    pub observations: Option<PathBuf>,
    /// The file to keep what is known in. Default: as the configuration says
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Learn once, then exit. Default: learn every hour
    #[arg(long)]
    pub once: bool,
    /// Learn as if it were this time, such as 2026-11-28T00:00:00Z or seconds of Unix time
    #[arg(long, value_name = "TIME", requires = "once", value_parser = time)]
    pub at: Option<u64>,
    /// Add what another node knows, from its --export, then exit; repeatable
    #[arg(long, value_name = "FILE", conflicts_with_all = ["once", "export"])]
    pub import: Vec<PathBuf>,
    /// Print what is known, for another node's --import, then exit
    #[arg(long, conflicts_with = "once")]
    pub export: bool,
}

fn time(text: &str) -> Result<u64, String> {
    let read = text.parse::<Timestamp>().ok().map(Timestamp::as_second);
    let seconds = text.parse().ok().or_else(|| read.and_then(|at| u64::try_from(at).ok()));
    seconds.ok_or_else(|| format!("`{text}` is not a time; give one such as 2026-11-28T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_two_ways() {
        assert_eq!(time("1795824000"), Ok(1_795_824_000));
        assert_eq!(time("2026-11-28T00:00:00Z"), Ok(1_795_824_000));
        assert!(time("yesterday").unwrap_err().ends_with("2026-11-28T00:00:00Z"));
        assert!(time("-1").is_err());
    }
}
