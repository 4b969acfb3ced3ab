//! Stage 5: questions over the public API, paid through a channel: one deposit, then a signed voucher an answer.

use super::{
    accounts::Accounts,
    contribute::fund,
    corpus::{Corpus, Source},
    journal::Journal,
    network::Network,
    serve::MODEL,
    story::Story,
};
use crate::evidence::{
    Saved,
    saved::{Asked, published},
};
use anyhow::Context as _;
use compute::Account;
use gateway::client::Client;
use primitives::Amount;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// What the demo asks when the user does not: openings that a model of documentation can continue.
pub const QUESTIONS: [&str; 3] = [
    "Serialize and deserialize a struct with",
    "A runtime for writing reliable asynchronous applications",
    "Returns an iterator over the elements of",
];
/// Words of an opening that is taken from the user's own documents.
const OPENING_WORDS: usize = 6;
/// Tokens of an answer.
const ANSWER_TOKENS: u32 = 64;
/// Randomness of the answers: greedy, a small model repeats itself. The seed makes them reproducible all the same.
const TEMPERATURE: f32 = 0.7;
/// Most that one answer may cost.
const MOST: Amount = Amount::open(1);
/// OPEN that the client starts with.
const PURSE: Amount = Amount::open(100);

/// An answer as the final report lists it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answered {
    /// Its id.
    pub id: String,
    /// What was asked.
    pub prompt: String,
    /// What came back.
    pub text: String,
    /// Units charged.
    pub cost: Amount,
    /// What it owes: contributor and share of the data share, largest first.
    pub shares: Vec<Share>,
}

/// One contributor's share of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Share {
    /// Name.
    pub contributor: String,
    /// Part of the data share, 0 to 1.
    pub share: f64,
}

/// A client that pays from the demo's account.
pub async fn client(api: SocketAddr, accounts: &Accounts, network: &Network) -> anyhow::Result<Client> {
    fund(network, accounts, &[(accounts.client.address(), PURSE)]).await?;
    let account = Account::from_bytes(&accounts.client.to_bytes().0)?;
    Ok(Client::new(&format!("http://{api}"), account, network.client.chain_id().await?, MOST.0))
}

/// What is asked of the user's own documents: how a line of one of each of the first contributors begins.
pub fn openings(corpus: &Corpus) -> Vec<String> {
    let opening = |source: &Source| {
        let lines = source.documents.iter().flat_map(|document| document.text.lines());
        let mut lines = lines.map(|line| line.split_whitespace().take(OPENING_WORDS).collect::<Vec<_>>());
        lines
            .find(|words| words.len() == OPENING_WORDS && !words[0].starts_with('#'))
            .map(|words| words.join(" "))
    };
    let found: Vec<String> = corpus.sources.iter().filter_map(opening).take(QUESTIONS.len()).collect();
    if found.is_empty() { vec![QUESTIONS[0].into()] } else { found }
}

/// Where the demo saves an answer with all that its payer can open.
pub fn saved_path(folder: &Path, id: &str) -> PathBuf {
    folder.join("answers").join(format!("{id}.json"))
}

/// Asks the questions and saves the answers.
pub async fn run(
    folder: &Path,
    api: &str,
    client: &mut Client,
    questions: &[String],
    journal: &mut Journal,
    story: &mut Story,
) -> anyhow::Result<Vec<Answered>> {
    let mut answers = Vec::new();
    for question in questions {
        let (answered, mut saved) = one(client, question, journal).await?;
        saved.published = published(&answered.id, api).await?;
        let path = saved_path(folder, &answered.id);
        std::fs::create_dir_all(folder.join("answers"))?;
        saved.write(&path)?;
        story.tell(format!("\n> {question}\n{}", answered.text.trim_end()));
        let owed: Vec<String> = answered
            .shares
            .iter()
            .take(3)
            .map(|s| format!("{} {:.1} %", s.contributor, 100.0 * s.share))
            .collect();
        story.tell(format!(
            "cost {} OPEN; owes {}",
            answered.cost,
            if owed.is_empty() {
                "nobody: no influence above the noise floor".into()
            } else {
                owed.join(", ")
            }
        ));
        journal.state.answers.push(answered.id.clone());
        journal.save()?;
        answers.push(answered);
    }
    Ok(answers)
}

/// Asks one question and reads what the answer owes.
pub async fn one(
    client: &mut Client,
    question: &str,
    journal: &Journal,
) -> anyhow::Result<(Answered, Saved)> {
    // With the seed named, request and salt open the prompt's commitment.
    let body = json!({
        "model": MODEL, "prompt": question, "max_tokens": ANSWER_TOKENS, "temperature": TEMPERATURE, "seed": 0,
    });
    let path = "/v1/completions";
    let paid = client.ask(path, &body).await.with_context(|| format!("`{question}` was not answered"))?;
    let answered = read(question, &paid.body, journal)?;
    let request = Some(Asked { path: path.into(), body });
    Ok((answered, Saved { request, response: Some(paid.body), published: Value::Null }))
}

fn read(question: &str, body: &Value, journal: &Journal) -> anyhow::Result<Answered> {
    let owed = &body["openledger"];
    let contributors = owed["contributors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |account: &str| {
        let found =
            journal.state.contributors.iter().find(|c| c.account.to_string().eq_ignore_ascii_case(account));
        found.map_or(account.to_string(), |c| c.name.clone())
    };
    Ok(Answered {
        id: owed["answer"].as_str().context("the answer has no id")?.into(),
        prompt: question.into(),
        text: body["choices"][0]["text"].as_str().context("the answer has no text")?.into(),
        cost: serde_json::from_value(owed["fee"].clone()).context("the answer has no fee")?,
        shares: contributors
            .iter()
            .filter_map(|c| {
                Some(Share { contributor: name(c["account"].as_str()?), share: c["share"].as_f64()? })
            })
            .collect(),
    })
}
