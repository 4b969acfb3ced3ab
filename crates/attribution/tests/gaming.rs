//! Attacks on the shares, over a small language model that is trained on real text and a cache that is really built: what an attacker's share
//! and the honest owners' shares do when one owner games the rule (RULEBOOK R2, R3).
//!
//! Text: the documentation of this repository's crates, an owner a crate (`tests/data/documents.jsonl`). Each attack is also run with its
//! defence switched off, and must then succeed, or the test would show nothing.
//!
//! Every attack, for the table of docs/benchmarks/attribution.md: `OPENLEDGER_GAMING=all cargo test -p attribution --test gaming -- --nocapture`.

use attribution::{
    commands::data,
    influence::{
        cache::{Options, Unit, UnitMeta, build},
        language::{Language, cut, pack, scored_tokens},
        query::attribute,
    },
    shares::NOVELTY_ONE,
};
use model::{Config, Example, Model, Tokenizer, TrainOptions, Trainer, data::Items};
use ops::Ctx;
use primitives::Amount;
use std::{path::Path, sync::OnceLock};

/// Tokens of a unit.
const UNIT: usize = 64;
/// Steps of training, of 16 units each.
const STEPS: u64 = 300;
/// Prompt and answer of a query.
const QUERY: (usize, usize) = (16, 48);
/// What an attacker may gain, and an honest owner's share may move.
const TOLERANCE: f64 = 0.05;
const VOCABULARY: usize = 512;

#[derive(Clone)]
struct Document {
    owner: u32,
    tokens: Vec<u32>,
    novelty: u32,
}

struct World {
    documents: Vec<Document>,
    owners: usize,
    model: Trained,
    queries: Vec<Example>,
}

/// A model, and the weights that its answers are attributed by, as served ones are: the mean of those a quarter and half of the way through training.
struct Trained {
    last: Model,
    attributed: Model,
}

/// Trained once for all tests.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/documents.jsonl");
        let read = data::documents(&path).unwrap();
        let texts = read.list.iter().map(|d| d.text.as_str());
        let tokenizer = Tokenizer::train_bpe(texts, VOCABULARY, &[]).unwrap();
        let documents: Vec<Document> = read
            .list
            .iter()
            .map(|d| Document {
                owner: d.owner,
                tokens: tokenizer.encode(&d.text, false).unwrap(),
                novelty: NOVELTY_ONE,
            })
            .collect();
        let (units, _) = packed(&documents, |_| false);
        let model = train(&Config::gpt(tokenizer.vocabulary(), 2, 2, 64, UNIT), units, 0);
        // Answers as a model gives them that learned its text: stretches of it, one a document.
        let stretch = |d: &Document| {
            let (prompt, answer) = QUERY;
            let start = d.tokens.len() / 2;
            let tokens = d.tokens.get(start..start + prompt + answer)?;
            Some(Example::answer(&tokens[..prompt], &tokens[prompt..]))
        };
        let stride = if every() { 1 } else { 2 };
        let queries = documents.iter().step_by(stride).filter_map(stretch).collect();
        World { documents, owners: read.owners.len(), model, queries }
    })
}

/// Trained under a seed of weights and order.
fn train(config: &Config, examples: Vec<Example>, seed: u64) -> Trained {
    let data = Items::new(examples).unwrap();
    let never = 1 << 20;
    let options = TrainOptions {
        state_root_every: never,
        checkpoint_every: never,
        seed,
        ..TrainOptions::new(STEPS, 16)
    };
    let model = Model::initial(config.clone(), 1 + seed).unwrap();
    let mut trainer = Trainer::new(Ctx::detect(), model, &data, None, options).unwrap();
    let mut checkpoints = vec![];
    for step in 1..=STEPS {
        trainer.step(&data).unwrap();
        if [STEPS / 4, STEPS / 2].contains(&step) {
            checkpoints.push(trainer.model().clone());
        }
    }
    let attributed = Model::mean(&Ctx::detect(), &checkpoints).unwrap();
    Trained { last: trainer.into_model().0, attributed }
}

