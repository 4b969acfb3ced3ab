//! `openledger attribute`: who does an output owe, on plain files.

use crate::output::{Output, table};
use anyhow::{Context as _, bail};
use attribution::{
    commands::{self, CacheRequest, EvaluateRequest, QueryRequest, SpansRequest, ValueRequest, html},
    influence::cache::{Options, Stage},
};
use clap::Subcommand;
use primitives::Amount;
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

/// Who does an output owe: caches, queries, measures, spans, valuation.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Compute what each training item did to a model, once
    Cache {
        /// Folder of the model
        model: PathBuf,
        /// Training documents: a folder with a subfolder an owner, or JSONL
        documents: PathBuf,
        /// Where the cache goes; a build that was cut off goes on
        folder: PathBuf,
        /// Dimensions that each side of a layer is projected to
        #[arg(long, default_value_t = 32)]
        rank: usize,
        /// Index in the protocol's grid of dampings
        #[arg(long, default_value_t = 3)]
        damping: usize,
        /// Seed of the projections
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Attribute one answer
    Query {
        /// Folder of the model
        model: PathBuf,
        /// Folder of the cache
        cache: PathBuf,
        /// What the model was given
        prompt: String,
        /// What it answered
        answer: String,
        /// OPEN to divide
        #[arg(long, default_value = "1")]
        data_share: String,
        /// Units to name
        #[arg(long, default_value_t = 10)]
        top: usize,
        /// Also write a page with pictures
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Measure on held-out documents how often the right source is named, beside BM25 and chance
    Evaluate {
        /// Folder of the model
        model: PathBuf,
        /// Folder of the cache
        cache: PathBuf,
        /// Training documents
        documents: PathBuf,
        /// Documents by the same owners that the model has not seen
        held_out: PathBuf,
        /// Tokens of a prompt
        #[arg(long, default_value_t = 32)]
        prompt_tokens: usize,
        /// Tokens taken as the answer
        #[arg(long, default_value_t = 64)]
        answer_tokens: usize,
        /// Queries of one document at most
        #[arg(long, default_value_t = 2)]
        per_document: usize,
        /// Also write a page with pictures
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Find what an answer repeats word for word: corroboration, never influence
    Spans {
        /// Documents: a folder with a subfolder an owner, or JSONL
        documents: PathBuf,
        /// The answer
        answer: String,
        /// Keep the index in this file
        #[arg(long, value_name = "FILE")]
        index: Option<PathBuf>,
        /// Also write a page
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Value training rows by exact KNN-Shapley: the lowest are the likeliest mislabels
    Value {
        /// Training rows: CSV, the label last
        train: PathBuf,
        /// Rows that are trusted
        test: PathBuf,
        /// Neighbours
        #[arg(long, default_value_t = 5)]
        neighbours: usize,
        /// Rows to show
        #[arg(long, default_value_t = 20)]
        top: usize,
    },
}

/// Runs `openledger attribute`.
pub fn run(arguments: Arguments, output: &Output) -> anyhow::Result<()> {
    let ctx = crate::demo::train::context()?;
    match arguments.action {
        Action::Cache { model, documents, folder, rank, damping, seed } => {
            let options = Options { rank, damping, seed, ..Options::default() };
            let request = CacheRequest { model, documents, folder, options };
            let terminal = std::io::stderr().is_terminal();
            let report = commands::cache(&ctx, &request, &mut |p| {
                if terminal {
                    let what = match p.stage {
                        Stage::Features => "features",
                        Stage::Curvature => "curvature",
                        Stage::Influence => "influence",
                        Stage::Rule => "floor and cap",
                    };
                    output.overwrite(format!("{what}: {} of {}", p.done, p.total));
                }
            })?;
            if terminal {
                output.overwrite("");
            }
            output.result(&report, || {
                format!(
                    "{}\n{} units of {} documents by {} owners, {:.1} MB a query, {:.1} s",
                    report.commitment.root,
                    report.commitment.units,
                    report.documents,
                    report.owners,
                    report.bytes as f64 / 1e6,
                    report.seconds
                )
            });
        }
        Action::Query { model, cache, prompt, answer, data_share, top, html: page } => {
            let data_share = Amount::parse_open(&data_share)?;
            let request = QueryRequest { model, cache, prompt, answer, data_share, top, tokens_per_span: 8 };
            let report = commands::query(&ctx, &request)?;
            write_page(page.as_deref(), || html::query(&report), output)?;
            output.result(&report, || {
                let rows: Vec<[String; 4]> = report
                    .contributors
                    .iter()
                    .map(|c| {
                        [
                            c.owner.clone(),
                            format!("{:.2} %", 100.0 * c.share),
                            c.pay.to_string(),
                            format!("{:.3}", c.influence),
                        ]
                    })
                    .collect();
                if rows.is_empty() {
                    return "nobody: no influence above the noise floor".into();
                }
                table(["CONTRIBUTOR", "SHARE", "PAID (OPEN)", "INFLUENCE"], &rows)
            });
        }
        Action::Evaluate {
            model,
            cache,
            documents,
            held_out,
            prompt_tokens,
            answer_tokens,
            per_document,
            html: page,
        } => {
            let request = EvaluateRequest {
                model,
                cache,
                documents,
                held_out,
                prompt_tokens,
                answer_tokens,
                per_document,
            };
            let report = commands::evaluate(&ctx, &request, &mut |done, total| {
                if std::io::stderr().is_terminal() {
                    output.overwrite(format!("{done} of {total} queries"));
                }
            })?;
            write_page(page.as_deref(), || html::evaluation(&report), output)?;
            output.result(&report, || serde_json::to_string_pretty(&report).unwrap_or_default());
        }
        Action::Spans { documents, answer, index, html: page } => {
            let report = commands::spans(&SpansRequest {
                documents,
                index,
                answer: answer.clone(),
                options: Default::default(),
            })?;
            write_page(page.as_deref(), || html::spans(&report, &answer), output)?;
            output.result(&report, || serde_json::to_string_pretty(&report).unwrap_or_default());
        }
        Action::Value { train, test, neighbours, top } => {
            if neighbours == 0 {
                bail!("--neighbours must be at least 1");
            }
            let report = commands::value(&ValueRequest { train, test, neighbours })?;
            output.result(&report, || {
                let rows: Vec<[String; 3]> = report
                    .rows
                    .iter()
                    .take(top)
                    .map(|r| [r.row.to_string(), r.label.clone(), format!("{:+.6}", r.value)])
                    .collect();
                format!("{}\nall rows together: {:.6}", table(["ROW", "LABEL", "VALUE"], &rows), report.total)
            });
        }
    }
    Ok(())
}

fn write_page(path: Option<&Path>, page: impl FnOnce() -> String, output: &Output) -> anyhow::Result<()> {
    if let Some(path) = path {
        std::fs::write(path, page()).with_context(|| format!("cannot write {}", path.display()))?;
        output.note(format!("The page is in {}.", path.display()));
    }
    Ok(())
}
