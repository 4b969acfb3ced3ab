//! `openledger model`: training, fine-tuning, generation, import, export and replay on plain files; `register` and `serve` need a ledger.
//!
//! Arguments and what people see; the work is [`model::commands`].

mod fit;
mod register;
mod report;

use crate::{
    home::Home,
    hub::{self, Hub, Reference},
    output::Output,
};
use anyhow::{Context as _, bail, ensure};
use clap::{Subcommand, ValueEnum};
use fit::{Fit, Sizes};
use model::{
    AdapterOptions, Sampling,
    chat::Message,
    commands::{
        self, AnswerText, ExportOptions, FineTuneOptions, GenerateOptions, ImportOptions, Prompt, ReplayRun,
        TokenizerChoice, TrainTextOptions,
    },
    data::Order,
    network::Quantisation,
    safetensors::Dtype,
    train::{self, Trained},
};
use report::{Watch, converted, finished, show};
use std::{
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

/// Prefix of a model that stands on a hub.
const HUB: &str = "hub:";
/// Longest prompts in all, in bytes, that are read from standard input.
const PROMPT_BYTES_MAX: u64 = 64 << 20;

/// Train, fine-tune, generate, import, export, replay.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Train a new language model on texts; a run that was cut off goes on to identical bits
    Train {
        /// Folder of the run
        run: PathBuf,
        /// Text files, and .jsonl files of texts or exchanges
        #[arg(required = true)]
        texts: Vec<PathBuf>,
        #[command(flatten)]
        sizes: Sizes,
        #[command(flatten)]
        fit: Fit,
    },
    /// Train a low-rank adapter, or all weights, of a model on prompts and answers
    Finetune {
        /// Folder of the run
        run: PathBuf,
        /// Folder of the model
        base: PathBuf,
        /// .jsonl files of {"prompt", "answer"}, {"messages"} or {"text"}, or plain texts
        #[arg(required = true)]
        examples: Vec<PathBuf>,
        #[command(flatten)]
        adapter: AdapterArguments,
        /// Tokens of an example at most; the model's context bounds it too
        #[arg(long, default_value_t = 1024)]
        context: usize,
        /// Every how manieth example is kept for validation; 0 keeps none
        #[arg(long, default_value_t = 20)]
        validation_every: usize,
        #[command(flatten)]
        fit: Fit,
    },
    /// Continue prompts
    Generate {
        /// Folder of a model
        model: PathBuf,
        /// What to continue; without one, standard input is the prompt
        prompts: Vec<String>,
        /// Take each prompt as a message, through the model's chat template
        #[arg(long)]
        chat: bool,
        /// Folder of an adapter over the model
        #[arg(long)]
        adapter: Option<PathBuf>,
        /// Tokens of an answer at most
        #[arg(long, default_value_t = 128)]
        max_tokens: usize,
        /// Randomness; 0 is greedy
        #[arg(long, default_value_t = 0.0)]
        temperature: f32,
        /// Draw among so many of the likeliest tokens; 0 means all
        #[arg(long, default_value_t = 0)]
        top_k: usize,
        /// Draw among the likeliest tokens of this probability together
        #[arg(long, default_value_t = 1.0)]
        top_p: f32,
        /// Seed of the draws; prompt i takes seed + i
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Text that ends an answer (may be given several times)
        #[arg(long)]
        stop: Vec<String>,
        /// Weights in 8 bits: faster, other numbers, exact too
        #[arg(long)]
        int8: bool,
        /// Threads; 0 means all. They change no bit
        #[arg(long, default_value_t = 0)]
        threads: usize,
    },
    /// Take in a model as transformers writes it, checked, from a folder or from a hub
    Import {
        /// Folder, or `hub:owner/name[@revision]`
        from: String,
        /// Folder to write
        to: PathBuf,
        /// Address of the hub
        #[arg(long, env = "HF_ENDPOINT", default_value = hub::ENDPOINT)]
        endpoint: String,
        /// Key to the hub, for models that are not public
        #[arg(long, env = "HF_TOKEN", hide_env_values = true)]
        token: Option<String>,
        /// Keep the hub's own files beside the result
        #[arg(long)]
        keep: bool,
        /// Accept a model without tokenizer.json
        #[arg(long)]
        no_tokenizer: bool,
    },
    /// Write a model as transformers loads it
    Export {
        /// Folder of a model
        from: PathBuf,
        /// Folder to write
        to: PathBuf,
        /// Type of the elements; only f32 keeps every bit
        #[arg(long, value_enum, default_value = "f32")]
        dtype: DtypeArgument,
        /// Bytes of a file at most; more are cut into shards
        #[arg(long, default_value_t = 5_000_000_000)]
        shard_bytes: u64,
    },
    /// Execute steps of a run again and name the first that differs
    Replay {
        /// Folder of the run; the files that it was made from must stand where they did
        run: PathBuf,
        /// First step
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// Last step [default: the last recorded]
        #[arg(long)]
        last: Option<u64>,
        /// Threads; 0 means all
        #[arg(long, default_value_t = 0)]
        threads: usize,
    },
    /// Train a model on Datanets and register it on the ledger, ready to serve
    Register(Box<register::Arguments>),
    /// Serve models as an operator: stake, offer, answer, settle
    Serve(super::serve::Arguments),
    /// Show what a model, adapter or run is
    Show {
        /// Its folder
        folder: PathBuf,
    },
}

