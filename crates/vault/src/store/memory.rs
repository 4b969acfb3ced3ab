//! Objects in memory.

use super::{Store, StoreError, check_name};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// A store that ends with the process.
#[derive(Default)]
pub struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl Memory {
    /// An empty store.
    pub fn new() -> Memory {
        Memory::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        // A panic elsewhere cannot leave the map half changed: every operation is one call on it.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Store for Memory {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        check_name(name)?;
        let mut objects = self.objects();
        if objects.contains_key(name) {
            return Err(StoreError::Exists(name.into()));
        }
        objects.insert(name.into(), bytes.into());
        Ok(())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        check_name(name)?;
        self.objects().insert(name.into(), bytes.into());
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        check_name(name)?;
        self.objects().get(name).cloned().ok_or_else(|| StoreError::NotFound(name.into()))
    }

    fn read_range(&self, name: &str, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        check_name(name)?;
        let objects = self.objects();
        let bytes = objects.get(name).ok_or_else(|| StoreError::NotFound(name.into()))?;
        let end = start.saturating_add(length as u64);
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        range
            .and_then(|(start, end)| bytes.get(start..end))
            .map(<[u8]>::to_vec)
            .ok_or_else(|| StoreError::Range { name: name.into(), start, end })
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.objects().keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        self.objects().remove(name);
        Ok(())
    }
}