/// The protocol's units: one stream, in which the documents of `apart` have no part but are cut one by one.
fn packed(
    documents: &[Document],
    apart: impl Fn(&Document) -> bool,
) -> (Vec<Example>, Vec<(usize, UnitMeta)>) {
    let (mut examples, mut metas) = (vec![], vec![]);
    let meta = |number: u32, example: &Example, tokens: u32| {
        let Document { owner, novelty, .. } = documents[number as usize];
        let id = model::commitment::example_hash(&example.tokens, &example.targets);
        UnitMeta { id, document: number, owner, tokens, novelty }
    };
    let stream: Vec<u32> = (0..documents.len() as u32).filter(|n| !apart(&documents[*n as usize])).collect();
    let tokens: Vec<&[u32]> = stream.iter().map(|n| &documents[*n as usize].tokens[..]).collect();
    for unit in pack(&tokens, None, UNIT) {
        for (place, tokens) in unit.parts {
            metas.push((examples.len(), meta(stream[place as usize], &unit.example, tokens)));
        }
        examples.push(unit.example);
    }
    for (number, document) in (0u32..).zip(documents).filter(|(_, document)| apart(document)) {
        for example in cut(&document.tokens, UNIT) {
            metas.push((examples.len(), meta(number, &example, scored_tokens(&example) as u32)));
            examples.push(example);
        }
    }
    (examples, metas)
}

/// Whether every attack is run, or one of each kind.
fn every() -> bool {
    std::env::var("OPENLEDGER_GAMING").is_ok_and(|what| what == "all")
}

/// Shares when everyone is honest, and the part of the queries that someone is paid for.
fn honest() -> &'static (Vec<f64>, f64) {
    static HONEST: OnceLock<(Vec<f64>, f64)> = OnceLock::new();
    HONEST.get_or_init(|| shares(&world().documents, defended()))
}

/// How the rule is run: with which defences.
#[derive(Clone, Copy)]
struct Rule {
    /// Own floor of every row, in hundredths of its noise.
    own_floor_percent: u32,
    /// Whether documents are cut one by one.
    cut_documents: bool,
}

/// As models are served.
fn defended() -> Rule {
    Rule { own_floor_percent: Options::default().own_floor_percent, cut_documents: false }
}

/// Mean share of each owner over the queries that someone is paid for, and the part of the queries that are.
fn shares(documents: &[Document], rule: Rule) -> (Vec<f64>, f64) {
    shares_under(&world().model, documents, rule)
}

fn shares_under(model: &Trained, documents: &[Document], rule: Rule) -> (Vec<f64>, f64) {
    let world = world();
    let (examples, metas) = packed(documents, |d| rule.cut_documents || d.novelty == 0);
    let units: Vec<Unit<'_, Example>> =
        metas.iter().map(|(row, meta)| Unit { item: &examples[*row], meta: *meta }).collect();
    let folder = tempfile::tempdir().unwrap();
    let options =
        Options { unit_tokens: UNIT as u32, own_floor_percent: rule.own_floor_percent, ..Options::default() };
    let (ctx, language) = (Ctx::detect(), Language::at(&model.last, &model.attributed));
    let cache = build(&ctx, &language, &units, &options, folder.path(), &mut |_| {}).unwrap();
    let owners = 1 + documents.iter().map(|d| d.owner as usize).max().unwrap_or(0);
    let (mut totals, mut paid) = (vec![0.0; owners], 0usize);
    for query in &world.queries {
        let got = attribute(&ctx, &cache, &language, query, &[], Amount::open(1)).unwrap();
        paid += usize::from(got.has_evidence());
        got.contributors.iter().for_each(|c| totals[c.owner as usize] += c.share);
    }
    let mean = totals.iter().map(|total| total / paid.max(1) as f64).collect();
    (mean, paid as f64 / world.queries.len() as f64)
}

/// What an attack does.
#[derive(Debug)]
struct Effect {
    /// The attacker's relative gain; a newcomer's share.
    gain: f64,
    /// Part of all pay that moves between honest owners.
    moved: f64,
}

