//! A saved answer: what was asked, what came back, and what its operator published about it.
//!
//! `openledger ask --save FILE` writes all three; a file that holds only what `/v1/attributions/{id}` published is read, too. The
//! request and the salt in the response open the prompt's commitment: only who asked has both.

use crate::rpc::bounded;
use anyhow::{Context as _, bail, ensure};
use compute::{
    Request,
    evidence::{Bundle, OpenedPrompt},
    receipt::commit_prompt,
};
use gateway::api::{chat, completions, responses};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

/// Largest saved answer that is read.
pub const MAX_FILE_BYTES: usize = 64 << 20;
/// What an operator may take for a whole document.
const PATIENCE: Duration = Duration::from_secs(30);
/// Lengths of an answer that are tried to open a prompt, since a gateway lowers `max_tokens` to what fits.
const MAX_LENGTHS_TRIED: u32 = 8192;
/// Longest prompt for which many lengths are tried.
const MAX_TRIED_BYTES: usize = 1 << 16;

/// What was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Path of the endpoint.
    pub path: String,
    /// JSON body.
    pub body: Value,
}

/// A saved answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// What was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Asked>,
    /// What came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Value>,
    /// What `/v1/attributions/{id}` says.
    pub published: Value,
}

impl Saved {
    /// From the bytes of a file.
    pub fn from_slice(bytes: &[u8]) -> anyhow::Result<Saved> {
        let value: Value = serde_json::from_slice(bytes).context("this is not JSON")?;
        if value.get("receipt").is_some() {
            return Ok(Saved { request: None, response: None, published: value });
        }
        ensure!(
            value.get("published").is_some(),
            "this is no saved answer: `openledger ask --save FILE` writes one, `/v1/attributions/ID` is one"
        );
        serde_json::from_value(value).context("this is no saved answer")
    }

    /// From a file if there is one of that name, else from the operator's API. What a file lacks of settlement is asked for.
    pub async fn read(answer: &str, api: &str) -> anyhow::Result<Saved> {
        let path = Path::new(answer);
        if !path.is_file() {
            let published = published(answer, api).await?;
            return Ok(Saved { request: None, response: None, published });
        }
        let size = std::fs::metadata(path)?.len();
        ensure!(
            size <= MAX_FILE_BYTES as u64,
            "{answer} has {size} bytes; a saved answer has at most {MAX_FILE_BYTES}"
        );
        let mut saved = Saved::from_slice(&std::fs::read(path)?).with_context(|| answer.to_string())?;
        if saved.published["settlement"].is_null()
            && let Some(id) = saved.published["id"].as_str()
            && let Ok(newer) = published(id, api).await
        {
            saved.published["settlement"] = newer["settlement"].clone();
        }
        Ok(saved)
    }

    /// What is checked, with the prompt opened where request and salt are there.
    pub fn bundle(&self) -> anyhow::Result<Bundle> {
        let mut bundle: Bundle = serde_json::from_value(self.published.clone())
            .context("what the operator published cannot be read")?;
        if bundle.prompt.is_none() {
            bundle.prompt = self.opened(&bundle);
        }
        Ok(bundle)
    }

    /// The prompt's opening, if request and salt give the commitment of the receipt.
    fn opened(&self, bundle: &Bundle) -> Option<OpenedPrompt> {
        let (asked, response) = (self.request.as_ref()?, self.response.as_ref()?);
        let salt = serde_json::from_value(response["openledger"]["promptSalt"].clone()).ok()?;
        let request = asked.request()?;
        let receipt = &bundle.receipt.receipt;
        let given = request.sampling.max_tokens;
        let bytes = asked.body.to_string().len();
        let many = if bytes <= MAX_TRIED_BYTES { given.min(MAX_LENGTHS_TRIED) } else { 0 };
        let lengths = [given, receipt.usage.completion_tokens].into_iter().chain((1..=many).rev());
        for max_tokens in lengths {
            let mut request = request.clone();
            request.sampling.max_tokens = max_tokens;
            if commit_prompt(&salt, &request) == receipt.prompt {
                return Some(OpenedPrompt { salt, request });
            }
        }
        None
    }

    /// As a file.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Asked {
    /// The request as the gateway reads it. Without a seed in the body nobody but the operator knows it.
    fn request(&self) -> Option<Request> {
        let body = self.body.to_string().into_bytes();
        let zero = alloy_primitives::B256::ZERO;
        let default = u32::MAX;
        let read = match self.path.as_str() {
            "/v1/completions" => completions::read,
            "/v1/chat/completions" => chat::read,
            "/v1/responses" => responses::read,
            _ => return None,
        };
        read(&body, zero, 0, default).ok().map(|ask| ask.request)
    }
}

/// What the operator publishes of an answer.
pub async fn published(id: &str, api: &str) -> anyhow::Result<Value> {
    get(api, &format!("/v1/attributions/{id}")).await
}

/// Reads a JSON document of the operator's API.
pub async fn get(api: &str, path: &str) -> anyhow::Result<Value> {
    Reply::fetch(api, path).await?.accept()
}

/// As [`get`]; `None` when the operator says that there is none.
pub async fn find(api: &str, path: &str) -> anyhow::Result<Option<Value>> {
    let reply = Reply::fetch(api, path).await?;
    if reply.status == StatusCode::NOT_FOUND { Ok(None) } else { reply.accept().map(Some) }
}

/// What an operator answered.
struct Reply {
    url: String,
    status: StatusCode,
    body: Value,
}

impl Reply {
    async fn fetch(api: &str, path: &str) -> anyhow::Result<Reply> {
        let url = format!("{}{path}", api.trim_end_matches('/'));
        let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let response = http.get(&url).send().await.with_context(|| {
            format!("no operator answers at {api}; pass --api, or a file with the saved answer")
        })?;
        let status = response.status();
        let body = bounded(response, MAX_FILE_BYTES).await.with_context(|| url.clone())?;
        let body =
            serde_json::from_slice(&body).with_context(|| format!("{url} answered {status} without JSON"))?;
        Ok(Reply { url, status, body })
    }

    fn accept(self) -> anyhow::Result<Value> {
        let Reply { url, status, body } = self;
        if !status.is_success() {
            bail!("{url}: {}", body["error"]["message"].as_str().unwrap_or("no reason given"));
        }
        Ok(body)
    }
}

/// The published part, for tests and callers that have nothing else.
impl From<Value> for Saved {
    fn from(published: Value) -> Saved {
        Saved { request: None, response: None, published: json!(published) }
    }
}
