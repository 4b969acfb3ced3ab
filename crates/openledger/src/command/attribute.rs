//! `openledger attribute`: who does an output owe, on plain files.

use crate::output::{Output, table};
use anyhow::{Context as _, bail};
use attribution::{
    commands::{
        self, Agreement, CacheRequest, EvaluateReport, EvaluateRequest, QueryRequest, RetrainReport,
        RetrainRequest, SpansReport, SpansRequest, ValueRequest, html,
    },
    influence::cache::{Cache, DAMPING_GRID, Options, Stage},
    metrics::Interval,
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
        /// LoRA adapter that was trained over the model (as `model finetune` or PEFT writes it): attribute it instead of the model
        #[arg(long, value_name = "DIR")]
        adapter: Option<PathBuf>,
        /// Earlier checkpoint of the model's training whose gradients are taken instead of the model's; given again, of the mean of their weights
        #[arg(long, value_name = "DIR", conflicts_with = "adapter")]
        attributed: Vec<PathBuf>,
        /// Dimensions that each side of a layer is projected to
        #[arg(long, default_value_t = 32)]
        rank: usize,
        /// Index in the protocol's grid of dampings
        #[arg(long, default_value_t = 4)]
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
        /// Adapter that the cache was built with
        #[arg(long, value_name = "DIR")]
        adapter: Option<PathBuf>,
        /// Earlier checkpoint of the model's training whose gradients are taken instead of the model's; given again, of the mean of their weights
        #[arg(long, value_name = "DIR", conflicts_with = "adapter")]
        attributed: Vec<PathBuf>,
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
    /// Measure on held-out documents how often the right source is named, beside BM25 and chance; with --retrain also how well shares
    /// predict what training without half of the contributors does, and which damping to choose
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
        /// Models to train again, each without half of the contributors; a multiple of four, at least eight
        #[arg(long, value_name = "N")]
        retrain: Option<usize>,
        /// Models of each half, under as many seeds; the mean of their losses is what shares are compared with
        #[arg(long, value_name = "N", default_value_t = 1)]
        seeds: u64,
        /// Steps of each retraining: half of what the model itself was trained for
        #[arg(long, default_value_t = 200)]
        steps: u64,
        /// Units of a step
        #[arg(long, default_value_t = 16)]
        batch: usize,
        /// Where retrainings are kept; a run that was cut off goes on
        #[arg(long, value_name = "FOLDER", default_value = "retrained")]
        work: PathBuf,
        /// Earlier checkpoint of the model's training whose gradients are taken instead of the model's; given again, of the mean of their weights
        #[arg(long, value_name = "DIR")]
        attributed: Vec<PathBuf>,
        /// An earlier checkpoint of the same training (may be given again): retrainings are compared also with the mean of all
        /// checkpoints' scores
        #[arg(long = "checkpoint", value_name = "DIR", requires = "retrain")]
        checkpoints: Vec<PathBuf>,
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
        /// Also write a page with pictures
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
}

