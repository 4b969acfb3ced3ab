//! The bytes under a log: a file, or what a test makes of one.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

/// An append-only file.
pub trait Store: Send {
    /// Bytes in it.
    fn len(&self) -> io::Result<u64>;
    /// Whether there are none.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads exactly `length` bytes from `offset`.
    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// Writes at the end. Durable only after [`Store::sync`].
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to `length`. Durable only after [`Store::sync`].
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// A file on disk.
#[derive(Debug)]
pub struct FileStore(File);

impl FileStore {
    /// Opens or creates the file and makes its name durable.
    pub fn open(path: &Path) -> io::Result<FileStore> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(FileStore(file))
    }
}

impl Store for FileStore {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut file = &self.0;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::End(0))?;
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}
