//! Text out of tokens: whole characters only, nothing past a stop text, nothing that might yet become one.

/// Whole characters out of bytes as they come; what can never become one turns into U+FFFD.
#[derive(Debug, Default)]
pub struct Characters {
    /// Bytes that do not make a character yet.
    tail: Vec<u8>,
}

impl Characters {
    /// Takes bytes; the characters that are whole now.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.tail.extend_from_slice(bytes);
        self.take(false)
    }

    /// What is left when no more bytes come.
    pub fn finish(&mut self) -> String {
        self.take(true)
    }

    fn take(&mut self, last: bool) -> String {
        let mut text = String::new();
        let mut rest = self.tail.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    text.push_str(std::str::from_utf8(good).expect("valid up to here"));
                    rest = bad;
                    match error.error_len() {
                        Some(length) => rest = &bad[length..],
                        None if last => rest = &[],
                        None => break,
                    }
                    text.push(char::REPLACEMENT_CHARACTER);
                }
            }
        }
        self.tail = rest.to_vec();
        text
    }
}

/// Collects an answer's text.
#[derive(Debug)]
pub struct Text {
    stops: Vec<String>,
    text: String,
    /// Bytes of `text` already handed out.
    sent: usize,
    stopped: bool,
}

impl Text {
    /// No text yet.
    pub fn new(stops: &[String]) -> Text {
        Text { stops: stops.to_vec(), text: String::new(), sent: 0, stopped: false }
    }

    /// Adds text; true when a stop text was completed, which is then cut off.
    pub fn push(&mut self, more: &str) -> bool {
        let before = self.text.len();
        self.text.push_str(more);
        // A stop text may have begun in what is held back.
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let mut from = before.saturating_sub(longest);
        while !self.text.is_char_boundary(from) {
            from -= 1;
        }
        let found = self.stops.iter().filter_map(|stop| self.text[from..].find(stop.as_str())).min();
        match found {
            Some(at) => {
                self.text.truncate(from + at);
                self.stopped = true;
                true
            }
            None => false,
        }
    }

    /// Whether a stop text came.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Text that may be shown now: all but an end that could be the start of a stop text.
    pub fn ready(&mut self) -> String {
        let unsent = &self.text[self.sent.min(self.text.len())..];
        let held = self
            .stops
            .iter()
            .flat_map(|stop| (1..stop.len()).rev().filter(|n| stop.is_char_boundary(*n)).map(|n| &stop[..n]))
            .filter(|start| unsent.ends_with(start))
            .map(str::len)
            .max()
            .unwrap_or(0);
        let ready = unsent[..unsent.len() - held].to_string();
        self.sent += ready.len();
        ready
    }

    /// What was held back, now that nothing more comes.
    pub fn rest(&mut self) -> String {
        let rest = self.text[self.sent.min(self.text.len())..].to_string();
        self.sent += rest.len();
        rest
    }

    /// Bytes of text so far.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// All that was handed out.
    pub fn finish(mut self) -> String {
        self.text.truncate(self.sent.min(self.text.len()));
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[String], bytes: &[u8], cuts: &[usize]) -> (Vec<String>, String, bool) {
        let (mut text, mut characters) = (Text::new(stops), Characters::default());
        let (mut pieces, mut stopped, mut from) = (Vec::new(), false, 0);
        for to in cuts.iter().copied().chain([bytes.len()]) {
            let to = to.clamp(from, bytes.len());
            stopped = text.push(&characters.push(&bytes[from..to]));
            pieces.push(text.ready());
            from = to;
            if stopped {
                break;
            }
        }
        if !stopped {
            text.push(&characters.finish());
        }
        pieces.push(text.rest());
        (pieces, text.finish(), stopped)
    }

    proptest! {
        #[test]
        fn the_text_is_the_same_however_tokens_cut_it(text in "[aé漢 ]{0,30}", stop in "[aé漢]{1,3}", mut cuts in prop::collection::vec(0usize..60, 0..12)) {
            cuts.sort_unstable();
            let (pieces, whole, stopped) = run(std::slice::from_ref(&stop), text.as_bytes(), &cuts);
            let expected = text.split(&stop).next().unwrap();
            prop_assert_eq!(&whole, expected);
            prop_assert_eq!(pieces.concat(), whole);
            prop_assert_eq!(stopped, text.contains(&stop));
        }

        #[test]
        fn any_bytes_become_text(bytes: Vec<u8>, mut cuts in prop::collection::vec(0usize..60, 0..12)) {
            cuts.sort_unstable();
            let (_, whole, _) = run(&[], &bytes, &cuts);
            prop_assert_eq!(whole, String::from_utf8_lossy(&bytes));
        }
    }
}
