//! HTTP and WebSocket over plain sockets, so that little of the time is the generator's own.

use crate::Failure;
use alloy_primitives::Address;
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

/// A kept-alive HTTP connection.
pub struct Connection(BufReader<TcpStream>, String);

impl Connection {
    /// Connects.
    pub fn open(host: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream), host.to_owned()))
    }

    /// Sends a body and gives the answer's.
    pub fn post(&mut self, body: &str) -> Result<Vec<u8>, Failure> {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.1,
            body.len()
        );
        self.0.get_mut().write_all((head + body).as_bytes())?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err("the node closed the connection".into());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer)?;
        Ok(answer)
    }

    /// The result of a call.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let mut answer: Value = serde_json::from_slice(&self.post(&request(method, params).to_string())?)?;
        match answer.get("error") {
            Some(error) => Err(error.to_string().into()),
            None => Ok(answer["result"].take()),
        }
    }

    /// Chain id of the node.
    pub fn chain_id(&mut self) -> Result<u64, Failure> {
        number(&self.call("eth_chainId", json!([]))?)
    }

    /// Next nonce of an account.
    pub fn nonce(&mut self, address: Address) -> Result<u64, Failure> {
        number(&self.call("eth_getTransactionCount", json!([address, "latest"]))?)
    }
}

/// A request.
pub fn request(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

/// A quantity.
pub fn number(value: &Value) -> Result<u64, Failure> {
    Ok(u64::from_str_radix(value.as_str().unwrap_or_default().trim_start_matches("0x"), 16)?)
}

/// A WebSocket that only listens after its first message.
pub struct Subscription(BufReader<TcpStream>);

impl Subscription {
    /// Subscribes to new blocks.
    pub fn heads(host: &str) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        let head = format!(
            "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let body = request("eth_subscribe", json!(["newHeads"])).to_string();
        // One masked text frame; a mask of zeros is a mask.
        let mut frame = vec![0x81, 0x80 | body.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(body.as_bytes());
        reader.get_mut().write_all(&frame)?;
        Ok(Self(reader))
    }

    /// The next block's header.
    pub fn next(&mut self) -> Result<Value, Failure> {
        loop {
            let mut head = [0; 2];
            self.0.read_exact(&mut head)?;
            let length = match head[1] & 0x7f {
                126 => {
                    let mut bytes = [0; 2];
                    self.0.read_exact(&mut bytes)?;
                    usize::from(u16::from_be_bytes(bytes))
                }
                127 => return Err("a frame is too long".into()),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload)?;
            if head[0] & 0x0f != 1 {
                continue; // A ping; the server looks for life only after a minute.
            }
            let mut message: Value = serde_json::from_slice(&payload)?;
            if message["method"] == "eth_subscription" {
                return Ok(message["params"]["result"].take());
            }
        }
    }
}
