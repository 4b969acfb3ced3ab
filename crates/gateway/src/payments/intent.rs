//! Transfers about to be sent, on disk: after a crash nobody has to guess whether a payer paid.
//!
//! One file an intent, named after payer and nonce, complete or absent (written aside, synced, renamed). It holds what makes the answer again: the
//! model is deterministic, so a transfer that went through gets its receipt and its answer after the restart.

use super::note::Endpoint;
use crate::disk::{Disk, UNFINISHED};
use alloy_primitives::{Address, B256};
use compute::{AnswerId, Request};
use primitives::{
    Amount, Domain,
    encoding::{DecodeError, Reader, Writer},
    hash::hash,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Longest intent that is read: a request and a little more.
const MAX_INTENT_BYTES: u64 = 4 << 20;
/// Longest payment identifier.
const MAX_IDENTIFIER_BYTES: usize = 128;

/// A transfer that may be on its way, and the answer that it pays.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// Which endpoint was asked.
    pub endpoint: Endpoint,
    /// Which model.
    pub model: B256,
    /// Digest of the request's body.
    pub body: B256,
    /// The client's payment identifier; empty without.
    pub identifier: String,
    /// The answer's id.
    pub id: AnswerId,
    /// Blinds its commitments.
    pub salt: B256,
    /// What was asked, with its seed.
    pub request: Request,
    /// What is paid.
    pub amount: Amount,
    /// Who pays.
    pub from: Address,
    /// The authorization's nonce.
    pub nonce: B256,
    /// When it ends, Unix seconds.
    pub valid_before_s: u64,
}

impl Intent {
    fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}-{}", hex::encode(self.from), hex::encode(self.nonce)))
    }

    fn encode(&self) -> Vec<u8> {
        let Intent {
            endpoint,
            model,
            body,
            identifier,
            id,
            salt,
            request,
            amount,
            from,
            nonce,
            valid_before_s,
        } = self;
        let mut w = Writer::new();
        w.u8(*endpoint as u8).hash(model).hash(body).text(identifier).bytes(&id.0).hash(salt);
        request.encode(&mut w);
        w.u128(amount.0).address(from).hash(nonce).u64(*valid_before_s);
        let check = hash(Domain::LogLink, w.as_bytes());
        w.hash(&check);
        w.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Intent, DecodeError> {
        let content = &bytes[..bytes.len().saturating_sub(32)];
        if bytes[content.len()..] != hash(Domain::LogLink, content).0 {
            return Err(DecodeError::OutOfRange("check"));
        }
        let mut r = Reader::new(content);
        let endpoint = Endpoint::from_byte(r.u8()?)?;
        let (model, body, identifier) = (r.hash()?, r.hash()?, r.text(MAX_IDENTIFIER_BYTES)?.into());
        let id = r.bytes(16)?.try_into().map_err(|_| DecodeError::OutOfRange("answer id"))?;
        let (salt, request) = (r.hash()?, Request::decode(&mut r)?);
        let intent = Intent {
            endpoint,
            model,
            body,
            identifier,
            id: AnswerId(id),
            salt,
            request,
            amount: Amount(r.u128()?),
            from: r.address()?,
            nonce: r.hash()?,
            valid_before_s: r.u64()?,
        };
        r.finish()?;
        Ok(intent)
    }

    /// Makes the intent durable.
    pub fn write(&self, disk: &dyn Disk, folder: &Path) -> io::Result<()> {
        disk.replace(&self.path(folder), &self.encode())
    }

    /// Forgets it.
    pub fn remove(&self, disk: &dyn Disk, folder: &Path) -> io::Result<()> {
        disk.remove(&self.path(folder))
    }
}

/// Removes files that a crash left half written. Only before anything is written: another intent may be on its way.
pub fn clean(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if is_unfinished(&path) {
            disk.remove(&path)?;
        }
    }
    Ok(())
}

fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == UNFINISHED)
}

/// All complete intents of a folder; one that cannot be read is an error.
pub fn read_all(folder: &Path) -> io::Result<Vec<Intent>> {
    let mut intents = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        if is_unfinished(&file.path()) {
            continue;
        }
        let length = match file.metadata() {
            // Answered and removed since the folder was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?.len(),
        };
        if length > MAX_INTENT_BYTES {
            let message = format!("{} is no pending payment", file.path().display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let bytes = match fs::read(file.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let intent = Intent::decode(&bytes).map_err(|error| {
            let message = format!("the pending payment {} is damaged: {error}", file.path().display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        intents.push(intent);
    }
    Ok(intents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use compute::{Prompt, Sampling};

    fn intent() -> Intent {
        Intent {
            endpoint: Endpoint::Responses,
            model: B256::repeat_byte(1),
            body: B256::repeat_byte(2),
            identifier: "identifier".into(),
            id: AnswerId([3; 16]),
            salt: B256::repeat_byte(4),
            request: Request { prompt: Prompt::Text("x".into()), sampling: Sampling::default() },
            amount: Amount(5),
            from: Address::repeat_byte(6),
            nonce: B256::repeat_byte(7),
            valid_before_s: 8,
        }
    }

    #[test]
    fn an_intent_is_complete_or_absent() {
        let folder = tempfile::tempdir().unwrap();
        intent().write(&RealDisk, folder.path()).unwrap();
        let half = folder.path().join("half.new");
        fs::write(&half, b"half").unwrap();
        assert_eq!(read_all(folder.path()).unwrap(), [intent()]);
        assert!(half.exists(), "it may be on its way");
        clean(&RealDisk, folder.path()).unwrap();
        assert!(!half.exists());
        intent().remove(&RealDisk, folder.path()).unwrap();
        intent().remove(&RealDisk, folder.path()).unwrap();
        assert_eq!(read_all(folder.path()).unwrap(), []);
    }

    #[test]
    fn a_damaged_intent_is_named() {
        let folder = tempfile::tempdir().unwrap();
        intent().write(&RealDisk, folder.path()).unwrap();
        let path = intent().path(folder.path());
        let mut bytes = fs::read(&path).unwrap();
        bytes[40] ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = read_all(folder.path()).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}
