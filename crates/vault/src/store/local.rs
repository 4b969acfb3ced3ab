//! A directory as a store.
//!
//! An object is written to `tmp/`, flushed to disk, and then linked (create) or renamed (replace) to its name, and the
//! folder is flushed; so after a crash a name has all of its bytes or does not exist. What a killed process left in `tmp/` is removed when the
//! directory is next opened. One process at a time holds the directory for writing.

use super::{Store, StoreError, check_name};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const TEMPORARY: &str = "tmp";
const LOCK: &str = "lock";

/// Objects as files under one directory.
pub struct Local {
    root: PathBuf,
    next: AtomicU64,
    /// Folders known to exist and to be flushed in their parents.
    folders: Mutex<BTreeSet<PathBuf>>,
    /// Held while open; released by the system when the process ends, however it ends.
    _lock: File,
}

impl Local {
    /// Opens `root` for writing, creating it if needed.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it.
    pub fn open(root: &Path) -> Result<Local, StoreError> {
        let shown = root.display().to_string();
        let temporary = root.join(TEMPORARY);
        fs::create_dir_all(&temporary).map_err(StoreError::io(&shown))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(root.join(LOCK))
            .map_err(StoreError::io(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::Locked),
            Err(fs::TryLockError::Error(source)) => {
                return Err(StoreError::Io { name: LOCK.into(), source });
            }
        }
        for entry in fs::read_dir(&temporary).map_err(StoreError::io(TEMPORARY))?.flatten() {
            fs::remove_file(entry.path()).map_err(StoreError::io(TEMPORARY))?;
        }
        Ok(Local { root: root.into(), next: AtomicU64::new(0), folders: Mutex::default(), _lock: lock })
    }

    fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        check_name(name)?;
        Ok(self.root.join(name))
    }

    /// Makes the folder of `path`, flushed into its parent.
    fn folder(&self, path: &Path, name: &str) -> Result<PathBuf, StoreError> {
        let folder = path.parent().unwrap_or(&self.root).to_path_buf();
        let mut known = self.folders.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !known.contains(&folder) {
            fs::create_dir_all(&folder).map_err(StoreError::io(name))?;
            let mut at = folder.as_path();
            while at != self.root {
                let Some(parent) = at.parent() else { break };
                flush_folder(parent, name)?;
                at = parent;
            }
            known.insert(folder.clone());
        }
        Ok(folder)
    }

    fn temporary(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(TEMPORARY).join(number.to_string());
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_data()
        });
        written.map_err(|error| {
            // Leave no half-written file behind on a full disk; the error that matters is the first.
            let _ = fs::remove_file(&path);
            StoreError::io(name)(error)
        })?;
        Ok(path)
    }
}

/// Makes a folder's entries durable.
fn flush_folder(folder: &Path, name: &str) -> Result<(), StoreError> {
    #[cfg(unix)]
    File::open(folder).and_then(|handle| handle.sync_all()).map_err(StoreError::io(name))?;
    #[cfg(not(unix))]
    let _ = (folder, name);
    Ok(())
}

impl Store for Local {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(name)?;
        let folder = self.folder(&path, name)?;
        let temporary = self.temporary(name, bytes)?;
        let linked = fs::hard_link(&temporary, &path).map_err(StoreError::io(name));
        fs::remove_file(&temporary).map_err(StoreError::io(name))?;
        linked?;
        flush_folder(&folder, name)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(name)?;
        let folder = self.folder(&path, name)?;
        let temporary = self.temporary(name, bytes)?;
        fs::rename(&temporary, &path).map_err(StoreError::io(name))?;
        flush_folder(&folder, name)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        fs::read(self.path(name)?).map_err(StoreError::io(name))
    }

    fn read_range(&self, name: &str, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let mut file = File::open(self.path(name)?).map_err(StoreError::io(name))?;
        file.seek(SeekFrom::Start(start)).map_err(StoreError::io(name))?;
        let mut bytes = Vec::new();
        file.take(length as u64).read_to_end(&mut bytes).map_err(StoreError::io(name))?;
        if bytes.len() < length {
            let end = start.saturating_add(length as u64);
            return Err(StoreError::Range { name: name.into(), start, end });
        }
        Ok(bytes)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(self.root.join(&folder)).map_err(StoreError::io(&folder))? {
                let entry = entry.map_err(StoreError::io(&folder))?;
                let Ok(own) = entry.file_name().into_string() else { continue };
                let name = if folder.is_empty() { own } else { format!("{folder}/{own}") };
                if name == TEMPORARY || name == LOCK {
                    continue;
                }
                let kind = entry.file_type().map_err(StoreError::io(&name))?;
                // Only folders that can hold a match are entered; links are nobody's objects.
                let deeper = name.starts_with(prefix) || prefix.starts_with(&format!("{name}/"));
                if kind.is_dir() && deeper {
                    folders.push(name);
                } else if kind.is_file() && name.starts_with(prefix) {
                    names.push(name);
                }
            }
        }
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name)?;
        // Overwriting helps on file systems that write in place; elsewhere the key's removal is what counts.
        if let Ok(mut file) = OpenOptions::new().write(true).open(&path) {
            let length = file.metadata().map_err(StoreError::io(name))?.len();
            let zeros = [0; 1 << 16];
            let mut left = length;
            while left > 0 {
                let part = left.min(zeros.len() as u64);
                file.write_all(&zeros[..part as usize]).map_err(StoreError::io(name))?;
                left -= part;
            }
            file.sync_data().map_err(StoreError::io(name))?;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io(name)(error)),
            Err(_) => Ok(()),
            Ok(()) => flush_folder(path.parent().unwrap_or(&self.root), name),
        }
    }

    fn exists(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.path(name)?.is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_process_writes_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Local::open(dir.path()).unwrap();
        assert!(matches!(Local::open(dir.path()), Err(StoreError::Locked)));
        drop(first);
        Local::open(dir.path()).unwrap();
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        drop(Local::open(dir.path()).unwrap());
        fs::write(dir.path().join("tmp/7"), b"half").unwrap();
        let store = Local::open(dir.path()).unwrap();
        assert!(!dir.path().join("tmp/7").exists());
        assert_eq!(store.list("").unwrap(), Vec::<String>::new());
    }
}