/// Runs `openledger attribute`.
pub fn run(arguments: Arguments, output: &Output) -> anyhow::Result<()> {
    let ctx = crate::arithmetic::context(0);
    match arguments.action {
        Action::Cache { model, documents, folder, adapter, attributed, rank, damping, seed } => {
            let options = Options { rank, damping, seed, ..Options::default() };
            let request = CacheRequest { model, adapter, attributed, documents, folder, options };
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
        Action::Query { model, cache, prompt, answer, adapter, attributed, data_share, top, html: page } => {
            let data_share = Amount::parse_open(&data_share)?;
            let request = QueryRequest {
                model,
                adapter,
                attributed,
                cache,
                prompt,
                answer,
                data_share,
                top,
                tokens_per_span: 8,
            };
            let report = commands::query(&ctx, &request)?;
            write_page(page.as_deref(), || html::query(&report), output)?;
            output.result(&report, || {
                let rows: Vec<[String; 5]> = report
                    .contributors
                    .iter()
                    .map(|c| {
                        [
                            c.owner.clone(),
                            format!("{:.2} %", 100.0 * c.share),
                            format!("{:.1} to {:.1} %", 100.0 * c.low, 100.0 * c.high),
                            c.pay.to_string(),
                            format!("{:.3}", c.influence),
                        ]
                    })
                    .collect();
                if rows.is_empty() {
                    return "nobody: no influence above the noise floor".into();
                }
                table(["CONTRIBUTOR", "SHARE", "95 %", "PAID (OPEN)", "INFLUENCE"], &rows)
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
            retrain,
            seeds,
            steps,
            batch,
            work,
            attributed,
            checkpoints,
            html: page,
        } => {
            let options = Cache::open(&cache)?.commitment().options;
            let request = EvaluateRequest {
                model: model.clone(),
                attributed: attributed.clone(),
                cache,
                documents: documents.clone(),
                held_out: held_out.clone(),
                prompt_tokens,
                answer_tokens,
                per_document,
            };
            let overwrite = |text: String| {
                if std::io::stderr().is_terminal() {
                    output.overwrite(text);
                }
            };
            let report = commands::evaluate(&ctx, &request, &mut |done, total| {
                overwrite(format!("{done} of {total} queries"));
            })?;
            let retrained = match retrain {
                None => None,
                Some(subsets) => {
                    let request = RetrainRequest {
                        model,
                        attributed,
                        checkpoints,
                        documents,
                        held_out,
                        folder: work,
                        subsets,
                        seeds,
                        steps,
                        batch,
                        options,
                        dampings: (0..DAMPING_GRID.len()).collect(),
                        prompt_tokens,
                        answer_tokens,
                        per_document,
                    };
                    Some(commands::retrain(&ctx, &request, &mut |done, total| {
                        overwrite(format!("{done} of {total} retrainings"));
                    })?)
                }
            };
            overwrite(String::new());
            let report = Evaluation { sources: report, retraining: retrained };
            write_page(
                page.as_deref(),
                || html::evaluation(&report.sources, report.retraining.as_ref()),
                output,
            )?;
            output.result(&report, || report.table());
        }
        Action::Spans { documents, answer, index, html: page } => {
            let report = commands::spans(&SpansRequest {
                documents,
                index,
                answer: answer.clone(),
                options: Default::default(),
            })?;
            write_page(page.as_deref(), || html::spans(&report, &answer), output)?;
            output.result(&report, || spans_table(&report, &answer));
        }
        Action::Value { train, test, neighbours, top, html: page } => {
            if neighbours == 0 {
                bail!("--neighbours must be at least 1");
            }
            let report = commands::value(&ValueRequest { train, test, neighbours })?;
            write_page(page.as_deref(), || html::value(&report, top), output)?;
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

/// What `evaluate` says.
#[derive(Debug, serde::Serialize)]
struct Evaluation {
    sources: EvaluateReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    retraining: Option<RetrainReport>,
}

fn interval(of: &Interval) -> String {
    format!("{:.3} [{:.3}, {:.3}]", of.value, of.low, of.high)
}

impl Evaluation {
    fn table(&self) -> String {
        let EvaluateReport { queries, owners, methods, without_evidence, median_seconds } = &self.sources;
        let rows: Vec<[String; 3]> = methods
            .iter()
            .map(|m| [m.method.clone(), interval(&m.source.first), interval(&m.source.reciprocal_rank)])
            .collect();
        let mut text = format!(
            "{queries} queries, {owners} contributors, chance {:.3}; {without_evidence} answers owed nobody; {:.1} ms a query\n{}",
            1.0 / *owners as f64,
            1e3 * median_seconds,
            table(["METHOD", "RIGHT SOURCE FIRST [95 %]", "RECIPROCAL RANK [95 %]"], &rows)
        );
        let Some(RetrainReport { subsets, seeds, agreement, queries, tried, chosen, methods, .. }) =
            &self.retraining
        else {
            return text;
        };
        let rows: Vec<[String; 2]> = tried.iter().map(|t| [t.ratio.to_string(), interval(&t.lds)]).collect();
        text += &format!(
            "\n\n{subsets} halves of the contributors, {seeds} models of each. Damping, by the LDS of paid weights on every other pair:\n{}\n",
            table(["DAMPING", "LDS [95 %]"], &rows)
        );
        let rows: Vec<[String; 3]> = methods
            .iter()
            .map(|m| [m.method.clone(), interval(&m.held_out), interval(&m.own_answers)])
            .collect();
        text += &format!(
            "\nChosen: {} (--damping {}). On the other pairs, over {} held-out texts and {} own answers:\n{}",
            chosen.ratio,
            chosen.damping,
            queries.0,
            queries.1,
            table(["METHOD", "LDS, HELD-OUT [95 %]", "LDS, OWN ANSWERS [95 %]"], &rows)
        );
        if let Some(Agreement { of_seeds, ceiling }) = agreement {
            text += &format!(
                "\nTwo seeds of a half rank queries' losses alike at {:.3} and {:.3}: a perfect predictor would reach {:.3} and {:.3}.",
                of_seeds.0, of_seeds.1, ceiling.0, ceiling.1
            );
        }
        text
    }
}

/// Characters of a match that are shown.
const MATCH_CHARS: usize = 60;

fn spans_table(report: &SpansReport, answer: &str) -> String {
    let rows: Vec<[String; 4]> = report
        .report
        .matches
        .iter()
        .map(|found| {
            let text = answer.get(found.bytes.clone()).unwrap_or_default();
            let source = found.sources.first().and_then(|s| report.documents.get(s.document as usize));
            [
                text.chars().take(MATCH_CHARS).collect::<String>().replace(char::is_control, " "),
                found.occurrences.to_string(),
                format!("{} bits", found.rarity_bits),
                source.cloned().unwrap_or_default(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "no verbatim overlap".into();
    }
    format!(
        "{}\nverbatim overlap corroborates; it is not influence and never pays",
        table(["TEXT", "TIMES", "RARITY", "FIRST IN"], &rows)
    )
}

fn write_page(path: Option<&Path>, page: impl FnOnce() -> String, output: &Output) -> anyhow::Result<()> {
    if let Some(path) = path {
        std::fs::write(path, page()).with_context(|| format!("cannot write {}", path.display()))?;
        output.note(format!("The page is in {}.", path.display()));
    }
    Ok(())
}
