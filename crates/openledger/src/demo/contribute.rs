//! Stage 1: the Datanet. Every contributor's documents go encrypted into the vault; the ledger gets a commitment first and its
//! opening later, so that nobody can claim what they saw in another's transaction (RULEBOOK R4).

use super::{
    accounts::Accounts,
    corpus::{Corpus, Source},
    journal::{Contributor, Journal},
    network::Network,
    story::Story,
};
use crate::{recording, transaction::send_many};
use alloy_primitives::{Address, B256, Bytes};
use alloy_signer_local::PrivateKeySigner;
use anyhow::Context as _;
use futures::future::try_join_all;
use interfaces::{
    addresses::DATANETS,
    datanets::{IDatanets, datanet_id},
};
use primitives::{Amount, DatanetId, keccak256};
use std::path::Path;
use vault::{
    Vault,
    crypt::{
        keys::{Keyring, SecretKey},
        threshold::Keepers,
    },
    datanet::Datanet,
    store::local::Local,
    vault::{import::ImportOptions, layout::ContributionId},
};

/// Folder of the vault inside the demo's.
const FOLDER: &str = "vault";
/// Name of the Datanet.
const NAME: &str = "Documentation";
/// OPEN that each contributor gets for bond and gas.
const PURSE: Amount = Amount::open(10);

/// The vault, and the key of its keeper.
pub struct Store {
    /// The vault.
    pub vault: Vault,
    /// Its keeper's key.
    pub ring: Keyring,
}

/// Opens the demo's vault, or creates it.
pub fn open(folder: &Path, accounts: &Accounts, now: u64) -> anyhow::Result<Store> {
    let path = folder.join(FOLDER);
    let exists = path.exists();
    let store = Box::new(Local::open(&path)?);
    let vault = if exists { Vault::open(store)? } else { Vault::create(store, now)? };
    let mut ring = Keyring::new();
    ring.add(SecretKey::derive(&accounts.secret("keeper")));
    Ok(Store { vault, ring })
}

/// Puts the corpus into the vault and on the ledger.
pub async fn run(
    corpus: &Corpus,
    store: &mut Store,
    accounts: &Accounts,
    network: &Network,
    journal: &mut Journal,
    story: &mut Story,
) -> anyhow::Result<()> {
    let now = crate::clock::now();
    let salt = keccak256(NAME);
    let owner = accounts.developer.address();
    let id = datanet_id(owner, salt);
    if journal.state.datanet.is_none() {
        fund(network, accounts, &[(accounts.developer.address(), Amount::open(1_000))]).await?;
        recording::create(&network.client, &accounts.developer, salt, NAME, corpus.licences()).await?;
        if store.vault.datanet(&DatanetId(id)).is_err() {
            let keeper = *store.ring.public_keys().next().context("the vault has a keeper")?;
            store.vault.create_datanet(
                Datanet {
                    id: DatanetId(id),
                    name: NAME.into(),
                    description: "Documentation contributed for the demo".into(),
                    owner,
                    licences: corpus.licences(),
                    screening: Default::default(),
                    keepers: Keepers::one(keeper),
                },
                now,
            )?;
        }
        journal.state.datanet = Some(id);
        journal.save()?;
    }
    import(corpus, store, accounts, DatanetId(id), journal, story)?;
    record(store, accounts, network, id, journal, story).await
}

