//! What all that is under way in an agent shares.

use as112d::limits::POINTER_LEN_MAX;
use as112d::release::{ReleaseName, Scope};
use tokio::time::sleep;

use super::fetch::{Fetch, pointer_name};
use super::folder::Folder;
use super::keys::KeyRing;
use super::settings::Settings;
use crate::carry::{Carrier, Fault};
use crate::limits::{STORED_PAUSE, STORED_TRIES};

/// Settings, source, folder and keys.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) carrier: Carrier,
    pub(super) folder: Folder,
    pub(super) keys: KeyRing,
    pub(super) program: semver::Version,
}

impl Shared {
    /// The pointer of a scope at the source; where `value` is to be there, once it is.
    pub(super) async fn stored(&self, scope: &Scope, value: Option<&[u8]>) -> Result<Option<Vec<u8>>, Fault> {
        let name = pointer_name(scope);
        let mut pause = STORED_PAUSE;
        for _ in 0..STORED_TRIES {
            let found = self.carrier.read(&name, POINTER_LEN_MAX as u64).await?;
            if value.is_none() || found.as_deref() == value {
                return Ok(found);
            }
            sleep(pause).await;
            pause *= 2;
        }
        self.carrier.read(&name, POINTER_LEN_MAX as u64).await
    }

    /// What fetching takes; `needed` are releases that must stay.
    pub(super) fn fetch<'a>(&'a self, needed: &'a [ReleaseName]) -> Fetch<'a> {
        Fetch {
            carrier: &self.carrier,
            folder: &self.folder,
            keys: &self.keys,
            who: &self.settings.who,
            program: &self.program,
            min_free: self.settings.min_free,
            needed,
        }
    }
}
