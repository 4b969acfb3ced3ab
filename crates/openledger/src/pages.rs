//! The explorer over any node and any operator's API, and what its pages make of an answer.

use crate::{
    evidence::saved,
    rpc,
    serving::{ServedPart, ServedUnit},
};
use alloy_primitives::Address;
use anyhow::Context as _;
use attribution::shares::NOVELTY_ONE;
use axum::Router;
use compute::AnswerId;
use explorer::source::{Answer, Answers, Item, ItemShare, Owed, Rpc, Segment, Source, SourceError};
use futures::future::BoxFuture;
use primitives::Amount;
use serde_json::Value;
use std::{collections::BTreeMap, net::SocketAddr, ops::Range};

/// Serves pages; where.
pub async fn serve(address: SocketAddr, router: Router) -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("the pages cannot listen on {address}; choose another port"))?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the pages stopped");
        }
    });
    Ok(address)
}

/// A node.
pub struct NodeRpc(pub rpc::Client);

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

/// What an operator publishes at its API. Answers are found by their ids, which only who asked knows: there is no list of them.
pub struct OperatorAnswers {
    api: String,
    items: BTreeMap<String, Item>,
}

impl OperatorAnswers {
    /// The operator at `api`; `units` are of the models that it serves, as far as they are at hand, by the model's id.
    pub fn new(api: &str, units: &[(String, Vec<ServedUnit>)]) -> OperatorAnswers {
        let mut items = BTreeMap::new();
        for (model, units) in units {
            for part in units.iter().flat_map(|unit| &unit.parts) {
                let item = items.entry(part.item.to_string()).or_insert_with(|| item(part, model));
                item.units += 1;
                item.tokens += u64::from(part.tokens);
            }
        }
        OperatorAnswers { api: api.into(), items }
    }
}

/// What a served model's folder says of an item; contribution and licence stand on its Datanet's page.
pub fn item(part: &ServedPart, model: &str) -> Item {
    Item {
        id: part.item.to_string(),
        label: place(&part.label).into(),
        contributor: part.owner.to_string(),
        account: part.owner.to_string(),
        licence: String::new(),
        datanet: part.datanet.to_string(),
        contribution: String::new(),
        model: model.into(),
        novelty_ppm: (u64::from(part.novelty) * 1_000_000 / u64::from(NOVELTY_ONE)) as u32,
        units: 0,
        tokens: 0,
    }
}

impl Answers for OperatorAnswers {
    fn recent(&self, _limit: usize) -> BoxFuture<'_, Vec<Answer>> {
        Box::pin(async { Vec::new() })
    }

    fn get(&self, id: String) -> BoxFuture<'_, Result<Option<Answer>, String>> {
        Box::pin(async move {
            let body = published(&self.api, &id).await?;
            Ok(body.map(|body| shown(&id, &body, PRIVATE_PROMPT.into(), &str::to_string, &|_| Vec::new())))
        })
    }

    fn ask(&self, _question: String) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(async { Err("this operator does not answer from its pages".into()) })
    }

    fn item(&self, id: String) -> BoxFuture<'_, Option<Item>> {
        Box::pin(async move { self.items.get(&id.to_ascii_lowercase()).cloned() })
    }

    fn owed(&self, account: Address) -> BoxFuture<'_, Result<Vec<Owed>, String>> {
        Box::pin(async move { owed(&self.api, account).await })
    }

    fn may_ask(&self) -> bool {
        false
    }
}

/// What stands for a prompt that the operator does not publish.
pub const PRIVATE_PROMPT: &str = "A question that its payer keeps";

/// What the operator at `api` publishes of an answer, if it knows it.
pub async fn published(api: &str, id: &str) -> Result<Option<Value>, String> {
    // What cannot be an id is not asked for: the operator would refuse it, which is no failure of the operator's.
    let Ok(id) = id.parse::<AnswerId>() else { return Ok(None) };
    saved::find(api, &format!("/v1/attributions/{id}")).await.map_err(|error| format!("{error:#}"))
}