/// Low-rank pairs.
#[derive(Debug, clap::Args)]
struct AdapterArguments {
    /// Train all weights and not an adapter
    #[arg(long)]
    all_weights: bool,
    /// Rank of the adapter
    #[arg(long, default_value_t = 8)]
    rank: usize,
    /// Strength of the adapter
    #[arg(long, default_value_t = 16.0)]
    alpha: f32,
    /// Layers that get a pair, by the last part of their names [default: all]
    #[arg(long, value_delimiter = ',')]
    targets: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DtypeArgument {
    F32,
    F16,
    Bf16,
}

/// Runs `openledger model`.
pub fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    match arguments.action {
        Action::Train { run, texts, sizes, fit } => {
            let options = TrainTextOptions {
                texts: absolute(texts)?,
                tokenizer: tokenizer(&sizes.tokenizer)?,
                architecture: sizes.architecture(),
                validation: sizes.validation,
                train: fit.options(Trained::Weights, Order::Random),
                threads: fit.threads,
            };
            let mut watch = Watch::new(&run, output)?;
            let result = commands::train(&run, options, fit.settings(), &mut watch)?;
            finished(&result, output);
        }
        Action::Finetune { run, base, examples, adapter, context, validation_every, fit } => {
            let AdapterArguments { all_weights, rank, alpha, targets } = adapter;
            let adapter = (!all_weights).then_some(AdapterOptions { rank, alpha, targets });
            let trained = adapter.clone().map_or(Trained::Weights, Trained::Adapter);
            let options = FineTuneOptions {
                base: std::path::absolute(base)?,
                examples: absolute(examples)?,
                adapter,
                context,
                validation_every,
                train: fit.options(trained, Order::Shuffled),
                threads: fit.threads,
            };
            let mut watch = Watch::new(&run, output)?;
            let result = commands::finetune(&run, options, fit.settings(), &mut watch)?;
            finished(&result, output);
        }
        Action::Generate {
            model,
            prompts,
            chat,
            adapter,
            max_tokens,
            temperature,
            top_k,
            top_p,
            seed,
            stop,
            int8,
            threads,
        } => {
            let options = GenerateOptions {
                prompts: asked(prompts, chat)?,
                tokens_max: max_tokens,
                sampling: Sampling { top_k, top_p, ..Sampling::at(temperature, seed) },
                stops: stop,
                adapter,
                quantisation: if int8 { Quantisation::Int8 } else { Quantisation::None },
                threads,
            };
            generate(&model, &options, output)?;
        }
        Action::Import { from, to, endpoint, token, keep, no_tokenizer } => {
            let options = ImportOptions { tokenizer_required: !no_tokenizer };
            let Some(name) = from.strip_prefix(HUB) else {
                converted(&commands::import(Path::new(&from), &to, &options)?, &to, output);
                return Ok(());
            };
            let reference = Reference::parse(name)?;
            let folder = hub::download_folder(&to);
            let hub = Hub::new(&endpoint, token)?;
            let terminal = std::io::stderr().is_terminal();
            let progress = &mut |file: &str, there: u64, size: u64| {
                if terminal {
                    output.overwrite(format!("{file}: {} of {} kB", there / 1000, size / 1000));
                } else if there == size {
                    output.note(format!("{file}: {} kB", size / 1000));
                }
            };
            let fetched = super::runtime()?.block_on(hub.fetch(&reference, &folder, progress))?;
            if terminal {
                output.overwrite("");
            }
            output.note(format!(
                "{} at commit {}, {} kB fetched",
                reference.model,
                fetched.commit,
                fetched.bytes / 1000
            ));
            converted(&commands::import(&folder, &to, &options)?, &to, output);
            if !keep {
                std::fs::remove_dir_all(&folder)
                    .with_context(|| format!("cannot remove {}", folder.display()))?;
            }
        }
        Action::Export { from, to, dtype, shard_bytes } => {
            let dtype = match dtype {
                DtypeArgument::F32 => Dtype::F32,
                DtypeArgument::F16 => Dtype::F16,
                DtypeArgument::Bf16 => Dtype::Bf16,
            };
            let options = ExportOptions { dtype, shard_bytes_max: shard_bytes };
            converted(&commands::export(&from, &to, &options)?, &to, output);
        }
        Action::Replay { run, first, last, threads } => replay(&run, first, last, threads, output)?,
        Action::Register(arguments) => {
            super::runtime()?.block_on(register::run(*arguments, home, output))?;
        }
        Action::Serve(arguments) => super::runtime()?.block_on(super::serve::run(arguments, home, output))?,
        Action::Show { folder } => show(&folder, output)?,
    }
    Ok(())
}

