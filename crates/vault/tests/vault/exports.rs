//! Every format in, and out again.

use crate::fixture::{NOW, bench, documents, prose};
use vault::VaultError;
use vault::commands::{AddOptions, TrainSetOptions, add, resolve, reveal, show, train_set};
use vault::document::{Document, commitment};
use vault::export::{ExportOptions, export};
use vault::licence::DeclaredUse;
use vault::read::{self, Columns};
use vault::store::memory::Memory;
use vault::vault::training::Query;

#[test]
fn an_export_is_read_back_as_croissant_as_card_and_as_parquet() {
    let mut bench = bench(Box::new(Memory::new()));
    let ring = bench.ring();
    let mixed = documents(0, 6).enumerate().map(|(i, document)| {
        document.map(|d| Document {
            licence: (i % 2 == 0).then(|| "CC-BY-4.0".into()),
            group: Some("https://example.org/a|b".into()),
            prompt_bytes: if i == 3 { 10 } else { 0 },
            ..d
        })
    });
    bench.vault.import(mixed, &bench.options, &ring, &mut |_| {}).unwrap();
    let set = bench.vault.freeze(Query::deduplicated(), &ring, NOW).unwrap();
    let out = tempfile::tempdir().unwrap();
    let options = ExportOptions {
        set: set.root,
        folder: out.path().join("export"),
        name: "A \"quoted\" set".into(),
        description: "For tests.".into(),
        publisher: "Tests".into(),
        version: "1.0.0".into(),
        date: "2026-11-20".into(),
        now: NOW,
    };
    let report = export(&mut bench.vault, &options, &ring, &mut |_| {}).unwrap();
    assert_eq!(report.facts.total.items, 6);
    assert_eq!(report.facts.licences.len(), 2);
    assert_eq!(report.files.len(), 5);

    // Through Croissant: hashes are checked, texts come back, licences per row too.
    let columns = Columns { text: Some("text".into()), ..Columns::default() };
    let back: Vec<Document> = read::all(&options.folder, &columns).unwrap().map(Result::unwrap).collect();
    let texts: Vec<String> = (0..6).map(|i| prose(i + 1, 80)).collect();
    assert_eq!(back.iter().map(|d| &d.text).collect::<Vec<_>>(), texts.iter().collect::<Vec<_>>());
    assert_eq!(back[0].licence.as_deref(), Some("CC-BY-4.0"));
    assert_eq!(back[1].licence.as_deref(), Some("MIT"));
    // Without the description, as a Hugging Face directory.
    std::fs::remove_file(options.folder.join("croissant.json")).unwrap();
    std::fs::remove_file(options.folder.join("lineage.json")).unwrap();
    assert_eq!(read::all(&options.folder, &columns).unwrap().count(), 6);

    let again = export(&mut bench.vault, &options, &ring, &mut |_| {});
    assert!(matches!(again, Err(VaultError::Declaration(_))), "never writes over anything");
}

#[test]
fn hostile_parquet_is_a_named_error() {
    let mut bench = bench(Box::new(Memory::new()));
    let ring = bench.ring();
    bench.vault.import(documents(0, 20), &bench.options, &ring, &mut |_| {}).unwrap();
    let set = bench.vault.freeze(Query::deduplicated(), &ring, NOW).unwrap();
    let out = tempfile::tempdir().unwrap();
    let options = ExportOptions {
        set: set.root,
        folder: out.path().join("export"),
        name: "x".into(),
        description: String::new(),
        publisher: String::new(),
        version: "1".into(),
        date: "2026-11-20".into(),
        now: NOW,
    };
    export(&mut bench.vault, &options, &ring, &mut |_| {}).unwrap();
    let good = std::fs::read(options.folder.join("data/train.parquet")).unwrap();
    let path = out.path().join("bad.parquet");
    let (mut errors, mut state) = (0, 7u64);
    for round in 0..200usize {
        let mut bytes = good.clone();
        for _ in 0..1 + round % 3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] ^= 1 << ((state >> 60) % 8);
        }
        if round % 5 == 0 {
            bytes.truncate(bytes.len() * (round + 1) / 220);
        }
        std::fs::write(&path, &bytes).unwrap();
        // Whatever it is, it ends, and without a panic.
        errors += read::all(&path, &Columns::default()).unwrap().take(100).filter(Result::is_err).count();
    }
    assert!(errors > 60, "{errors}");
}

#[test]
fn the_commands_work_on_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("a.jsonl"),
        [
            format!("{{\"text\":{},\"license\":\"MIT\"}}", serde_json::json!(prose(1, 60))),
            format!("{{\"text\":{},\"license\":\"CC-BY-NC-4.0\"}}", serde_json::json!(prose(2, 60))),
        ]
        .join("\n"),
    )
    .unwrap();
    std::fs::write(dir.path().join("b.md"), prose(3, 60)).unwrap();
    std::fs::write(dir.path().join("c.bin"), "x").unwrap();
    let mut bench = bench(Box::new(Memory::new()));
    let ring = bench.ring();
    let vault = &mut bench.vault;
    let datanet = resolve(vault, "docs").unwrap();
    let options = AddOptions {
        sources: vec![dir.path().into()],
        columns: Columns::default(),
        split_by_licence: true,
        import: bench.options.clone(),
    };
    let report = add(vault, &options, &ring, &mut |_| {}).unwrap();
    let items: Vec<u64> = report.imports.iter().map(|r| r.items).collect();
    assert_eq!(items, [1, 2], "CC-BY-NC-4.0, then MIT with what states none");
    assert_eq!(report.imports.iter().map(|r| r.error_count).sum::<u64>(), 1);
    let told = reveal(vault, &report.imports[1].contribution.unwrap()).unwrap();
    assert_eq!((told.licence.as_str(), told.items), ("MIT", 2));
    assert_eq!(told.commitment, commitment(&told.root, &told.salt, &told.owner));

    // A model that is to be sold takes only what may be sold, and says what it left.
    let uses = DeclaredUse { uses: primitives::licence::ALL_USES, target: "MIT".into(), custom: vec![] };
    let options = TrainSetOptions { query: Query::deduplicated(), uses: Some(uses), now: NOW };
    let frozen = train_set(vault, &options, &ring).unwrap();
    assert_eq!((frozen.set.entries.len(), frozen.ruled_out_count), (2, 1));
    assert!(frozen.ruled_out[0].reason.contains("non-commercial"), "{:?}", frozen.ruled_out);

    let shown = show(vault, Some(&datanet)).unwrap();
    assert_eq!((shown.datanets[0].contributions.len(), shown.datanets[0].live_items), (2, 3));
    assert_eq!(shown.sets, [frozen.set.root]);
    assert!(serde_json::to_string(&shown).unwrap().contains("\"live_items\":3"));
    assert!(resolve(vault, "other").unwrap_err().to_string().contains("docs"));
}
