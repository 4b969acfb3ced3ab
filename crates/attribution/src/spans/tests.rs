use super::*;
use proptest::prelude::*;

const ALL: Options = Options { min_words: 1, min_rarity_bits: 0, max_sources: 100 };

/// Texts over a tiny vocabulary, so that long repeats are common.
fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec!["a", "ab", "b", "é", "_", " ", "  ", ". ", "\n", "1", "-"]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Every match by comparing every word start of the answer with every word start of every document.
fn naive(documents: &[String], answer: &str) -> Vec<(std::ops::Range<usize>, usize, Vec<u32>)> {
    let answer = answer.as_bytes();
    let places: Vec<(u32, &[u8])> = documents
        .iter()
        .enumerate()
        .flat_map(|(d, text)| word_starts(text.as_bytes()).map(move |at| (d as u32, &text.as_bytes()[at..])))
        .collect();
    let mut found = vec![];
    let mut covered = 0;
    for start in word_starts(answer) {
        let rest = &answer[start..];
        let common = |text: &[u8]| text.iter().zip(rest).take_while(|(a, b)| a == b).count();
        let mut length = places.iter().map(|(_, text)| common(text)).max().unwrap_or(0);
        // Back to the end of a word.
        while length > 0
            && !(is_word(rest[length - 1]) && rest.get(length).is_none_or(|next| !is_word(*next)))
        {
            length -= 1;
        }
        if start + length > covered.max(start) {
            covered = start + length;
            let holders: Vec<u32> = places
                .iter()
                .filter(|(_, text)| text.starts_with(&rest[..length]))
                .map(|(d, _)| *d)
                .collect();
            let mut distinct = holders.clone();
            distinct.dedup();
            found.push((start..start + length, holders.len(), distinct));
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn matches_are_those_of_a_naive_search(documents in prop::collection::vec(text(), 0..6), answer in text()) {
        let corpus = Corpus::new(documents.iter().enumerate().map(|(i, t)| (i.to_string(), i as u32, t))).unwrap();
        let index = Index::build(&corpus);
        let report = index.report(&corpus, &answer, &ALL).unwrap();
        let got: Vec<_> = report.matches.iter()
            .map(|m| (m.bytes.clone(), m.occurrences, m.sources.iter().map(|s| s.document).collect::<Vec<_>>()))
            .collect();
        prop_assert_eq!(got, naive(&documents, &answer));
    }

    #[test]
    fn an_index_is_read_back_and_any_bytes_are_read_or_refused(documents in prop::collection::vec(text(), 0..6), noise in prop::collection::vec(any::<u8>(), 0..80)) {
        let corpus = Corpus::new(documents.iter().map(|t| ("d", 0, t))).unwrap();
        let index = Index::build(&corpus);
        let bytes = index.encode();
        prop_assert_eq!(Index::decode(&bytes, &corpus).unwrap(), index);
        let _ = Index::decode(&noise, &corpus);
        let mut cut = bytes.clone();
        cut.truncate(noise.len().min(bytes.len() - 1));
        prop_assert!(Index::decode(&cut, &corpus).is_err());
    }
}

fn corpus() -> Corpus {
    Corpus::new([
        ("first", 0, "The quick brown fox jumps over the lazy dog. Permission is hereby granted."),
        ("copy", 1, "Someone said: the quick brown fox jumps over the lazy cat."),
        ("other", 2, "Permission is hereby granted, free of charge."),
    ])
    .unwrap()
}

#[test]
fn the_earliest_committed_document_is_named_first_and_tallied() {
    let corpus = corpus();
    let index = Index::build(&corpus);
    let options = Options { min_words: 4, min_rarity_bits: 0, max_sources: 8 };
    let report =
        index.report(&corpus, "Indeed, quick brown fox jumps over the lazy cows.", &options).unwrap();
    assert_eq!(report.matches.len(), 1);
    let found = &report.matches[0];
    assert_eq!(found.bytes, 8..43);
    assert_eq!(found.sources.iter().map(|s| s.document).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((report.covered_bytes, report.contributors[0].owner), (35, 0));
}

#[test]
fn an_index_of_another_corpus_is_refused() {
    let other = Corpus::new([("x", 0, "entirely different")]).unwrap();
    let bytes = Index::build(&corpus()).encode();
    assert!(matches!(Index::decode(&bytes, &other), Err(SpansError::OtherCorpus { .. })));
}

#[test]
fn an_answer_past_the_limit_is_refused_and_an_empty_one_matches_nothing() {
    let corpus = corpus();
    let index = Index::build(&corpus);
    let long = "a".repeat(MAX_ANSWER_BYTES + 1);
    assert_eq!(index.report(&corpus, &long, &ALL), Err(SpansError::AnswerTooLong(long.len())));
    let none = index.report(&corpus, "", &ALL).unwrap();
    assert_eq!((none.matches.len(), none.covered_bytes), (0, 0));
}

#[test]
fn rare_words_weigh_more_than_common_ones() {
    let filler = "the of and ".repeat(200);
    let corpus =
        Corpus::new([("d", 0, format!("{filler} zygote quokka axolotl numbat the of and the"))]).unwrap();
    let index = Index::build(&corpus);
    let bits = |answer: &str| index.report(&corpus, answer, &ALL).unwrap().matches[0].rarity_bits;
    assert!(bits("zygote quokka axolotl") > 4 * bits("the of and"));
}
