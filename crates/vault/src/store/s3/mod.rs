//! A bucket of an S3-compatible server as a store.
//!
//! | promise of a store | by which means |
//! |---|---|
//! | an object is there whole or not at all | a PUT with its length and SHA-256 in the signature; a server keeps no part of one that was cut |
//! | `create` never overwrites | `If-None-Match: *`: the server decides, so two processes that append the same record cannot both win |
//! | a request whose answer was lost | `create` reads the object back: if its bytes are ours, the write had happened |
//! | durable when it returns | the server's answer |
//!
//! Several processes may have one bucket open. The log's next record decides between them: whoever finds it taken is told to run
//! the command again, and its import goes on from its checkpoint. What no record names may belong to a writer that is still at work, so
//! [`Store::is_settled`] keeps objects younger than [`GRACE_SECONDS`] from garbage collection. Listings may be stale: the log is
//! read by number past the end of the listing.
//!
//! A bucket that keeps old versions could not erase; the first write finds out and refuses it.
//!
//! Calls block; requests run on a thread of the store's own, so they may be made from any thread, of an asynchronous program too.

mod http;

use super::place::S3Place;
use super::{Store, StoreError, check_name};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{
    BackoffConfig, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    PutResult, RetryConfig,
};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Age from which an object that no record names is garbage, in seconds: longer than any operation takes between writing an object
/// and naming it.
pub const GRACE_SECONDS: i64 = 86_400;
/// Requests that run at once where many objects are read.
const PARALLEL_READS: usize = 16;
/// First wait before a request is made again; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Variables of which one must be set, or the library would ask a metadata service that is not there.
const CREDENTIALS: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
];

/// Objects in a bucket.
pub struct S3 {
    client: Arc<AmazonS3>,
    prefix: Path,
    attempts: u32,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

impl S3 {
    /// Connects to nothing yet: the first request does.
    ///
    /// # Errors
    /// [`StoreError::Place`] without credentials or with an address that is none.
    pub fn open(place: &S3Place) -> Result<S3, StoreError> {
        if !CREDENTIALS.iter().any(|name| std::env::var_os(name).is_some()) {
            let message = "no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            return Err(StoreError::Place(message.into()));
        }
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(&place.bucket);
        if let Some(endpoint) = &place.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
        let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        // Requests are made again here, since only this side knows which writes may be.
        let retry =
            RetryConfig { max_retries: 0, retry_timeout: place.timeout, backoff: BackoffConfig::default() };
        let client = builder
            .with_allow_http(plain)
            .with_retry(retry)
            .with_http_connector(http::Connector { plain, timeout: place.timeout })
            .build()
            .map_err(|error| StoreError::Place(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(StoreError::io("s3"))?;
        Ok(S3 {
            client: Arc::new(client),
            prefix: Path::from(place.prefix.as_str()),
            attempts: place.attempts.max(1),
            runtime: Some(runtime),
        })
    }

    fn path(&self, name: &str) -> Result<Path, StoreError> {
        check_name(name)?;
        Ok(self.prefix.parts().chain(Path::from(name).parts()).collect())
    }

    /// Runs a future on the store's own thread and waits for it.
    fn wait<T: Send + 'static>(
        &self,
        name: &str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                let _ = send.send(future.await);
            });
        }
        let gone = "the request ended without an answer";
        receive.recv().map_err(|_| StoreError::Remote { name: name.into(), reason: gone.into() })
    }

    /// Makes a request until it succeeds, fails for good, or was tried often enough.
    fn request<T, F>(
        &self,
        name: &str,
        request: impl Fn(Arc<AmazonS3>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (client, attempts) = (self.client.clone(), self.attempts);
        let outcome = self.wait(name, async move {
            let mut wait = FIRST_WAIT;
            let mut tried = 1;
            loop {
                match request(client.clone()).await {
                    Err(Error::Generic { .. }) if tried < attempts => {
                        tokio::time::sleep(wait).await;
                        wait *= 2;
                        tried += 1;
                    }
                    outcome => return outcome,
                }
            }
        })?;
        outcome.map_err(|error| failed(name, error))
    }

    fn put(&self, name: &str, bytes: &[u8], mode: PutMode) -> Result<(), StoreError> {
        let (path, payload) = (self.path(name)?, PutPayload::from(bytes.to_vec()));
        let put: PutResult = self.request(name, move |client| {
            let (path, payload, options) = (path.clone(), payload.clone(), PutOptions::from(mode.clone()));
            async move { client.put_opts(&path, payload, options).await }
        })?;
        match put.version.as_deref() {
            None | Some("null") => Ok(()),
            Some(_) => Err(StoreError::Place(
                "the bucket keeps old versions of its objects, so nothing in it could ever be erased: suspend versioning, or name \
                 another bucket"
                    .into(),
            )),
        }
    }
}

