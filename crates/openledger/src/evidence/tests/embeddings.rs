//! The engine's models embed: through the command, on what a demo left.

use super::*;
use crate::command::datanet::embed::EngineEmbedder;
use vault::similar::{Embedder as _, Paraphrase, paraphrase::Vectors, paraphrases};

/// A thousand tokens and more: several contexts of the demo's model.
const LONG: usize = 4000;

#[test]
fn a_served_model_embeds_texts_the_same_alone_and_together_and_finds_what_says_the_same() {
    let mut embedder = EngineEmbedder::open(demo_folder()).expect("the demo's model");
    let texts = [
        "Always keep the soil near the compost, and never let the seedlings stand alone overnight.",
        "Captains signal from pier to pilot whenever fog hides a buoy ahead.",
        "Chop, fold and simmer: dough goes over stock, then butter on top.",
        "Always keep the soil near the mulch, and never let the seedlings stand alone overnight.",
        "",
    ];
    let together = embedder.embed(&texts).expect("embedded");
    for (text, vector) in texts.iter().zip(&together) {
        assert_eq!(vector.len(), embedder.dimensions());
        assert_eq!(&embedder.embed(&[text]).expect("embedded")[0], vector, "alone as together");
    }
    let long = embedder.embed(&[&"soil and compost ".repeat(LONG)]).expect("a text of many contexts");
    assert!(long[0].iter().all(|x| x.is_finite()));
    let mut vectors = Vectors::new(embedder.dimensions());
    vectors.push(&mut embedder, &texts[..4]).expect("embedded");
    // So small a model finds half of everything in everything; of what it finds, the likest must be right.
    let found = paraphrases(vectors, 0.5);
    assert!(found.iter().any(|pair| matches!(pair, Paraphrase { item: 3, of: 0, .. })), "{found:?}");
    assert!(EngineEmbedder::open(&demo_folder().join("vault")).is_err(), "no model");
}

#[test]
fn a_training_set_leaves_out_what_a_model_finds_said_before() {
    let scene = Scene::new();
    let home = scene.folder.join("home");
    let accounts = Accounts::open(&scene.folder).expect("the demo's accounts");
    let key = scene.folder.join("keeper-of-the-demo.key");
    let secret = vault::crypt::keys::SecretKey::derive(&accounts.secret("keeper"));
    std::fs::write(&key, alloy_primitives::hex::encode(*secret.to_bytes())).expect("written");
    let words = |rest: &[&str]| {
        let (vault, key) = (scene.folder.join("vault"), key.to_string_lossy().into_owned());
        let vault = vault.to_string_lossy().into_owned();
        let all: Vec<String> = ["datanet", "--vault", &vault, "--keeper-key", &key]
            .iter()
            .chain(rest)
            .map(|w| (*w).into())
            .collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        erasure::openledger(&home, &all)
    };
    let model = scene.folder.to_string_lossy().into_owned();
    words(&["paraphrases", "--model", &model, "--least", "0.2"]).expect("compared");
    words(&["train-set", "--without-paraphrases", &model, "--least", "0.2"]).expect("frozen");
    let store = demo::contribute::open(&scene.folder, &accounts, crate::clock::now()).expect("the vault");
    let sets: Vec<_> = store.vault.sets().iter().map(|root| store.vault.set(root).expect("whole")).collect();
    let [all, fewer] = sets.as_slice() else { panic!("two sets") };
    assert!(!fewer.query.without.is_empty(), "the corpus repeats its sentences");
    assert_eq!(fewer.entries.len() + fewer.query.without.len(), all.entries.len());
    assert!(fewer.entries.iter().all(|entry| !fewer.query.without.contains(&entry.leaf)));
}
