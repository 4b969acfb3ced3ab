//! `show`: what is in a vault, without any key.

use crate::access::Grant;
use crate::datanet::Datanet;
use crate::vault::layout::ContributionId;
use crate::vault::training::Version;
use crate::{Vault, VaultError};
use primitives::{Address, B256, DatanetId};
use serde::Serialize;

/// A vault at a glance.
#[derive(Clone, Debug, Serialize)]
pub struct ShowReport {
    /// Hash of the log's last record.
    pub head: B256,
    /// Records in the log.
    pub records: u64,
    /// Its Datanets.
    pub datanets: Vec<DatanetView>,
    /// Its grants.
    pub grants: Vec<GrantView>,
    /// Roots of its training sets.
    pub sets: Vec<B256>,
}

/// A Datanet at a glance.
#[derive(Clone, Debug, Serialize)]
pub struct DatanetView {
    /// As declared.
    #[serde(flatten)]
    pub datanet: Datanet,
    /// Its current version.
    pub version: Version,
    /// Items that are left.
    pub live_items: u64,
    /// Bytes of text contributed.
    pub bytes: u64,
    /// Estimated tokens contributed.
    pub tokens: u64,
    /// In commit order.
    pub contributions: Vec<ContributionView>,
}

/// A contribution at a glance.
#[derive(Clone, Debug, Serialize)]
pub struct ContributionView {
    /// Its commitment.
    pub id: ContributionId,
    /// Whose.
    pub owner: Address,
    /// Merkle root.
    pub root: B256,
    /// Items, erased ones included.
    pub items: u64,
    /// Items erased.
    pub erased: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// Licences.
    pub licences: Vec<String>,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// A grant at a glance.
#[derive(Clone, Debug, Serialize)]
pub struct GrantView {
    /// As recorded.
    #[serde(flatten)]
    pub grant: Grant,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// Shows a vault, or one of its Datanets.
pub fn show(vault: &Vault, only: Option<&DatanetId>) -> Result<ShowReport, VaultError> {
    if let Some(id) = only {
        vault.datanet(id)?;
    }
    let wanted = |id: &DatanetId| only.is_none_or(|only| only == id);
    let mut datanets = Vec::new();
    for datanet in vault.datanets().filter(|d| wanted(&d.id)) {
        let mut view = DatanetView {
            datanet: datanet.clone(),
            version: vault.version(&datanet.id)?,
            live_items: 0,
            bytes: 0,
            tokens: 0,
            contributions: Vec::new(),
        };
        for record in vault.records() {
            let crate::vault::log::Event::Contributed(c) = &record.event else { continue };
            if c.datanet != datanet.id {
                continue;
            }
            // The record keeps the segments of its time; the vault knows where the items lie now.
            let current = vault.contribution(&c.id)?;
            let mut erased = 0;
            for segment in &current.segments {
                erased += vault.rows(segment)?.iter().filter(|row| row.live.is_none()).count() as u64;
            }
            view.live_items += c.items - erased;
            view.bytes += c.bytes;
            view.tokens += c.tokens;
            view.contributions.push(ContributionView {
                id: c.id,
                owner: c.owner,
                root: c.root,
                items: c.items,
                erased,
                bytes: c.bytes,
                licences: c.licences.clone(),
                at: record.at,
            });
        }
        datanets.push(view);
    }
    Ok(ShowReport {
        head: vault.head(),
        records: vault.records().len() as u64,
        datanets,
        grants: vault.grants().map(|(grant, revoked)| GrantView { grant: grant.clone(), revoked }).collect(),
        sets: vault.sets().to_vec(),
    })
}
