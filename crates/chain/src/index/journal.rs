//! Blocks on their way into the database, so that a killed process loses none.
//!
//! An append-only file of records: `u32` length, 8 bytes of checksum, then block and outcome. It is written
//! without `fsync`: it outlives the process, not the machine (what a power failure loses is rebuilt from
//! blocks). A torn record ends the file. Once the database has everything, the file starts over.

use super::{Entry, IndexError, packed};
use crate::{block::Block, receipt::Outcome};
use bytes::Bytes;
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_cryptography::Digestible as _;
use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

const HEAD_BYTES: usize = 12;
/// Size from which the file starts over at the next chance.
const RESTART_BYTES: u64 = 4 << 20;

pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    last: u64,
}

impl Journal {
    /// Opens the file and reads what a crash left in it.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Entry>), IndexError> {
        let io = |source| IndexError::Io { path: path.to_owned(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(io)?;
        let mut rest = content.as_slice();
        let mut entries = Vec::new();
        while let Some((entry, tail)) = read(rest) {
            entries.push(entry);
            rest = tail;
        }
        let bytes = (content.len() - rest.len()) as u64;
        file.set_len(bytes).and_then(|()| file.seek(SeekFrom::End(0))).map_err(io)?;
        let last = entries.last().map_or(0, |entry| entry.block.header.height);
        Ok((Self { path: path.to_owned(), file, bytes, last }, entries))
    }

    /// Adds a block.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), IndexError> {
        let record = packed::pack(&[entry.block.encode().to_vec(), entry.outcome.encode()]);
        let mut bytes = Vec::with_capacity(HEAD_BYTES + record.len());
        bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&checksum(&record));
        bytes.extend_from_slice(&record);
        self.file.write_all(&bytes).map_err(|source| IndexError::Io { path: self.path.clone(), source })?;
        self.bytes += bytes.len() as u64;
        self.last = entry.block.header.height;
        Ok(())
    }

    /// Tells that the database has every block up to `height` for good.
    pub(super) fn written_up_to(&mut self, height: u64) {
        if height >= self.last && self.bytes >= RESTART_BYTES {
            let restarted = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
            if restarted.is_ok() {
                self.bytes = 0;
            }
        }
    }
}

fn checksum(record: &[u8]) -> [u8; 8] {
    let digest = primitives::hash::hash(primitives::Domain::LogLink, record);
    digest.0[..8].try_into().expect("a digest has 32 bytes")
}

fn read(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let length = u32::from_le_bytes(head[..4].try_into().ok()?) as usize;
    let (record, tail) = rest.split_at_checked(length)?;
    if checksum(record) != head[4..] {
        return None;
    }
    let block = Block::decode(Bytes::copy_from_slice(packed::get(record, 0)?)).ok()?;
    let outcome = Outcome::decode(packed::get(record, 1)?).ok()?;
    Some((Entry { digest: block.digest(), block: Arc::new(block), outcome: Arc::new(outcome) }, tail))
}