/// A run remembers what it was made from by absolute paths, so that a replay may start anywhere.
fn absolute(paths: Vec<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    Ok(paths.into_iter().map(std::path::absolute).collect::<Result<_, _>>()?)
}

fn tokenizer(text: &str) -> anyhow::Result<TokenizerChoice> {
    if text == "characters" {
        return Ok(TokenizerChoice::Characters);
    }
    if let Ok(vocabulary) = text.parse() {
        return Ok(TokenizerChoice::Bpe(vocabulary));
    }
    let folder = Path::new(text);
    ensure!(
        folder.join("tokenizer.json").exists(),
        "`{text}` is no tokenizer: write `characters`, a vocabulary's size, or a folder with tokenizer.json"
    );
    Ok(TokenizerChoice::Directory(std::path::absolute(folder)?))
}

fn asked(prompts: Vec<String>, chat: bool) -> anyhow::Result<Vec<Prompt>> {
    let texts = if prompts.is_empty() {
        let stdin = std::io::stdin();
        ensure!(!stdin.is_terminal(), "give a prompt, or one on standard input");
        let mut text = String::new();
        std::io::Read::read_to_string(
            &mut std::io::Read::take(stdin.lock(), PROMPT_BYTES_MAX + 1),
            &mut text,
        )
        .context("standard input is not a text in UTF-8")?;
        ensure!(
            text.len() as u64 <= PROMPT_BYTES_MAX,
            "standard input has more than {PROMPT_BYTES_MAX} bytes"
        );
        vec![text]
    } else {
        prompts
    };
    let message = |content| Prompt::Chat(vec![Message { role: "user".into(), content }]);
    Ok(texts.into_iter().map(|text| if chat { message(text) } else { Prompt::Text(text) }).collect())
}

fn generate(model: &Path, options: &GenerateOptions, output: &Output) -> anyhow::Result<()> {
    // One answer streams as it comes; several would mix.
    let streams = options.prompts.len() == 1 && !output.is_json();
    let answers = commands::generate(model, options, &mut |_, piece| {
        if streams {
            let mut stdout = std::io::stdout().lock();
            let _ = write!(stdout, "{piece}").and_then(|()| stdout.flush());
        }
    })?;
    if let Some(AnswerText { tokens_per_second, .. }) = answers.first() {
        let tokens: usize = answers.iter().map(|a| a.tokens.len()).sum();
        if std::io::stderr().is_terminal() {
            output.note(format!("\n{tokens} tokens, {tokens_per_second:.0} a second"));
        }
    }
    output.result(&answers, || match answers.as_slice() {
        [_] => String::new(),
        all => all.iter().map(|a| a.text.as_str()).collect::<Vec<_>>().join("\n---\n"),
    });
    Ok(())
}

fn replay(run: &Path, first: u64, last: Option<u64>, threads: usize, output: &Output) -> anyhow::Result<()> {
    let steps = train::ReplayOptions { first, last: last.unwrap_or(u64::MAX) };
    let terminal = std::io::stderr().is_terminal();
    let report = commands::replay(run, &ReplayRun { steps, threads }, &mut |step, steps| {
        if terminal {
            output.overwrite(format!("step {step} of {steps}"));
        }
    })?;
    if terminal {
        output.overwrite("");
    }
    let equal = report.verdict == train::Verdict::Equal;
    output.result(&report, || {
        if equal {
            format!(
                "{} steps executed again from checkpoint {}: every bit the same",
                report.steps, report.from_checkpoint
            )
        } else {
            serde_json::to_string_pretty(&report.verdict).unwrap_or_default()
        }
    });
    if !equal {
        bail!("the run does not replay");
    }
    Ok(())
}
