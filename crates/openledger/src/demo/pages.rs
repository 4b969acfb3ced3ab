//! The explorer over the demo's node and gateway.

use super::{
    ask,
    journal::Journal,
    network::Network,
    train::{Spans, Trained},
};
use crate::rpc;
use alloy_primitives::Address;
use anyhow::Context as _;
use attribution::{shares::NOVELTY_ONE, spans::Options};
use explorer::{
    Explorer,
    source::{Answer, Answers, Item, ItemShare, Owed, Rpc, Segment, Source, SourceError},
};
use futures::future::BoxFuture;
use primitives::Amount;
use serde_json::Value;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};
use tokio::sync::Mutex;

/// Answers kept for the pages.
const MAX_ANSWERS: usize = 1000;

/// What the pages read from.
pub struct Pages {
    rpc: NodeRpc,
    answers: GatewayAnswers,
}

struct NodeRpc(rpc::Client);

struct GatewayAnswers {
    gateway: SocketAddr,
    http: reqwest::Client,
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
            rpc: NodeRpc(network.client.clone()),
            answers: GatewayAnswers {
                gateway,
                http: reqwest::Client::new(),
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
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("the pages cannot listen on {address}; pass --pages with another port"))?;
    let router = Explorer::new(Arc::new(pages.rpc), Arc::new(pages.answers)).router();
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the pages stopped");
        }
    });
    Ok(())
}

impl Rpc for NodeRpc {
    fn request(&self, method: &'static str, params: Value) -> BoxFuture<'_, Result<Value, SourceError>> {
        Box::pin(async move {
            let reply = self
                .0
                .reply(method, params)
                .await
                .map_err(|error| SourceError::Unavailable(format!("{error:#}")))?;
            reply.map_err(|error| SourceError::Refused { code: error.code, message: error.message })
        })
    }
}

impl GatewayAnswers {
    async fn read(&self, id: &str) -> Option<Answer> {
        let url = format!("http://{}/v1/attributions/{id}", self.gateway);
        let body: Value = self.http.get(url).send().await.ok()?.error_for_status().ok()?.json().await.ok()?;
        let asked = self.asked.lock().await;
        let prompt = asked.iter().find(|(known, _)| known == id).map(|(_, prompt)| prompt.clone());
        let prompt = prompt.unwrap_or_else(|| "A question that its payer keeps".into());
        Some(shown(id, &body, prompt, &self.journal, &self.spans))
    }
}

impl Answers for GatewayAnswers {
    fn recent(&self, limit: usize) -> BoxFuture<'_, Vec<Answer>> {
        Box::pin(async move {
            let ids: Vec<String> =
                self.asked.lock().await.iter().rev().take(limit).map(|(id, _)| id.clone()).collect();
            let mut answers = Vec::with_capacity(ids.len());
            for id in ids {
                answers.extend(self.read(&id).await);
            }
            answers
        })
    }

    fn get(&self, id: String) -> BoxFuture<'_, Option<Answer>> {
        Box::pin(async move {
            let plain =
                !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
            if plain { self.read(&id).await } else { None }
        })
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
        Box::pin(async move {
            let url = format!("http://{}/v1/payouts/{account}", self.gateway);
            let answered =
                async { self.http.get(url).send().await?.error_for_status()?.json::<Value>().await };
            let mut list = answered.await.map_err(|error| error.to_string())?;
            serde_json::from_value(list["data"].take()).map_err(|error| error.to_string())
        })
    }

    fn may_ask(&self) -> bool {
        true
    }
}

