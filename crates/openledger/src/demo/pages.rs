//! The explorer over the demo's node and gateway.

use super::{
    ask,
    journal::Journal,
    network::Network,
    train::{Spans, Trained},
};
use crate::pages::{self, Verbatim};
use alloy_primitives::Address;
use attribution::spans::Options;
use explorer::{
    Explorer,
    source::{Answer, Answers, Item, Owed},
};
use futures::future::BoxFuture;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};
use tokio::sync::Mutex;

/// Answers kept for the pages.
const MAX_ANSWERS: usize = 1000;

/// What the pages read from.
pub struct Pages {
    rpc: pages::NodeRpc,
    answers: GatewayAnswers,
}

struct GatewayAnswers {
    api: String,
    journal: Journal,
    /// Ids and questions, oldest first.
    asked: Mutex<Vec<(String, String)>>,
    client: Mutex<gateway::client::Client>,
    spans: Arc<Spans>,
    items: BTreeMap<String, Item>,
}

impl Pages {
    /// Pages over a gateway and a node; `client` pays for what is asked from them.
    pub fn new(
        gateway: SocketAddr,
        network: &Network,
        journal: &Journal,
        client: gateway::client::Client,
        answers: &[ask::Answered],
        trained: &Trained,
    ) -> Pages {
        Pages {
            rpc: pages::NodeRpc(network.client.clone()),
            answers: GatewayAnswers {
                api: format!("http://{gateway}"),
                journal: journal.clone(),
                asked: Mutex::new(answers.iter().map(|a| (a.id.clone(), a.prompt.clone())).collect()),
                client: Mutex::new(client),
                spans: trained.spans.clone(),
                items: items(trained, journal),
            },
        }
    }
}

/// Serves the pages until the process ends.
pub async fn serve(address: SocketAddr, pages: Pages) -> anyhow::Result<()> {
    let router = Explorer::new(Arc::new(pages.rpc), Arc::new(pages.answers)).router();
    pages::serve(address, router).await.map(drop)
}

impl GatewayAnswers {
    async fn read(&self, id: &str) -> Result<Option<Answer>, String> {
        let Some(body) = pages::published(&self.api, id).await? else { return Ok(None) };
        let asked = self.asked.lock().await;
        let prompt = asked.iter().find(|(known, _)| known == id).map(|(_, prompt)| prompt.clone());
        let prompt = prompt.unwrap_or_else(|| pages::PRIVATE_PROMPT.into());
        let name = |account: &str| {
            let contributors = &self.journal.state.contributors;
            let found = contributors.iter().find(|c| c.account.to_string().eq_ignore_ascii_case(account));
            found.map_or_else(|| account.to_string(), |c| c.name.clone())
        };
        Ok(Some(pages::shown(id, &body, prompt, &name, &|text| self.verbatim(text))))
    }

    /// What of a text stands word for word in a document of the training set.
    fn verbatim(&self, text: &str) -> Vec<Verbatim> {
        let Spans { corpus, index } = self.spans.as_ref();
        let Ok(report) = index.report(corpus, text, &Options::default()) else { return Vec::new() };
        let named = |found: &attribution::spans::Match| {
            let document = corpus.documents().get(found.sources.first()?.document as usize)?;
            Some(Verbatim { bytes: found.bytes.clone(), document: document.name.clone() })
        };
        report.matches.iter().filter_map(named).collect()
    }
}

impl Answers for GatewayAnswers {
    fn recent(&self, limit: usize) -> BoxFuture<'_, Vec<Answer>> {
        Box::pin(async move {
            let ids: Vec<String> =
                self.asked.lock().await.iter().rev().take(limit).map(|(id, _)| id.clone()).collect();
            let mut answers = Vec::with_capacity(ids.len());
            for id in ids {
                answers.extend(self.read(&id).await.ok().flatten());
            }
            answers
        })
    }

    fn get(&self, id: String) -> BoxFuture<'_, Result<Option<Answer>, String>> {
        Box::pin(async move { self.read(&id).await })
    }

    fn ask(&self, question: String) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(async move {
            let mut client = self.client.lock().await;
            let (answered, _) = ask::one(&mut client, &question, &self.journal)
                .await
                .map_err(|error| format!("{error:#}"))?;
            let mut asked = self.asked.lock().await;
            if asked.len() >= MAX_ANSWERS {
                asked.remove(0);
            }
            asked.push((answered.id.clone(), question));
            Ok(answered.id)
        })
    }

    fn item(&self, id: String) -> BoxFuture<'_, Option<Item>> {
        Box::pin(async move { self.items.get(&id.to_ascii_lowercase()).cloned() })
    }

    fn owed(&self, account: Address) -> BoxFuture<'_, Result<Vec<Owed>, String>> {
        Box::pin(async move { pages::owed(&self.api, account).await })
    }

    fn may_ask(&self) -> bool {
        true
    }
}

/// What the pages say of each item: where it comes from, never its text.
fn items(trained: &Trained, journal: &Journal) -> BTreeMap<String, Item> {
    let mut items = BTreeMap::new();
    for part in trained.units.iter().flat_map(|unit| &unit.parts) {
        let contributor = &journal.state.contributors[part.contributor as usize];
        let item = items.entry(part.item.to_string()).or_insert_with(|| Item {
            contributor: contributor.name.clone(),
            licence: contributor.licence.clone(),
            contribution: contributor.contribution.unwrap_or_default().to_string(),
            ..pages::item(part, &trained.id.to_string())
        });
        item.units += 1;
        item.tokens += u64::from(part.tokens);
    }
    items
}
