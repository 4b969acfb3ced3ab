//! What people see of runs, conversions and models.

use crate::output::Output;
use anyhow::Context as _;
use model::{
    Observer, Progress,
    commands::{self, Converted, FitResult, Shown},
};
use serde_json::json;
use std::{
    fs::{File, OpenOptions},
    io::{IsTerminal as _, Write as _},
    ops::ControlFlow,
    path::Path,
    time::Instant,
};

/// File of a run with its evaluations, `{"step", "loss"}` a line.
const EVALUATIONS_FILE: &str = "evaluations.jsonl";
/// Seconds between two words on progress where there is no terminal.
const WORD_SECONDS: u64 = 10;

/// Tells how a run goes, and keeps its evaluations.
pub(super) struct Watch<'a> {
    output: &'a Output,
    evaluations: File,
    terminal: bool,
    last_word: Instant,
}

impl<'a> Watch<'a> {
    pub(super) fn new(run: &Path, output: &'a Output) -> anyhow::Result<Watch<'a>> {
        std::fs::create_dir_all(run).with_context(|| format!("cannot create {}", run.display()))?;
        let path = run.join(EVALUATIONS_FILE);
        let evaluations = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Watch {
            output,
            evaluations: evaluations.with_context(|| format!("cannot write {}", path.display()))?,
            terminal: std::io::stderr().is_terminal(),
            last_word: Instant::now(),
        })
    }
}

impl Observer for Watch<'_> {
    fn step(&mut self, p: &Progress) -> ControlFlow<()> {
        let line = format!(
            "step {} of {}, loss {:.4}, {:.0} tokens/s, {:.0} s left",
            p.step, p.steps, p.loss, p.tokens_per_second, p.seconds_left
        );
        if let Some(loss) = p.validation_loss {
            if self.terminal {
                self.output.overwrite("");
            }
            self.output.note(format!("{line}, validation {loss:.4}"));
            let record = json!({ "step": p.step, "loss": loss, "trainingLoss": p.loss });
            // The curve is for people: a run does not fail for it.
            let _ = writeln!(self.evaluations, "{record}");
            self.last_word = Instant::now();
        } else if self.terminal {
            self.output.overwrite(line);
        } else if self.last_word.elapsed().as_secs() >= WORD_SECONDS {
            self.output.note(line);
            self.last_word = Instant::now();
        }
        ControlFlow::Continue(())
    }
}

pub(super) fn finished(result: &FitResult, output: &Output) {
    for damaged in &result.outcome.damaged {
        output.note(format!("passed over a damaged checkpoint: {damaged}"));
    }
    output.result(result, || {
        let validation =
            result.validation_loss.map_or(String::new(), |v| format!(", validation loss {v:.4}"));
        format!(
            "{}\nrun {}, {} parameters, {} steps{validation}, state {}",
            result.result.display(),
            result.outcome.run,
            result.parameters,
            result.outcome.steps,
            result.outcome.state_root
        )
    });
}

pub(super) fn converted(result: &Converted, to: &Path, output: &Output) {
    output.result(result, || {
        let with = |there: bool, what: &str| if there { what.to_string() } else { format!("no {what}") };
        format!(
            "{}\n{}, {} parameters, weights {}, {}, {}",
            to.display(),
            result.family,
            result.parameters,
            result.weights_root,
            with(result.tokenizer, "tokenizer"),
            with(result.chat_template, "chat template")
        )
    });
}

pub(super) fn show(folder: &Path, output: &Output) -> anyhow::Result<()> {
    let shown = commands::show(folder)?;
    output.result(&shown, || match &shown {
        Shown::Model { config, parameters, weights_root, tokenizer, tensors } => format!(
            "model: {}, {parameters} parameters in {} tensors, {} layers, width {}, {} heads, context {}, vocabulary {}\nweights {weights_root}\ntokenizer {}",
            config.family.name(),
            tensors.len(),
            config.layers,
            config.hidden,
            config.heads,
            config.context,
            config.vocabulary,
            tokenizer.map_or("none".into(), |t| t.to_string())
        ),
        Shown::Adapter { tensors } => {
            let names = tensors.iter().map(|t| format!("{} {:?}", t.name, t.shape));
            format!("adapter of {} factors\n{}", tensors.len(), names.collect::<Vec<_>>().join("\n"))
        }
        Shown::Run(run) => {
            let loss = run.last.as_ref().map_or(String::new(), |l| format!(", loss {:.4}, chain {}", l.loss, l.chain));
            format!(
                "run {}: {} of {} steps{loss}\ncheckpoints {:?}\ndata {} ({} examples), op set {}",
                run.run,
                run.steps,
                run.manifest.options.steps,
                run.checkpoints,
                run.manifest.data_root,
                run.manifest.data_count,
                run.manifest.op_set
            )
        }
    });
    Ok(())
}