/// What the operator at `api` says that its batches owe an account.
pub async fn owed(api: &str, account: Address) -> Result<Vec<Owed>, String> {
    let list = saved::get(api, &format!("/v1/payouts/{account}")).await;
    let mut list = list.map_err(|error| format!("{error:#}"))?;
    serde_json::from_value(list["data"].take()).map_err(|error| error.to_string())
}

/// A run of an answer's text that stands word for word in a document.
pub struct Verbatim {
    /// Bytes of the text.
    pub bytes: Range<usize>,
    /// The document's name.
    pub document: String,
}

/// An answer as its page shows it, from what the gateway publishes.
///
/// `name` says what a contributor's account is called; `matches` what of a text stands word for word in a document: the bytes, and the document's name.
pub fn shown(
    id: &str,
    body: &Value,
    prompt: String,
    name: &dyn Fn(&str) -> String,
    matches: &dyn Fn(&str) -> Vec<Verbatim>,
) -> Answer {
    let owed = &body["openledger"];
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
        segments: segments(body, units, &sources, matches),
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

/// Where an item stands, without its contributor's name, which stands beside it.
fn place(label: &str) -> &str {
    label.split_once(": ").map_or(label, |(_, place)| place)
}

/// Cuts the answer's text by its spans and by what stands word for word in a document. A span belongs to the contributor whose unit
/// helped it most; what is repeated names its document, whoever's it is: overlap corroborates, it is not what pays.
fn segments(
    body: &Value,
    units: &[Value],
    sources: &[Source],
    matches: &dyn Fn(&str) -> Vec<Verbatim>,
) -> Vec<Segment> {
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
    let matches = matches(text);
    let mut cuts: Vec<usize> = owned.iter().flat_map(|(from, to, _)| [*from, *to]).collect();
    cuts.extend(matches.iter().flat_map(|m| [boundary(text, m.bytes.start), boundary(text, m.bytes.end)]));
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    let piece = |pair: &[usize]| {
        let (from, to) = (pair[0], pair[1]);
        let repeated = matches.iter().find(|m| m.bytes.start <= from && to <= m.bytes.end);
        Some(Segment {
            text: text.get(from..to)?.into(),
            source: owned.iter().find(|(start, end, _)| *start <= from && to <= *end).and_then(|(.., o)| *o),
            verbatim: repeated.map(|found| found.document.clone()),
        })
    };
    cuts.windows(2).filter_map(piece).collect()
}

/// The nearest place at or after `byte` where a character begins.
fn boundary(text: &str, byte: usize) -> usize {
    (byte.min(text.len())..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Json, http::StatusCode, routing::get};
    use serde_json::json;

    #[tokio::test]
    async fn an_unknown_answer_is_told_from_an_operator_that_is_away_or_fails() {
        let refused = (StatusCode::NOT_FOUND, Json(json!({ "error": { "message": "no such answer" } })));
        let failed = (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": { "message": "the disk" } })));
        let [known, failing, unknown] = ["a", "b", "c"].map(|digit| digit.repeat(32));
        let router = Router::new()
            .route(&format!("/v1/attributions/{known}"), get(async || Json(json!({ "text": "said" }))))
            .route(&format!("/v1/attributions/{failing}"), get(async || failed))
            .fallback(async || refused);
        let address = serve(SocketAddr::from(([127, 0, 0, 1], 0)), router).await.expect("serves");
        let api = format!("http://{address}/");
        assert_eq!(published(&api, &known).await, Ok(Some(json!({ "text": "said" }))));
        assert_eq!(published(&api, &unknown).await, Ok(None));
        assert!(published(&api, &failing).await.expect_err("fails").contains("the disk"));
        for no_id in ["../batches", "zz", ""] {
            assert_eq!(published("http://nobody.invalid", no_id).await, Ok(None));
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
        let away = published(&format!("http://{free}"), &known).await.expect_err("nobody is there");
        assert!(away.contains("no operator answers"), "{away}");
        assert!(owed(&format!("http://{free}"), Address::ZERO).await.is_err());
    }
}
