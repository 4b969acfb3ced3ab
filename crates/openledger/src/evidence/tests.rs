use super::{
    batch::against,
    replay::{Replayer, scratch, training},
    *,
};
use crate::{
    arithmetic::context,
    demo::{self, accounts::Accounts},
    light::read_genesis,
    output::Output,
    rpc::Client,
    serving::Serving,
};
use axum::{Json, Router, extract::State as From, routing::post};
use chain::{Node, NodeConfig, NodeHandle};
use compute::{Log, batch::Accounted, log::FileStore};
use interfaces::{addresses::SETTLEMENT, settlement::ISettlement};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

#[path = "../../tests/processes/corpus.rs"]
mod corpus;
mod embeddings;
mod erasure;

fn local() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// What the demo leaves on a tiny corpus, made once.
fn demo_folder() -> &'static Path {
    static DEMO: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = DEMO.get_or_init(|| {
        let scratch = tempfile::tempdir().expect("a folder");
        corpus::write(&scratch.path().join("data"));
        let options = demo::Options {
            data: Some(scratch.path().join("data")),
            folder: scratch.path().join("demo"),
            questions: vec!["Always keep the soil near".into()],
            exit: true,
            rpc: local(),
            api: local(),
            pages: local(),
        };
        let run = std::thread::spawn(move || runtime().block_on(demo::run(options, &Output::new(true))));
        run.join().expect("no panic").expect("the demo runs");
        scratch
    });
    // The folder lives as long as the process.
    Box::leak(made.path().join("demo").into_boxed_path())
}

fn runtime() -> tokio::runtime::Runtime {
    crate::command::runtime().expect("a runtime")
}

/// A copy of the demo's folder, to be damaged.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("copied")),
        }
    }
}

/// The network again, its answer and a reader that trusts the genesis alone. Each test runs a node on a copy.
struct Scene {
    folder: PathBuf,
    node: Option<NodeHandle>,
    saved: Saved,
    _scratch: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let scratch = tempfile::tempdir().expect("a folder");
        let folder = scratch.path().join("demo");
        copy(demo_folder(), &folder);
        let mut config = NodeConfig::load(&folder.join("node")).expect("the demo's node");
        config.addresses.rpc = demo::network::free(local());
        config.addresses.listen = demo::network::free(local());
        let node = Some(Node::start(config).expect("the node starts"));
        let answers = std::fs::read_dir(folder.join("answers")).expect("answers");
        let file = answers.flatten().next().expect("an answer").path();
        let saved = Saved::from_slice(&std::fs::read(file).expect("readable")).expect("a saved answer");
        Scene { folder, node, saved, _scratch: scratch }
    }

    fn rpc(&self) -> SocketAddr {
        self.node.as_ref().expect("runs").rpc_addr()
    }

    fn ledger(&self, rpc: SocketAddr) -> LightLedger {
        let genesis = read_genesis(&self.folder.join("node/genesis.json")).expect("the genesis");
        LightLedger::new(Client::new(&rpc.to_string()).expect("a client"), genesis).expect("a ledger")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            node.shutdown();
        }
    }
}

fn broken_links(links: &[Link]) -> Vec<&str> {
    links.iter().filter(|l| l.state == State::Broken).map(|l| l.name.as_str()).collect()
}

/// What a file says for readers and nobody signed: labels, spans, addresses of pages, formats; and how many tokens were wished for,
/// since the receipt commits to how many fitted.
fn is_commentary(pointer: &str) -> bool {
    let last = pointer.rsplit('/').next().unwrap_or_default();
    let names =
        ["object", "model_name", "finish_reason", "created", "url", "title", "type", "logprobs", "index"];
    pointer.starts_with("/published/attribution/spans/")
        || pointer.contains("/annotations/")
        || pointer.starts_with("/published/attribution/units/") && last == "label"
        || names.contains(&last) && !pointer.starts_with("/published/settlement/proof")
        || [
            "/request/body/max_tokens",
            "/response/id",
            "/response/model",
            "/published/openledger/attribution",
            "/response/openledger/attribution",
        ]
        .contains(&pointer)
}

