//! Who takes part in the demo: accounts of one mnemonic, made at the first run and kept in the demo's folder.

use crate::wallet;
use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use anyhow::Context as _;
use std::path::Path;
use zeroize::Zeroizing;

/// File that holds the words, readable by its owner alone.
const FILE: &str = "mnemonic";
/// Index of the first contributor's account.
const FIRST_CONTRIBUTOR: u32 = 16;

/// The accounts.
#[derive(Clone, Debug)]
pub struct Accounts {
    phrase: Zeroizing<String>,
    /// Holds the supply at genesis and funds the others.
    pub reserve: PrivateKeySigner,
    /// Creates the Datanet and trains the model.
    pub developer: PrivateKeySigner,
    /// Serves the model.
    pub operator: PrivateKeySigner,
    /// Asks and pays.
    pub client: PrivateKeySigner,
}

impl Accounts {
    /// The accounts of the demo in `folder`, new ones at the first run.
    pub fn open(folder: &Path) -> anyhow::Result<Accounts> {
        let path = folder.join(FILE);
        if !path.exists() {
            let (phrase, _) = wallet::generate(12)?;
            wallet::write_private(&path, phrase.as_bytes())?;
        }
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let phrase = Zeroizing::new(text);
        let account = |index| wallet::from_mnemonic(&phrase, index);
        let (reserve, developer, operator, client) = (account(0)?, account(1)?, account(2)?, account(3)?);
        Ok(Accounts { reserve, developer, operator, client, phrase })
    }

    /// The account of contributor `index`.
    pub fn contributor(&self, index: usize) -> anyhow::Result<PrivateKeySigner> {
        wallet::from_mnemonic(&self.phrase, FIRST_CONTRIBUTOR + u32::try_from(index)?)
    }

    /// Who holds the supply at genesis.
    pub fn holders(&self) -> Vec<Address> {
        vec![self.reserve.address()]
    }

    /// Secret bytes for keys that are not accounts, such as the keeper's.
    pub fn secret(&self, purpose: &str) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([purpose.as_bytes(), b"\0", self.phrase.as_bytes()].concat())
    }
}
