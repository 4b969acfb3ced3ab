//! Described folders: arbitrary Croissant descriptions and dataset cards beside a file. Nothing outside the folder is read.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault::read::{self, Columns};

fuzz_target!(|data: &[u8]| {
    let Some((choice, content)) = data.split_first() else { return };
    let outer = tempfile::tempdir().expect("a folder");
    std::fs::write(outer.path().join("secret.txt"), "outside the folder").expect("written");
    let folder = outer.path().join("set");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("rows.jsonl"), "{\"text\":\"inside the folder\"}\n").expect("written");
    let name = if choice % 2 == 0 { "croissant.json" } else { "README.md" };
    std::fs::write(folder.join(name), content).expect("written");
    let Ok(documents) = read::all(&folder, &Columns::default()) else { return };
    for document in documents.take(1000).flatten() {
        assert!(!document.text.contains("outside the folder"));
    }
    let _ = read::crates::crates(content, &read::crates::Options::default());
});
