//! Models from a hub that speaks Hugging Face's HTTP interface, to a folder that `model import` reads.
//!
//! 1. `GET {endpoint}/api/models/{owner}/{name}/revision/{revision}?blobs=true` names the commit and its files, each with size and
//!    checksum: SHA-256 of large files, the Git blob's SHA-1 of others.
//! 2. Only files that an import reads are fetched ([`wanted`]), from `{endpoint}/{owner}/{name}/resolve/{commit}/{file}`.
//! 3. A file grows as `{file}.{commit}.part` and takes its name once size and checksum hold. What is there already is not fetched
//!    again: a part goes on at its length with a `Range` request, after a lost connection or in another process. A server that
//!    ignores the range sends the file from its start, which then replaces the part.
//!
//! Nothing from the server is trusted: names come from a fixed list, answers and files have limits, a wrong checksum removes the part.

use alloy_primitives::hex;
use anyhow::{Context as _, anyhow, bail, ensure};
use reqwest::{Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// The public hub.
pub const ENDPOINT: &str = "https://huggingface.co";
/// Largest description of a model, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 16 << 20;
/// Most files of a model.
const FILES_MAX: usize = 4096;
/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 38;
/// Times that a file is asked for again after a failure that may pass.
const RETRIES: u32 = 5;
/// Longest wait for a connection, and for the next bytes of an answer.
const CONNECT_PATIENCE: Duration = Duration::from_secs(20);
const READ_PATIENCE: Duration = Duration::from_secs(60);
/// Files that an import reads, besides weights.
const FILES: [&str; 8] = [
    "adapter_config.json",
    "adapter_model.safetensors",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

/// `owner/name`, or `name` alone for models of the hub itself, at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Owner and name.
    pub model: String,
    /// Branch, tag or commit.
    pub revision: String,
}

impl Reference {
    /// Reads `owner/name[@revision]`.
    pub fn parse(text: &str) -> anyhow::Result<Reference> {
        let (model, revision) = text.split_once('@').unwrap_or((text, "main"));
        let plain = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && part.len() <= 128 && part.chars().all(allowed) && !part.starts_with('.')
        };
        let parts: Vec<&str> = model.split('/').collect();
        ensure!(
            parts.len() <= 2 && parts.iter().all(|p| plain(p)) && plain(revision),
            "`{text}` names no model: write hub:owner/name or hub:owner/name@revision"
        );
        Ok(Reference { model: model.into(), revision: revision.into() })
    }
}

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fetched {
    /// The commit that the revision named.
    pub commit: String,
    /// Files there are now.
    pub files: Vec<String>,
    /// Bytes that came over the network, those of failed attempts included.
    pub bytes: u64,
}

