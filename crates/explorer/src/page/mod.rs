//! One file a page.

pub mod account;
pub mod answers;
pub mod ask;
pub mod block;
pub mod claims;
pub mod datanets;
pub mod error;
pub mod home;
pub mod item;
pub mod models;
pub mod operators;
pub mod parameters;
pub mod search;
pub mod settlements;
pub mod transaction;

use crate::{Failure, MAX_INPUT_BYTES};
use std::str::FromStr;

/// Most rows of a list on one page.
pub const MAX_ROWS: usize = 100;

/// Reads an id, hash or address from a path.
pub fn parse<T: FromStr>(text: &str, what: &str) -> Result<T, Failure> {
    if text.len() > MAX_INPUT_BYTES {
        return Err(Failure::BadRequest(format!("the {what} is too long")));
    }
    text.parse().map_err(|_| Failure::BadRequest(format!("`{text}` is not a {what}")))
}

/// The first `limit` characters, with a mark where more follow.
pub fn cut(text: &str, limit: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= limit { line } else { line.chars().take(limit).collect::<String>() + "…" }
}