/// What a failure means for whoever runs the command.
fn failed(name: &str, error: Error) -> StoreError {
    let reason = {
        let mut reason = error.to_string();
        let mut at = std::error::Error::source(&error);
        while let Some(source) = at {
            let text = source.to_string();
            if !reason.contains(&text) {
                reason = format!("{reason}: {text}");
            }
            at = source.source();
        }
        reason
    };
    match error {
        Error::NotFound { .. } if reason.contains("NoSuchBucket") => {
            StoreError::Place(format!("there is no such bucket; make it first ({reason})"))
        }
        Error::NotFound { .. } => StoreError::NotFound(name.into()),
        Error::AlreadyExists { .. } => StoreError::Exists(name.into()),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            StoreError::Denied { name: name.into(), reason }
        }
        _ => StoreError::Remote { name: name.into(), reason },
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting would panic inside an asynchronous program, and there is nothing to wait for.
            runtime.shutdown_background();
        }
    }
}

impl Store for S3 {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        match self.put(name, bytes, PutMode::Create) {
            Err(error @ (StoreError::Exists(_) | StoreError::Remote { .. })) => {
                // The answer to an attempt may have been lost: then the object is there, and ours.
                match self.read(name) {
                    Ok(found) if found == bytes => Ok(()),
                    _ => Err(error),
                }
            }
            other => other,
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.put(name, bytes, PutMode::Overwrite)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let path = self.path(name)?;
        let bytes = self.request(name, move |client| {
            let path = path.clone();
            async move { client.get(&path).await?.bytes().await }
        })?;
        Ok(bytes.into())
    }

    fn read_all(&self, names: &[String]) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut all = Vec::with_capacity(names.len());
        for names in names.chunks(PARALLEL_READS) {
            let read = std::thread::scope(|scope| {
                let reads: Vec<_> = names.iter().map(|name| scope.spawn(|| self.read(name))).collect();
                reads.into_iter().map(|read| read.join()).collect::<Vec<_>>()
            });
            for (name, read) in names.iter().zip(read) {
                let gone = || StoreError::Remote { name: name.clone(), reason: "its thread ended".into() };
                all.push(read.map_err(|_| gone())??);
            }
        }
        Ok(all)
    }

    fn read_range(&self, name: &str, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let (path, end) = (self.path(name)?, start.saturating_add(length as u64));
        if length == 0 {
            return Ok(Vec::new());
        }
        let short = || StoreError::Range { name: name.into(), start, end };
        let bytes = self.request(name, move |client| {
            let path = path.clone();
            let options = GetOptions { range: Some(GetRange::Bounded(start..end)), ..GetOptions::default() };
            async move { client.get_opts(&path, options).await?.bytes().await }
        });
        match bytes {
            Ok(bytes) if bytes.len() == length => Ok(bytes.into()),
            Ok(_) => Err(short()),
            // 416: the range begins past the end.
            Err(StoreError::Remote { reason, .. }) if reason.contains("416") => Err(short()),
            Err(error) => Err(error),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let root = self.prefix.clone();
        // The server lists by folder; what is finer is sorted out here.
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let under: Path = root.parts().chain(Path::from(folder).parts()).collect();
        let listed = self.request(prefix, move |client| {
            let under = under.clone();
            async move {
                use futures::TryStreamExt;
                client.list(Some(&under)).map_ok(|meta| meta.location).try_collect::<Vec<Path>>().await
            }
        })?;
        let mut names: Vec<String> = listed
            .into_iter()
            .filter_map(|path| {
                Some(path.prefix_match(&root)?.map(|p| p.as_ref().to_string()).collect::<Vec<_>>())
            })
            .map(|parts| parts.join("/"))
            .filter(|name| name.starts_with(prefix) && check_name(name).is_ok())
            .collect();
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name)?;
        let removed = self.request(name, move |client| {
            let path = path.clone();
            async move { client.delete(&path).await }
        });
        match removed {
            Err(StoreError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    fn exists(&self, name: &str) -> Result<bool, StoreError> {
        let path = self.path(name)?;
        let head = self.request(name, move |client| {
            let path = path.clone();
            async move { client.head(&path).await }
        });
        match head {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn is_settled(&self, name: &str) -> Result<bool, StoreError> {
        let path = self.path(name)?;
        let head = self.request(name, move |client| {
            let path = path.clone();
            async move { client.head(&path).await }
        });
        match head {
            Ok(meta) => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                let now = now.map_or(0, |now| now.as_secs() as i64);
                Ok(now - meta.last_modified.timestamp() > GRACE_SECONDS)
            }
            Err(StoreError::NotFound(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
