//! The main job, end to end, on real data and real parts: contribute, train, cache attribution, serve, ask and pay, settle, verify.
//!
//! Each stage has a file; [`journal`] remembers what is done, so that a run that was killed goes on where it stopped. Nothing is staged:
//! the ledger is a validator in this process, contributions are commitments and reveals on it, the model is trained here, answers are
//! asked over HTTP and paid by vouchers, the batch is settled and claimed, and every answer is verified.

pub mod accounts;
pub mod ask;
pub mod attribute;
pub mod contribute;
pub mod corpus;
pub mod journal;
pub mod measure;
pub mod network;
pub mod pages;
pub mod report;
pub mod scale;
pub mod serve;
pub mod settle;
pub mod story;
pub mod train;
pub mod verify;

use crate::output::Output;
use accounts::Accounts;
use anyhow::Context as _;
use journal::Journal;
use scale::Scale;
use std::{net::SocketAddr, path::PathBuf};
use story::Story;

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The user's own documents.
    pub data: Option<PathBuf>,
    /// Where the demo works.
    pub folder: PathBuf,
    /// Questions; the demo's own when empty.
    pub questions: Vec<String>,
    /// Whether to end after the story.
    pub exit: bool,
    /// Where JSON-RPC should answer.
    pub rpc: SocketAddr,
    /// Where the API should answer.
    pub api: SocketAddr,
    /// Where the pages should be.
    pub pages: SocketAddr,
}

/// Runs the demo.
pub async fn run(options: Options, output: &Output) -> anyhow::Result<()> {
    let mut story = Story::new(output.is_json());
    crate::wallet::private_folder(&options.folder)?;
    let _lock = lock(&options)?;
    let accounts = Accounts::open(&options.folder)?;
    let mut journal = Journal::open(&options.folder)?;
    if journal.has_begun() {
        story.tell(format!("Going on with the demo in {}.", options.folder.display()));
    }

    story.chapter("corpus", "1. Real documents, real licences, real authors");
    let corpus = match &options.data {
        Some(path) => corpus::folder(path)?,
        None => corpus::crates()?,
    };
    let held_out: usize = corpus.sources.iter().map(|s| s.held_out.len()).sum();
    story.tell(format!(
        "{} contributors, {} documents, {:.2} MB, licences {}; {held_out} documents are kept out of training, to measure on",
        corpus.sources.len(),
        corpus.sources.iter().map(|s| s.documents.len()).sum::<usize>(),
        corpus.bytes() as f64 / 1e6,
        corpus.licences().join(", "),
    ));

    story.chapter("contribute", "2. Contribute: encrypted in the vault, committed to the ledger");
    let network = network::start(&options.folder, &accounts, options.rpc).await?;
    story.tell(format!("a ledger of one validator runs here; JSON-RPC on http://{}", network.rpc));
    let mut store = contribute::open(&options.folder, &accounts, crate::clock::now())?;
    contribute::run(&corpus, &mut store, &accounts, &network, &mut journal, &mut story).await?;

    story.chapter("train", "3. Train: a descriptor fixed first, checkpoints committed as they come");
    let ctx = crate::arithmetic::context(0);
    let scale = Scale::for_bytes(corpus.bytes());
    let trained =
        train::run(&options.folder, ctx, scale, &mut store, &accounts, &network, &mut journal, &mut story)
            .await?;

    story.chapter("cache", "4. Attribution cache: what each item did to the model");
    let cache =
        attribute::run(&options.folder, &ctx, scale, &trained, &accounts, &network, &mut journal, &mut story)
            .await?;
    let measured = tokio::task::block_in_place(|| measure::run(&ctx, &corpus, &trained, &cache, &mut story))?;
    report::tell_measured(&measured, &mut story);

    story.chapter("serve", "5. Serve");
    let pages_address = network::free(options.pages);
    let api_address = network::free(options.api);
    let explorer_url = format!("http://{pages_address}");
    let gateway = serve::run(
        &options.folder,
        &ctx,
        &trained,
        cache,
        &accounts,
        &network,
        (api_address, explorer_url.clone()),
        &mut journal,
        &mut story,
    )
    .await?;

    story.chapter("ask", "6. Ask, and pay by voucher");
    let api = format!("http://{}", gateway.addr);
    let mut client = ask::client(gateway.addr, &accounts, &network).await?;
    let questions = match (&options.questions[..], &options.data) {
        ([], None) => ask::QUESTIONS.map(String::from).to_vec(),
        ([], Some(_)) => ask::openings(&corpus),
        (asked, _) => asked.to_vec(),
    };
    let answers = ask::run(&options.folder, &api, &mut client, &questions, &mut journal, &mut story).await?;

    story.chapter("settle", "7. Settle: the escrow's income, to the last unit");
    let settled = settle::run(&gateway, &network, &journal, &answers, &mut story).await?;
    journal.state.settled = true;
    journal.save()?;

    story.chapter("verify", "8. Verify: from an answer alone");
    let verified = verify::run(&options.folder, &ctx, &api, &network, &answers, &mut story).await?;

    let summary = report::Summary {
        journal: &journal,
        answers: &answers,
        settled: &settled,
        verified: &verified,
        measured: &measured,
        seconds: story.end(),
        data_dir: &options.folder,
    };
    let report_path = report::write_html(&summary, &trained)?;
    story.tell(format!("\nThe report is in {}", report_path.display()));

    let pages = if options.exit {
        None
    } else {
        let pages = pages::Pages::new(gateway.addr, &network, &journal, client, &answers, &trained);
        Some(pages::serve(pages_address, pages).await?)
    };
    if output.is_json() {
        output.result(&summary.json(), String::new);
    }
    if pages.is_some() {
        story.tell(format!(
            "\nStill running, until Ctrl-C:\n  pages     {explorer_url}\n  API       http://{}/v1 (OpenAI clients; model `{}`)\n  JSON-RPC  http://{}",
            gateway.addr,
            serve::MODEL,
            network.rpc
        ));
        let settling = tokio::spawn(settle::keep_settling(gateway.app().clone()));
        crate::command::stop_signal().await.context("cannot wait for Ctrl-C")?;
        story.tell("Stopping.");
        settling.abort();
    }
    gateway.shutdown().await;
    tokio::task::block_in_place(|| network.node.shutdown());
    Ok(())
}

/// Keeps a second demo out of the same folder.
fn lock(options: &Options) -> anyhow::Result<std::fs::File> {
    let path = options.folder.join("lock");
    let file = std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.try_lock().with_context(|| {
        format!("another demo works in {}; stop it or pass --dir", options.folder.display())
    })?;
    Ok(file)
}
