//! The `instruct` folder as sources, training items, held-out queries and text for the base.
//!
//! A source is a file: one dataset under one template. Its first half of lines gives items and queries, the other half (prompts alone) the text
//! that the base model is trained on. Sources of one dataset tell the same stories, so a query's text often stands among another source's items.

use anyhow::{Context as _, Result, ensure};
use model::{Example, Tokenizer};
use ops::Stream;
use serde::Deserialize;
use std::{fs, path::Path};

/// How the data spells the end of a completion.
const END: &str = "<|endoftext|>";

#[derive(Deserialize)]
struct Line {
    prompt: String,
    completion: String,
}

/// Lines of one file.
struct Source {
    name: String,
    lines: Vec<Line>,
}

/// Everything that is measured on.
pub struct Data {
    pub tokenizer: Tokenizer,
    pub sources: Vec<String>,
    /// What fine-tuning learns from.
    pub items: Vec<Example>,
    /// Source of each item.
    pub source_of: Vec<u32>,
    /// Held-out lines of the same sources.
    pub queries: Vec<Example>,
    /// Every line of every file, for timing.
    pub all: Vec<Example>,
    /// Tokens of the base's text.
    pub base: Vec<u32>,
}

impl Data {
    /// How much of everything there is.
    pub fn summary(&self) -> String {
        let tokens: usize = self.items.iter().map(|e| e.tokens.len()).sum();
        format!(
            "{} items of {} sources, {:.0} tokens each, {} queries, {} lines in all",
            self.items.len(),
            self.sources.len(),
            tokens as f64 / self.items.len() as f64,
            self.queries.len(),
            self.all.len()
        )
    }

    /// The items of these numbers, which ascend.
    pub fn of_items(&self, numbers: &[u32]) -> Vec<Example> {
        numbers.iter().map(|number| self.items[*number as usize].clone()).collect()
    }

    /// The items of these sources, whose numbers ascend.
    pub fn of_sources(&self, numbers: &[u32]) -> Vec<Example> {
        let of = |item: &u32| numbers.binary_search(&self.source_of[*item as usize]).is_ok();
        self.of_items(&(0..self.items.len() as u32).filter(of).collect::<Vec<_>>())
    }
}

/// How much is taken.
pub struct Sizes {
    /// Items of each source.
    pub items: usize,
    /// Queries of each source.
    pub queries: usize,
    pub vocabulary: usize,
    /// Tokens of an example at most; the beginning of a prompt goes first.
    pub context: usize,
}

/// Reads `folder/*.jsonl`; draws by `seed`.
pub fn read(folder: &Path, sizes: &Sizes, seed: u64) -> Result<Data> {
    let files = files(folder)?;
    // Some files have lines without any answer: nothing to learn but the end.
    let (sources, silent): (Vec<Source>, Vec<Source>) =
        files.into_iter().partition(|s| s.lines.iter().any(|l| l.completion != END));
    ensure!(sources.len() >= 4, "{} holds fewer than four sources with answers", folder.display());
    let prompts = |s: &Source| s.lines[s.lines.len() / 2..].iter().map(|l| l.prompt.clone()).collect();
    let base: Vec<String> = sources.iter().map(prompts).map(|p: Vec<String>| p.concat()).collect();
    let tokenizer = Tokenizer::train_bpe(base.iter().map(String::as_str), sizes.vocabulary, &[END])?;
    let example = |line: &Line| example(&tokenizer, line, sizes.context);
    let mut data = Data {
        sources: sources.iter().map(|s| s.name.clone()).collect(),
        items: vec![],
        source_of: vec![],
        queries: vec![],
        all: vec![],
        base: base.iter().map(|t| tokenizer.encode(t, false)).collect::<Result<Vec<_>, _>>()?.concat(),
        tokenizer: tokenizer.clone(),
    };
    for (number, source) in (0u32..).zip(&sources) {
        let stream = Stream::new(seed, u64::from(number));
        let mut order: Vec<usize> = (0..source.lines.len() / 2).collect();
        order.sort_by_key(|line| (stream.word(*line as u64), *line));
        ensure!(order.len() >= sizes.items + sizes.queries, "{} has too few lines", source.name);
        for (place, line) in order.into_iter().take(sizes.items + sizes.queries).enumerate() {
            let example = example(&source.lines[line])?;
            if place < sizes.items {
                data.items.push(example);
                data.source_of.push(number);
            } else {
                data.queries.push(example);
            }
        }
    }
    for line in sources.iter().chain(&silent).flat_map(|s| &s.lines) {
        data.all.push(example(line)?);
    }
    Ok(data)
}

fn files(folder: &Path) -> Result<Vec<Source>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|p| p.extension().is_some_and(|e| e == "jsonl"));
    paths.sort();
    let mut sources = vec![];
    for path in paths {
        let text = fs::read_to_string(&path)?;
        let lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<Line>, _>>();
        let lines = lines.with_context(|| format!("{} is not prompts and completions", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !lines.is_empty() {
            sources.push(Source { name, lines });
        }
    }
    Ok(sources)
}

/// Loss on the completion alone. At most half of the context is completion; of the prompt as much of its end as fits is kept.
fn example(tokenizer: &Tokenizer, line: &Line, context: usize) -> Result<Example> {
    let (prompt, mut answer) =
        (tokenizer.encode(&line.prompt, false)?, tokenizer.encode(&line.completion, false)?);
    answer.truncate(context / 2);
    let room = (context + 1).saturating_sub(answer.len());
    Ok(Example::answer(&prompt[prompt.len().saturating_sub(room)..], &answer))
}
