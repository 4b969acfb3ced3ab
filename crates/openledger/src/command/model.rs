//! `openledger model`: training, generation and replay on plain files; no ledger needed.

use crate::{home::Home, output::Output};
use anyhow::{Context as _, ensure};
use clap::Subcommand;
use model::{
    Config, EngineOptions, Model, Progress, Request, Sampling, Tokenizer, TrainOptions,
    data::Windows,
    generate::{Event, generate},
    tokenizer::TextStream,
    train,
};
use serde_json::json;
use std::{
    io::{IsTerminal, Write},
    ops::ControlFlow,
    path::PathBuf,
};

/// Largest text that is trained on in one go, in bytes.
const MAX_TEXT_BYTES: u64 = 1 << 30;
/// Part of a text that is kept for validation: the last tenth, as nanoGPT's.
const VALIDATION_PART: usize = 10;

/// Train, generate, replay.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Train a language model on a text; a run that was cut off goes on to identical bits
    Train {
        /// Text file
        text: PathBuf,
        /// Folder of the run
        run: PathBuf,
        /// Layers
        #[arg(long, default_value_t = 4)]
        layers: usize,
        /// Attention heads
        #[arg(long, default_value_t = 4)]
        heads: usize,
        /// Width
        #[arg(long, default_value_t = 128)]
        width: usize,
        /// Tokens of the context
        #[arg(long, default_value_t = 256)]
        context: usize,
        /// Tokens of the vocabulary; 0 takes one token a character
        #[arg(long, default_value_t = 0)]
        vocabulary: usize,
        /// Steps
        #[arg(long, default_value_t = 500)]
        steps: u64,
        /// Windows of a step
        #[arg(long, default_value_t = 12)]
        batch: usize,
        /// Seed of weights and order
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Steps between evaluations
        #[arg(long, default_value_t = 100)]
        evaluate_every: u64,
    },
    /// Continue a prompt
    Generate {
        /// Folder of a model
        model: PathBuf,
        /// What to continue
        prompt: String,
        /// Tokens at most
        #[arg(long, default_value_t = 128)]
        max_tokens: usize,
        /// Randomness; 0 is greedy
        #[arg(long, default_value_t = 0.0)]
        temperature: f32,
        /// Seed of the draws
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Execute steps of a run again and name the first that differs
    Replay {
        /// Text file the run was trained on
        text: PathBuf,
        /// Folder of the run
        run: PathBuf,
        /// First step
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// Last step [default: the last recorded]
        #[arg(long)]
        last: Option<u64>,
    },
    /// Serve models as an operator: stake, offer, answer, settle
    Serve(super::serve::Arguments),
    /// Show what a model or run is
    Show {
        /// Folder of a model or run
        folder: PathBuf,
    },
}

