//! Measurements of docs/benchmarks/vault.md: `vault_bench import|near|edits|scale|range ...`.
//!
//! - `import FOLDER SCRATCH`: the folder's documents into a vault in SCRATCH, whole and by phase.
//! - `near FOLDER [OUT]`: near-duplicates of all JSON lines under FOLDER; OUT gets a line a document for `tests/peers.py`:
//!   the number of the earlier one that it repeats, or `-`, then its hashed words.
//! - `edits`: recall of generated documents with 10, 20 and 30 % of the words replaced.
//! - `scale COUNT [OUT]`: near-duplicates of COUNT generated short documents, a tenth of them edited copies.
//! - `range MEGABYTES SCRATCH`: 1 MB ranges from an item set of that size, which is made in SCRATCH unless it is there.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use vault::crypt::item::{CHUNK_BYTES, Sealer};
use vault::crypt::keys::{Keyring, SecretKey, new_key};
use vault::crypt::threshold::Keepers;
use vault::datanet::{Datanet, local_id};
use vault::document::{Document, item_id};
use vault::read::{self, Columns, ReadError};
use vault::similar::{Index, words};
use vault::store::{Store, local::Local};
use vault::vault::import::ImportOptions;
use vault::{Vault, screen};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["import", folder, scratch] => import(Path::new(folder), Path::new(scratch)),
        ["near", folder] => near(Path::new(folder), None),
        ["near", folder, out] => near(Path::new(folder), Some(Path::new(out))),
        ["edits"] => edits(),
        ["scale", count] => scale(count.parse()?, None),
        ["scale", count, out] => scale(count.parse()?, Some(Path::new(out))),
        ["range", megabytes, scratch] => range(megabytes.parse()?, Path::new(scratch)),
        _ => Err("usage: vault_bench import FOLDER SCRATCH | near FOLDER | edits | scale COUNT | range MEGABYTES SCRATCH".into()),
    }
}

fn say(line: String) -> Outcome<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn rate(bytes: usize, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}

/// Processor time of this thread (Linux), so that a busy machine does not blur the figures; elsewhere the wall clock.
fn clock() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let wall = START.get_or_init(Instant::now).elapsed();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|field| field.parse().ok());
    nanoseconds.map_or(wall, Duration::from_nanos)
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = clock();
    let value = work();
    (value, clock() - start)
}

fn load(folder: &Path) -> Outcome<Vec<Document>> {
    Ok(read::all(folder, &Columns::default())?.filter_map(Result::ok).collect())
}

struct Setup {
    vault: Vault,
    options: ImportOptions,
    ring: Keyring,
    keeper: SecretKey,
}

fn setup(scratch: &Path) -> Outcome<Setup> {
    let keeper = SecretKey::generate()?;
    let owner = primitives::Address::repeat_byte(1);
    let mut vault = Vault::create(Box::new(Local::open(scratch)?), 1)?;
    let report = screen::Action::Report;
    let datanet = Datanet {
        id: local_id(&owner, "bench"),
        name: "bench".into(),
        description: String::new(),
        owner,
        licences: vec![],
        screening: screen::Policy { personal: report, secret: report, junk: report },
        keepers: Keepers::one(keeper.public()),
    };
    let id = vault.create_datanet(datanet, 1)?;
    let options = ImportOptions { licence: Some("MIT".into()), ..ImportOptions::new(id, owner, 1) };
    let ring = [keeper.clone()].into_iter().collect();
    Ok(Setup { vault, options, ring, keeper })
}