/// Every leaf of a document with its pointer; of long lists the first two and the last.
fn leaves(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                leaves(field, format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if index < 2 || index + 1 == items.len() {
                    leaves(item, format!("{at}/{index}"), found);
                }
            }
        }
        Value::Null => {}
        _ => found.push(at),
    }
}

/// The leaf with its lowest bit or a character changed. A score is text of a float, where another last digit may still be
/// the same float: its lowest bit is changed.
fn flip(value: &mut Value) {
    *value = match value.take() {
        Value::Bool(flag) => json!(!flag),
        Value::Number(number) => match number.as_u64() {
            Some(integer) => json!(integer ^ 1),
            None => json!(number.as_f64().unwrap_or_default() + 0.25),
        },
        Value::String(text) if text.contains('.') && text.parse::<f64>().is_ok() => {
            let score: f64 = text.parse().expect("just parsed");
            json!(f64::from_bits(score.to_bits() ^ 1).to_string())
        }
        Value::String(text) => {
            let mut characters: Vec<char> = text.chars().collect();
            match characters.last_mut() {
                Some(last) => *last = if *last == '1' { '2' } else { '1' },
                None => characters.push('1'),
            }
            json!(characters.into_iter().collect::<String>())
        }
        other => other,
    };
}

#[test]
fn every_link_of_the_demos_answer_holds_and_any_changed_field_of_its_file_is_found() {
    let scene = Scene::new();
    runtime().block_on(async {
        let mut ledger = scene.ledger(scene.rpc());
        let links = check(&mut ledger, &scene.saved).await;
        assert!(complete(&links), "{links:#?}");
        let document = serde_json::to_value(&scene.saved).expect("JSON");
        let mut pointers = Vec::new();
        leaves(&document, String::new(), &mut pointers);
        let pointers: Vec<&String> = pointers.iter().filter(|pointer| !is_commentary(pointer)).collect();
        assert!(pointers.len() > 100, "{} fields", pointers.len());
        let mut unnoticed = Vec::new();
        for pointer in pointers {
            let mut changed = document.clone();
            flip(changed.pointer_mut(pointer).expect("a leaf"));
            let Ok(saved) = serde_json::from_value::<Saved>(changed) else { continue };
            if broken_links(&check(&mut ledger, &saved).await).is_empty() {
                unnoticed.push(pointer);
            }
        }
        assert!(unnoticed.is_empty(), "{unnoticed:?}");
    });
}

/// A node between the reader and the real one, which changes one byte of what it passes on.
struct Liar {
    behind: String,
    http: reqwest::Client,
    method: &'static str,
    field: &'static str,
    at: AtomicUsize,
}

async fn lie(From(liar): From<Arc<Liar>>, Json(request): Json<Value>) -> Json<Value> {
    let reply = liar.http.post(&liar.behind).json(&request).send().await.expect("the node answers");
    let mut reply: Value = reply.json().await.expect("JSON");
    if request["method"] == liar.method
        && let Some(Value::String(text)) = reply["result"].pointer_mut(liar.field)
    {
        let mut bytes = alloy_primitives::hex::decode(text.as_str()).expect("hex");
        let at = liar.at.load(Ordering::SeqCst) % bytes.len();
        bytes[at] ^= 1;
        *text = alloy_primitives::hex::encode_prefixed(bytes);
    }
    Json(reply)
}

#[test]
fn a_node_that_changes_any_byte_of_a_proof_is_found_and_named() {
    let scene = Scene::new();
    runtime().block_on(async {
        for (method, field, link_name) in [
            ("openledger_getProof", "/finality", "ledger"),
            ("openledger_getProof", "/words/0/bytes", "ledger"),
            ("openledger_getProof", "/words/7/bytes", "ledger"),
            ("openledger_getReceiptProof", "/finality", "split event"),
            ("openledger_getReceiptProof", "/bytes", "split event"),
        ] {
            let behind = format!("http://{}", scene.rpc());
            let http = reqwest::Client::new();
            let liar = Arc::new(Liar { behind, http, method, field, at: AtomicUsize::new(0) });
            let listener = tokio::net::TcpListener::bind(local()).await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let router = Router::new().route("/", post(lie)).with_state(liar.clone());
            let serving = tokio::spawn(async move { axum::serve(listener, router).await });
            for at in (0..1200).step_by(61) {
                liar.at.store(at, Ordering::SeqCst);
                let links = check(&mut scene.ledger(address), &scene.saved).await;
                let named = links.iter().find(|link| link.name == link_name).expect("the link is there");
                assert_eq!(named.state, State::Broken, "{method}{field} byte {at}: {links:#?}");
                assert!(named.detail.contains(&address.to_string()), "the node is named: {}", named.detail);
            }
            serving.abort();
        }
    });
}