/// An answer as its page shows it, from what the gateway publishes.
pub fn shown(id: &str, body: &Value, prompt: String, journal: &Journal, spans: &Spans) -> Answer {
    let owed = &body["openledger"];
    let name = |account: &str| {
        let found =
            journal.state.contributors.iter().find(|c| c.account.to_string().eq_ignore_ascii_case(account));
        found.map_or_else(|| account.to_string(), |c| c.name.clone())
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let units = body["attribution"]["units"].as_array().map(Vec::as_slice).unwrap_or_default();
    let total: u128 = body["attribution"]["total_weight"].as_str().and_then(|w| w.parse().ok()).unwrap_or(1);
    let ppm =
        |weight: u128| u32::try_from(weight.saturating_mul(1_000_000) / total.max(1)).unwrap_or(u32::MAX);
    let weight = |unit: &Value| unit["weight"].as_str().and_then(|w| w.parse::<u128>().ok()).unwrap_or(0);
    let contributors = body["contributors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sources: Vec<Source> = contributors
        .iter()
        .map(|c| {
            let account = text(&c["account"]);
            let mut own: Vec<&Value> =
                units.iter().filter(|u| u["owner"].as_str() == Some(account.as_str())).collect();
            own.sort_by_key(|unit| std::cmp::Reverse(weight(unit)));
            Source {
                name: name(&account),
                share_ppm: c["share_ppm"].as_u64().unwrap_or(0) as u32,
                paid: text(&c["pay"]),
                items: own
                    .iter()
                    .take(3)
                    .map(|u| ItemShare {
                        id: text(&u["item"]),
                        label: place(u["label"].as_str().unwrap_or_default()).into(),
                        share_ppm: ppm(weight(u)),
                    })
                    .collect(),
                account,
            }
        })
        .collect();
    Answer {
        id: id.into(),
        model: text(&body["model_name"]),
        model_id: text(&owed["model"]),
        created: body["receipt"]["timeMs"].as_u64().unwrap_or(0) / 1000,
        segments: segments(body, units, &sources, spans),
        cost: serde_json::from_value::<Amount>(owed["fee"].clone())
            .map(|fee| fee.0.to_string())
            .unwrap_or_default(),
        operator: text(&owed["operator"]),
        receipt: text(&owed["receipt"]),
        own_text: true,
        no_evidence: sources.is_empty(),
        sources,
        prompt,
    }
}

/// Where an item stands, without its contributor's name.
fn place(label: &str) -> &str {
    label.split_once(": ").map_or(label, |(_, place)| place)
}

/// Cuts the answer's text by its spans and by what stands word for word in a document. A span belongs to the contributor whose unit
/// helped it most; what is repeated names its document, whoever's it is: overlap corroborates, it is not what pays.
fn segments(body: &Value, units: &[Value], sources: &[Source], spans: &Spans) -> Vec<Segment> {
    let text = body["text"].as_str().unwrap_or_default();
    let mut owned: Vec<(usize, usize, Option<usize>)> = Vec::new();
    for span in body["attribution"]["spans"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let bound = |i: usize| boundary(text, span["bytes"][i].as_u64().unwrap_or(0) as usize);
        let best = span["sources"]
            .as_array()
            .and_then(|s| s.iter().find_map(|s| units.iter().find(|u| u["unit"] == s[0])));
        let owner = best
            .and_then(|unit| sources.iter().position(|s| unit["owner"].as_str() == Some(s.account.as_str())));
        owned.push((bound(0), bound(1), owner));
    }
    let report = spans.index.report(&spans.corpus, text, &Options::default());
    let matches = report.map(|report| report.matches).unwrap_or_default();
    let mut cuts: Vec<usize> = owned.iter().flat_map(|(from, to, _)| [*from, *to]).collect();
    cuts.extend(matches.iter().flat_map(|m| [boundary(text, m.bytes.start), boundary(text, m.bytes.end)]));
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    let piece = |pair: &[usize]| {
        let (from, to) = (pair[0], pair[1]);
        let repeated = matches.iter().find(|m| m.bytes.start <= from && to <= m.bytes.end);
        let document =
            repeated.and_then(|m| spans.corpus.documents().get(m.sources.first()?.document as usize));
        Some(Segment {
            text: text.get(from..to)?.into(),
            source: owned.iter().find(|(start, end, _)| *start <= from && to <= *end).and_then(|(.., o)| *o),
            verbatim: document.map(|document| document.name.clone()),
        })
    };
    cuts.windows(2).filter_map(piece).collect()
}

/// What the pages say of each item: where it comes from, never its text.
fn items(trained: &Trained, journal: &Journal) -> BTreeMap<String, Item> {
    let mut items = BTreeMap::new();
    for part in trained.units.iter().flat_map(|unit| &unit.parts) {
        let contributor = &journal.state.contributors[part.contributor as usize];
        let item = items.entry(part.item.to_string()).or_insert_with(|| Item {
            id: part.item.to_string(),
            label: place(&part.label).into(),
            contributor: contributor.name.clone(),
            account: contributor.account.to_string(),
            licence: contributor.licence.clone(),
            datanet: part.datanet.to_string(),
            contribution: contributor.contribution.unwrap_or_default().to_string(),
            model: trained.id.to_string(),
            novelty_ppm: (u64::from(part.novelty) * 1_000_000 / u64::from(NOVELTY_ONE)) as u32,
            units: 0,
            tokens: 0,
        });
        item.units += 1;
        item.tokens += u64::from(part.tokens);
    }
    items
}

/// The nearest place at or after `byte` where a character begins.
fn boundary(text: &str, byte: usize) -> usize {
    (byte.min(text.len())..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}
