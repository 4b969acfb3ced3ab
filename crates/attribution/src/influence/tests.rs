use super::{
    cache::{self, Cache, CacheError, DAMPING_GRID, Options, Unit, UnitMeta, build},
    projection::{FeatureError, Projector},
    query::{Query, SPAN_ROWS, attribute, highest, of_all, score, score_all},
    taps::{TapError, Tapped as _},
    toy::{HIDDEN, INPUTS, OUTPUTS, Toy, ToyItem},
};
use crate::shares::{NOVELTY_ONE, Outcome};
use ops::{Ctx, wide};
use primitives::{Amount, B256};
use std::path::Path;

const OPTIONS: Options = Options {
    rank: 4,
    damping: 3,
    seed: 11,
    unit_tokens: 4,
    clip_percent: 200,
    floor_percent: 100,
    own_floor_percent: 0,
    cap_percent: 2000,
    sample: 16,
    shard_blocks: 1,
};

fn items(count: usize) -> Vec<ToyItem> {
    (0..count as u64).map(|i| ToyItem::new(1 + i as usize % 4, i)).collect()
}

fn units(items: &[ToyItem]) -> Vec<Unit<'_, ToyItem>> {
    items
        .iter()
        .zip(0u32..)
        .map(|(item, i)| Unit {
            item,
            meta: UnitMeta {
                id: B256::with_last_byte(i as u8),
                document: i,
                owner: i % 5,
                tokens: 1 + i % 4,
                novelty: NOVELTY_ONE,
            },
        })
        .collect()
}

fn built(folder: &Path, items: &[ToyItem], options: &Options) -> Result<Cache, CacheError> {
    build(&Ctx::single(), &Toy::new(1), &units(items), options, folder, &mut |_| {})
}

/// Root and the bits of one query's digest.
fn fingerprint(cache: &Cache) -> (B256, B256) {
    let answer = ToyItem::new(3, 999);
    let attribution = attribute(
        &Ctx::single(),
        cache,
        &Toy::new(1),
        &answer,
        std::slice::from_ref(&(0..2)),
        Amount::open(1),
    )
    .unwrap();
    (cache.commitment().root, attribution.digest())
}

