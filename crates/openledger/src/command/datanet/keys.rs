//! Whose keys the command works with.

use crate::{
    home::Home,
    wallet::{self, Keystore},
};
use alloy_primitives::{Address, B256};
use anyhow::Context as _;
use std::path::Path;
use vault::crypt::keys::{Keyring, SecretKey};
use zeroize::Zeroizing;

/// File of the keeper's key inside the user's folder.
const KEEPER_FILE: &str = "keeper.key";

/// The keeper's key of this user; made at first use.
pub(crate) fn keyring(home: &Home) -> anyhow::Result<Keyring> {
    let path = home.join(KEEPER_FILE);
    if !path.exists() {
        wallet::private_folder(path.parent().unwrap_or(Path::new(".")))?;
        let key = SecretKey::generate()?;
        wallet::write_private(&path, alloy_primitives::hex::encode(*key.to_bytes()).as_bytes())?;
    }
    let mut ring = Keyring::new();
    ring.add(secret_key(&path)?);
    Ok(ring)
}

/// A key from its file.
pub(super) fn secret_key(path: &Path) -> anyhow::Result<SecretKey> {
    let text = Zeroizing::new(
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
    );
    let bytes: B256 = text
        .trim()
        .parse()
        .with_context(|| format!("{} holds no key: 64 hex digits are expected", path.display()))?;
    Ok(SecretKey::from_bytes(bytes.0))
}

/// The address of a key, with what to do when there is none yet.
pub(super) fn own_address(keystore: &Keystore, named: &str) -> anyhow::Result<Address> {
    keystore.address(named).with_context(|| {
        format!("no owner `{named}`: make a key with `openledger wallet new {named}`, or pass --owner NAME or ADDRESS")
    })
}
