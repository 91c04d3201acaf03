//! `as112d config`: the configuration as it is in effect.

use crate::cli::ShowOptions;
use crate::config::{self, Wanted};
use crate::problem::Problem;

/// What is printed where there is nothing to show: still a configuration file.
const NOTHING: &str = "# nothing is configured; --effective shows the defaults\n";

/// Prints the configuration that `run` would have, as a file.
///
/// # Errors
/// All that is wrong in it.
pub fn show(options: &ShowOptions) -> Result<String, Vec<Problem>> {
    let wanted = Wanted { effective: options.effective, origin: options.origin };
    let serve = &options.serve;
    let shown = config::show(serve.config.config.as_deref(), &serve.flags(), wanted)?;
    let shown = shown.trim_start();
    Ok(if shown.is_empty() { NOTHING.to_owned() } else { shown.to_owned() })
}
