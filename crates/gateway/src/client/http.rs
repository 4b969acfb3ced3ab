//! HTTP/1.1 requests, one connection each. No TLS: see [`crate::rpc`].

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    body::Incoming,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;

/// Time to connect and to get a response's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(310);
/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Not an address this can reach.
    #[error("`{0}` is not an http address: use http://host:port/path, and a proxy for https")]
    BadUrl(String),
    /// Nobody listens, or not in time.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    /// Past the limit.
    #[error("the response is longer than {0} bytes")]
    TooLong(usize),
}

/// A response, read to its end.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// A response whose body is still coming.
#[derive(Debug)]
pub struct Incomplete {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    body: Incoming,
}

impl Incomplete {
    /// More of the body; `None` at its end.
    pub async fn more(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The rest of the body, at most `limit` bytes.
    pub async fn whole(mut self, limit: usize) -> Result<Response, HttpError> {
        let mut body = BytesMut::new();
        while let Some(more) = self.more().await? {
            if body.len() + more.len() > limit {
                return Err(HttpError::TooLong(limit));
            }
            body.extend_from_slice(&more);
        }
        Ok(Response { status: self.status, headers: self.headers, body: body.freeze() })
    }
}

/// Sends a request and waits for the response's head.
pub async fn send(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Incomplete, HttpError> {
    let bad = || HttpError::BadUrl(url.into());
    let uri: Uri = url.parse().map_err(|_| bad())?;
    if uri.scheme_str() != Some("http") {
        return Err(bad());
    }
    let authority = uri.authority().ok_or_else(bad)?.clone();
    let address = (authority.host().trim_matches(['[', ']']).to_string(), authority.port_u16().unwrap_or(80));
    let unreachable = |why: String| HttpError::Unreachable(authority.to_string(), why);
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let stream =
        stream.map_err(|_| unreachable("no answer".into()))?.map_err(|e| unreachable(e.to_string()))?;
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(method).uri(path).header(HOST, authority.as_str());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| unreachable(error.to_string()))?;
    let response = tokio::time::timeout(HEAD_TIMEOUT, sender.send_request(request)).await;
    let response = response.map_err(|_| unreachable("no response in time".into()))??;
    let (head, body) = response.into_parts();
    Ok(Incomplete { status: head.status, headers: head.headers, body })
}

/// Posts JSON and reads the response, of at most `limit` bytes.
pub async fn post(
    url: &str,
    headers: &[(&str, &str)],
    body: &Value,
    limit: usize,
) -> Result<Response, HttpError> {
    send(Method::POST, url, headers, body.to_string().into_bytes()).await?.whole(limit).await
}

/// Gets, of at most `limit` bytes.
pub async fn get(url: &str, headers: &[(&str, &str)], limit: usize) -> Result<Response, HttpError> {
    send(Method::GET, url, headers, Vec::new()).await?.whole(limit).await
}
