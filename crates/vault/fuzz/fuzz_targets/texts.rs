//! What works on texts: screening, redaction, words, Markdown and documentation comments.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault::screen::{self, Policy, Verdict};

fuzz_target!(|text: &str| {
    let findings = screen::screen(text);
    for finding in &findings {
        assert!(text.get(finding.span.clone()).is_some());
    }
    let border = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
    if let Verdict::Redacted { text, prompt_bytes } = screen::apply(&Policy::default(), text, border, &findings) {
        assert!(text.is_char_boundary(prompt_bytes));
    }
    let mut index = vault::similar::Index::new();
    index.insert(text);
    let _ = vault::read::markdown::cut(&vault::read::markdown::clean(text), 64);
    let _ = vault::read::rustdoc::documentation(text);
    let _ = vault::licence::normal(text);
});
