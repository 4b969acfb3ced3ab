//! A node's data directory: one process at a time, one network for good.

use crate::evidence::EvidenceSink;
use alloy_primitives::B256;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::Mutex,
};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process runs on it.
    #[error("{0} is in use by another node: stop that one first, or choose another --data-dir")]
    InUse(PathBuf),
    /// Something else is in there.
    #[error("{0} is not empty and not a node's data: choose another --data-dir")]
    Foreign(PathBuf),
    /// Of another network.
    #[error(
        "{path} belongs to the network with genesis {found}, this genesis is {expected}: use the right genesis file, or another --data-dir"
    )]
    WrongGenesis {
        /// The directory.
        path: PathBuf,
        /// Genesis hash in the directory.
        found: String,
        /// Genesis hash of this node.
        expected: B256,
    },
    /// The disk refused.
    #[error("cannot use {path}: {source}; check that it exists, is writable and has space")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system reports.
        source: std::io::Error,
    },
}

/// A locked data directory.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

const IDENTITY_FILE: &str = "network";
/// Version of the layout of everything under the directory.
const LAYOUT: &str = "openledger-data-v2";

impl DataDirectory {
    /// Opens or creates `path` for the network `genesis_hash` and keeps other processes out.
    pub fn open(path: &Path, genesis_hash: B256) -> Result<Self, DirectoryError> {
        let io = |source| DirectoryError::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(io)?;
        let identity = path.join(IDENTITY_FILE);
        let fresh = std::fs::read_dir(path).map_err(io)?.next().is_none();
        if !fresh && !identity.exists() {
            return Err(DirectoryError::Foreign(path.to_owned()));
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&identity)
            .map_err(io)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => DirectoryError::InUse(path.to_owned()),
            TryLockError::Error(source) => io(source),
        })?;
        let expected = format!("{LAYOUT}\n{genesis_hash}\n");
        let mut found = String::new();
        file.read_to_string(&mut found).map_err(io)?;
        if found.is_empty() {
            file.rewind().and_then(|()| file.write_all(expected.as_bytes())).map_err(io)?;
            file.sync_all().map_err(io)?;
        } else if found.lines().next() != Some(LAYOUT) {
            return Err(DirectoryError::Foreign(path.to_owned()));
        } else if found != expected {
            let found = found.lines().nth(1).unwrap_or("unknown").to_owned();
            return Err(DirectoryError::WrongGenesis {
                path: path.to_owned(),
                found,
                expected: genesis_hash,
            });
        }
        Ok(Self { path: path.to_owned(), _lock: file })
    }

    /// Where the directory is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Keeps evidence as one file each, named by its hash, so that repeats take no room.
#[derive(Debug)]
pub struct EvidenceFiles {
    directory: PathBuf,
    kept: Mutex<usize>,
}

/// Most pieces of evidence kept; each already costs its validator its stake.
const MAX_EVIDENCE: usize = 1_024;

impl EvidenceFiles {
    /// Keeps evidence under `directory`.
    pub fn open(directory: PathBuf) -> Result<Self, DirectoryError> {
        let io = |source| DirectoryError::Io { path: directory.clone(), source };
        std::fs::create_dir_all(&directory).map_err(io)?;
        let kept = std::fs::read_dir(&directory).map_err(io)?.count();
        Ok(Self { directory, kept: Mutex::new(kept) })
    }
}

impl EvidenceSink for EvidenceFiles {
    fn conflict(&self, evidence: Vec<u8>) {
        let mut kept = self.kept.lock().expect("no code panics while it holds the lock");
        let path = self.directory.join(hex::encode(alloy_primitives::keccak256(&evidence)));
        if *kept >= MAX_EVIDENCE || path.exists() {
            return;
        }
        // Renamed once it is whole and on disk: half a file under this name would keep the evidence out for good.
        let partial = path.with_extension("partial");
        let written = File::create(&partial)
            .and_then(|mut file| file.write_all(&evidence).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&partial, &path));
        match written {
            Ok(()) => {
                *kept += 1;
                tracing::warn!(path = %path.display(), "a validator voted twice: kept the evidence");
            }
            Err(error) => tracing::error!(%error, "cannot keep evidence"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_kept_once_whole_and_over_restarts() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("evidence");
        let files = EvidenceFiles::open(path.clone()).expect("writable");
        let name = hex::encode(alloy_primitives::keccak256(b"two votes"));
        // What a crash left of an earlier attempt.
        std::fs::write(path.join(format!("{name}.partial")), b"two").expect("writable");
        for _ in 0..2 {
            files.conflict(b"two votes".to_vec());
        }
        assert_eq!(std::fs::read(path.join(&name)).expect("kept"), b"two votes");
        let again = EvidenceFiles::open(path.clone()).expect("readable");
        again.conflict(b"two votes".to_vec());
        assert_eq!(std::fs::read_dir(&path).expect("readable").count(), 1);
    }
}
