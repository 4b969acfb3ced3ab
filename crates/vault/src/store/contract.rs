//! What every backend must do, as assertions: for the tests of a backend, on an empty store.

use super::{Store, StoreError};

/// Writes, reads, lists and removes.
///
/// # Panics
/// When the store does otherwise.
pub fn behaves(store: &dyn Store) {
    let names = |prefix| store.list(prefix).expect("a listing");
    store.create("a/1", b"one").expect("a new object");
    assert!(matches!(store.create("a/1", b"two"), Err(StoreError::Exists(_))));
    store.replace("a/1", b"three").expect("another content");
    store.create("a/2", b"").expect("an empty object");
    store.create("b/1", b"x").expect("another folder");
    assert_eq!(store.read("a/1").expect("there"), b"three");
    assert_eq!(store.read_range("a/1", 1, 3).expect("inside"), b"hre");
    assert!(matches!(store.read_range("a/1", 3, 3), Err(StoreError::Range { .. })));
    assert!(matches!(store.read_range("a/1", 9, 1), Err(StoreError::Range { .. })));
    assert!(matches!(store.read("a/3"), Err(StoreError::NotFound(_))));
    assert_eq!(names("a/"), ["a/1", "a/2"]);
    assert_eq!(names(""), ["a/1", "a/2", "b/1"]);
    assert!(store.exists("a/2").expect("an answer") && !store.exists("a").expect("an answer"));
    let both = ["b/1".to_string(), "a/1".into()];
    assert_eq!(store.read_all(&both).expect("there"), [b"x".to_vec(), b"three".to_vec()]);
    store.remove("a/1").expect("removed");
    store.remove("a/1").expect("gone already");
    assert_eq!(names("a/"), ["a/2"]);
    assert!(matches!(store.create("../x", b""), Err(StoreError::Name(_))));
    assert!(matches!(store.read("/etc/passwd"), Err(StoreError::Name(_))));
}
