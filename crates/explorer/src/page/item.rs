//! An item that a model learned from: whose it is and where it stands, never its text.

use super::cut;
use crate::{Explorer, Failure, MAX_INPUT_BYTES, Page, format, source};
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Html,
};

#[derive(Template)]
#[template(path = "item.html")]
struct Shown {
    item: source::Item,
    novelty: String,
}

/// Shows one.
pub async fn show(State(explorer): State<Explorer>, Path(id): Path<String>) -> Page {
    let missing = || Failure::NotFound(format!("item {}", cut(&id, 80)));
    if id.len() > MAX_INPUT_BYTES {
        return Err(missing());
    }
    let item = explorer.answers.item(id.clone()).await.ok_or_else(missing)?;
    let novelty = format::percent(item.novelty_ppm);
    Ok(Html(Shown { item, novelty }.render()?))
}
