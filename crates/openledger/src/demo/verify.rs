//! Stage 8: every answer is verified from what is public, and re-executed from what its operator kept.

use super::{ask::Answered, network::Network, story::Story};
use crate::evidence::{self, Link};
use anyhow::Context as _;
use gateway::Handle;
use serde_json::Value;

/// What was checked.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Whether every link of every answer holds.
    pub verified: bool,
    /// Whether every answer and its attribution were re-executed to the same bits.
    pub replayed: bool,
    /// In words.
    pub checks: Vec<String>,
}

/// Verifies the answers.
pub async fn run(
    gateway: &Handle,
    network: &Network,
    answers: &[Answered],
    story: &mut Story,
) -> anyhow::Result<Verified> {
    let http = reqwest::Client::new();
    let mut verified = Verified { verified: true, replayed: true, checks: Vec::new() };
    for (number, answer) in answers.iter().enumerate() {
        let url = format!("http://{}/v1/attributions/{}", gateway.addr, answer.id);
        let published: Value = http.get(url).send().await?.error_for_status()?.json().await?;
        let links = evidence::check(&network.client, &published).await;
        if number == 0 {
            story.tell(format!("answer {}", answer.id));
            for link in &links {
                story.tell(line(link));
            }
        }
        verified.verified &= links.iter().all(|link| link.holds);
        verified.checks.extend(links.iter().map(|link| format!("{}: {}", answer.id, line(link))));
    }
    for model in gateway.app().models.values() {
        for answer in answers {
            story.progress(format!("replaying answer {}", answer.id));
            let outcome = replay(model, &answer.id);
            let text = match &outcome {
                Ok(()) => {
                    format!("{}: generation and attribution re-executed, every bit the same", answer.id)
                }
                Err(error) => format!("{}: {error:#}", answer.id),
            };
            verified.replayed &= outcome.is_ok();
            verified.checks.push(text);
        }
    }
    let word = |holds| if holds { "hold" } else { "DO NOT hold" };
    story.tell(format!(
        "{} answers: all links {}; generation and attribution re-executed {}",
        answers.len(),
        word(verified.verified),
        if verified.replayed { "to the same bits" } else { "and DIFFERENT" },
    ));
    Ok(verified)
}

fn line(link: &Link) -> String {
    format!("{} {:<12} {}", if link.holds { "ok " } else { "BAD" }, link.name, link.detail)
}

/// Re-executes an answer from the log's entry and compares the bits.
fn replay(model: &gateway::server::ServedModel, id: &str) -> anyhow::Result<()> {
    let id = id.parse().map_err(|_| anyhow::anyhow!("not an answer's id"))?;
    let entry = {
        let log = model.recorder.log();
        let sequence = log.find(&id).context("the log has no such answer")?;
        log.entry(sequence)?.context("the log has no such entry")?
    };
    tokio::task::block_in_place(|| compute::replay::replay(&model.worker, &entry))?;
    Ok(())
}
