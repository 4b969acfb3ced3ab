use super::*;
use crate::config::Family;

fn small(family: Family, tied: bool) -> Model {
    let base = if family == Family::Gpt2 {
        Config::gpt(30, 2, 2, 8, 16)
    } else {
        Config::llama(30, 2, 4, 2, 16, 16)
    };
    Model::initial(Config { family, tied, bias: matches!(family, Family::Qwen2 | Family::Gpt2), ..base }, 4)
        .expect("valid")
}

#[test]
fn every_family_survives_saving_and_loading_in_one_file_and_in_shards() {
    for family in Family::ALL {
        for (tied, shard_bytes_max) in [(true, u64::MAX), (false, 2000)] {
            let dir = tempfile::tempdir().expect("temp");
            let model = small(family, tied);
            model.save(dir.path(), SaveOptions { shard_bytes_max, ..SaveOptions::default() }).expect("saved");
            assert_eq!(dir.path().join(INDEX_FILE).exists(), shard_bytes_max == 2000);
            assert_eq!(Model::load(dir.path()).expect("loads"), model, "{family:?}");
        }
    }
}

#[test]
fn half_precision_files_hold_the_rounded_weights() {
    let dir = tempfile::tempdir().expect("temp");
    let model = small(Family::Llama, true);
    model.save(dir.path(), SaveOptions { dtype: Dtype::Bf16, ..SaveOptions::default() }).expect("saved");
    let loaded = Model::load(dir.path()).expect("loads");
    for (a, b) in model.weights.tensors().iter().flatten().zip(loaded.weights.tensors().iter().flatten()) {
        assert!((a - b).abs() <= a.abs() / 256.0, "{a} {b}");
        assert_eq!(b.to_bits() & 0xffff, 0);
    }
}

#[test]
fn what_does_not_fit_the_configuration_is_named() {
    let dir = tempfile::tempdir().expect("temp");
    let model = small(Family::Llama, true);
    model.save(dir.path(), SaveOptions::default()).expect("saved");
    let path = dir.path().join(CONFIG_FILE);
    let text = std::fs::read_to_string(&path).expect("there");
    std::fs::write(&path, text.replace("\"vocab_size\": 30", "\"vocab_size\": 31")).expect("written");
    let error = Model::load(dir.path()).expect_err("other shape").to_string();
    assert!(error.contains("embed_tokens") && error.contains("31"), "{error}");
    std::fs::write(&path, text.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3"))
        .expect("written");
    let error = Model::load(dir.path()).expect_err("missing layer").to_string();
    assert!(error.contains("model.layers.2."), "{error}");
}

#[test]
fn weights_with_nan_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("temp");
    let mut model = small(Family::Llama, true);
    model.weights.tensor_mut(3)[7] = f32::NAN;
    model.save(dir.path(), SaveOptions::default()).expect("saved");
    let error = Model::load(dir.path()).expect_err("NaN").to_string();
    assert!(error.contains(&model.layout.tensors[3].name) && error.contains("element 7"), "{error}");
}

#[test]
fn an_index_that_points_outside_its_directory_is_refused() {
    let dir = tempfile::tempdir().expect("temp");
    small(Family::Llama, true).save(dir.path(), SaveOptions::default()).expect("saved");
    std::fs::remove_file(dir.path().join(WEIGHTS_FILE)).expect("removed");
    for name in ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "x.bin"] {
        let text = format!(r#"{{"weight_map": {{"a": "{name}"}}}}"#);
        std::fs::write(dir.path().join(INDEX_FILE), text).expect("written");
        assert!(matches!(Model::load(dir.path()), Err(DirectoryError::Index(_))), "{name}");
    }
}

#[test]
fn end_tokens_of_the_generation_config_are_added() {
    let dir = tempfile::tempdir().expect("temp");
    small(Family::Llama, true).save(dir.path(), SaveOptions::default()).expect("saved");
    std::fs::write(dir.path().join(GENERATION_FILE), r#"{"eos_token_id": [5, 7]}"#).expect("written");
    assert_eq!(Model::load(dir.path()).expect("loads").config.end_tokens, [5, 7]);
    std::fs::write(dir.path().join(GENERATION_FILE), "{").expect("written");
    assert!(Model::load(dir.path()).is_err());
}
