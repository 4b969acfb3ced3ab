//! The other side of `tests/oracle/oracle.py`: one command, JSON in, JSON out.
#![allow(clippy::print_stdout)]

use model::batch::{Batch, Example};
use model::data::{Items, Order};
use model::directory::SaveOptions;
use model::network::{LossScale, Wanted, logits};
use model::optimizer::OptimizerOptions;
use model::schedule::Schedule;
use model::{
    Activations, Adapter, EngineOptions, Gradients, Hooks, Model, Request, Tokenizer, TrainOptions, Trainer,
    forward_backward, generate,
};
use ops::Ctx;
use serde_json::{Map, Value, json};
use std::error::Error;
use std::path::Path;

fn tokens(value: &Value) -> Vec<u32> {
    value.as_array().into_iter().flatten().filter_map(|t| t.as_u64().map(|t| t as u32)).collect()
}

fn dir<'a>(a: &'a Value, name: &str) -> &'a Path {
    Path::new(a[name].as_str().unwrap_or_default())
}

fn pass(a: &Value) -> Result<Value, Box<dyn Error>> {
    let (ctx, model) = (Ctx::detect(), Model::load(dir(a, "dir"))?);
    let adapter = a["adapter"].as_str().map(|d| Adapter::load(Path::new(d), &model)).transpose()?;
    let batch = Batch::new(&model.config, [&Example::next_token(&tokens(&a["tokens"]))])?;
    let out = logits(&ctx, &model, adapter.as_ref(), &batch);
    let mut g = Gradients::zeros(&model.layout);
    let (mut acts, none) = (Activations::default(), &mut Hooks::none());
    let wanted = Wanted::Weights(&mut g);
    let losses =
        forward_backward(&ctx, &model, adapter.as_ref(), &batch, LossScale::Sum, &mut acts, wanted, none);
    g.finish(&ctx);
    let names = model.layout.tensors.iter().map(|t| t.name.clone());
    let gradients: Map<String, Value> =
        names.zip(g.weights().tensors()).map(|(n, t)| (n, json!(t))).collect();
    Ok(json!({"logits": out, "loss": losses.sum, "gradients": gradients}))
}

fn train(a: &Value) -> Result<Value, Box<dyn Error>> {
    let batches = a["batches"].as_array().ok_or("batches")?;
    let rows: Vec<&Value> = batches.iter().filter_map(Value::as_array).flatten().collect();
    let per_batch = rows.len() / batches.len();
    let data = Items::new(rows.iter().map(|r| Example::next_token(&tokens(r))).collect())?;
    let number = |name: &str| a[name].as_f64().unwrap_or_default() as f32;
    let optimizer =
        OptimizerOptions::Adamw { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: number("weight_decay") };
    let options = TrainOptions {
        optimizer,
        order: Order::Sequential,
        schedule: Schedule::constant(number("rate")),
        clip: Some(number("clip")),
        ..TrainOptions::new(batches.len() as u64, per_batch)
    };
    let mut trainer = Trainer::new(Ctx::detect(), Model::load(dir(a, "dir"))?, &data, None, options)?;
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for _ in batches {
        let record = trainer.step(&data)?;
        losses.push(record.loss);
        norms.push(record.gradient_norm);
    }
    Ok(json!({"losses": losses, "norms": norms}))
}

fn run(command: &str, a: &Value) -> Result<Value, Box<dyn Error>> {
    match command {
        "pass" => pass(a),
        "train" => train(a),
        "generate" => {
            let model = Model::load(dir(a, "dir"))?;
            let n = a["tokens"].as_u64().unwrap_or(1) as usize;
            let prompts = a["prompts"].as_array().into_iter().flatten();
            let requests = prompts.map(|p| Request::greedy(tokens(p), n)).collect();
            let answers =
                generate(Ctx::detect(), &model, requests, EngineOptions::default(), &mut |_, _| {})?;
            Ok(json!(answers.into_iter().map(|a| a.tokens).collect::<Vec<_>>()))
        }
        "export" => {
            Model::load(dir(a, "dir"))?.save(dir(a, "to"), SaveOptions::default())?;
            Ok(Value::Null)
        }
        "export_adapter" => {
            let model = Model::load(dir(a, "dir"))?;
            Adapter::load(dir(a, "adapter"), &model)?.save(dir(a, "to"), &model)?;
            Ok(Value::Null)
        }
        "tokenizer" => {
            let vocabulary = a["vocabulary"].as_u64().unwrap_or(512) as usize;
            let text = a["text"].as_str().unwrap_or_default();
            Tokenizer::train_bpe([text], vocabulary, &[])?.save(dir(a, "to"))?;
            Ok(Value::Null)
        }
        "encode" => {
            Ok(json!(Tokenizer::load(dir(a, "dir"))?.encode(a["text"].as_str().unwrap_or_default(), false)?))
        }
        other => Err(format!("no command `{other}`").into()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, command, json] = arguments.as_slice() else { return Err("usage: oracle COMMAND JSON".into()) };
    println!("{}", run(command, &serde_json::from_str(json)?)?);
    Ok(())
}