fn import(folder: &Path, scratch: &Path) -> Outcome<()> {
    let documents = load(folder)?;
    let bytes: usize = documents.iter().map(|d| d.text.len()).sum();
    say(format!("{} documents, {:.1} MB of text", documents.len(), bytes as f64 / 1e6))?;

    // Phases, each over all documents.
    let (_, hash) = timed(|| documents.iter().map(|d| item_id(&d.text)).filter(|i| i.0.is_zero()).count());
    let mut compressor = zstd::bulk::Compressor::new(1)?;
    let mut frame = vec![0; zstd::zstd_safe::compress_bound(CHUNK_BYTES)];
    let start = clock();
    let mut compressed = 0;
    for chunk in documents.iter().flat_map(|d| d.text.as_bytes().chunks(CHUNK_BYTES)) {
        compressed += compressor.compress_to_buffer(chunk, &mut frame[..])?.min(chunk.len());
    }
    let compress = clock() - start;
    let mut sealer = Sealer::new()?;
    let mut packs: Vec<Vec<u8>> = vec![Vec::new()];
    let start = clock();
    let mut plain = 0;
    for document in &documents {
        if plain > vault::vault::layout::SEGMENT_BYTES {
            packs.push(Vec::new());
            plain = 0;
        }
        plain += document.text.len();
        let pack = packs.last_mut().ok_or("a pack is open")?;
        sealer.text(&new_key()?, document.text.as_bytes(), pack)?;
    }
    let seal = clock() - start;
    let sealed: usize = packs.iter().map(Vec::len).sum();
    let block = vault::vault::layout::BAO_BLOCK;
    let (_, bao) = timed(|| {
        packs
            .iter()
            .map(|p| bao_tree::io::outboard::PreOrderMemOutboard::create(p, block).data.len())
            .sum::<usize>()
    });
    let store = Local::open(&scratch.join("phases"))?;
    let start = clock();
    for (i, pack) in packs.iter().enumerate() {
        store.create(&format!("packs/{i}"), pack)?;
    }
    let write = clock() - start;
    let (_, similar) = timed(|| documents.iter().map(|d| words::words(&d.text).len()).sum::<usize>());
    let mut index = Index::new();
    let (_, novelty) = timed(|| documents.iter().filter(|d| index.insert(&d.text).nu_ppm == 0).count());
    let (_, screened) = timed(|| documents.iter().map(|d| screen::screen(&d.text).len()).sum::<usize>());
    let (_, language) =
        timed(|| documents.iter().filter(|d| vault::document::guess_language(&d.text).is_some()).count());
    let (_, tokens) =
        timed(|| documents.iter().map(|d| vault::document::estimate_tokens(&d.text)).sum::<u64>());
    for (what, time) in [
        ("hash (item id)", hash),
        ("compress alone (zstd 1)", compress),
        ("chunk, compress, encrypt", seal),
        ("bao tree of the packs", bao),
        ("store (flushed to disk)", write),
        ("sum of these four", hash + seal + bao + write),
        ("words", similar),
        ("words, signature, novelty", novelty),
        ("screening", screened),
        ("language guess", language),
        ("token estimate", tokens),
    ] {
        say(format!("{what:28} {:8.1} MB/s", rate(bytes, time)))?;
    }
    let (sealed, compressed) = (sealed as f64 / bytes as f64, compressed as f64 / bytes as f64);
    say(format!("compressed to {compressed:.3}, sealed to {sealed:.3} of the text"))?;

    let Setup { mut vault, options, ring, .. } = setup(&scratch.join("vault"))?;
    let (report, whole) =
        timed(|| vault.import(documents.into_iter().map(Ok::<_, ReadError>), &options, &ring, &mut |_| {}));
    let report = report?;
    say(format!("{:28} {:8.1} MB/s", "import, everything on", rate(bytes, whole)))?;
    say(format!(
        "{} items, {} exact, {} near",
        report.items, report.exact_duplicates, report.near_duplicates
    ))?;
    let (verified, time) = timed(|| vault.verify(&ring, &mut |_| {}));
    let verified = verified?;
    say(format!(
        "{:28} {:8.1} MB/s, {} items, {} problems",
        "verify, decrypting all",
        rate(bytes, time),
        verified.decrypted,
        verified.problems.len()
    ))
}

/// Opens a file for [`note`].
fn notes(out: Option<&Path>) -> Outcome<Option<std::io::BufWriter<std::fs::File>>> {
    Ok(out.map(std::fs::File::create).transpose()?.map(std::io::BufWriter::new))
}

fn note(out: &mut Option<impl Write>, of: Option<u32>, words: &[u32]) -> Outcome<()> {
    if let Some(out) = out {
        let of = of.map_or("-".into(), |of| of.to_string());
        let words: Vec<String> = words.iter().map(u32::to_string).collect();
        writeln!(out, "{of} {}", words.join(" "))?;
    }
    Ok(())
}

fn near(folder: &Path, out: Option<&Path>) -> Outcome<()> {
    let documents = load(folder)?;
    let mut index = Index::new();
    let (counts, time) = timed(|| {
        let mut counts = (0, 0);
        for document in &documents {
            match index.insert(&document.text).duplicate.map(|d| d.kind) {
                Some(vault::similar::DuplicateKind::Exact) => counts.0 += 1,
                Some(_) => counts.1 += 1,
                None => {}
            }
        }
        counts
    });
    let (mut out, mut again) = (notes(out)?, Index::new());
    if out.is_some() {
        for document in &documents {
            let words = words::words(&document.text);
            let duplicate = again.insert_words(&words).duplicate;
            note(&mut out, duplicate.map(|d| d.of), &words)?;
        }
    }
    say(format!(
        "{} documents, {} exact, {} near, {:.3} s",
        documents.len(),
        counts.0,
        counts.1,
        time.as_secs_f64()
    ))
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    /// Word numbers, frequent ones more often than rare ones.
    fn text(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| (self.below(200) * self.below(200) + self.below(50)) as u32).collect()
    }

    fn edited(&mut self, text: &[u32], percent: u64) -> Vec<u32> {
        let mut out = text.to_vec();
        let mut places: Vec<usize> = (0..out.len()).collect();
        for i in 0..(out.len() as u64 * percent / 100) as usize {
            let j = i + self.below((places.len() - i) as u64) as usize;
            places.swap(i, j);
            out[places[i]] = 1_000_000 + self.below(1_000_000) as u32;
        }
        out
    }
}

