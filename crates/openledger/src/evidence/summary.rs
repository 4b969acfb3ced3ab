//! What a saved answer repeats of itself.
//!
//! An operator's `/v1/attributions/{id}` carries, for readers, text and totals that its receipt, answer and attribution also hold. A
//! reader who looks at those must not be shown something else than was committed. Labels of units and the spans explain and are not
//! committed: replay computes them again.

use super::{Outcome, Saved, broken};
use compute::{evidence::Bundle, receipt::Kind};
use serde_json::{Value, json};

/// Compares what is repeated.
pub fn check(saved: &Saved, bundle: &Bundle) -> Outcome {
    let (published, receipt) = (&saved.published, &bundle.receipt.receipt);
    let mut compared = 0;
    let mut same = |name: &str, shown: &Value, committed: Value| {
        compared += 1;
        if *shown == committed {
            return Ok(());
        }
        let (shown, committed) = (brief(shown), brief(&committed));
        Err(broken(format!("`{name}` is shown as {shown}, but {committed} is what was signed")))
    };
    same("id", &published["id"], json!(receipt.id))?;
    if let Some(asked) = saved.request.as_ref().and_then(|request| request.body["model"].as_str()) {
        same("model_name", &published["model_name"], json!(asked))?;
    }
    if let Some(output) = &bundle.output {
        same("text", &published["text"], json!(output.output.text))?;
    }
    if let Some(attribution) = &bundle.attribution {
        same("contributors", &published["contributors"], json!(attribution.contributors()))?;
    }
    object(&published["openledger"], bundle, &mut same)?;
    if let Some(response) = &saved.response {
        object(&response["openledger"], bundle, &mut same)?;
        if let (Some(text), Some(output)) = (text_of(response), &bundle.output) {
            same("the response's text", text, json!(output.output.text))?;
        }
    }
    if let Some(usage) = saved.response.as_ref().map(|response| &response["usage"]).filter(|u| !u.is_null()) {
        let read = ["prompt_tokens", "input_tokens"].into_iter().find(|name| usage[name].is_u64());
        let written = ["completion_tokens", "output_tokens"].into_iter().find(|name| usage[name].is_u64());
        let (Some(read), Some(written)) = (read, written) else {
            return Err(broken("the response's usage cannot be read"));
        };
        let (prompt, completion) = (receipt.usage.prompt_tokens, receipt.usage.completion_tokens);
        same(read, &usage[read], json!(prompt))?;
        same(written, &usage[written], json!(completion))?;
        same("total_tokens", &usage["total_tokens"], json!(u64::from(prompt) + u64::from(completion)))?;
        same("cost", &usage["cost"], json!(receipt.fee.to_string()))?;
        same("cost_units", &usage["cost_units"], json!(receipt.fee))?;
    }
    if saved.response.is_some() && bundle.prompt.is_none() && receipt.kind == Kind::Answer {
        return Err(broken("the saved request and salt do not open the prompt that the receipt commits to"));
    }
    Ok(format!("{compared} things that the file repeats are what was signed"))
}

/// The top-level `openledger` object of a response.
fn object(
    shown: &Value,
    bundle: &Bundle,
    same: &mut impl FnMut(&str, &Value, Value) -> Result<(), (super::State, String)>,
) -> Result<(), (super::State, String)> {
    let receipt = &bundle.receipt.receipt;
    for (name, committed) in [
        ("answer", json!(receipt.id)),
        ("receipt", json!(receipt.digest())),
        ("operator", json!(receipt.operator)),
        ("model", json!(receipt.model)),
        ("sequence", json!(receipt.sequence)),
        ("fee", json!(receipt.fee)),
        ("paid", json!(receipt.paid)),
        ("attributionRoot", json!(receipt.attribution)),
    ] {
        same(name, &shown[name], committed)?;
    }
    let Some(attribution) = &bundle.attribution else { return Ok(()) };
    for (name, committed) in [
        ("outcome", json!(attribution.outcome)),
        ("dataShare", json!(attribution.data_share)),
        ("treasury", json!(attribution.treasury)),
        ("unitsWithWeight", json!(attribution.units.len())),
    ] {
        same(name, &shown[name], committed)?;
    }
    let contributors: Vec<Value> = attribution
        .contributors()
        .into_iter()
        .map(|c| json!({ "account": c.account, "pay": c.pay, "share": f64::from(c.share_ppm) / 1e6 }))
        .collect();
    let named = shown["contributors"].as_array().map_or(0, Vec::len);
    same("contributors", &shown["contributors"], json!(contributors[..named.min(contributors.len())]))?;
    let total = attribution.total_weight.max(1);
    let units = shown["units"].as_array().map_or(0, Vec::len);
    let best: Vec<Value> = attribution
        .best_units(units)
        .into_iter()
        .map(|unit| {
            json!({
                "unit": unit.unit, "item": unit.of.item, "datanet": unit.of.datanet,
                "account": unit.of.owner, "label": unit.of.label, "pay": unit.pay,
                "share": (unit.weight.saturating_mul(1_000_000) / total) as f64 / 1e6,
            })
        })
        .collect();
    same("units", &shown["units"], json!(best))
}

/// The text of a response of `/v1/completions`, `/v1/chat/completions` or `/v1/responses`.
fn text_of(response: &Value) -> Option<&Value> {
    [
        &response["choices"][0]["text"],
        &response["choices"][0]["message"]["content"],
        &response["output"][0]["content"][0]["text"],
    ]
    .into_iter()
    .find(|text| text.is_string())
}

fn brief(value: &Value) -> String {
    let text = value.to_string();
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
