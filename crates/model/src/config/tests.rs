use super::*;
use serde_json::json;

fn llama_json() -> serde_json::Value {
    json!({"model_type": "llama", "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
        "rope_theta": 500000.0, "tie_word_embeddings": true, "eos_token_id": [1, 2], "bos_token_id": 0})
}

#[test]
fn a_llama_config_is_read() {
    let c = Config::from_json(&llama_json().to_string()).expect("valid");
    assert_eq!((c.head_dim, c.kv_heads, c.tied, c.bias), (8, 2, true, false));
    assert_eq!(c.end_tokens, [1, 2]);
    assert_eq!(c.rope.expect("rotary").theta, 500_000.0);
}

#[test]
fn every_family_survives_writing_and_reading() {
    for family in Family::ALL {
        let base = if family == Family::Gpt2 {
            Config::gpt(50, 2, 2, 16, 32)
        } else {
            Config::llama(50, 2, 4, 2, 16, 32)
        };
        let config = Config {
            family,
            bias: family == Family::Qwen2,
            end_tokens: vec![3],
            begin_token: Some(1),
            ..base
        };
        assert_eq!(Config::from_json(&config.to_json().to_string()).expect("valid"), config, "{family:?}");
    }
}

#[test]
fn scaled_rotary_positions_survive_writing_and_reading() {
    let scaling = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    let config = Config { rope: Some(Rope { theta: 1e4, scaling }), ..Config::llama(50, 2, 4, 2, 16, 32) };
    assert_eq!(Config::from_json(&config.to_json().to_string()).expect("valid"), config);
}

#[test]
fn an_unsupported_architecture_is_named() {
    let error = Config::from_json(r#"{"model_type": "mamba"}"#).expect_err("unsupported");
    assert!(error.to_string().contains("mamba"), "{error}");
}

#[test]
fn a_feature_that_would_change_results_is_refused_by_name() {
    for (field, value) in [
        ("hidden_act", json!("gelu")),
        ("mlp_bias", json!(true)),
        ("attention_bias", json!(true)),
        ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0})),
        ("quantization_config", json!({"bits": 4})),
    ] {
        let mut c = llama_json();
        c[field] = value;
        let error = Config::from_json(&c.to_string()).expect_err(field);
        assert!(error.to_string().contains("not supported"), "{field}: {error}");
    }
}

#[test]
fn hostile_sizes_are_refused() {
    for (field, value) in [
        ("vocab_size", json!(0)),
        ("vocab_size", json!(u64::MAX)),
        ("hidden_size", json!(1u64 << 40)),
        ("num_hidden_layers", json!(-1)),
        ("num_attention_heads", json!(0)),
        ("num_attention_heads", json!("4")),
        ("num_key_value_heads", json!(3)),
        ("rope_theta", json!(-1.0)),
        ("rms_norm_eps", json!(0.0)),
    ] {
        let mut c = llama_json();
        c[field] = value;
        Config::from_json(&c.to_string()).expect_err(field);
    }
    Config::from_json("[1]").expect_err("an array");
    Config::from_json("{").expect_err("truncated");
}

#[test]
fn a_sliding_window_bounds_the_context() {
    let mut c = llama_json();
    c["model_type"] = json!("mistral");
    c["sliding_window"] = json!(64);
    assert_eq!(Config::from_json(&c.to_string()).expect("valid").context, 64);
}