#[test]
fn scores_equal_a_dense_solve_of_the_definition() {
    // A rank as wide as the layers: nothing is projected. A clip that nothing reaches.
    let options = Options { rank: 8, clip_percent: 1_000_000, ..OPTIONS };
    let (folder, items) = (tempfile::tempdir().unwrap(), items(40));
    let cache = built(folder.path(), &items, &options).unwrap();
    let (ctx, toy, answer) = (Ctx::single(), Toy::new(1), ToyItem::new(3, 999));

    let gradient = |item: &ToyItem| {
        let mut blocks = vec![vec![0f64; INPUTS * HIDDEN], vec![0f64; HIDDEN * OUTPUTS]];
        toy.backward(&ctx, item, &mut |tap| {
            let (n, m) = [(INPUTS, HIDDEN), (HIDDEN, OUTPUTS)][tap.layer];
            for (x, d) in tap.inputs.chunks_exact(n).zip(tap.gradients.chunks_exact(m)) {
                for i in 0..n {
                    for j in 0..m {
                        blocks[tap.layer][i * m + j] += f64::from(x[i]) * f64::from(d[j]);
                    }
                }
            }
        })
        .unwrap();
        blocks
    };
    let all: Vec<_> = items.iter().map(gradient).collect();
    let query = gradient(&answer);
    let (mut expected, mut length) = (vec![0.0; items.len()], 0.0);
    for layer in 0..2 {
        let n = query[layer].len();
        let mut f = vec![0.0; n * n];
        for g in &all {
            for i in 0..n {
                for j in 0..n {
                    f[i * n + j] += g[layer][i] * g[layer][j];
                }
            }
        }
        let mean = (0..n).map(|i| f[i * n + i]).sum::<f64>() / n as f64;
        (0..n).for_each(|i| f[i * n + i] += DAMPING_GRID[3] * mean);
        wide::cholesky(&ctx, n, &mut f).unwrap();
        let mut solved = query[layer].clone();
        wide::solve_cholesky(&ctx, n, &f, &mut solved);
        let scale = cache.commitment().unit_scale;
        for (score, g) in expected.iter_mut().zip(&all) {
            *score += scale * solved.iter().zip(&g[layer]).map(|(a, b)| a * b).sum::<f64>();
        }
        length += scale / mean * query[layer].iter().map(|x| x * x).sum::<f64>();
    }
    for (got, expected) in unquantised(folder.path(), &cache, &items, &answer).iter().zip(&expected) {
        let expected = expected / length.sqrt();
        assert!((got - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{got} {expected}");
    }
}

#[test]
fn the_root_and_a_query_do_not_depend_on_threads_shards_or_a_kill() {
    let items = items(700);
    let scratch = tempfile::tempdir().unwrap();
    let folder = |name: &str| scratch.path().join(name);
    let expected = fingerprint(&built(&folder("plain"), &items, &OPTIONS).unwrap());
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let ctx = Ctx::single().with_threads(threads);
        let cache = pool
            .install(|| {
                let name = format!("threads {threads}");
                build(&ctx, &Toy::new(1), &units(&items), &OPTIONS, &folder(&name), &mut |_| {})
            })
            .unwrap();
        assert_eq!(fingerprint(&cache), expected);
    }
    for shard_blocks in [2, 3, 100] {
        let options = Options { shard_blocks, ..OPTIONS };
        let cache = built(&folder(&format!("shards {shard_blocks}")), &items, &options).unwrap();
        assert_eq!(fingerprint(&cache), expected);
    }
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for kill_after in 0..12 {
        let folder = folder(&format!("killed {kill_after}"));
        let mut left = kill_after;
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            build(&Ctx::single(), &Toy::new(1), &units(&items), &OPTIONS, &folder, &mut |_| {
                if left == 0 {
                    std::panic::resume_unwind(Box::new("killed"));
                }
                left -= 1;
            })
        }));
        assert_eq!(killed.is_err(), kill_after < 11, "a build reports progress eleven times");
        let cache = built(&folder, &items, &OPTIONS).unwrap();
        assert_eq!(fingerprint(&cache), expected);
    }
    std::panic::set_hook(hook);
}

