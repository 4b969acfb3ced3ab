//! Asking from a page, where the operator allows it.

use crate::{Explorer, Page};
use askama::Template;
use axum::{
    Form,
    extract::State,
    response::{Html, IntoResponse, Redirect, Response},
};
use serde::Deserialize;

/// Longest question, in bytes.
const MAX_QUESTION_BYTES: usize = 2000;

#[derive(Template)]
#[template(path = "ask.html")]
struct Shown {
    may_ask: bool,
    question: String,
    refused: Option<String>,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct Asked {
    question: String,
}

/// Shows the form.
pub async fn form(State(explorer): State<Explorer>) -> Page {
    let page = Shown { may_ask: explorer.answers.may_ask(), question: String::new(), refused: None };
    Ok(Html(page.render()?))
}

/// Asks, then shows the answer's page.
pub async fn submit(State(explorer): State<Explorer>, Form(asked): Form<Asked>) -> Response {
    let question = asked.question.trim().to_string();
    let outcome = if question.is_empty() || question.len() > MAX_QUESTION_BYTES {
        Err(format!("A question has 1 to {MAX_QUESTION_BYTES} bytes."))
    } else {
        explorer.answers.ask(question.clone()).await
    };
    match outcome {
        Ok(id) => Redirect::to(&format!("/answer/{id}")).into_response(),
        Err(reason) => {
            let page = Shown { may_ask: explorer.answers.may_ask(), question, refused: Some(reason) };
            page.render().map(Html).map_err(crate::Failure::from).into_response()
        }
    }
}
