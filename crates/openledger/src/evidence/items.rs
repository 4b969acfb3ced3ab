//! The items behind a served model: the units it was trained on and is attributed by are cut from what stands in the vault, byte for byte.
//!
//! For who keeps the vault or holds a grant. A stored byte that was changed fails its authentication, and a unit that was changed is no part of its item any
//! more; either way the item is named by its leaf, which the ledger's Datanet version commits to.

use super::{Outcome, broken};
use crate::serving::{ServedPart, ServedUnit, Serving};
use alloy_primitives::B256;
use anyhow::Context as _;
use std::collections::BTreeMap;
use vault::{Vault, crypt::keys::Keyring};

/// Compares every unit of `serving` with its item in `vault`.
pub fn check(serving: &Serving, vault: &mut Vault, ring: &Keyring, now: u64) -> anyhow::Result<Outcome> {
    let units = serving.units()?;
    let (model, tokenizer) = serving.model()?;
    let mut of_items: BTreeMap<B256, Vec<(&ServedPart, &[u32])>> = BTreeMap::new();
    for (part, own) in units.iter().flat_map(ServedUnit::own_tokens) {
        of_items.entry(part.item).or_default().push((part, own));
    }
    let items = of_items.len();
    let set = match set_of(vault, &of_items) {
        Ok(Some(set)) => set,
        Ok(None) => {
            return Ok(Err(broken("no training set of this vault holds all items of the model's units")));
        }
        Err(error) => return Ok(Err(broken(error.to_string()))),
    };
    let leaves: Vec<B256> = vault.set(&set)?.entries.iter().map(|entry| entry.leaf).collect();
    let opened = match vault.open_set(&set, ring, "audit", now) {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(broken(error.to_string()))),
    };
    for (leaf, item) in leaves.iter().zip(opened) {
        let item = match item {
            Ok((_, item)) => item,
            Err(error) => return Ok(Err(broken(format!("item {leaf} cannot be read: {error}")))),
        };
        let Some(parts) = of_items.remove(leaf) else { continue };
        let mut tokens: Vec<u32> = model.config.begin_token.into_iter().collect();
        tokens.extend(tokenizer.encode(&item.text, false).context("an item cannot be tokenized")?);
        let stands = |own: &[u32]| tokens.windows(own.len().max(1)).any(|run| run == own);
        if let Some((part, _)) = parts.iter().find(|(_, own)| !stands(own)) {
            let what = format!("item {leaf} (`{}`) is not what the model's unit was cut from", part.label);
            return Ok(Err(broken(what)));
        }
    }
    Ok(Ok(format!("{} units are cut from {items} items of the vault, under training set {set}", units.len())))
}

/// The training set that holds all these items.
fn set_of(
    vault: &Vault,
    items: &BTreeMap<B256, Vec<(&ServedPart, &[u32])>>,
) -> Result<Option<B256>, vault::VaultError> {
    for root in vault.sets() {
        let leaves: std::collections::BTreeSet<B256> =
            vault.set(root)?.entries.iter().map(|entry| entry.leaf).collect();
        if items.keys().all(|item| leaves.contains(item)) {
            return Ok(Some(*root));
        }
    }
    Ok(None)
}
