//! Continuous batching: answers that are made together, a token each a pass.
//!
//! # States of a row
//! ```text
//! admit ─▶ reading the prompt, writing ─▶ ended: the model's end, a stop text, max_tokens ─▶ handed out
//!              │                 └─ its client left ─▶ handed out as it is
//!              └─ the engine failed ─▶ handed out as an error, with all others
//! ```
//! Rows are admitted between passes and leave by themselves; the others do not notice. A row's tokens, text and attribution are those it
//! would have alone, to the bit ([`crate::engine::Session`]). Attribution is not done here: a row that ended goes to
//! [`crate::Worker::complete`], on another thread while the batch goes on.

use crate::{
    engine::{Decoder, EngineError, Generator, Passes, RowEvent, RowId, Session},
    receipt::Output,
    request::Finish,
    worker::{AnswerError, Prepared, Sink, text::Text},
};
use std::ops::ControlFlow;

/// Text and tokens of an answer, not yet priced and attributed.
#[derive(Clone, Debug)]
pub struct Generated {
    /// What was asked.
    pub prepared: Prepared,
    /// What came back.
    pub output: Output,
    /// Length of the text after each token, in bytes.
    pub(crate) ends: Vec<u32>,
    /// For the attribution.
    pub(crate) passes: Option<Passes>,
}

/// The rows of one generator: its model's, and those of adapters over it. `K` is what the caller knows a row by.
pub struct Decoding<'a, K> {
    generator: &'a dyn Generator,
    session: Box<dyn Session + 'a>,
    rows: Vec<Row<'a, K>>,
}

struct Row<'a, K> {
    id: RowId,
    key: K,
    prepared: Prepared,
    sink: Box<dyn Sink + 'a>,
    text: Text,
    decoder: Box<dyn Decoder + 'a>,
    tokens: Vec<u32>,
    ends: Vec<u32>,
}

/// A row that ended, by its key.
pub type Ended<K> = (K, Result<Generated, AnswerError>);

impl<'a, K> Decoding<'a, K> {
    /// No rows yet.
    pub fn new(generator: &'a dyn Generator) -> Decoding<'a, K> {
        Decoding { generator, session: generator.session(), rows: Vec::new() }
    }

    /// Takes a request in, which a worker of this generator prepared: it takes part in the next pass.
    ///
    /// # Errors
    /// When the engine refuses it; the batch is as it was.
    pub fn admit(&mut self, key: K, prepared: Prepared, sink: Box<dyn Sink + 'a>) -> Result<(), AnswerError> {
        let request = &prepared.request;
        let id = self.session.submit(prepared.adapter.as_ref(), &prepared.tokens, &request.sampling)?;
        self.rows.push(Row {
            id,
            key,
            text: Text::new(&request.sampling.stop),
            prepared,
            sink,
            decoder: self.generator.decoder(),
            tokens: Vec::new(),
            ends: Vec::new(),
        });
        Ok(())
    }

    /// Rows that are there.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// One pass over all rows. What ended is handed out.
    pub fn step(&mut self) -> Vec<Ended<K>> {
        let mut ended = Vec::new();
        let gone: Vec<RowId> = self.rows.iter().filter(|row| row.sink.is_gone()).map(|row| row.id).collect();
        for id in gone {
            ended.extend(self.end(id, |row| row.finish(Finish::Cancelled)));
        }
        if self.rows.is_empty() {
            return ended;
        }
        let events = match self.session.step() {
            Ok(events) => events,
            Err(error) => {
                ended.extend(self.abandon(&error));
                return ended;
            }
        };
        for (id, event) in events {
            let Some(row) = self.rows.iter_mut().find(|row| row.id == id) else { continue };
            let outcome = match event {
                RowEvent::Token(token) => match row.push(token) {
                    Ok(ControlFlow::Continue(())) => continue,
                    Ok(ControlFlow::Break(finish)) => Ok(finish),
                    Err(error) => Err(error),
                },
                RowEvent::Finished(finish) => Ok(finish),
            };
            ended.extend(self.end(id, |row| row.finish(outcome?)));
        }
        ended
    }

    /// Gives all rows up, for what went wrong with the engine, and starts afresh.
    pub fn abandon(&mut self, error: &EngineError) -> Vec<Ended<K>> {
        self.session = self.generator.session();
        self.rows.drain(..).map(|row| (row.key, Err(error.clone().into()))).collect()
    }

    fn end(
        &mut self,
        id: RowId,
        finish: impl FnOnce(&mut Row<'a, K>) -> Result<Generated, AnswerError>,
    ) -> Option<Ended<K>> {
        let passes = self.session.passes(id);
        self.session.cancel(id);
        let at = self.rows.iter().position(|row| row.id == id)?;
        let mut row = self.rows.remove(at);
        let generated = finish(&mut row).map(|generated| Generated { passes, ..generated });
        Some((row.key, generated))
    }
}

impl<K> Row<'_, K> {
    /// Takes a token; breaks when the answer ends with it.
    fn push(&mut self, token: u32) -> Result<ControlFlow<Finish>, AnswerError> {
        let more = self.decoder.push(token)?;
        self.tokens.push(token);
        let stopped = self.text.push(&more);
        self.ends.push(self.text.len() as u32);
        let ready = self.text.ready();
        let left = !ready.is_empty() && self.sink.piece(&ready).is_break();
        Ok(match (stopped, left) {
            (true, _) => ControlFlow::Break(Finish::Stop),
            (false, true) => ControlFlow::Break(Finish::Cancelled),
            (false, false) => ControlFlow::Continue(()),
        })
    }

    fn finish(&mut self, mut finish: Finish) -> Result<Generated, AnswerError> {
        if finish != Finish::Cancelled {
            // What a decoder still holds may complete a stop text; after one, nothing more counts.
            if !self.text.is_stopped() && self.text.push(&self.decoder.finish()?) {
                finish = Finish::Stop;
            }
            let rest = self.text.rest();
            if !rest.is_empty() {
                // The last words may find nobody: the answer is complete all the same.
                let _ = self.sink.piece(&rest);
            }
        }
        let text = std::mem::replace(&mut self.text, Text::new(&[])).finish();
        let ends = self.ends.iter().map(|end| (*end).min(text.len() as u32)).collect();
        let output = Output { tokens: std::mem::take(&mut self.tokens), text, finish };
        Ok(Generated { prepared: self.prepared.clone(), output, ends, passes: None })
    }
}

#[cfg(test)]
mod tests;