/// Screens, compares, encrypts and stores each contributor's documents.
fn import(
    corpus: &Corpus,
    store: &mut Store,
    accounts: &Accounts,
    datanet: DatanetId,
    journal: &mut Journal,
    story: &mut Story,
) -> anyhow::Result<()> {
    let (mut items, mut refused, mut copies) = (0, 0, 0);
    for (index, source) in corpus.sources.iter().enumerate().skip(journal.state.contributors.len()) {
        let account = accounts.contributor(index)?.address();
        story.progress(format!("encrypting {} ({} of {})", source.name, index + 1, corpus.sources.len()));
        // A run cut off between the vault and the journal finds its contribution again.
        let done =
            store.vault.contributions().iter().find(|c| c.owner == account && c.datanet == datanet).cloned();
        let contribution = match done {
            Some(contribution) => Some(contribution),
            None => {
                let report = import_one(source, store, datanet, account)?;
                refused += report.refused_count;
                copies += report.exact_duplicates + report.near_duplicates;
                report.contribution.map(|id| store.vault.contribution(&id).cloned()).transpose()?
            }
        };
        items += contribution.as_ref().map_or(0, |c| c.items);
        journal.state.contributors.push(Contributor {
            name: source.name.clone(),
            url: source.url.clone(),
            licence: source.licence.clone(),
            account,
            contribution: contribution.as_ref().map(|c| c.id.0),
            items: contribution.as_ref().map_or(0, |c| c.items),
            bytes: contribution.as_ref().map_or(0, |c| c.bytes),
        });
        journal.save()?;
    }
    if items > 0 {
        story.tell(format!(
            "{items} items encrypted, each under a key of its own; {copies} near-copies of earlier items earn nothing, {refused} documents \
             were refused by screening"
        ));
    }
    Ok(())
}

fn import_one(
    source: &Source,
    store: &mut Store,
    datanet: DatanetId,
    account: Address,
) -> anyhow::Result<vault::vault::report::ImportReport> {
    let options = ImportOptions {
        licence: Some(source.licence.clone()),
        ..ImportOptions::new(datanet, account, crate::clock::now())
    };
    let documents = source.documents.iter().cloned().map(Ok);
    let Store { vault, ring } = store;
    vault
        .import(documents, &options, ring, &mut |_| {})
        .with_context(|| format!("{} was not imported", source.name))
}

/// Commits, reveals and freezes on the ledger what the vault holds.
async fn record(
    store: &Store,
    accounts: &Accounts,
    network: &Network,
    datanet: B256,
    journal: &mut Journal,
    story: &mut Story,
) -> anyhow::Result<()> {
    if journal.state.frozen {
        return Ok(());
    }
    let contributors = journal.state.contributors.clone();
    let mut parts: Vec<(PrivateKeySigner, ContributionId)> = Vec::new();
    for (index, contributor) in contributors.iter().enumerate() {
        if let Some(id) = contributor.contribution {
            parts.push((accounts.contributor(index)?, ContributionId(id)));
        }
    }
    story.progress("committing to the contributions on the ledger");
    let purses: Vec<_> = parts.iter().map(|(key, _)| (key.address(), PURSE)).collect();
    fund(network, accounts, &purses).await?;
    try_join_all(
        parts.iter().map(|(key, id)| recording::commit(&network.client, &store.vault, datanet, key, *id)),
    )
    .await?;
    // A commitment opens only once its block is final, a second later at the latest.
    tokio::time::sleep(recording::FINALITY).await;
    story.progress("revealing them");
    try_join_all(parts.iter().map(|(key, id)| recording::reveal(&network.client, &store.vault, key, *id)))
        .await?;
    let frozen = network.client.view(DATANETS, &IDatanets::datanetCall { datanet }).await?.versions > 0;
    if !frozen {
        recording::freeze(&network.client, &accounts.developer, datanet).await?;
    }
    let version = network.client.view(DATANETS, &IDatanets::versionCall { datanet, number: 1 }).await?;
    story.tell(format!(
        "on the ledger: {} contributions, committed first and revealed after, {} items, version 1 frozen under root {}",
        parts.len(),
        version.items,
        version.root
    ));
    journal.state.frozen = true;
    journal.save()
}

/// Sends OPEN from the reserve to accounts that hold less.
pub async fn fund(
    network: &Network,
    accounts: &Accounts,
    purses: &[(Address, Amount)],
) -> anyhow::Result<()> {
    let mut calls = Vec::new();
    for (account, purse) in purses {
        if network.client.balance(*account).await? < purse.0 {
            calls.push((*account, purse.to_word(), Bytes::new()));
        }
    }
    send_many(&network.client, &accounts.reserve, calls).await.map(drop).context("accounts were not funded")
}
