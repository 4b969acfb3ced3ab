//! A JSON-RPC client of a few lines, so that tests see what is on the wire.

use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Talks to one node.
#[derive(Clone, Copy)]
pub struct Client(pub SocketAddr);

impl Client {
    /// Sends raw bytes as a body and returns the status line and the body of the answer.
    pub fn post(&self, body: &[u8]) -> std::io::Result<(String, String)> {
        let mut stream = TcpStream::connect_timeout(&self.0, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let head = format!(
            "POST / HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        // A refused body may end the connection before all of it is written.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
    }

    /// The whole answer to a call.
    pub fn answer(&self, method: &str, params: Value) -> std::io::Result<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (_, body) = self.post(request.to_string().as_bytes())?;
        serde_json::from_str(&body).map_err(std::io::Error::other)
    }

    /// The result of a call that must succeed.
    pub fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params).expect("the node answers");
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The error of a call that must fail.
    pub fn fails(&self, method: &str, params: Value) -> (i64, String) {
        let answer = self.answer(method, params).expect("the node answers");
        let error = &answer["error"];
        (error["code"].as_i64().expect("an error"), error["message"].as_str().unwrap_or_default().to_owned())
    }

    /// Height of the newest block, `None` while the node does not answer.
    pub fn height(&self) -> Option<u64> {
        number(&self.answer("eth_blockNumber", json!([])).ok()?["result"])
    }

    /// Waits until `ready` gives something.
    pub fn wait<T>(&self, patience: Duration, mut ready: impl FnMut(&Self) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(value) = ready(self) {
                return value;
            }
            assert!(started.elapsed() < patience, "{} did not get there within {patience:?}", self.0);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a raw transaction and waits for its receipt.
    pub fn include(&self, raw: &alloy_primitives::Bytes) -> Value {
        let hash = self.call("eth_sendRawTransaction", json!([raw]));
        self.wait(Duration::from_secs(20), |client| {
            Some(client.call("eth_getTransactionReceipt", json!([hash]))).filter(|receipt| !receipt.is_null())
        })
    }
}

/// A quantity as a number.
pub fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}