#[test]
fn a_cache_is_refused_when_anything_in_it_was_changed() {
    let (scratch, items) = (tempfile::tempdir().unwrap(), items(300));
    let folder = scratch.path();
    built(folder, &items, &OPTIONS).unwrap();
    for name in ["influence-00000", "influence-00001", "curvature", "noise"] {
        let path = folder.join(name);
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[100] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        assert!(matches!(Cache::open(folder), Err(CacheError::Damaged { what: "its digest differs", .. })));
        std::fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(matches!(Cache::open(folder), Err(CacheError::Damaged { what: "its length is wrong", .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Cache::open(folder), Err(CacheError::Damaged { what: "it is missing", .. })));
        std::fs::write(&path, &good).unwrap();
    }
    let path = folder.join("commitment.json");
    let good = std::fs::read_to_string(&path).unwrap();
    let floor = Cache::open(folder).unwrap().commitment().rule.floor;
    std::fs::write(&path, good.replace(&format!("\"floor\": {floor}"), "\"floor\": 0")).unwrap();
    assert!(matches!(Cache::open(folder), Err(CacheError::OtherRoot { .. })));
    std::fs::write(&path, "{").unwrap();
    assert!(matches!(Cache::open(folder), Err(CacheError::Damaged { .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(Cache::open(folder), Err(CacheError::Unfinished { .. })));
}

#[test]
fn a_cache_of_another_format_is_refused_with_what_to_do() {
    let (scratch, items) = (tempfile::tempdir().unwrap(), items(30));
    let folder = scratch.path();
    built(folder, &items, &OPTIONS).unwrap();
    let path = folder.join("plan.json");
    let plan = std::fs::read_to_string(&path).unwrap();
    // Plans of the first format did not say so.
    let first = plan.replace("\"format\": 5,", "");
    assert_ne!(first, plan);
    std::fs::write(&path, first).unwrap();
    for refused in [Cache::open(folder).map(drop), built(folder, &items, &OPTIONS).map(drop)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, CacheError::OtherFormat { found: 1, .. }));
        assert!(error.to_string().contains("build the cache again"), "{error}");
    }
}

#[test]
fn answers_scored_together_get_the_bits_that_they_get_alone() {
    let (scratch, items) = (tempfile::tempdir().unwrap(), items(300));
    let cache = built(scratch.path(), &items, &OPTIONS).unwrap();
    let answers: Vec<ToyItem> = (0..11).map(|i| ToyItem::new(1 + i as usize % 6, 900 + i)).collect();
    let spans = [0..2, 2..4];
    let toy = Toy::new(1);
    let mut queries: Vec<Query<'_, ToyItem>> =
        answers.iter().map(|item| Query { item, spans: &spans }).collect();
    let broken = ToyItem { inputs: vec![f32::NAN; INPUTS], targets: vec![0.0; OUTPUTS] };
    queries.insert(4, Query { item: &broken, spans: &spans });
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    for threads in [1, 2] {
        let ctx = Ctx::single().with_threads(threads);
        let together = pool.install(|| score_all(&ctx, &cache, &toy, &queries));
        assert_eq!(together.len(), queries.len());
        for (place, (query, got)) in queries.iter().zip(together).enumerate() {
            match score(&Ctx::single(), &cache, &toy, query.item, query.spans) {
                Ok(alone) => {
                    let got = got.unwrap();
                    assert_eq!((got.total(), got.of_spans()), (alone.total(), alone.of_spans()));
                }
                Err(_) => assert!(place == 4 && got.is_err()),
            }
        }
    }
}

/// Scores as they are before features are rounded to four bits and the query to two terms of eight.
fn unquantised(folder: &Path, cache: &Cache, items: &[ToyItem], answer: &ToyItem) -> Vec<f64> {
    let (ctx, toy, commitment) = (Ctx::single(), Toy::new(1), cache.commitment());
    let feature = |item: &ToyItem| {
        let mut out = vec![0.0; cache.projector.width()];
        let rows = cache.projector.rows(&ctx, &toy, item).unwrap();
        cache.projector.feature(&ctx, &rows, 0..rows.count, commitment.clip, &mut out);
        out
    };
    let raw: Vec<f32> = items.iter().flat_map(feature).collect();
    let inverse = cache::inverse::whole(folder, &cache.projector).unwrap();
    let influence = inverse.apply(&ctx, &raw, commitment.unit_scale);
    let query = feature(answer);
    let length = cache.scales.length(&ctx, &query, commitment.unit_scale);
    let dot = |row: &[f32]| row.iter().zip(&query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    influence.chunks_exact(query.len()).map(|row| dot(row) / length).collect()
}

#[test]
fn quantised_scores_are_those_of_f32_but_for_an_eighth_of_their_size() {
    let (scratch, items) = (tempfile::tempdir().unwrap(), items(300));
    let cache = built(scratch.path(), &items, &OPTIONS).unwrap();
    let (ctx, toy) = (Ctx::single(), Toy::new(1));
    for seed in 0..8 {
        let answer = ToyItem::new(3, 700 + seed);
        let exact = unquantised(scratch.path(), &cache, &items, &answer);
        let got = score(&ctx, &cache, &toy, &answer, &[]).unwrap();
        let (mut moved, mut size) = (0.0, 0.0);
        for (expected, got) in exact.iter().zip(got.total()) {
            moved += (expected - got).powi(2);
            size += expected.powi(2);
        }
        // Four bits step by a seventh of a group's largest number: some 12 % of the length of a row, in no direction of its own.
        assert!(moved.sqrt() < 0.16 * size.sqrt(), "{moved} of {size}");
    }
}

#[test]
fn another_model_or_other_data_is_refused() {
    let (scratch, items) = (tempfile::tempdir().unwrap(), items(30));
    let folder = scratch.path();
    let cache = built(folder, &items, &OPTIONS).unwrap();
    let (ctx, other, answer) = (Ctx::single(), Toy::new(2), ToyItem::new(1, 5));
    let asked = attribute(&ctx, &cache, &other, &answer, &[], Amount(1));
    assert!(matches!(asked, Err(CacheError::OtherModel { .. })));
    for attempt in [
        build(&ctx, &other, &units(&items), &OPTIONS, folder, &mut |_| {}),
        built(folder, &items[1..], &OPTIONS),
        built(folder, &items, &Options { damping: 4, ..OPTIONS }),
    ] {
        assert!(matches!(attempt, Err(CacheError::OtherPlan { .. })));
    }
}

#[test]
fn bad_units_options_and_gradients_are_refused() {
    let (scratch, good) = (tempfile::tempdir().unwrap(), items(10));
    let folder = |name: &str| scratch.path().join(name);
    assert!(matches!(built(&folder("none"), &[], &OPTIONS), Err(CacheError::NoUnits)));
    let mut long = units(&good);
    long[3].meta.tokens = 5;
    let refused = build(&Ctx::single(), &Toy::new(1), &long, &OPTIONS, &folder("long"), &mut |_| {});
    assert!(matches!(refused, Err(CacheError::BadUnit { unit: 3, tokens: 5, limit: 4 })));
    let options = Options { rank: 0, ..OPTIONS };
    assert!(matches!(built(&folder("rank"), &good, &options), Err(CacheError::Options(_))));
    let mut poisoned = good.clone();
    poisoned[7].inputs[0] = f32::NAN;
    let refused = built(&folder("nan"), &poisoned, &OPTIONS);
    assert!(matches!(refused, Err(CacheError::Unit { unit: 7, source: FeatureError::NotFinite { .. } })));
    let mut empty = good.clone();
    empty[2] = ToyItem { inputs: vec![], targets: vec![] };
    let refused = built(&folder("empty"), &empty, &OPTIONS);
    assert!(matches!(refused, Err(CacheError::Unit { unit: 2, source: FeatureError::Tap(TapError::Empty) })));
    let zero = vec![ToyItem { inputs: vec![0.0; INPUTS], targets: vec![0.0; OUTPUTS] }; 10];
    assert!(matches!(built(&folder("zero"), &zero, &OPTIONS), Err(CacheError::Silent)));
}

#[test]
fn an_answer_without_a_gradient_owes_nobody() {
    let (scratch, items) = (tempfile::tempdir().unwrap(), items(30));
    let cache = built(scratch.path(), &items, &OPTIONS).unwrap();
    let silent = ToyItem { inputs: vec![0.0; INPUTS], targets: vec![0.0; OUTPUTS] };
    let got = attribute(&Ctx::single(), &cache, &Toy::new(1), &silent, &[], Amount(77)).unwrap();
    assert_eq!((got.shares.outcome, got.shares.treasury), (Outcome::NoEvidence, Amount(77)));
    assert!(got.scores.iter().all(|score| *score == 0.0));
}

#[test]
fn one_unit_of_one_contributor_is_paid_for_repeating_itself() {
    let (scratch, items) = (tempfile::tempdir().unwrap(), items(1));
    let cache = built(scratch.path(), &items, &Options { floor_percent: 0, ..OPTIONS }).unwrap();
    let got = attribute(&Ctx::single(), &cache, &Toy::new(1), &items[0], &[], Amount(77)).unwrap();
    assert_eq!((got.shares.pay[0], got.contributors[0].share), (Amount(77), 1.0));
}

#[test]
fn the_scores_of_spans_add_up_to_the_total() {
    let (scratch, items) = (tempfile::tempdir().unwrap(), items(50));
    let cache = built(scratch.path(), &items, &OPTIONS).unwrap();
    let (ctx, toy, answer) = (Ctx::single(), Toy::new(1), ToyItem::new(6, 77));
    let spans = [0..2, 2..6];
    let scores = score(&ctx, &cache, &toy, &answer, &spans).unwrap();
    let total = scores.total();
    // Those that the answer owes most, the same through every span.
    let [first, second] = scores.of_spans() else { panic!("two spans") };
    let mut most: Vec<u32> = highest(of_all(total), SPAN_ROWS).iter().map(|unit| unit.unit).collect();
    most.sort_unstable();
    assert_eq!(most.len(), SPAN_ROWS);
    for span in [first, second] {
        assert_eq!(span.iter().map(|unit| unit.unit).collect::<Vec<_>>(), most);
    }
    // Answer and spans are quantised each by itself.
    let largest = total.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    for (first, second) in first.iter().zip(second) {
        let difference = first.score + second.score - total[first.unit as usize];
        assert!(difference.abs() < 0.02 * largest, "{first:?} {second:?}");
    }
    let got = attribute(&ctx, &cache, &toy, &answer, &spans, Amount(9)).unwrap();
    let past_the_end =
        attribute(&ctx, &cache, &toy, &answer, std::slice::from_ref(&(5..9)), Amount(9)).unwrap();
    assert_eq!(past_the_end.shares, got.shares);
}

#[test]
fn cutting_an_item_into_rows_leaves_the_sum_of_its_features() {
    // Rows of this model are independent, so cutting changes nothing but the order of addition.
    let (ctx, toy, whole) = (Ctx::single(), Toy::new(1), ToyItem::new(4, 3));
    let projector = Projector::new(toy.layers(), 4, 9).unwrap();
    let feature = |item: &ToyItem| {
        let mut out = vec![0.0; projector.width()];
        let rows = projector.rows(&ctx, &toy, item).unwrap();
        projector.feature(&ctx, &rows, 0..rows.count, 0.5, &mut out);
        out
    };
    let of_whole = feature(&whole);
    let mut of_parts = vec![0.0f32; of_whole.len()];
    for row in 0..4 {
        let part = ToyItem {
            inputs: whole.inputs[row * INPUTS..(row + 1) * INPUTS].to_vec(),
            targets: whole.targets[row * OUTPUTS..(row + 1) * OUTPUTS].to_vec(),
        };
        of_parts.iter_mut().zip(feature(&part)).for_each(|(sum, x)| *sum += x);
    }
    for (a, b) in of_whole.iter().zip(of_parts) {
        assert!((a - b).abs() < 1e-5);
    }
}

#[test]
fn a_row_is_clipped_to_the_constant_and_a_small_one_is_left() {
    let (ctx, toy) = (Ctx::single(), Toy::new(1));
    let projector = Projector::new(toy.layers(), 4, 9).unwrap();
    let rows = projector.rows(&ctx, &toy, &ToyItem::new(1, 3)).unwrap();
    let norm = |clip: f64| {
        let mut out = vec![0.0; projector.width()];
        projector.feature(&ctx, &rows, 0..1, clip, &mut out);
        ops::sum_squares(&ctx, &out).sqrt()
    };
    assert!((norm(1e9) - rows.norms[0]).abs() < 1e-6);
    assert!((norm(rows.norms[0] / 3.0) - rows.norms[0] / 3.0).abs() < 1e-6);
}

#[test]
fn units_without_novelty_change_no_bit_of_anyone_elses_score_or_pay() {
    let (scratch, good) = (tempfile::tempdir().unwrap(), items(300));
    let folder = |name: &str| scratch.path().join(name);
    let answer = ToyItem::new(3, 999);
    let asked = |cache: &Cache| {
        attribute(&Ctx::single(), cache, &Toy::new(1), &answer, &[], Amount::open(1)).unwrap()
    };
    let plain = asked(&built(&folder("plain"), &good, &OPTIONS).unwrap());
    // Copies of others and junk with long gradients, put between, before and after.
    let mut junk: Vec<ToyItem> = good[..40].to_vec();
    junk.extend(
        (0..40).map(|i| ToyItem { inputs: vec![9.0; INPUTS], targets: vec![-50.0 + i as f32; OUTPUTS] }),
    );
    let (mut mixed, mut is_junk): (Vec<Unit<'_, ToyItem>>, Vec<bool>) = (vec![], vec![]);
    let worthless = |item, i: usize| {
        let id = B256::with_last_byte(i as u8);
        let meta = UnitMeta { id, document: 1000 + i as u32, owner: 9, tokens: 4, novelty: 0 };
        Unit { item, meta }
    };
    for (i, unit) in units(&good).into_iter().enumerate() {
        if let Some(item) = junk.get(i) {
            mixed.push(worthless(item, i));
            is_junk.push(true);
        }
        mixed.push(unit);
        is_junk.push(false);
    }
    let cache = build(&Ctx::single(), &Toy::new(1), &mixed, &OPTIONS, &folder("mixed"), &mut |_| {}).unwrap();
    let got = asked(&cache);
    let kept = |values: &[f64]| -> Vec<f64> {
        values.iter().zip(&is_junk).filter(|(_, junk)| !**junk).map(|(x, _)| *x).collect()
    };
    assert_eq!((kept(&got.influence), kept(&got.scores)), (plain.influence, plain.scores));
    let pay = |attribution: &crate::influence::query::Attribution, owner| {
        attribution.contributors.iter().find(|c| c.owner == owner).map(|c| c.pay)
    };
    assert!((0..5).all(|owner| {
        let before = plain.contributors.iter().find(|c| c.owner == owner).map(|c| c.pay);
        pay(&got, owner) == before
    }));
    assert_eq!(pay(&got, 9), Some(Amount::ZERO));
    let copies: Vec<Unit<'_, ToyItem>> =
        junk.iter().enumerate().map(|(i, item)| worthless(item, i)).collect();
    let refused = build(&Ctx::single(), &Toy::new(1), &copies, &OPTIONS, &folder("copies"), &mut |_| {});
    assert!(matches!(refused, Err(CacheError::NothingNovel)));
}

#[test]
fn parts_of_one_row_share_its_score_by_their_tokens() {
    let (scratch, good) = (tempfile::tempdir().unwrap(), items(60));
    let whole = units(&good);
    // Every full unit now belongs to two documents, one of three tokens and one of one.
    let mut parts: Vec<Unit<'_, ToyItem>> = vec![];
    for unit in &whole {
        if unit.meta.tokens == 4 {
            let part =
                |tokens, document| Unit { item: unit.item, meta: UnitMeta { tokens, document, ..unit.meta } };
            parts.extend([part(3, unit.meta.document), part(1, unit.meta.document + 1)]);
        } else {
            parts.push(Unit { item: unit.item, meta: unit.meta });
        }
    }
    let options = Options { own_floor_percent: 50, ..OPTIONS };
    let ask = |units: &[Unit<'_, ToyItem>], name: &str| {
        let folder = scratch.path().join(name);
        let (ctx, toy) = (Ctx::single(), Toy::new(1));
        build(&ctx, &toy, units, &options, &folder, &mut |_| {}).unwrap();
        let cache = Cache::open(&folder).unwrap();
        attribute(&ctx, &cache, &toy, &ToyItem::new(3, 999), &[], Amount::open(1)).unwrap()
    };
    let (before, after) = (ask(&whole, "whole"), ask(&parts, "parts"));
    let mut at = 0;
    for (unit, score) in whole.iter().zip(&before.influence) {
        if unit.meta.tokens == 4 {
            assert_eq!(after.influence[at], score * 0.75);
            assert_eq!(after.influence[at + 1], score * 0.25);
            at += 2;
        } else {
            assert_eq!(after.influence[at], *score);
            at += 1;
        }
    }
    let too_many: Vec<Unit<'_, ToyItem>> =
        (0..2).map(|_| Unit { item: &good[3], meta: whole[3].meta }).collect();
    let folder = scratch.path().join("too many");
    let refused = build(&Ctx::single(), &Toy::new(1), &too_many, &OPTIONS, &folder, &mut |_| {});
    assert!(matches!(refused, Err(CacheError::BadUnit { unit: 0, tokens: 8, limit: 4 })));
}

#[test]
fn flipping_a_training_target_moves_the_units_score() {
    let (scratch, mut items) = (tempfile::tempdir().unwrap(), items(60));
    let ask = |items: &[ToyItem], name: &str| {
        let cache = built(&scratch.path().join(name), items, &OPTIONS).unwrap();
        score(&Ctx::single(), &cache, &Toy::new(1), &ToyItem::new(3, 999), &[]).unwrap().total()[7]
    };
    let before = ask(&items, "before");
    items[7].targets.iter_mut().for_each(|target| *target = -*target);
    let after = ask(&items, "after");
    assert!((before - after).abs() > 0.05 * before.abs(), "{before} {after}");
}
