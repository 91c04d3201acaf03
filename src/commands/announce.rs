//! `as112d announce`: has a router announce what answers.

use std::io;
use std::path::Path;

use crate::cli::AnnounceOptions;
use crate::daemon::config;
use crate::routes;
use crate::zone::Problem;

/// Where the control socket is unless somebody says otherwise.
const CONTROL: &str = "/run/as112d/control";

/// Probes and tells the router, until a signal; or withdraws everything, once. What there is to say goes to
/// standard error, as standard output may be ExaBGP's.
///
/// # Errors
/// A wrong configuration, one without a router, and that the router does not take the last withdrawal.
pub fn announce(options: &AnnounceOptions) -> Result<String, Vec<Problem>> {
    let problem = |message: String| vec![Problem { place: String::new(), message }];
    let config = config::load(options.config.as_deref(), &config::Flags::default())?;
    let settings = config.announce.ok_or_else(|| {
        problem("no router is configured; give `router` in [announce] of the file, and the file".to_owned())
    })?;
    let control = options.control.as_deref().unwrap_or_else(|| Path::new(CONTROL));
    let done = if options.withdraw {
        routes::withdraw(&settings)
    } else {
        routes::announce(&settings, control, &mut io::stderr())
    };
    done.map(|()| String::new()).map_err(problem)
}