fn edits() -> Outcome<()> {
    const PAIRS: usize = 2000;
    for percent in [10, 15, 19, 20, 30] {
        let mut random = Random(percent + 1);
        let originals: Vec<Vec<u32>> = (0..PAIRS).map(|_| random.text(200)).collect();
        let mut index = Index::new();
        for text in &originals {
            index.insert_words(text);
        }
        let found = originals
            .iter()
            .enumerate()
            .filter(|(i, text)| {
                let edited = random.edited(text, percent);
                index.insert_words(&edited).duplicate.is_some_and(|d| d.of as usize == *i)
            })
            .count();
        say(format!("{percent} % of 200 words replaced: {found} of {PAIRS} found as near-duplicates"))?;
    }
    Ok(())
}

fn scale(count: usize, out: Option<&Path>) -> Outcome<()> {
    let mut out = notes(out)?;
    let mut random = Random(42);
    let mut index = Index::new();
    let mut kept: Vec<Vec<u32>> = Vec::new();
    let (mut copies, mut found, mut time) = (0, 0, Duration::ZERO);
    for i in 0..count {
        let copy = i > 100 && i % 10 == 0;
        let text = if copy {
            let original = random.below(kept.len() as u64) as usize;
            random.edited(&kept[original], 10)
        } else {
            random.text(40)
        };
        let (assessment, spent) = timed(|| index.insert_words(&text));
        time += spent;
        note(&mut out, assessment.duplicate.map(|d| d.of), &text)?;
        copies += usize::from(copy);
        found += usize::from(copy && assessment.duplicate.is_some());
        if !copy && kept.len() < 10_000 {
            kept.push(text);
        }
    }
    say(format!(
        "{count} documents of 40 words: {:.2} s, {found} of {copies} copies (10 % edited) found",
        time.as_secs_f64()
    ))
}

fn range(megabytes: u64, scratch: &Path) -> Outcome<()> {
    const ITEM_BYTES: usize = 8 << 20;
    let key = scratch.join("keeper");
    let (vault, ring) = match std::fs::read(&key) {
        Ok(bytes) => {
            let keeper = SecretKey::from_bytes(bytes.as_slice().try_into()?);
            (Vault::open(Box::new(Local::open(&scratch.join("vault"))?))?, [keeper].into_iter().collect())
        }
        Err(_) => {
            let Setup { vault, ring, keeper, .. } = filled(megabytes, ITEM_BYTES, scratch)?;
            std::fs::write(&key, *keeper.to_bytes())?;
            (vault, ring)
        }
    };
    let contribution = vault.contributions().first().ok_or("something was imported")?.clone();
    let stored: u64 = contribution.segments.iter().map(|s| s.pack_bytes).sum();
    // Each read opens the contribution anew, from its wrapped keys on; the second figure is the read alone.
    let (mut whole, mut alone) = (Vec::new(), Vec::new());
    for i in 0..200u64 {
        let at = (i * 7919 * 131) % (ITEM_BYTES as u64 - 1_000_000);
        let item = (i * 104_729) % contribution.items;
        let start = Instant::now();
        let mut items = vault.items(&contribution.id, &ring)?;
        let opened = Instant::now();
        let bytes = items.read_range(item, at..at + 1_000_000)?;
        assert_eq!(bytes.len(), 1_000_000);
        whole.push(start.elapsed());
        alone.push(opened.elapsed());
    }
    whole.sort();
    alone.sort();
    say(format!(
        "{} MB in {} items ({} MB stored): 1 MB range by the wall clock: p50 {:.2?}, p99 {:.2?}; with opening the contribution p50 {:.2?}, p99 {:.2?}",
        contribution.bytes / 1_000_000,
        contribution.items,
        stored / 1_000_000,
        alone[100],
        alone[198],
        whole[100],
        whole[198]
    ))
}

/// A vault with that much text.
fn filled(megabytes: u64, item_bytes: usize, scratch: &Path) -> Outcome<Setup> {
    let Setup { mut vault, options, ring, keeper } = setup(&scratch.join("vault"))?;
    let mut random = Random(9);
    let syllables: Vec<String> = (0..4096)
        .map(|_| (0..2 + random.below(6)).map(|_| char::from(b'a' + random.below(26) as u8)).collect())
        .collect();
    let documents = (0..megabytes as usize * 1_000_000 / item_bytes).map(|i| {
        let mut text = String::with_capacity(item_bytes + 8192);
        // Frequent and rare syllables, so that it compresses as text does, in long words: what is measured is reading, and few words
        // keep the comparison with earlier items out of it.
        while text.len() < item_bytes {
            (0..800).for_each(|_| text.push_str(&syllables[(random.below(64) * random.below(64)) as usize]));
            text.push(' ');
        }
        Ok(Document { text, source: i.to_string(), ..Document::default() })
    });
    vault.import(documents, &options, &ring, &mut |_| {})?;
    Ok(Setup { vault, options, ring, keeper })
}
