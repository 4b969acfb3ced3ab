//! Every reader on arbitrary bytes: it ends, and yields documents or named errors. The first byte chooses the extension.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault::read::{self, Columns, SourceFile};

const EXTENSIONS: [&str; 10] = ["txt", "md", "html", "jsonl", "json", "csv", "tsv", "parquet", "docx", "pdf"];

fuzz_target!(|data: &[u8]| {
    let Some((choice, content)) = data.split_first() else { return };
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), content).expect("written");
    let name = format!("f.{}", EXTENSIONS[*choice as usize % EXTENSIONS.len()]);
    let source = SourceFile { path: file.path().into(), name };
    for document in read::documents(&source, &Columns::default()).take(10_000) {
        let _ = document.map(|d| assert!(d.prompt_bytes <= d.text.len() && d.text.is_char_boundary(d.prompt_bytes)));
    }
});