#[derive(Deserialize)]
struct Description {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Clone, Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Clone, Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

/// What a file must hash to.
enum Checksum {
    Sha256(String),
    GitBlob(String),
}

/// Whether an import reads a file of that name.
fn wanted(name: &str) -> bool {
    let shard =
        name.strip_prefix("model").and_then(|rest| rest.strip_suffix(".safetensors")).is_some_and(|middle| {
            middle.chars().all(|c| c.is_ascii_digit() || c == '-' || c.is_ascii_lowercase())
        });
    shard || FILES.contains(&name)
}

/// A hub.
#[derive(Debug)]
pub struct Hub {
    http: reqwest::Client,
    endpoint: String,
    token: Option<String>,
    /// Wait before the first retry; doubled for each further one.
    pause: Duration,
}

impl Hub {
    /// A hub at an address; `token` opens models that are not public.
    pub fn new(endpoint: &str, token: Option<String>) -> anyhow::Result<Hub> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_PATIENCE)
            .read_timeout(READ_PATIENCE)
            .user_agent(concat!("openledger/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let endpoint = endpoint.trim_end_matches('/').to_string();
        Ok(Hub { http, endpoint, token, pause: Duration::from_secs(1) })
    }

    /// Fetches a model's files into `folder`. `progress` gets the file, the bytes there are of it and its size.
    pub async fn fetch(
        &self,
        reference: &Reference,
        folder: &Path,
        progress: &mut (dyn FnMut(&str, u64, u64) + Send),
    ) -> anyhow::Result<Fetched> {
        let description = self.describe(reference).await?;
        let commit = description.sha;
        ensure!(
            commit.len() >= 7 && commit.len() <= 64 && commit.chars().all(|c| c.is_ascii_hexdigit()),
            "the hub names no commit for {}",
            reference.model
        );
        ensure!(description.siblings.len() <= FILES_MAX, "the model has more than {FILES_MAX} files");
        let files: Vec<Sibling> = description.siblings.into_iter().filter(|f| wanted(&f.rfilename)).collect();
        let weights = files.iter().any(|f| f.rfilename.ends_with(".safetensors"));
        ensure!(weights, "{} has no safetensors file: other formats are not read", reference.model);
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let mut fetched = Fetched { commit, files: Vec::new(), bytes: 0 };
        for file in &files {
            self.file(reference, &fetched.commit, file, folder, &mut fetched.bytes, progress)
                .await
                .with_context(|| {
                    format!("{} was not fetched; run again to go on where it stopped", file.rfilename)
                })?;
            fetched.files.push(file.rfilename.clone());
        }
        fetched.files.sort();
        Ok(fetched)
    }

    async fn describe(&self, reference: &Reference) -> anyhow::Result<Description> {
        let Reference { model, revision } = reference;
        let url = format!("{}/api/models/{model}/revision/{revision}?blobs=true", self.endpoint);
        let mut attempt = 0;
        loop {
            let result = self.description(&url).await;
            match result {
                Err(Failure::MayPass(_)) if attempt < RETRIES => self.wait(&mut attempt).await,
                Err(failure) => {
                    return Err(failure.into_error()).with_context(|| {
                        format!("{} did not describe {model} at {revision}", self.endpoint)
                    });
                }
                Ok(description) => return Ok(description),
            }
        }
    }

    async fn description(&self, url: &str) -> Result<Description, Failure> {
        let mut response = self.get(url, 0).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(may_pass)? {
            if body.len() + chunk.len() > DESCRIPTION_BYTES_MAX {
                return Err(Failure::Final(anyhow!("more than {DESCRIPTION_BYTES_MAX} bytes were sent")));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body)
            .map_err(|e| Failure::Final(anyhow!("the answer is not a model's description: {e}")))
    }

    /// A request from byte `start` on; an answer that is no success is a failure.
    async fn get(&self, url: &str, start: u64) -> Result<Response, Failure> {
        let mut request = self.http.get(url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
        }
        let response = request.send().await.map_err(may_pass)?;
        let status = response.status();
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        let error = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                anyhow!("the hub refuses ({status}): accept the model's terms there and set HF_TOKEN")
            }
            StatusCode::NOT_FOUND => anyhow!("there is no such model, revision or file ({status})"),
            _ => anyhow!("the hub answered {status}"),
        };
        let passes = status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT;
        Err(if passes { Failure::MayPass(error) } else { Failure::Final(error) })
    }

    async fn wait(&self, attempt: &mut u32) {
        tokio::time::sleep(self.pause * 2u32.pow(*attempt)).await;
        *attempt += 1;
    }

    async fn file(
        &self,
        reference: &Reference,
        commit: &str,
        file: &Sibling,
        folder: &Path,
        bytes: &mut u64,
        progress: &mut (dyn FnMut(&str, u64, u64) + Send),
    ) -> anyhow::Result<()> {
        let name = &file.rfilename;
        let (size, checksum) = match (&file.lfs, file.size, &file.blob) {
            (Some(lfs), _, _) => (lfs.size, Checksum::Sha256(lfs.sha256.to_lowercase())),
            (None, Some(size), Some(blob)) => (size, Checksum::GitBlob(blob.to_lowercase())),
            _ => bail!("the hub gives no checksum for it"),
        };
        ensure!(size <= FILE_BYTES_MAX, "it has {size} bytes, allowed are {FILE_BYTES_MAX}");
        let (whole, part) = (folder.join(name), folder.join(format!("{name}.{commit}.part")));
        if length(&whole) == Some(size) && hash(&whole, size, &checksum)? == *checksum.text() {
            progress(name, size, size);
            return Ok(());
        }
        let url = format!("{}/{}/resolve/{commit}/{name}", self.endpoint, reference.model);
        let mut attempt = 0;
        // A part as long as the file is complete, one that is longer is not this file's.
        while length(&part) != Some(size) {
            let before = length(&part).unwrap_or(0);
            if before > size {
                fs::remove_file(&part)?;
                continue;
            }
            let result =
                self.grow(&url, &part, before, size, bytes, &mut |there| progress(name, there, size)).await;
            let grown = length(&part).unwrap_or(0);
            match result {
                Ok(()) if grown == size => {}
                // The connection ended early; what came is kept, and progress earns new patience.
                Ok(()) | Err(Failure::MayPass(_)) if grown > before => attempt = 0,
                Err(Failure::MayPass(_)) if attempt < RETRIES => self.wait(&mut attempt).await,
                Ok(()) if attempt < RETRIES => self.wait(&mut attempt).await,
                Ok(()) => bail!("the hub ended {attempt} answers at byte {grown} of {size}"),
                Err(failure) => return Err(failure.into_error()),
            }
        }
        let found = hash(&part, size, &checksum)?;
        if found != *checksum.text() {
            fs::remove_file(&part)?;
            bail!("its checksum is {found}, the hub names {}: what came was thrown away", checksum.text());
        }
        fs::rename(&part, &whole)?;
        progress(name, size, size);
        Ok(())
    }

