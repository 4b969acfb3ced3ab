use super::*;
use proptest::prelude::*;

const TEXT: &str =
    "the cat sat on the mat. The cat's hat was on the mat, too: 1234 12 \u{e9}t\u{e9} \u{1F600}\n\n  the end";

#[test]
fn trained_bpe_is_the_same_each_time_and_round_trips() {
    let a = Tokenizer::train_bpe([TEXT, TEXT], 300, &["<|end|>"]).expect("trains");
    let b = Tokenizer::train_bpe([TEXT, TEXT], 300, &["<|end|>"]).expect("trains");
    assert_eq!(a.hash(), b.hash());
    let tokens = a.encode(TEXT, false).expect("encodes");
    assert!(tokens.len() < TEXT.len() / 2, "merges shorten the text: {} tokens", tokens.len());
    assert_eq!(a.decode(&tokens, true).expect("decodes"), TEXT);
    assert_eq!(a.encode("a<|end|>b", false).expect("encodes")[1], a.token("<|end|>").expect("special"));
}

#[test]
fn characters_are_numbered_in_order_and_unknown_ones_refused() {
    let t = Tokenizer::characters("hello\nworld").expect("builds");
    assert_eq!(t.vocabulary(), 8);
    let tokens = t.encode("hello\n", false).expect("encodes");
    assert_eq!((tokens.len(), tokens[5]), (6, 0));
    assert_eq!(t.decode(&tokens, true).expect("decodes"), "hello\n");
    assert!(matches!(t.encode("he\u{e9}z", false), Err(TokenizerError::Unknown('\u{e9}'))));
}

#[test]
fn hostile_files_are_refused() {
    for text in [
        "",
        "{",
        "[]",
        "{\"version\": \"1.0\"}",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": [[\"a\", \"b\"]]}}",
    ] {
        assert!(Tokenizer::from_json(text.into()).is_err(), "{text}");
    }
    assert!(Tokenizer::train_bpe([""], 300, &[]).is_err());
    assert!(Tokenizer::train_bpe([TEXT], 10, &[]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_stream_of_tokens_gives_the_text_piece_by_piece(text in "[a-z \\n\u{e9}\u{4e2d}\u{1F600}]{0,60}") {
        let t = Tokenizer::train_bpe([TEXT], 280, &[]).expect("trains");
        let tokens = t.encode(&text, false).expect("encodes");
        let mut stream = TextStream::default();
        let mut out = String::new();
        for token in tokens {
            out += &stream.push(&t, token).expect("decodes");
        }
        out += &stream.finish(&t).expect("decodes");
        prop_assert_eq!(out, text);
    }
}
