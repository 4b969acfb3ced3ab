//! Prints what the crates reader finds: `cargo metadata --format-version 1 | cargo run --example crate_docs`.
use std::io::{Read, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut metadata = Vec::new();
    std::io::stdin().read_to_end(&mut metadata)?;
    let corpus = vault::read::crates::crates(&metadata, &Default::default())?;
    let mut out = std::io::stdout().lock();
    for r in &corpus.repositories {
        writeln!(out, "{:>8} {:>5} {} ({})", r.bytes, r.documents.len(), r.url, r.licence)?;
    }
    let documents = corpus.documents().count();
    writeln!(
        out,
        "{} repositories, {} documents, {} bytes",
        corpus.repositories.len(),
        documents,
        corpus.bytes()
    )?;
    writeln!(out, "{} left out, {} errors", corpus.left_out.len(), corpus.errors.len())?;
    Ok(())
}
