//! From prompts and answers to an adapter, its attribution cache and who an answer owes, on plain files.

use attribution::{
    commands::{self, CacheRequest, CommandError, QueryRequest, SpansRequest},
    influence::cache::{CacheError, Options},
};
use model::{
    AdapterOptions,
    commands::{Architecture, FineTuneOptions, TokenizerChoice, TrainTextOptions, finetune, train},
    train::{RunSettings, Silent, TrainOptions},
};
use ops::Ctx;
use primitives::Amount;
use std::path::{Path, PathBuf};

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

/// A base model and a run that fine-tuned an adapter on prompts and answers by two owners.
fn tuned(folder: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let text = "the quick brown fox jumps over the lazy dog. who jumps? what is red? ".repeat(40);
    let options = TrainTextOptions {
        texts: vec![write(folder, "text.txt", &text)],
        tokenizer: TokenizerChoice::Bpe(300),
        architecture: Architecture { llama: true, layers: 1, heads: 2, kv_heads: 1, hidden: 16, context: 32 },
        train: TrainOptions::new(20, 4),
        threads: 1,
        ..TrainTextOptions::default()
    };
    let base = train(&folder.join("base"), options, RunSettings::default(), &mut Silent).expect("trains");
    let mut lines = String::new();
    for (owner, prompt, answer) in [
        ("ann", "who jumps?", "the fox"),
        ("bob", "what is red?", "a rose"),
        ("bob", "what is lazy?", "a dog"),
    ] {
        let line = serde_json::json!({ "owner": owner, "prompt": prompt, "answer": answer });
        lines += &format!("{line}\n").repeat(4);
    }
    let examples = write(folder, "answers.jsonl", &lines);
    let options = FineTuneOptions {
        base: base.result.clone(),
        examples: vec![examples.clone()],
        adapter: Some(AdapterOptions { rank: 2, alpha: 4.0, targets: vec![] }),
        context: 32,
        validation_every: 0,
        train: TrainOptions::new(40, 4),
        threads: 1,
    };
    let run = folder.join("tuned");
    finetune(&run, options, RunSettings::default(), &mut Silent).expect("tunes");
    (base.result, run, examples)
}

#[test]
fn an_adapters_answer_owes_whom_it_was_learned_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, run, documents) = tuned(folder.path());
    let ctx = Ctx::single();
    let options = Options { rank: 4, clip_percent: 1_000_000, own_floor_percent: 0, ..Options::default() };
    let request = |adapter: Option<PathBuf>, name: &str| CacheRequest {
        model: model.clone(),
        adapter,
        attributed: vec![],
        documents: documents.clone(),
        folder: folder.path().join(name),
        options,
    };
    let report = commands::cache(&ctx, &request(Some(run.clone()), "cache"), &mut |_| {}).expect("a cache");
    assert_eq!((report.documents, report.owners, report.commitment.units), (12, 2, 12));
    // The folder of the adapter itself gives the same.
    let same = commands::cache(&ctx, &request(Some(run.join("adapter")), "same"), &mut |_| {});
    assert_eq!(same.expect("a cache").commitment, report.commitment);

    let ask = |adapter: Option<PathBuf>, prompt: &str, answer: &str| {
        commands::query(
            &ctx,
            &QueryRequest {
                model: model.clone(),
                adapter,
                attributed: vec![],
                cache: folder.path().join("cache"),
                prompt: prompt.into(),
                answer: answer.into(),
                data_share: Amount::open(1),
                top: 4,
                tokens_per_span: 8,
            },
        )
    };
    for (prompt, answer, owner) in [("who jumps?", "the fox", "ann"), ("what is red?", "a rose", "bob")] {
        let found = ask(Some(run.clone()), prompt, answer).expect("an answer");
        assert_eq!(found.contributors[0].owner, owner, "{found:?}");
        assert!(found.units.iter().all(|unit| unit.owner == owner), "{found:?}");
    }

    let refused = ask(None, "who jumps?", "the fox").expect_err("of the adapter");
    assert!(matches!(refused, CommandError::Cache(CacheError::OtherModel { .. })), "{refused}");
    assert!(refused.to_string().contains("adapter"), "{refused}");
    let refused = ask(Some(run.clone()), "who jumps?", " ").expect_err("nothing to attribute");
    assert!(matches!(refused, CommandError::EmptyAnswer), "{refused}");
}

#[test]
fn what_is_no_adapter_of_the_model_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, run, documents) = tuned(folder.path());
    let cache = |model: &Path, adapter: &Path| {
        let request = CacheRequest {
            model: model.into(),
            adapter: Some(adapter.into()),
            attributed: vec![],
            documents: documents.clone(),
            folder: folder.path().join("cache"),
            options: Options::default(),
        };
        commands::cache(&Ctx::single(), &request, &mut |_| {}).expect_err("refused").to_string()
    };
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).expect("created");
    assert!(cache(&model, &empty).contains("model finetune"), "{}", cache(&model, &empty));

    let damaged = run.join("adapter");
    write(&damaged, "adapter_model.safetensors", "no tensors");
    assert!(cache(&model, &damaged).contains("adapter"), "{}", cache(&model, &damaged));
    write(&damaged, "adapter_config.json", "{\"peft_type\": \"IA3\"}");
    assert!(cache(&model, &run).contains("IA3"), "{}", cache(&model, &run));

    // Exchanges are no documents.
    let request = SpansRequest {
        documents: documents.clone(),
        index: None,
        answer: "the fox".into(),
        options: Default::default(),
    };
    let refused = commands::spans(&request).expect_err("exchanges").to_string();
    assert!(refused.contains("prompts and answers"), "{refused}");
}
