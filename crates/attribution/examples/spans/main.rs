//! The span index over a large corpus: time to build, size, time of a query, and whether what it finds is what a plain search finds.
//!
//! `cargo run --release -p attribution --example spans -- CORPUS.jsonl [QUERIES.json]`: the corpus as `openledger attribute spans` reads it;
//! queries of 500 bytes (each several stretches of several documents, with words between that are nowhere) and their matches are written to
//! the file, for the peer beside (`benches/peers/infini.py`).

use anyhow::{Context as _, Result, ensure};
use attribution::{
    commands::data,
    spans::{Corpus, Index, Options},
};
use std::{path::Path, time::Instant};

const QUERIES: usize = 40;
const QUERY_BYTES: usize = 500;

/// Stretches of words from documents, joined by made-up words.
fn queries(texts: &[&str]) -> Vec<String> {
    let stream = ops::Stream::new(7, 7);
    let mut draw = 0;
    let mut next = |below: usize| {
        draw += 1;
        stream.below(draw, below.max(1) as u64) as usize
    };
    (0..QUERIES)
        .map(|_| {
            let mut query = String::new();
            while query.len() < QUERY_BYTES {
                let words: Vec<&str> = texts[next(texts.len())].split_inclusive(' ').collect();
                let start = next(words.len());
                query.extend(words[start..].iter().take(5 + next(20)).copied());
                query.push_str(&format!(" zq{}xv ", next(1 << 30)));
            }
            let mut end = QUERY_BYTES;
            while !query.is_char_boundary(end) {
                end -= 1;
            }
            query.truncate(end);
            query
        })
        .collect()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Whether `needle` stands in a text at a word start.
fn stands(text: &[u8], needle: &[u8]) -> bool {
    let mut from = 0;
    while let Some(at) = find(&text[from..], needle) {
        if from + at == 0 || !is_word(text[from + at - 1]) {
            return true;
        }
        from += at + 1;
    }
    false
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window[0] == needle[0] && window == needle)
}

/// The longest match of each word start by searching every document, those inside an earlier one dropped.
fn naive(texts: &[&str], query: &str, min_words: usize) -> Vec<std::ops::Range<usize>> {
    let bytes = query.as_bytes();
    let starts: Vec<usize> =
        (0..bytes.len()).filter(|i| is_word(bytes[*i]) && (*i == 0 || !is_word(bytes[i - 1]))).collect();
    let end_of = |start: usize| (start..bytes.len()).find(|i| !is_word(bytes[*i])).unwrap_or(bytes.len());
    let mut found: Vec<std::ops::Range<usize>> = vec![];
    for (i, start) in starts.iter().enumerate() {
        let mut best = None;
        let mut holders: Vec<&[u8]> = texts.iter().map(|t| t.as_bytes()).collect();
        for (words, last) in starts[i..].iter().enumerate() {
            let end = end_of(*last);
            holders.retain(|text| stands(text, &bytes[*start..end]));
            if holders.is_empty() {
                break;
            }
            best = Some((words + 1, end));
        }
        if let Some((words, end)) = best
            && words >= min_words
            && found.last().is_none_or(|before| end > before.end)
        {
            found.push(*start..end);
        }
    }
    found
}

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("first the corpus")?;
    let documents = data::documents(Path::new(&path))?;
    let texts: Vec<&str> = documents.list.iter().map(|d| d.text.as_str()).collect();
    let corpus = Corpus::new(documents.list.iter().map(|d| (d.name.as_str(), d.owner, d.text.as_str())))?;
    let start = Instant::now();
    let index = Index::build(&corpus);
    let built = start.elapsed().as_secs_f64();
    println!(
        "{:.1} MB in {} documents: built in {built:.2} s, index {:.1} MB, {:.2} of the corpus",
        corpus.bytes() as f64 / 1e6,
        texts.len(),
        index.bytes() as f64 / 1e6,
        index.bytes() as f64 / corpus.bytes() as f64
    );
    let queries = queries(&texts);
    let options = Options { min_words: 4, min_rarity_bits: 0, max_sources: 8 };
    let mut times = vec![];
    let mut matches = 0;
    let mut reports = vec![];
    for query in &queries {
        let start = Instant::now();
        let report = index.report(&corpus, query, &options)?;
        times.push(start.elapsed().as_secs_f64());
        matches += report.matches.len();
        reports.push(report);
    }
    if let Some(path) = arguments.next() {
        let found = queries.iter().zip(&reports).map(|(text, report)| {
            let matches: Vec<_> = report.matches.iter().map(|m| (m.bytes.start, m.bytes.end)).collect();
            serde_json::json!({ "text": text, "matches": matches })
        });
        std::fs::write(path, serde_json::to_string(&found.collect::<Vec<_>>())?)?;
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{QUERIES} queries of {QUERY_BYTES} bytes: {matches} matches, median {:.3} ms, slowest {:.3} ms",
        times[QUERIES / 2] * 1e3,
        times[QUERIES - 1] * 1e3
    );
    // A plain search reads the whole corpus for every word: a few queries, and of a large corpus a part.
    for (query, report) in queries.iter().zip(&reports).take(2) {
        let expected = naive(&texts, query, options.min_words);
        let got: Vec<_> = report.matches.iter().map(|m| m.bytes.clone()).collect();
        ensure!(got == expected, "a plain search finds {expected:?}, the index {got:?}");
    }
    println!("2 queries searched plainly: the same matches");
    Ok(())
}