    /// Asks for the rest of a file and writes what comes behind the part.
    async fn grow(
        &self,
        url: &str,
        part: &Path,
        start: u64,
        size: u64,
        bytes: &mut u64,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), Failure> {
        let mut response = self.get(url, start).await?;
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT && begins_at(&response, start);
        let mut out = OpenOptions::new()
            .create(true)
            .write(true)
            .append(goes_on)
            .truncate(!goes_on)
            .open(part)
            .map_err(disk)?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(Failure::MayPass(anyhow!("the hub has no byte {start} of it")));
        }
        let mut there = if goes_on { start } else { 0 };
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => {
                    out.sync_data().map_err(disk)?;
                    return Err(may_pass(error));
                }
            };
            there += chunk.len() as u64;
            *bytes += chunk.len() as u64;
            if there > size {
                return Err(Failure::Final(anyhow!(
                    "the hub sends more than the {size} bytes that it names"
                )));
            }
            out.write_all(&chunk).map_err(disk)?;
            progress(there);
        }
        out.sync_all().map_err(disk)
    }
}

/// Whether asking again may help.
enum Failure {
    MayPass(anyhow::Error),
    Final(anyhow::Error),
}

impl Failure {
    fn into_error(self) -> anyhow::Error {
        match self {
            Failure::MayPass(error) | Failure::Final(error) => error,
        }
    }
}

fn may_pass(error: reqwest::Error) -> Failure {
    Failure::MayPass(anyhow::Error::new(error).context("the connection failed"))
}

fn disk(error: std::io::Error) -> Failure {
    Failure::Final(anyhow::Error::new(error).context("it cannot be written"))
}

/// Whether a partial answer begins at a byte, as its `Content-Range: bytes START-END/SIZE` says.
fn begins_at(response: &Response, start: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok());
    range
        .and_then(|r| r.strip_prefix("bytes "))
        .and_then(|r| r.split('-').next())
        .is_some_and(|first| first.parse() == Ok(start))
}

fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|m| m.len())
}

impl Checksum {
    fn text(&self) -> &String {
        match self {
            Checksum::Sha256(text) | Checksum::GitBlob(text) => text,
        }
    }
}

/// Checksum of a file in the form of another.
fn hash(path: &Path, size: u64, like: &Checksum) -> anyhow::Result<String> {
    Ok(match like {
        Checksum::GitBlob(_) => {
            let mut digest = Sha1::new();
            digest.update(format!("blob {size}\0"));
            feed(path, &mut |bytes| digest.update(bytes))?;
            hex::encode(digest.finalize())
        }
        Checksum::Sha256(_) => {
            let mut digest = <Sha256 as sha2::Digest>::new();
            feed(path, &mut |bytes| sha2::Digest::update(&mut digest, bytes))?;
            hex::encode(sha2::Digest::finalize(digest))
        }
    })
}

fn feed(path: &Path, take: &mut dyn FnMut(&[u8])) -> std::io::Result<()> {
    let (mut file, mut buffer) = (File::open(path)?, vec![0u8; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            n => take(&buffer[..n]),
        }
    }
}

/// Where the files of a model that is imported to `folder` are kept meanwhile.
pub fn download_folder(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".download");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