/// Runs `openledger model`.
pub fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let ctx = crate::demo::train::context()?;
    match arguments.action {
        Action::Train {
            text,
            run,
            layers,
            heads,
            width,
            context,
            vocabulary,
            steps,
            batch,
            seed,
            evaluate_every,
        } => {
            let text = read_text(&text)?;
            std::fs::create_dir_all(&run).with_context(|| format!("cannot create {}", run.display()))?;
            let tokenizer = match Tokenizer::load(&run) {
                Ok(tokenizer) => tokenizer,
                Err(_) => {
                    let tokenizer = match vocabulary {
                        0 => Tokenizer::characters(&text)?,
                        size => Tokenizer::train_bpe([text.as_str()], size, &[])?,
                    };
                    tokenizer.save(&run)?;
                    tokenizer
                }
            };
            let (training, validation) = split(&text, &tokenizer, context)?;
            let config = Config::gpt(tokenizer.vocabulary(), layers, heads, width, context);
            let model = Model::initial(config, seed)?;
            let options = TrainOptions { seed, ..TrainOptions::new(steps, batch) };
            let settings = train::RunSettings { evaluate_every, ..Default::default() };
            let terminal = std::io::stderr().is_terminal();
            let mut observe = |p: &Progress| {
                let line = format!(
                    "step {} of {}, loss {:.4}, {:.0} tokens/s, {:.0} s left",
                    p.step, p.steps, p.loss, p.tokens_per_second, p.seconds_left
                );
                if let Some(validation) = p.validation_loss {
                    if terminal {
                        output.overwrite("");
                    }
                    output.note(format!("{line}, validation {validation:.4}"));
                } else if terminal {
                    output.overwrite(line);
                }
                ControlFlow::Continue(())
            };
            let outcome = train::run(
                ctx,
                &run,
                model,
                &training,
                Some(&validation),
                Some(tokenizer.hash()),
                options,
                settings,
                &mut observe,
            )?;
            tokenizer.save(&run.join(train::MODEL_DIR))?;
            output.result(&outcome, || {
                format!(
                    "{}\nrun {}, {} steps, state {}",
                    run.join(train::MODEL_DIR).display(),
                    outcome.run,
                    outcome.steps,
                    outcome.state_root
                )
            });
        }
        Action::Generate { model, prompt, max_tokens, temperature, seed } => {
            let (loaded, tokenizer) = (Model::load(&model)?, Tokenizer::load(&model)?);
            let tokens = tokenizer.encode(&prompt, true)?;
            let sampling = Sampling { temperature, seed, ..Sampling::greedy() };
            let request = Request { sampling, ..Request::greedy(tokens, max_tokens) };
            let mut stream = TextStream::default();
            let mut text = String::new();
            let shown = !output.is_json();
            let answers =
                generate(ctx, &loaded, vec![request], EngineOptions::default(), &mut |_, event| {
                    if let Event::Token(choice) = event {
                        let piece = stream.push(&tokenizer, choice.token).unwrap_or_default();
                        if shown {
                            let mut stdout = std::io::stdout().lock();
                            let _ = write!(stdout, "{piece}").and_then(|()| stdout.flush());
                        }
                        text.push_str(&piece);
                    }
                })?;
            let tokens = answers.first().map_or(0, |answer| answer.tokens.len());
            output.result(&json!({ "text": text, "tokens": tokens }), String::new);
        }
        Action::Replay { text, run, first, last } => {
            let text = read_text(&text)?;
            let tokenizer = Tokenizer::load(&run)?;
            let manifest = train::read_manifest(&run)?;
            let (training, _) = split(&text, &tokenizer, manifest.config.context)?;
            let model = Model::initial(manifest.config.clone(), manifest.options.seed)?;
            let options = train::ReplayOptions { first, last: last.unwrap_or(u64::MAX) };
            let terminal = std::io::stderr().is_terminal();
            let report = train::replay(ctx, &run, model, &training, options, &mut |step, steps| {
                if terminal {
                    output.overwrite(format!("step {step} of {steps}"));
                }
            })?;
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
            ensure!(equal, "the run does not replay");
        }
        Action::Serve(arguments) => super::runtime()?.block_on(super::serve::run(arguments, home, output))?,
        Action::Show { folder } => {
            if let Ok(manifest) = train::read_manifest(&folder) {
                let steps = train::read_log(&folder)?.len();
                let report = json!({ "run": manifest.hash(), "manifest": manifest, "stepsDone": steps });
                output.result(&report, || serde_json::to_string_pretty(&report).unwrap_or_default());
            } else {
                let model = Model::load(&folder)?;
                let report = json!({ "config": model.config, "parameters": model.config.parameters() });
                output.result(&report, || serde_json::to_string_pretty(&report).unwrap_or_default());
            }
        }
    }
    Ok(())
}

fn read_text(path: &PathBuf) -> anyhow::Result<String> {
    let size = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    ensure!(
        size <= MAX_TEXT_BYTES,
        "{} has {size} bytes; at most {MAX_TEXT_BYTES} are trained on in one go",
        path.display()
    );
    std::fs::read_to_string(path).with_context(|| format!("{} is not a text in UTF-8", path.display()))
}

/// Training and validation windows of a text.
fn split(text: &str, tokenizer: &Tokenizer, context: usize) -> anyhow::Result<(Windows, Windows)> {
    let tokens = tokenizer.encode(text, false)?;
    let cut = tokens.len() - tokens.len() / VALIDATION_PART;
    ensure!(
        tokens.len() - cut > context,
        "the text has {} tokens: too few for a context of {context}",
        tokens.len()
    );
    let validation = tokens[cut..].to_vec();
    Ok((Windows::new(tokens[..cut].to_vec(), context)?, Windows::new(validation, context)?))
}
