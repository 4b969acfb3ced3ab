//! The HTTP client under the S3 store: hyper with rustls, bounded in time and size.
//!
//! `object_store` takes any client. Its own choice, reqwest with HTTP/2 and a platform verifier, would bring a dozen more crates;
//! this one uses what the program links anyway. Answers are read whole before they are handed on: objects are at most as large as
//! a segment, and a connection that is cut in the middle is then one failed attempt like any other.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper_util::client::legacy::{Client, connect::Connect, connect::HttpConnector as Tcp};
use hyper_util::rt::TokioExecutor;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpService,
};
use std::error::Error;
use std::time::Duration;
use tokio::time::timeout;

/// Largest answer that is read, in bytes: eight times the largest segment with room for a log of a million records' names.
const MAX_ANSWER_BYTES: usize = 512 << 20;
/// Slowest upload that is still waited for, in bytes a second, on top of the answer's timeout.
const SLOWEST_UPLOAD_BYTES_PER_S: u64 = 64 << 10;
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes clients that give up after `timeout` without an answer or its next bytes.
#[derive(Debug)]
pub(super) struct Connector {
    /// Whether the server's address is `http://`.
    pub(super) plain: bool,
    /// Longest wait.
    pub(super) timeout: Duration,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut tcp = Tcp::new();
        tcp.set_connect_timeout(Some(self.timeout.min(CONNECT_TIMEOUT)));
        tcp.set_nodelay(true);
        let builder = Client::builder(TokioExecutor::new());
        if self.plain {
            return Ok(HttpClient::new(Service { client: builder.build(tcp), timeout: self.timeout }));
        }
        tcp.enforce_http(false);
        let roots = hyper_rustls::HttpsConnectorBuilder::new().with_native_roots().map_err(|error| {
            object_store::Error::Generic {
                store: "S3",
                source: format!("no trusted certificates: {error}").into(),
            }
        })?;
        let tls = roots.https_only().enable_http1().wrap_connector(tcp);
        Ok(HttpClient::new(Service { client: builder.build(tls), timeout: self.timeout }))
    }
}

#[derive(Debug)]
struct Service<C> {
    client: Client<C, HttpRequestBody>,
    timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("an answer of more than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
}

/// Whether and how the request may be made again.
fn kind_of(error: &(dyn Error + 'static)) -> HttpErrorKind {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::TimedOut
        {
            return HttpErrorKind::Timeout;
        }
        at = error.source();
    }
    HttpErrorKind::Interrupted
}

#[async_trait]
impl<C> HttpService for Service<C>
where
    C: Connect + Clone + Send + Sync + std::fmt::Debug + 'static,
{
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let silent = || HttpError::new(HttpErrorKind::Timeout, Failure::Silent(self.timeout));
        let upload = request.body().content_length() as u64 / SLOWEST_UPLOAD_BYTES_PER_S;
        let answer = timeout(self.timeout + Duration::from_secs(upload), self.client.request(request));
        let response = answer.await.map_err(|_| silent())?.map_err(|error| {
            let kind = if error.is_connect() { HttpErrorKind::Connect } else { kind_of(&error) };
            HttpError::new(kind, error)
        })?;
        let (parts, mut body) = response.into_parts();
        let mut bytes = BytesMut::new();
        while let Some(frame) = timeout(self.timeout, body.frame()).await.map_err(|_| silent())? {
            let frame = frame.map_err(|error| HttpError::new(kind_of(&error), error))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > MAX_ANSWER_BYTES {
                return Err(HttpError::new(HttpErrorKind::Decode, Failure::TooLarge));
            }
            bytes.extend_from_slice(&data);
        }
        let body: Bytes = bytes.freeze();
        Ok(HttpResponse::from_parts(parts, body.into()))
    }
}
