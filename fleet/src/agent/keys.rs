//! Whose signatures count on a node: the keys of its own file, and the changes that releases brought since.
//! Where a signature does not verify the source is asked for more changes, each of which must be signed by
//! the keys before.

use std::cell::RefCell;

use as112d::limits::RELEASE_ERAS_MAX;
use as112d::release::{Code, Eras, Keys, Label, Manifest, Pointer, Refused, Signed, layout};

use super::core::Trouble;
use super::fetch::read_signed;
use super::folder::{self, Folder};
use crate::carry::Carrier;

/// The keys of a fleet over time, as far as the node knows them.
#[derive(Debug)]
pub struct KeyRing {
    eras: RefCell<(Eras, usize)>,
}

impl KeyRing {
    /// Those of the node's own file, and of its folder.
    ///
    /// # Errors
    /// A change in the folder that does not follow the one before.
    pub fn open(folder: &Folder, fleet: &Label, keys: &Keys) -> Result<Self, Trouble> {
        Ok(Self { eras: RefCell::new(folder.eras(fleet, keys)?) })
    }

    /// What they are now.
    #[must_use]
    pub fn eras(&self) -> Eras {
        self.eras.borrow().0.clone()
    }

    /// Verifies a pointer.
    ///
    /// # Errors
    /// Why it does not verify.
    pub async fn pointer(
        &self,
        file: &[u8],
        carrier: &Carrier,
        folder: &Folder,
    ) -> Result<Signed<Pointer>, Refused> {
        let refused = match self.eras.borrow().0.pointer(file) {
            Ok(signed) => return Ok(signed),
            Err(refused) => refused,
        };
        if !self.follow(&refused, carrier, folder).await {
            return Err(refused);
        }
        self.eras.borrow().0.pointer(file)
    }

    /// Verifies a manifest.
    ///
    /// # Errors
    /// Why it does not verify.
    pub async fn manifest(
        &self,
        signed: &folder::Signed,
        carrier: &Carrier,
        folder: &Folder,
    ) -> Result<Manifest, Trouble> {
        let verify = || self.eras.borrow().0.manifest(&signed.manifest, &signed.signatures);
        let refused = match verify() {
            Ok(signed) => return Ok(signed.content),
            Err(refused) => refused,
        };
        if !self.follow(&refused, carrier, folder).await {
            return Err(refused.into());
        }
        Ok(verify()?.content)
    }

    /// Asks the source for changes of the keys; whether there were any.
    async fn follow(&self, refused: &Refused, carrier: &Carrier, folder: &Folder) -> bool {
        if refused.code != Code::TooFewSignatures {
            return false;
        }
        let mut has_changed = false;
        loop {
            let number = self.eras.borrow().1 + 1;
            if number > RELEASE_ERAS_MAX {
                return has_changed;
            }
            // Whatever is wrong with the next one, those before it count.
            let Ok(Some(signed)) = read_signed(carrier, &layout::era(number)).await else {
                return has_changed;
            };
            let mut eras = self.eras();
            if eras.advance(&signed.manifest, &signed.signatures).is_err()
                || folder.era(number, &signed).is_err()
            {
                return has_changed;
            }
            *self.eras.borrow_mut() = (eras, number);
            has_changed = true;
        }
    }
}
