//! Stage 8: every answer is verified from what its payer keeps and what is public, with the genesis alone trusted, and run again from
//! scratch: the attribution cache too is built anew, so that nothing computed earlier is believed.

use super::{ask, network::Network, story::Story};
use crate::{
    evidence::{self, Link, Saved, State, link, replay},
    light::{LightLedger, read_genesis},
    serving::Serving,
};
use attribution::influence::cache::Stage;
use ops::Ctx;
use std::path::Path;

/// What was checked.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Whether every link of every answer holds.
    pub verified: bool,
    /// Whether the cache, every answer and its attribution were executed again to the same bits.
    pub replayed: bool,
    /// In words.
    pub checks: Vec<String>,
}

/// Verifies the answers.
pub async fn run(
    folder: &Path,
    ctx: &Ctx,
    api: &str,
    network: &Network,
    answers: &[ask::Answered],
    story: &mut Story,
) -> anyhow::Result<Verified> {
    let mut ledger = LightLedger::new(network.client.clone(), read_genesis(&network.genesis)?)?;
    let serving = Serving::open(folder)?;
    let scratch = replay::scratch(&folder.join("replay"))?;
    let (mut all_hold, mut all_again, mut checks) = (true, true, Vec::new());
    let mut note = |id: &str, links: &[Link], holds: &mut bool| {
        *holds &= evidence::complete(links);
        checks.extend(links.iter().map(|link| format!("{id}: {}", evidence::line(link))));
    };
    let mut bundles = Vec::new();
    for (number, answer) in answers.iter().enumerate() {
        let path = ask::saved_path(folder, &answer.id);
        let saved = Saved::read(&path.to_string_lossy(), api).await?;
        // The file is complete now: the batch and its proof are in it, and it needs no operator any more.
        saved.write(&path)?;
        let links = evidence::check(&mut ledger, &saved).await;
        if number == 0 {
            story.tell(format!("answer {}", answer.id));
            for link in &links {
                story.tell(evidence::line(link));
            }
        }
        note(&answer.id, &links, &mut all_hold);
        bundles.push((answer.id.clone(), saved.bundle()?));
    }
    story.tell("now from scratch: the attribution cache is built again, then each answer generated and attributed with it");
    let (replayer, root) = tokio::task::block_in_place(|| {
        replay::Replayer::build(&serving, *ctx, scratch.path(), &mut |progress| {
            let what = match progress.stage {
                Stage::Features => "gradients of the units",
                Stage::Curvature => "curvature of the loss",
                Stage::Influence => "influence of the units",
                Stage::Rule => "floor and cap",
            };
            story.progress(format!("{what}, again: {} of {}", progress.done, progress.total));
        })
    })?;
    let cache = link("cache replay", replay::cache_link(&mut ledger, &serving, root).await);
    story.tell(evidence::line(&cache));
    note("cache", &[cache], &mut all_again);
    for (id, bundle) in &bundles {
        let again = tokio::task::block_in_place(|| replayer.answer(bundle));
        let again = link("answer replay", again);
        if again.state != State::Holds {
            story.tell(evidence::line(&again));
        }
        note(id, &[again], &mut all_again);
    }
    let word = |holds| if holds { "hold" } else { "DO NOT all hold" };
    story.tell(format!(
        "{} answers: the links {}; generation and attribution executed again {}",
        answers.len(),
        word(all_hold),
        if all_again { "to the same bits" } else { "came out DIFFERENT" },
    ));
    Ok(Verified { verified: all_hold, replayed: all_again, checks })
}
