//! A prompt and its answer as tokens: what fine-tuning learns from, and what attribution asks about, cut in one way.
//!
//! The prompt is what a chat template renders before the answer. The answer follows after one space, trimmed, and ends with the model's end token if it has
//! one. An answer longer than the context loses its end; then a prompt that does not fit beside it loses its beginning. Loss is taken on the answer
//! alone.

use crate::batch::Example;
use crate::chat::{ChatError, ChatTemplate, Message};
use crate::tokenizer::{Tokenizer, TokenizerError};

/// Tokens of an exchange, no more than fit into a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What stands before the answer.
    pub prompt: Vec<u32>,
    /// What was answered, its end token included.
    pub answer: Vec<u32>,
}

impl Exchange {
    /// From rendered text and an answer; none when the context leaves no token of the prompt, or the prompt has none.
    ///
    /// # Errors
    /// When a text cannot be encoded.
    pub fn new(
        tokenizer: &Tokenizer,
        rendered: &str,
        answer: &str,
        context: usize,
        end: Option<u32>,
    ) -> Result<Option<Exchange>, TokenizerError> {
        let mut answer = tokenizer.encode(&format!(" {}", answer.trim()), false)?;
        answer.extend(end);
        answer.truncate(context);
        let prompt = tokenizer.encode(rendered, false)?;
        let room = (context + 1).saturating_sub(answer.len());
        let prompt = prompt[prompt.len().saturating_sub(room)..].to_vec();
        Ok((!prompt.is_empty()).then_some(Exchange { prompt, answer }))
    }

    /// As it is learned.
    pub fn example(&self) -> Example {
        Example::answer(&self.prompt, &self.answer)
    }
}

/// The text before the answer to one question.
///
/// # Errors
/// When the template refuses it.
pub fn question(template: &ChatTemplate, prompt: &str) -> Result<String, ChatError> {
    template.render(&[Message { role: "user".into(), content: prompt.into() }], true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_from_the_answers_end_and_the_prompts_beginning() {
        let tokenizer = Tokenizer::characters("abc xyz").expect("a tokenizer");
        let of = |answer: &str, context| {
            let made = Exchange::new(&tokenizer, "abc", answer, context, Some(7)).expect("encodes");
            made.map(|e| (tokenizer.decode(&e.prompt, false).expect("text"), e.answer.len(), e.example()))
        };
        let (prompt, answer, example) = of("xyz ", 9).expect("fits");
        assert_eq!((&prompt[..], answer, example.tokens.len()), ("abc", 5, 7));
        assert_eq!(example.targets.iter().filter(|t| **t != ops::IGNORED_TARGET).count(), 5);
        let (prompt, answer, example) = of("xyz", 6).expect("fits");
        assert_eq!((&prompt[..], answer, example.tokens.len()), ("bc", 5, 6));
        let (prompt, answer, example) = of("xyzxyz", 4).expect("fits");
        assert_eq!((&prompt[..], answer, example.tokens.len()), ("c", 4, 4));
        assert!(Exchange::new(&tokenizer, "", "x", 9, None).expect("encodes").is_none());
    }
}
