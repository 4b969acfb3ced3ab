//! Where a vault's bytes lie: named objects, written whole.
//!
//! A store needs six operations and two promises: [`Store::create`] and [`Store::replace`] are atomic (a reader sees all of an
//! object or none of it) and durable when they return. Everything else the vault builds from write order: an object is
//! written before anything refers to it, so whatever prefix of the writes survives a crash is a vault.
//!
//! - [`local::Local`]: a directory (the default).
//! - `s3::S3`: a bucket of an S3-compatible server (feature `s3`).
//! - [`memory::Memory`]: for tests and short-lived vaults.
//!
//! [`place::Place`] tells them apart by name. The trait is synchronous; a remote store drives its own requests.

pub mod contract;
pub mod local;
pub mod memory;
pub mod place;
#[cfg(feature = "s3")]
pub mod s3;

/// Longest object name, in bytes.
pub const MAX_NAME_BYTES: usize = 200;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No object of this name.
    #[error("`{0}` is not in the store")]
    NotFound(String),
    /// [`Store::create`] found an object of this name.
    #[error("`{0}` exists already: another process wrote to this vault")]
    Exists(String),
    /// A name that could lead out of the store or that not every backend allows.
    #[error("`{0}` is not an object name: a-z, 0-9, `.`, `-` and single `/`, no leading dot in a part")]
    Name(String),
    /// A range past the object's end.
    #[error("`{name}` has no bytes {start}..{end}: it was cut short")]
    Range {
        /// Which object.
        name: String,
        /// First byte.
        start: u64,
        /// One past the last.
        end: u64,
    },
    /// No room left.
    #[error(
        "the disk is full while writing `{0}`: free some space and run the command again; nothing stored before is lost"
    )]
    Full(String),
    /// Another process has the vault open for writing.
    #[error("another process has this vault open for writing; wait for it to end")]
    Locked,
    /// A place that is none, or that a vault cannot use.
    #[error("{0}")]
    Place(String),
    /// A server refused: the credentials are others, or may not do this.
    #[error("`{name}`: the server refused; check the credentials and what they may do ({reason})")]
    Denied {
        /// Which object.
        name: String,
        /// What it said.
        reason: String,
    },
    /// A server failed or did not answer, several times over.
    #[error("`{name}`: the server failed; nothing stored before is lost, run the command again ({reason})")]
    Remote {
        /// Which object.
        name: String,
        /// What it said.
        reason: String,
    },
    /// The backend failed.
    #[error("`{name}`: {source}")]
    Io {
        /// Which object.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl StoreError {
    pub(crate) fn io(name: &str) -> impl FnOnce(std::io::Error) -> StoreError + '_ {
        move |source| match source.kind() {
            std::io::ErrorKind::NotFound => StoreError::NotFound(name.into()),
            std::io::ErrorKind::AlreadyExists => StoreError::Exists(name.into()),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                StoreError::Full(name.into())
            }
            _ => StoreError::Io { name: name.into(), source },
        }
    }
}

/// Named objects.
pub trait Store: Send + Sync {
    /// Writes a new object. Atomic and durable.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the name is taken.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Writes an object, in place of an earlier one of this name if there is one. Atomic and durable.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// The whole object.
    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError>;

    /// Several whole objects, in order. A remote store asks for them at the same time.
    fn read_all(&self, names: &[String]) -> Result<Vec<Vec<u8>>, StoreError> {
        names.iter().map(|name| self.read(name)).collect()
    }

    /// `length` bytes from `start`.
    fn read_range(&self, name: &str, start: u64, length: usize) -> Result<Vec<u8>, StoreError>;

    /// Names that begin with `prefix`, ascending.
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// Removes an object, overwriting its bytes first where the backend can. An absent one is no error.
    fn remove(&self, name: &str) -> Result<(), StoreError>;

    /// Whether an object of this name exists.
    fn exists(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.list(name)?.iter().any(|found| found == name))
    }

    /// Whether an object that nothing refers to may be removed: false while another process may be about to refer to it.
    /// A store that one process holds has no such.
    fn is_settled(&self, name: &str) -> Result<bool, StoreError> {
        let _ = name;
        Ok(true)
    }
}

/// Checks a name: parts of `a-z`, `0-9`, `.` and `-` joined by `/`, none empty or with a leading dot.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    let part_ok = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
    };
    if name.len() <= MAX_NAME_BYTES && name.split('/').all(part_ok) {
        Ok(())
    } else {
        Err(StoreError::Name(name.chars().take(MAX_NAME_BYTES).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_store() {
        for name in ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "A", "a b", "a\0", &"a".repeat(201)] {
            assert!(matches!(check_name(name), Err(StoreError::Name(_))), "{name}");
        }
        assert!(check_name("packs/00ff.bao").is_ok());
    }

    #[test]
    fn memory_behaves() {
        contract::behaves(&memory::Memory::new());
    }

    #[test]
    fn a_directory_behaves() {
        let dir = tempfile::tempdir().unwrap();
        contract::behaves(&local::Local::open(dir.path()).unwrap());
    }
}
