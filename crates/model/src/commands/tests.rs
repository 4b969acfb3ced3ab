use super::*;
use crate::directory::WEIGHTS_FILE;
use crate::lora::AdapterOptions;
use crate::safetensors::Dtype;
use crate::train::{ReplayOptions, RunSettings, Silent, TrainOptions, Verdict};
use std::path::Path;

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

fn options(dir: &Path) -> TrainTextOptions {
    let text = "the quick brown fox jumps over the lazy dog. ".repeat(80);
    let jsonl = "{\"text\": \"a lazy dog sleeps\"}\n{\"prompt\": \"who jumps?\", \"answer\": \"the fox\"}\n";
    let train = TrainOptions { state_root_every: 2, checkpoint_every: 4, ..TrainOptions::new(6, 2) };
    TrainTextOptions {
        texts: vec![write(dir, "a.txt", &text), write(dir, "b.jsonl", jsonl)],
        tokenizer: TokenizerChoice::Bpe(300),
        architecture: Architecture { llama: true, layers: 1, heads: 2, kv_heads: 1, hidden: 16, context: 32 },
        train,
        threads: 1,
        ..TrainTextOptions::default()
    }
}

#[test]
fn from_texts_to_a_model_its_adapter_its_answers_and_its_replay() {
    let dir = tempfile::tempdir().expect("temp");
    let run_dir = dir.path().join("run");
    let settings = RunSettings { evaluate_every: 3, evaluation_examples: 2, ..RunSettings::default() };
    let fit = train(&run_dir, options(dir.path()), settings, &mut Silent).expect("trains");
    assert!(fit.outcome.finished && fit.validation_loss.is_some());
    assert!((257..=300).contains(&fit.vocabulary), "bytes, merges and the end token: {}", fit.vocabulary);

    let again = train(&run_dir, options(dir.path()), settings, &mut Silent).expect("goes on");
    assert_eq!((again.outcome.resumed_from, again.outcome.state_root), (Some(6), fit.outcome.state_root));
    let request = ReplayRun { steps: ReplayOptions::default(), threads: 1 };
    let report = replay(&run_dir, &request, &mut |_, _| {}).expect("replays");
    assert_eq!((report.verdict, report.steps), (Verdict::Equal, 6));

    let tuned_dir = dir.path().join("tuned");
    let pairs = "{\"prompt\": \"who sleeps?\", \"answer\": \"the dog\"}\n".repeat(4)
        + "{\"messages\": [{\"role\": \"user\", \"content\": \"hm\"}, {\"role\": \"assistant\", \"content\": \"yes\"}]}\n";
    let tune = FineTuneOptions {
        base: fit.result.clone(),
        examples: vec![write(dir.path(), "c.jsonl", &pairs)],
        adapter: Some(AdapterOptions { rank: 2, alpha: 4.0, targets: vec!["q_proj".into()] }),
        context: 16,
        validation_every: 5,
        train: TrainOptions { steps: 3, ..options(dir.path()).train },
        threads: 1,
    };
    let tuned = finetune(&tuned_dir, tune, RunSettings::default(), &mut Silent).expect("tunes");
    assert_eq!(tuned.examples, 4);
    assert_eq!(replay(&tuned_dir, &request, &mut |_, _| {}).expect("replays").verdict, Verdict::Equal);

    let mut streamed = vec![String::new(); 2];
    let asked = GenerateOptions {
        prompts: vec![
            Prompt::Text("the quick".into()),
            Prompt::Chat(vec![crate::chat::Message { role: "user".into(), content: "hm".into() }]),
        ],
        tokens_max: 5,
        adapter: Some(tuned.result.clone()),
        threads: 1,
        ..GenerateOptions::default()
    };
    let answers = generate(&fit.result, &asked, &mut |i, text| streamed[i].push_str(text)).expect("answers");
    assert!(answers.iter().all(|a| a.tokens.len() <= 5 && a.prompt_tokens > 0));

    assert!(matches!(show(&run_dir).expect("a run"), Shown::Run(r) if r.steps == 6));
    assert!(
        matches!(show(&tuned.result).expect("an adapter"), Shown::Adapter { tensors } if tensors.len() == 2)
    );
    let Shown::Model { weights_root, .. } = show(&fit.result).expect("a model") else {
        panic!("not a model")
    };
    let (out, back) = (dir.path().join("out"), dir.path().join("back"));
    let exported = export(&fit.result, &out, &ExportOptions { dtype: Dtype::F32, shard_bytes_max: 4000 })
        .expect("exports");
    let imported = import(&out, &back, &ImportOptions { tokenizer_required: true }).expect("imports");
    assert_eq!((exported.weights_root, imported.weights_root), (weights_root, weights_root));
    assert!(imported.tokenizer && imported.chat_template && back.join(WEIGHTS_FILE).exists());
}

#[test]
fn what_cannot_be_used_says_why() {
    let dir = tempfile::tempdir().expect("temp");
    assert!(matches!(show(dir.path()), Err(CommandError::Unknown(_))));
    let base = options(dir.path());
    for (text, reason) in [("{\"a\": 1}\n", "line 1"), ("not json\n", "line 1"), ("\n", "no text")] {
        let texts = vec![write(dir.path(), "bad.jsonl", text)];
        let options = TrainTextOptions { texts, ..base.clone() };
        let error = train(&dir.path().join("x"), options, RunSettings::default(), &mut Silent)
            .expect_err(reason)
            .to_string();
        assert!(error.contains(reason), "{error}");
    }
    let short = TrainTextOptions { texts: vec![write(dir.path(), "s.txt", "hi hi hi")], ..base };
    let error = train(&dir.path().join("x"), short, RunSettings::default(), &mut Silent)
        .expect_err("short")
        .to_string();
    assert!(error.contains("more text"), "{error}");
}
