//! The gateway's files, as one trait: what must survive a crash goes through it, so that tests can end a process at any of its syncs.
//!
//! Everything else that a gateway knows of money stands on the ledger.

use compute::log::{FileStore, Store};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// What the gateway asks of a disk. The provided methods are a real one's.
pub trait Disk: Send + Sync {
    /// Creates a folder and what leads to it; its name is durable.
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)?;
        sync_folder_of(path)
    }

    /// Opens or creates an append-only file; its name is durable.
    fn open_log(&self, path: &Path) -> io::Result<Box<dyn Store>> {
        Ok(Box::new(FileStore::open(path)?))
    }

    /// Replaces a file, all or nothing, and makes it durable.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let aside = aside(path);
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        sync_folder_of(path)
    }

    /// Removes a file, which may be gone already. It may come back after a crash.
    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

/// The disk there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {}

/// Extension of files that are not complete.
pub const UNFINISHED: &str = "new";

/// Where a file is written before it takes its place.
pub fn aside(path: &Path) -> PathBuf {
    path.with_extension(UNFINISHED)
}

/// Makes durable which names the folder of `path` has.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
