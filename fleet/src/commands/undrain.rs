//! `as112d-fleet undrain`: drained nodes return to service.

use as112d::commands::Failure;

use super::Told;
use super::drain::order;
use crate::cli::UndrainOptions;

/// Ends a drain; what it prints.
///
/// # Errors
/// Why it cannot.
pub fn undrain(options: &UndrainOptions) -> Result<Told, Failure> {
    order(&options.who, 0, &options.publisher, &options.sign)
}