#[test]
fn a_node_of_another_network_is_not_believed() {
    let scene = Scene::new();
    let mut genesis = read_genesis(&scene.folder.join("node/genesis.json")).expect("the genesis");
    genesis.timestamp_ms += 1;
    runtime().block_on(async {
        let client = Client::new(&scene.rpc().to_string()).expect("a client");
        let mut ledger = LightLedger::new(client, genesis).expect("a ledger");
        let links = check(&mut ledger, &scene.saved).await;
        assert_eq!(broken_links(&links), ["ledger"]);
        assert!(links.iter().any(|link| link.name == "batch" && link.state == State::Open));
    });
}

#[test]
fn a_batch_is_what_its_receipts_make_or_the_difference_is_named() {
    let scene = Scene::new();
    let receipt = scene.saved.bundle().expect("a bundle").receipt.receipt;
    let accounts = Accounts::open(&scene.folder).expect("the demo's accounts");
    let operator = compute::Account::from_bytes(&accounts.operator.to_bytes().0).expect("a key");
    let path = gateway::server::log_path(&scene.folder.join("gateway"), receipt.model);
    let store = Box::new(FileStore::open(&path).expect("the log"));
    let mut receipts: Vec<Accounted> = Vec::new();
    Log::open(store, operator, receipt.model, |entry| receipts.push(Accounted::from(entry))).expect("opens");
    let place = scene.saved.bundle().expect("a bundle").settlement.expect("settled");
    let id = interfaces::settlement::batch_id(receipt.operator, receipt.model, place.epoch);
    let record = runtime().block_on(async {
        let mut ledger = scene.ledger(scene.rpc());
        let call = ISettlement::batchCall { id };
        ledger
            .read(|snapshot| snapshot.view(SETTLEMENT, &call))
            .await
            .expect("proven")
            .expect("read")
            .expect("there")
    });
    let first = record.batch.firstSequence as usize;
    let receipts = &receipts[first..first + record.batch.count as usize];
    against(&record, receipts).expect("the batch is what its receipts make");
    let changes: [fn(&mut Accounted); 6] = [
        |r| r.sequence ^= 1,
        |r| r.digest.0[31] ^= 1,
        |r| r.previous.0[31] ^= 1,
        |r| r.fee.0 ^= 1,
        |r| r.payouts[0].1.0 ^= 1,
        |r| r.payouts[0].0.0[19] ^= 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = receipts.to_vec();
        change(&mut changed[0]);
        // The first receipt's predecessor lies outside of the batch; its digest binds it.
        let differs = against(&record, &changed).is_err();
        assert!(differs || number == 2, "change {number} went by");
    }
    let mut record = record;
    record.batch.payouts.0[0] ^= 1;
    let error = against(&record, receipts).expect_err("another payout tree");
    assert!(error.to_string().contains("payouts' root"), "{error}");
}

fn flip_byte(path: &Path, part: f64) {
    let mut bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let at = (bytes.len() as f64 * part) as usize;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("written");
}

