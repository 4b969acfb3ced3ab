//! `/openapi.json`: the surface as a document.

use axum::Json;
use serde_json::{Value, json};

/// OpenAPI 3.1.
pub async fn document() -> Json<Value> {
    Json(build())
}

fn build() -> Value {
    let error = json!({ "description": "OpenAI's error body",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } } });
    let paid = |summary: &str, schema: Value| {
        json!({
            "get": {
                "summary": "The offer (402), or a refund when paid with one",
                "responses": { "200": { "description": "refunded" }, "402": { "$ref": "#/components/responses/PaymentRequired" } }
            },
            "post": {
                "summary": summary,
                "parameters": [{ "name": "PAYMENT-SIGNATURE", "in": "header", "schema": { "type": "string" },
                    "description": "x402 version 2: base64 of the payment" }],
                "requestBody": { "required": true, "content": { "application/json": { "schema": schema } } },
                "responses": {
                    "200": { "description": "The answer, as JSON or SSE", "headers": {
                        "PAYMENT-RESPONSE": { "schema": { "type": "string" }, "description": "not on streams" } } },
                    "400": error, "402": { "$ref": "#/components/responses/PaymentRequired" }, "404": error, "409": error,
                    "413": error, "429": error, "500": error, "503": error, "504": error
                }
            }
        })
    };
    let common = json!({
        "model": { "type": "string", "description": "a model's name; an adapter's is `base:adapter`" },
        "stream": { "type": "boolean" }, "temperature": { "type": "number", "minimum": 0, "maximum": 2 },
        "top_p": { "type": "number" }, "seed": { "type": "integer" },
        "stop": { "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "maxItems": 4 }] }
    });
    let with = |required: &str, extra: Value| {
        let mut properties = common.clone();
        if let (Value::Object(all), Value::Object(extra)) = (&mut properties, extra) {
            all.extend(extra);
        }
        json!({ "type": "object", "required": ["model", required], "properties": properties })
    };
    let messages = json!({ "messages": { "type": "array", "items": { "type": "object" } },
        "max_tokens": { "type": "integer" }, "max_completion_tokens": { "type": "integer" } });
    let get = |summary: &str| json!({ "get": { "summary": summary, "responses": { "200": { "description": "ok" }, "404": error } } });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "OpenLedger gateway", "version": env!("CARGO_PKG_VERSION"),
            "description": "OpenAI-compatible answers that carry their attribution, paid by x402." },
        "paths": {
            "/v1/chat/completions": paid("Answers a conversation", with("messages", messages)),
            "/v1/completions": paid("Continues a text", with("prompt", json!({ "prompt": {}, "max_tokens": { "type": "integer" } }))),
            "/v1/responses": paid("Answers an input", with("input", json!({ "input": {}, "instructions": { "type": "string" }, "max_output_tokens": { "type": "integer" } }))),
            "/v1/models": get("Models with prices"),
            "/v1/models/{id}": get("One model"),
            "/v1/attributions/{id}": get("What an answer owes, with its signed receipt"),
            "/v1/batches": get("Settlement batches at hand, newest first"),
            "/v1/batches/{id}": get("A batch and a page of its receipts, from which its roots and payouts are rebuilt"),
            "/v1/payouts/{account}": get("What batches at hand still owe an account, with the call that claims it"),
            "/health": get("Liveness"),
            "/metrics": get("Prometheus text"),
            "/openapi.json": get("This document")
        },
        "components": {
            "responses": { "PaymentRequired": { "description": "x402 version 2 offer",
                "headers": { "PAYMENT-REQUIRED": { "schema": { "type": "string" }, "description": "base64 of the offer" } } } },
            "schemas": { "Error": { "type": "object", "properties": { "error": { "type": "object", "properties": {
                "message": { "type": "string" }, "type": { "type": "string" },
                "param": { "type": ["string", "null"] }, "code": { "type": ["string", "null"] } } } } } }
        }
    })
}
