//! Where a vault is, as a person writes it: a folder, or `s3://BUCKET/PREFIX`.

use super::{Store, StoreError, local::Local};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an S3 server may take to answer, or to send the next bytes, before the request is made again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a request is made before its failure is reported.
const ATTEMPTS: u32 = 5;

/// A bucket of an S3-compatible server and how to reach it. Credentials come from the environment (`AWS_ACCESS_KEY_ID`,
/// `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, or a container's or web identity's as the AWS tools know them) and are
/// never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Place {
    /// The bucket. It must exist, and must not keep old versions.
    pub bucket: String,
    /// Path inside the bucket under which the objects lie, without `/` at its ends; empty: the bucket itself.
    pub prefix: String,
    /// Address of the server, such as `http://127.0.0.1:9000`; none: `AWS_ENDPOINT_URL`, or Amazon's.
    pub endpoint: Option<String>,
    /// Longest wait for an answer or its next bytes.
    pub timeout: Duration,
    /// Tries before a failure is reported; at least 1.
    pub attempts: u32,
}

/// Where a vault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder on this machine.
    Folder(PathBuf),
    /// A bucket.
    S3(S3Place),
}

impl Place {
    /// Reads `s3://BUCKET[/PREFIX]`, or takes the text as a path. `endpoint` is for the former.
    ///
    /// # Errors
    /// [`StoreError::Place`] when the bucket, prefix or endpoint is not one.
    pub fn parse(text: &str, endpoint: Option<&str>) -> Result<Place, StoreError> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return match (endpoint, text.split_once("://")) {
                (None, None) => Ok(Place::Folder(text.into())),
                (_, Some((scheme, _))) => Err(StoreError::Place(format!(
                    "`{scheme}://` is no kind of vault: name a folder or s3://BUCKET/PREFIX"
                ))),
                (Some(_), None) => Err(StoreError::Place(format!(
                    "an S3 endpoint is given, but the vault `{text}` is a folder: name it s3://BUCKET/PREFIX"
                ))),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let bucket_ok = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        if !bucket_ok {
            let message = format!("`{bucket}` is not a bucket's name: 3 to 63 of a-z, 0-9, `-` and `.`");
            return Err(StoreError::Place(message));
        }
        let part_ok = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if prefix.len() > 512 || !(prefix.is_empty() || prefix.split('/').all(part_ok)) {
            let message = format!(
                "`{prefix}` is not a path in a bucket: letters, digits, `-`, `_`, `.` and single `/`"
            );
            return Err(StoreError::Place(message));
        }
        if let Some(endpoint) = endpoint
            && !endpoint.starts_with("http://")
            && !endpoint.starts_with("https://")
        {
            return Err(StoreError::Place(format!(
                "the endpoint `{endpoint}` must begin with http:// or https://"
            )));
        }
        Ok(Place::S3(S3Place {
            bucket: bucket.into(),
            prefix: prefix.into(),
            endpoint: endpoint.map(String::from),
            timeout: ANSWER_TIMEOUT,
            attempts: ATTEMPTS,
        }))
    }

    /// Opens the store there.
    ///
    /// # Errors
    /// As the backend says; [`StoreError::Place`] for S3 in a build without it.
    pub fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        match self {
            Place::Folder(path) => Ok(Box::new(Local::open(path)?)),
            #[cfg(feature = "s3")]
            Place::S3(place) => Ok(Box::new(super::s3::S3::open(place)?)),
            #[cfg(not(feature = "s3"))]
            Place::S3(_) => Err(StoreError::Place(
                "this program was built without S3: build it with `--features s3`, or name a folder".into(),
            )),
        }
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Place {
        Place::Folder(path.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_buckets_are_told_apart() {
        assert_eq!(Place::parse("a/b", None).unwrap(), Place::Folder("a/b".into()));
        let Place::S3(place) =
            Place::parse("s3://my-bucket/team/vault/", Some("http://127.0.0.1:1")).unwrap()
        else {
            panic!("a bucket")
        };
        assert_eq!((place.bucket.as_str(), place.prefix.as_str()), ("my-bucket", "team/vault"));
        let Place::S3(place) = Place::parse("s3://bucket", None).unwrap() else { panic!("a bucket") };
        assert_eq!(place.prefix, "");
    }

    #[test]
    fn what_is_neither_is_refused_with_what_would_do() {
        for (text, endpoint) in [
            ("s3://", None),
            ("s3://Bucket/x", None),
            ("s3://bucket/a//b", None),
            ("s3://bucket/../x", None),
            ("gs://bucket/x", None),
            ("folder", Some("http://127.0.0.1:1")),
            ("s3://bucket", Some("127.0.0.1:9000")),
        ] {
            let refused = Place::parse(text, endpoint);
            assert!(matches!(refused, Err(StoreError::Place(_))), "{text} {endpoint:?} {refused:?}");
        }
    }
}
