//! Answers: the list, and one with the passages it owes.

use super::{MAX_ROWS, cut};
use crate::{Explorer, Failure, MAX_INPUT_BYTES, Page, format, source};
use alloy_primitives::U256;
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Html,
};

#[derive(Template)]
#[template(path = "answers.html")]
struct List {
    rows: Vec<Row>,
}

/// An answer in a list.
pub struct Row {
    pub id: String,
    pub time: String,
    pub prompt: String,
    pub top: String,
    pub cost: String,
}

impl Row {
    /// The row of an answer, its prompt shortened by `shorten`.
    pub fn new(answer: &source::Answer, shorten: impl Fn(&str) -> String) -> Row {
        let top = answer.sources.first().map(|s| format!("{} ({})", s.name, format::percent(s.share_ppm)));
        Row {
            id: answer.id.clone(),
            time: format::time(answer.created),
            prompt: shorten(&answer.prompt),
            top: top.unwrap_or_else(|| "nobody: no evidence".into()),
            cost: units(&answer.cost),
        }
    }
}

#[derive(Template)]
#[template(path = "answer.html")]
struct Shown {
    a: source::Answer,
    time: String,
    cost: String,
    verbatim: bool,
    segments: Vec<SegmentRow>,
    sources: Vec<SourceRow>,
}

struct SegmentRow {
    text: String,
    hue: Option<usize>,
    name: String,
    verbatim: Option<String>,
}

struct SourceRow {
    hue: usize,
    name: String,
    account: String,
    share: String,
    bar: u32,
    paid: String,
    items: Vec<ItemRow>,
}

struct ItemRow {
    id: String,
    label: String,
    share: String,
}

fn units(decimal: &str) -> String {
    decimal.parse::<U256>().map(format::open).unwrap_or_else(|_| decimal.to_string())
}

/// Hues far apart for neighbours in the list (the golden angle).
fn hue(index: usize) -> usize {
    (150 + index * 137) % 360
}

/// Shows the latest answers.
pub async fn list(State(explorer): State<Explorer>) -> Page {
    let rows = explorer.answers.recent(MAX_ROWS).await.iter().map(|a| Row::new(a, |p| cut(p, 90))).collect();
    Ok(Html(List { rows }.render()?))
}

/// Shows one.
pub async fn show(State(explorer): State<Explorer>, Path(id): Path<String>) -> Page {
    let missing = || Failure::NotFound(format!("answer {}", cut(&id, 80)));
    if id.len() > MAX_INPUT_BYTES {
        return Err(missing());
    }
    let a = explorer.answers.get(id.clone()).await.map_err(Failure::Silent)?.ok_or_else(missing)?;
    let most = a.sources.first().map_or(1, |s| s.share_ppm.max(1));
    let page = Shown {
        time: format::time(a.created),
        cost: units(&a.cost),
        verbatim: a.segments.iter().any(|s| s.verbatim.is_some()),
        segments: a
            .segments
            .iter()
            .map(|s| SegmentRow {
                text: s.text.clone(),
                // A run of blank lines has nothing to colour.
                hue: s.source.filter(|_| !s.text.trim().is_empty()).map(hue),
                name: s.source.and_then(|i| a.sources.get(i)).map(|s| s.name.clone()).unwrap_or_default(),
                verbatim: s.verbatim.clone(),
            })
            .collect(),
        sources: a
            .sources
            .iter()
            .take(MAX_ROWS)
            .enumerate()
            .map(|(i, s)| SourceRow {
                hue: hue(i),
                name: s.name.clone(),
                account: s.account.clone(),
                share: format::percent(s.share_ppm),
                bar: (u64::from(s.share_ppm) * 120 / u64::from(most)).min(120) as u32,
                paid: units(&s.paid),
                items: s
                    .items
                    .iter()
                    .map(|item| ItemRow {
                        id: item.id.clone(),
                        label: cut(&item.label, 80),
                        share: format::percent(item.share_ppm),
                    })
                    .collect(),
            })
            .collect(),
        a,
    };
    Ok(Html(page.render()?))
}
