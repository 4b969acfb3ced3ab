//! Erasing units from a cache: their features go, the root stays.
//!
//! `erased.json` names the erased rows, each with the leaf that its features had under the root, and is written before a row's features
//! are set to zero; so a cache that was cut off in between still opens, and the same call finishes it. [`super::Cache::open`] takes
//! the named leaf for a row of zeros and the features of every other row, so the root that was committed is still the one that is
//! checked. A row of zeros scores exactly zero: nothing erased is paid, and nothing about it can be computed again.
//!
//! A row that several documents share goes as a whole, since the others' features cannot be told from the erased one's. What is
//! common to all rows stays: projections, curvature, rule, and one number a row for its own noise.
//!
//! Raw features that a killed build left and drafts of files are removed with it; a build that did not end is removed whole.

use super::{
    Commitment, UnitMeta,
    files::{CacheError, PROJECTION, Plan, at, read_json, shard_path, shard_range, write_json},
    inverse,
    plan::Parts,
    shard::Shard,
};
use crate::influence::curvature::BLOCK_UNITS;
use primitives::B256;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

/// Names the erased rows.
const FILE: &str = "erased.json";

/// A row whose features are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ErasedRow {
    row: u64,
    /// What its features were under the root.
    leaf: B256,
}

/// What an erasure took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Erasure {
    /// Units it was asked for.
    pub units: usize,
    /// Units of others that shared a row with one of them: they lost that row too.
    pub neighbours: usize,
    /// Numbers of the units whose row has no features any more, these and earlier ones.
    #[serde(skip)]
    pub without_features: Vec<usize>,
}

/// The rows that were erased, with their leaves.
pub(super) fn rows(folder: &Path) -> Result<BTreeMap<u64, B256>, CacheError> {
    let listed: Option<Vec<ErasedRow>> = read_json(&folder.join(FILE))?;
    Ok(listed.unwrap_or_default().into_iter().map(|erased| (erased.row, erased.leaf)).collect())
}

/// Leaves of a shard's rows under the root: of an erased row the one it had.
pub(super) fn leaves(shard: &Shard, erased: &BTreeMap<u64, B256>) -> Vec<B256> {
    let leaf = |(row, computed): (usize, B256)| match erased.get(&(shard.first + row as u64)) {
        Some(before) if shard.is_erased(row) => *before,
        _ => computed,
    };
    shard.leaves().into_iter().enumerate().map(leaf).collect()
}

/// Erases the units that `of` names from the cache in `folder`, whether it is finished or not. Calling it again is no error.
///
/// # Errors
/// [`CacheError`] when the disk fails or a file is damaged; the same call goes on later.
pub fn erase(folder: &Path, of: &dyn Fn(&UnitMeta) -> bool) -> Result<Erasure, CacheError> {
    remove_drafts(folder)?;
    let Some(units) = read_json::<Vec<UnitMeta>>(&folder.join("units.json"))? else {
        return Ok(Erasure::default());
    };
    let wanted: BTreeSet<usize> = (0..units.len()).filter(|unit| of(&units[*unit])).collect();
    let commitment: Option<Commitment> = read_json(&folder.join("commitment.json"))?;
    let plan = Plan::read(folder)?;
    let (Some(commitment), Some(plan)) = (commitment, plan) else {
        if !wanted.is_empty() {
            remove_unfinished(folder)?;
        }
        return Ok(Erasure { units: wanted.len(), ..Erasure::default() });
    };
    let covers = plan.parts.iter().map(|count| u64::from(*count)).sum::<u64>() == units.len() as u64;
    if !covers || plan.parts.contains(&0) {
        let path = folder.join("plan.json");
        return Err(CacheError::Damaged { path, what: "its rows are not made of its units" });
    }
    plan.options.check()?;
    let parts = Parts::from_counts(&plan.parts);
    remove_shards(folder, "features")?;
    let (mut known, mut neighbours) = (rows(folder)?, 0);
    let mut gone: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, units) in parts.each().enumerate() {
        let asked = units.clone().filter(|unit| wanted.contains(unit)).count();
        if asked > 0 {
            neighbours += units.len() - asked;
            gone.entry(row / (BLOCK_UNITS * plan.options.shard_blocks)).or_default().push(row);
        }
    }
    for (index, rows) in gone {
        let path = shard_path(folder, "influence", index);
        let (first, count) = shard_range(parts.rows(), &plan.options, index);
        let mut shard = Shard::read(&path, first as u64, count, commitment.width)?
            .ok_or(CacheError::Damaged { path: path.clone(), what: "it is missing" })?;
        let leaves = leaves(&shard, &known);
        for row in &rows {
            known.entry(*row as u64).or_insert(leaves[row - first]);
        }
        let listed: Vec<ErasedRow> =
            known.iter().map(|(row, leaf)| ErasedRow { row: *row, leaf: *leaf }).collect();
        write_json(&folder.join(FILE), &listed)?;
        for row in rows {
            shard.erase(row - first);
        }
        shard.write(&path)?;
    }
    let without_features = known
        .keys()
        .filter(|row| **row < parts.rows() as u64)
        .flat_map(|row| parts.units(*row as usize))
        .collect();
    Ok(Erasure { units: wanted.len(), neighbours, without_features })
}