/// Compares shares before and after. The attacker owns `mine` (before) and everything that `attackers` says (after).
#[allow(clippy::print_stdout)]
fn effect(
    name: &str,
    before: &[f64],
    after: &[f64],
    mine: usize,
    attackers: impl Fn(usize) -> bool,
) -> Effect {
    let held = before.get(mine).copied().unwrap_or(0.0);
    let got: f64 = (0..after.len()).filter(|o| attackers(*o)).map(|o| after[o]).sum();
    // A newcomer has nothing to gain on: its share itself is its gain.
    let gain = if held > 0.0 { got / held - 1.0 } else { got };
    let honest = (0..before.len()).filter(|o| *o != mine && !attackers(*o));
    let left: (f64, f64) = honest.clone().fold((0.0, 0.0), |sum, o| (sum.0 + before[o], sum.1 + after[o]));
    // Shares among the honest alone, so that what the attacker takes is not counted twice.
    let moves: Vec<f64> = honest.map(|o| (after[o] / left.1) / (before[o] / left.0) - 1.0).collect();
    let worst = moves.iter().fold(0.0f64, |most, x| if x.abs() > most { x.abs() } else { most });
    let among = (0..before.len()).filter(|o| *o != mine && !attackers(*o));
    let moved = among.zip(&moves).map(|(o, x)| x.abs() * before[o] / left.0 / 2.0).sum::<f64>();
    println!(
        "{name:36} share {held:.4} -> {got:.4}: gain {:+.1} %; of the honest, {:.1} % of pay moved, one owner's by {:.1} %",
        100.0 * gain,
        100.0 * moved,
        100.0 * worst
    );
    Effect { gain, moved }
}

/// Cuts each document of `owner` in `parts`; each part goes to `owner_of(part)`.
fn recut(owner: u32, parts: usize, owner_of: impl Fn(usize) -> u32) -> Vec<Document> {
    let mut all = vec![];
    for document in &world().documents {
        if document.owner != owner {
            all.push(document.clone());
            continue;
        }
        let length = document.tokens.len().div_ceil(parts).max(1);
        for (part, tokens) in document.tokens.chunks(length).enumerate() {
            all.push(Document { owner: owner_of(part), tokens: tokens.to_vec(), novelty: NOVELTY_ONE });
        }
    }
    all
}

/// An attacker that no one has heard of.
fn newcomer() -> u32 {
    world().owners as u32
}

fn and(more: impl IntoIterator<Item = Document>) -> Vec<Document> {
    world().documents.iter().cloned().chain(more).collect()
}

#[test]
fn recutting_merging_and_splitting_identities_gain_nothing() {
    let world = world();
    let (before, evidence) = honest();
    assert!(*evidence > 0.8, "the model learned its text: {evidence}");
    let owner = 5u32;
    let cuts: &[usize] = if every() { &[2, 4, 8, 16, 32, 64, 128] } else { &[128] };
    for parts in cuts {
        let after = shares(&recut(owner, *parts, |_| owner), defended()).0;
        let found =
            effect(&format!("recut x{parts}"), before, &after, owner as usize, |o| o == owner as usize);
        assert!(found.gain.abs() <= TOLERANCE && found.moved <= TOLERANCE, "{found:?}");
    }
    let split = recut(owner, 128, |part| if part % 2 == 0 { owner } else { newcomer() + part as u32 });
    let mine = |o: usize| o == owner as usize || o >= newcomer() as usize;
    let found =
        effect("identities x64, recut x128", before, &shares(&split, defended()).0, owner as usize, mine);
    assert!(found.gain.abs() <= TOLERANCE && found.moved <= TOLERANCE, "{found:?}");
    let mut merged: Vec<Document> = vec![];
    for document in &world.documents {
        match merged.last_mut() {
            Some(last) if last.owner == document.owner && document.owner == owner => {
                last.tokens.extend(&document.tokens);
            }
            _ => merged.push(document.clone()),
        }
    }
    let found =
        effect("merge", before, &shares(&merged, defended()).0, owner as usize, |o| o == owner as usize);
    assert!(found.gain.abs() <= TOLERANCE && found.moved <= TOLERANCE, "{found:?}");

    // Without packing somebody gains; who it is depends on where their documents end.
    let cut_documents = Rule { cut_documents: true, ..defended() };
    let before = shares(&world.documents, cut_documents).0;
    let gains = (0..world.owners as u32).any(|owner| {
        let after = shares(&recut(owner, 128, |_| owner), cut_documents).0;
        let name = format!("recut x128 by owner {owner}, documents cut one by one");
        effect(&name, &before, &after, owner as usize, |o| o == owner as usize).gain > TOLERANCE
    });
    assert!(gains, "without packing the attack should work for somebody");
}