/// All files under a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn a_flipped_byte_of_weights_units_or_checkpoints_is_found_by_replay() {
    let scene = Scene::new();
    let ctx = context(0);
    runtime().block_on(async {
        let mut ledger = scene.ledger(scene.rpc());
        let notes = scene.folder.join("notes.json");
        // Nothing is changed: all is well, and the answer comes out the same.
        let serving = Serving::open(&scene.folder).expect("a served model");
        let folder = scratch(&scene.folder.join("replay")).expect("a folder");
        let (replayer, root) = Replayer::build(&serving, ctx, folder.path(), &mut |_| {}).expect("built");
        replay::cache_link(&mut ledger, &serving, root).await.expect("the ledger's cache");
        let bundle = scene.saved.bundle().expect("a bundle");
        replayer.answer(&bundle).expect("every bit the same");
        let mut silent = |_: u64, _: u64| {};
        training(&mut ledger, &serving, ctx, &notes, &mut silent).await.expect("runs").expect("equal");
        // Bound by the receipt, not by the file's own word.
        let mut other = bundle.clone();
        other.attribution.as_mut().expect("attributed").data_share.0 += 1_000_000;
        assert!(replayer.answer(&other).is_err());

        let mut checkpoints = Vec::new();
        files(&scene.folder.join("run/checkpoints"), &mut checkpoints);
        let last = checkpoints.iter().rev().find(|path| path.metadata().is_ok_and(|m| m.len() > 100_000));
        let (log, weights) =
            (scene.folder.join("run/steps.jsonl"), scene.folder.join("run/model/model.safetensors"));
        for (path, part) in [(log, 0.5), (last.expect("a checkpoint").clone(), 0.7)] {
            let whole = std::fs::read(&path).expect("readable");
            flip_byte(&path, part);
            let outcome = training(&mut ledger, &serving, ctx, &notes, &mut silent).await;
            assert!(!matches!(outcome, Ok(Ok(_))), "{} went by", path.display());
            std::fs::write(&path, whole).expect("restored");
            let _ = std::fs::remove_file(&notes);
        }
        for (path, part) in [(weights, 0.9), (scene.folder.join("units.jsonl"), 0.5)] {
            let whole = std::fs::read(&path).expect("readable");
            flip_byte(&path, part);
            let folder = scratch(&scene.folder.join("replay")).expect("a folder");
            let found = match Replayer::build(&serving, ctx, folder.path(), &mut |_| {}) {
                Ok((_, root)) => replay::cache_link(&mut ledger, &serving, root).await.is_err(),
                Err(_) => true,
            };
            assert!(found, "{} went by", path.display());
            std::fs::write(&path, whole).expect("restored");
        }
    });
}

#[test]
fn a_flipped_byte_of_an_item_in_the_vault_or_of_its_unit_is_found_and_the_item_named() {
    let scene = Scene::new();
    let accounts = Accounts::open(&scene.folder).expect("the demo's accounts");
    let check = || -> Result<String, String> {
        let serving = Serving::open(&scene.folder).expect("a served model");
        // A vault that does not even open says what is damaged.
        let mut store = demo::contribute::open(&scene.folder, &accounts, crate::clock::now())
            .map_err(|error| format!("{error:#}"))?;
        items::check(&serving, &mut store.vault, &store.ring, crate::clock::now())
            .expect("it can be compared")
            .map_err(|(state, detail)| {
                assert_eq!(state, State::Broken);
                detail
            })
    };
    check().expect("whole");
    let units = Serving::open(&scene.folder).expect("a served model").units().expect("units");
    let parts: Vec<_> = units.iter().flat_map(|unit| &unit.parts).collect();
    let names_an_item = |error: &str| parts.iter().any(|part| error.contains(&part.item.to_string()));
    let mut stored = Vec::new();
    files(&scene.folder.join("vault"), &mut stored);
    let largest =
        stored.into_iter().max_by_key(|path| path.metadata().map_or(0, |m| m.len())).expect("files");
    let whole = std::fs::read(&largest).expect("readable");
    let mut named = 0;
    for part in [0.2, 0.4, 0.6, 0.8] {
        flip_byte(&largest, part);
        let error = check().expect_err("a changed ciphertext");
        named += usize::from(names_an_item(&error));
        std::fs::write(&largest, &whole).expect("restored");
    }
    assert!(named > 0, "no item was named");
    // A token of a unit's text, as whoever serves the model could change it.
    let path = scene.folder.join("units.jsonl");
    let text = std::fs::read_to_string(&path).expect("units");
    let mut changed = units.clone();
    changed[1].text[3] ^= 1;
    let lines: Vec<String> = changed.iter().map(|unit| serde_json::to_string(unit).expect("JSON")).collect();
    std::fs::write(&path, lines.join("\n") + "\n").expect("written");
    let error = check().expect_err("a changed unit");
    assert!(units[1].parts.iter().any(|part| error.contains(&part.item.to_string())), "{error}");
    std::fs::write(&path, text).expect("restored");
}
