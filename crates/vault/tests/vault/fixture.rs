//! What the tests share.

use primitives::Address;
use vault::Vault;
use vault::crypt::keys::{Keyring, SecretKey};
use vault::crypt::threshold::Keepers;
use vault::datanet::{Datanet, local_id};
use vault::document::Document;
use vault::read::{self, Columns, ReadError};
use vault::store::Store;
use vault::vault::import::ImportOptions;
use vault::vault::report::ImportReport;

/// Seconds since 1970 at which the tests play.
pub const NOW: u64 = 1_790_000_000;

/// A vault with one Datanet, its keeper, and how to import into it.
pub struct Bench {
    pub vault: Vault,
    pub keeper: SecretKey,
    pub options: ImportOptions,
}

/// A fresh vault in `store`.
pub fn bench(store: Box<dyn Store>) -> Bench {
    let keeper = SecretKey::generate().unwrap();
    let owner = Address::repeat_byte(0x11);
    let mut vault = Vault::create(store, NOW).unwrap();
    let datanet = Datanet {
        id: local_id(&owner, "docs"),
        name: "docs".into(),
        description: String::new(),
        owner,
        licences: vec![],
        screening: Default::default(),
        keepers: Keepers::one(keeper.public()),
    };
    let datanet = vault.create_datanet(datanet, NOW).unwrap();
    let options = ImportOptions { licence: Some("MIT".into()), ..ImportOptions::new(datanet, owner, NOW) };
    Bench { vault, keeper, options }
}

impl Bench {
    pub fn ring(&self) -> Keyring {
        [self.keeper.clone()].into_iter().collect()
    }

    pub fn import(&mut self, dir: &std::path::Path) -> ImportReport {
        let documents = read::all(dir, &Columns::default()).unwrap();
        let ring = self.ring();
        self.vault.import(documents, &self.options, &ring, &mut |_| {}).unwrap()
    }
}

/// Words that depend on the seed: two seeds share no sentence.
pub fn prose(seed: u32, words: u32) -> String {
    let list = [
        "river", "stone", "quiet", "engine", "ledger", "orange", "seven", "window", "forest", "signal",
        "paper", "under",
    ];
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut text = String::new();
    for i in 0..words {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        text.push_str(list[state as usize % list.len()]);
        text.push_str(&(state % 97).to_string());
        text.push(if i % 12 == 11 { '\n' } else { ' ' });
    }
    text
}

/// Good files of several kinds and one of each kind that must be left out.
pub fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("a.md", &format!("# A\n\n{}", prose(1, 400)));
    write("b.txt", &prose(2, 300));
    write("b-copy.txt", &prose(2, 300).to_uppercase());
    let rows: Vec<String> = (10..14)
        .map(|i| {
            format!(
                "{{\"prompt\":\"{}\",\"completion\":\"{}\"}}",
                prose(i, 9).replace('\n', " "),
                prose(i + 90, 30).replace('\n', " ")
            )
        })
        .collect();
    write("pairs.jsonl", &rows.join("\n"));
    write(
        "secret.txt",
        &format!("{} token {}{}", prose(3, 60), "ghp_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"),
    );
    write("mail.txt", &format!("{} ask ann@corp.net", prose(4, 60)));
    write("broken.txt", "\u{1}");
    std::fs::write(dir.path().join("latin.txt"), b"caf\xe9").unwrap();
    std::fs::write(dir.path().join("image.png"), b"\x89PNG").unwrap();
    dir
}

/// `count` plain documents.
pub fn documents(from: u32, count: u32) -> impl Iterator<Item = Result<Document, ReadError>> {
    (from..from + count).map(|i| {
        let source = format!("d{i}.txt");
        Ok(Document { text: prose(i + 1, 80), source, ..Document::default() })
    })
}