#[test]
fn clones_thefts_and_near_duplicates_change_nobodys_share() {
    let world = world();
    let (before, _) = honest();
    let copy = |from: u32, to: u32, novelty: u32, edit: u32| {
        world.documents.iter().filter(move |d| d.owner == from).map(move |d| {
            let edited = |(i, token): (usize, &u32)| match edit > 0 && (i as u32).is_multiple_of(edit) {
                true => (token + 7) % VOCABULARY as u32,
                false => *token,
            };
            Document { owner: to, tokens: d.tokens.iter().enumerate().map(edited).collect(), novelty }
        })
    };
    let newcomer = newcomer();
    // Near-duplicates have novelty 0 like copies once the vault has settled them (RULEBOOK R3).
    let clones = (0..3).flat_map(|_| copy(5, 5, 0, 0));
    let more = clones.chain(copy(5, newcomer, 0, 0)).chain(copy(5, newcomer + 1, 0, 10));
    let after = shares(&and(more), defended()).0;
    effect("clones x3", before, &after, 5, |o| o == 5);
    effect("steal", before, &after, newcomer as usize, |o| o == newcomer as usize);
    effect("near-duplicate, 10 % edited", before, &after, newcomer as usize + 1, |o| {
        o == newcomer as usize + 1
    });
    assert_eq!(after[..world.owners], before[..], "copies change no bit of anyone's share");
    assert_eq!(after[world.owners..], [0.0, 0.0]);
    // Copies that pass for new are paid: what keeps them out is novelty.
    let undetected = copy(5, newcomer, NOVELTY_ONE, 0).collect::<Vec<_>>();
    let after = shares(&and(undetected), defended()).0;
    let found =
        effect("steal, novelty not settled", before, &after, newcomer as usize, |o| o == newcomer as usize);
    assert!(found.gain > 0.02, "{found:?}");
}

#[test]
fn junk_earns_next_to_nothing() {
    let world = world();
    let total: u64 = world.documents.iter().map(|d| d.tokens.len() as u64).sum();
    let stream = ops::Stream::new(5, 5);
    let all: Vec<u32> = world.documents.iter().flat_map(|d| d.tokens.clone()).collect();
    let random = (0..total / 4).map(|i| stream.below(i, VOCABULARY as u64) as u32).collect();
    let shuffled = (0..total / 4).map(|i| all[stream.below(i, all.len() as u64) as usize]).collect();
    let shuffled: Vec<u32> = shuffled;
    let boilerplate = shuffled[..200].iter().copied().cycle().take(total as usize / 4).collect();
    // Repeating an owner's text and not one's own makes its directions common: a copy in pieces, which novelty settles before it comes here.
    let stolen = all[..200].iter().copied().cycle().take(total as usize / 4).collect();
    let (before, _) = honest();
    let attacker = newcomer() as usize;
    if every() {
        // What junk that is trained on can be compared with: a model trained again without any.
        let again = train(&world.model.last.config, packed(&world.documents, |_| false).0, 1);
        let after = shares_under(&again, &world.documents, defended()).0;
        effect("no junk, trained under another seed", before, &after, attacker, |o| o == attacker);
    }
    for (name, tokens) in [
        ("random tokens", random),
        ("shuffled words", shuffled),
        ("one text repeated", boilerplate),
        ("an owner's text repeated", stolen),
    ] {
        let tokens: Vec<u32> = tokens;
        let documents = and([Document { owner: newcomer(), tokens, novelty: NOVELTY_ONE }]);
        for trained in [false, true] {
            // One of each kind: junk the model never saw, and junk it learned.
            if !every()
                && (name, trained) != ("random tokens", false)
                && (name, trained) != ("shuffled words", true)
            {
                continue;
            }
            let again;
            let model = if trained {
                again = train(&world.model.last.config, packed(&documents, |_| false).0, 0);
                &again
            } else {
                &world.model
            };
            let seen = if trained { "trained on" } else { "not trained on" };
            let after = shares_under(model, &documents, defended()).0;
            let found = effect(&format!("{name}, {seen}"), before, &after, attacker, |o| o == attacker);
            assert!(found.gain <= TOLERANCE && found.moved <= TOLERANCE, "{found:?}");
            if every() || !trained {
                let off = shares_under(model, &documents, Rule { own_floor_percent: 0, ..defended() }).0;
                let found = effect("  without own floors", before, &off, attacker, |o| o == attacker);
                assert!(
                    every() || found.gain > TOLERANCE,
                    "without own floors the attack should work: {found:?}"
                );
            }
        }
    }
}