/// Removes what a build that did not end has written.
fn remove_unfinished(folder: &Path) -> Result<(), CacheError> {
    for kind in ["features", "influence"] {
        remove_shards(folder, kind)?;
    }
    for name in ["plan.json", "commitment.json", PROJECTION, inverse::FILE, "noise", FILE, "units.json"] {
        remove(&folder.join(name))?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), CacheError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

/// Removes the folder's files whose name fits.
fn remove_files(folder: &Path, fits: impl Fn(&str) -> bool) -> Result<(), CacheError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(at(folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(at(folder))?;
        if entry.file_name().to_str().is_some_and(&fits) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_shards(folder: &Path, kind: &str) -> Result<(), CacheError> {
    let number =
        |name: &str| name.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-')).map(str::to_string);
    remove_files(folder, |name| {
        number(name).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// Files that a killed process was writing.
fn remove_drafts(folder: &Path) -> Result<(), CacheError> {
    remove_files(folder, |name| name.ends_with(".draft"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        influence::{
            cache::{Cache, Options, Unit, build},
            query::{Attribution, attribute},
            toy::{Toy, ToyItem},
        },
        shares::NOVELTY_ONE,
    };
    use ops::Ctx;
    use primitives::Amount;

    const OPTIONS: Options = Options {
        rank: 4,
        damping: 3,
        seed: 11,
        unit_tokens: 8,
        clip_percent: 200,
        floor_percent: 100,
        own_floor_percent: 0,
        cap_percent: 2000,
        sample: 16,
        shard_blocks: 1,
    };

    fn meta(number: usize) -> UnitMeta {
        UnitMeta {
            id: B256::with_last_byte(number as u8),
            document: number as u32,
            owner: number as u32 % 5,
            tokens: 2,
            novelty: NOVELTY_ONE,
        }
    }

    /// A cache of `rows` rows; units 10 and 11 share row 10, so that later units stand one row earlier.
    fn cached(folder: &Path, rows: usize) -> Result<Cache, CacheError> {
        let items: Vec<ToyItem> = (0..rows as u64).map(|i| ToyItem::new(2, i)).collect();
        let place = |unit: usize| if unit > 10 { unit - 1 } else { unit };
        let units: Vec<Unit<'_, ToyItem>> =
            (0..=rows).map(|unit| Unit { item: &items[place(unit)], meta: meta(unit) }).collect();
        build(&Ctx::single(), &Toy::new(1), &units, &OPTIONS, folder, &mut |_| {})
    }

    fn asked(cache: &Cache) -> Attribution {
        let answer = ToyItem::new(3, 999);
        attribute(&Ctx::single(), cache, &Toy::new(1), &answer, &[], Amount::open(1)).unwrap()
    }

    fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
    }

    /// Quantised numbers of a row, as they stand in its file.
    fn row(cache: &Cache, row: usize) -> Vec<u8> {
        let (values, _) = cache.shards[row / BLOCK_UNITS].features.row(row % BLOCK_UNITS);
        super::super::shard::bytes_of(&values)
    }

    #[test]
    fn an_erased_units_features_are_nowhere_and_the_committed_root_still_holds() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cached(folder.path(), 290).unwrap();
        // One alone in its row, one that shares its row, one in the second shard.
        let (wanted, rows) = ([3, 11, 280], [3, 10, 279]);
        let needles: Vec<Vec<u8>> = rows.iter().map(|r| row(&cache, *r)).collect();
        // What a kill at the wrong moment leaves.
        fs::write(folder.path().join("influence-00000.draft"), &needles[0]).unwrap();
        fs::write(folder.path().join("features-00001"), &needles[1]).unwrap();
        let contains = |bytes: &[u8], needle: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
        for needle in &needles {
            assert!(files(folder.path()).iter().any(|(_, bytes)| contains(bytes, needle)), "found before");
        }
        let before = asked(&cache);
        let of = |unit: &UnitMeta| {
            wanted.iter().any(|w| meta(*w).id == unit.id && meta(*w).document == unit.document)
        };
        let erasure = erase(folder.path(), &of).unwrap();
        assert_eq!((erasure.units, erasure.neighbours), (3, 1));
        assert_eq!(erasure.without_features, [3, 10, 11, 280]);
        for (name, bytes) in files(folder.path()) {
            for needle in &needles {
                // Any sixteen numbers of the row, not only the whole of it.
                assert!(needle.chunks_exact(8).all(|part| !contains(&bytes, part)), "{name}");
            }
        }
        let again = Cache::open(folder.path()).unwrap();
        assert_eq!(again.commitment(), cache.commitment());
        let after = asked(&again);
        for unit in 0..=290 {
            let (old, new) = (before.scores[unit], after.scores[unit]);
            if erasure.without_features.contains(&unit) {
                assert_eq!(after.shares.weights[unit], 0, "unit {unit} is not paid");
            } else {
                assert_eq!(old, new, "unit {unit} scores as before");
            }
        }
        // Once more is no error and changes nothing.
        let left = files(folder.path());
        assert_eq!(erase(folder.path(), &of).unwrap(), erasure);
        assert_eq!(files(folder.path()), left);
    }

    #[test]
    fn an_erasure_that_was_cut_off_opens_and_is_finished_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cached(folder.path(), 290).unwrap();
        let whole = fs::read(folder.path().join("influence-00000")).unwrap();
        let of = |unit: &UnitMeta| unit.document == 3;
        erase(folder.path(), &of).unwrap();
        let gone = fs::read(folder.path().join("influence-00000")).unwrap();
        // The list was written, the shard not yet.
        fs::write(folder.path().join("influence-00000"), whole).unwrap();
        assert_eq!(Cache::open(folder.path()).unwrap().commitment(), cache.commitment());
        erase(folder.path(), &of).unwrap();
        assert_eq!(fs::read(folder.path().join("influence-00000")).unwrap(), gone);
        assert_eq!(Cache::open(folder.path()).unwrap().commitment(), cache.commitment());
    }

    #[test]
    fn a_row_set_to_zero_without_its_leaf_is_refused_and_so_is_another_leaf() {
        let folder = tempfile::tempdir().unwrap();
        cached(folder.path(), 40).unwrap();
        erase(folder.path(), &|unit| unit.document == 3).unwrap();
        let list = folder.path().join(FILE);
        let good = fs::read_to_string(&list).unwrap();
        fs::write(&list, "[]").unwrap();
        assert!(matches!(Cache::open(folder.path()), Err(CacheError::OtherRoot { .. })));
        let mut leaf: Vec<ErasedRow> = serde_json::from_str(&good).unwrap();
        leaf[0].leaf.0[0] ^= 1;
        fs::write(&list, serde_json::to_vec(&leaf).unwrap()).unwrap();
        assert!(matches!(Cache::open(folder.path()), Err(CacheError::OtherRoot { .. })));
    }

    #[test]
    fn an_unfinished_build_goes_as_a_whole_and_a_folder_without_one_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(erase(&folder.path().join("none"), &|_| true).unwrap(), Erasure::default());
        cached(folder.path(), 40).unwrap();
        fs::remove_file(folder.path().join("commitment.json")).unwrap();
        assert_eq!(erase(folder.path(), &|_| false).unwrap().units, 0);
        assert!(folder.path().join("influence-00000").exists(), "nothing of it was named");
        assert_eq!(erase(folder.path(), &|unit| unit.document == 3).unwrap().units, 1);
        assert_eq!(files(folder.path()), vec![]);
    }
}
