//! Building a cache, phase by phase, resuming what is there.

use super::{
    Cache, Commitment, Options, Unit, UnitMeta,
    calibrate::{calibrate, clip_constant},
    files::{
        self, Block, CacheError, FORMAT, MAX_UNITS, Plan, at, root, shard_count, shard_path, shard_range,
        write_json,
    },
    inverse,
    plan::{Parts, tokens_and_novelty, units_root},
    shard::Shard,
};
use crate::influence::{
    curvature::{Accumulator, BLOCK_UNITS, Inverse},
    projection::{FeatureError, Projector},
    taps::Tapped,
};
use ops::Ctx;
use primitives::B256;
use rayon::prelude::*;
use std::{fs, path::Path};

/// What a build is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Gradients of the units.
    Features,
    /// Curvature and its inverse.
    Curvature,
    /// Influence features.
    Influence,
    /// Floor and cap.
    Rule,
}

/// How far a build is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which phase.
    pub stage: Stage,
    /// Units done.
    pub done: usize,
    /// Units in all.
    pub total: usize,
}

struct Build<'a, M: Tapped> {
    ctx: &'a Ctx,
    model: &'a M,
    /// What the model is run on, row by row.
    items: Vec<&'a M::Item>,
    metas: &'a [UnitMeta],
    folder: &'a Path,
    plan: Plan,
    parts: Parts,
    projector: Projector,
}

/// Builds the cache of `model` over `units` in `folder`, or resumes a build that was cut off there, and opens it.
/// `progress` is called after each block of units.
pub fn build<M: Tapped>(
    ctx: &Ctx,
    model: &M,
    units: &[Unit<'_, M::Item>],
    options: &Options,
    folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Cache, CacheError> {
    options.check()?;
    let parts = Parts::of(units);
    check_units(units, &parts, options)?;
    fs::create_dir_all(folder).map_err(at(folder))?;
    let mut projector = Projector::new(model.layers(), options.rank, options.seed)?;
    let metas: Vec<UnitMeta> = units.iter().map(|unit| unit.meta).collect();
    let mut plan = Plan {
        format: FORMAT,
        model: model.identity(),
        units_root: units_root(&metas),
        units: units.len(),
        parts: parts.counts(),
        layers: Plan::layers_of(projector.layers()),
        options: *options,
        clip: 0.0,
    };
    let plan_path = folder.join("plan.json");
    match Plan::read(folder)? {
        Some(found) => {
            plan.clip = found.clip;
            if found != plan {
                return Err(CacheError::OtherPlan { path: folder.into() });
            }
            projector = files::projection(folder, projector)?;
        }
        None => {
            let rows: Vec<&M::Item> = parts.each().map(|row| units[row.start].item).collect();
            let sample = Plan::sample(&metas, &parts, options);
            let items: Vec<&M::Item> = sample.iter().map(|row| rows[*row]).collect();
            projector = projector.whitened(ctx, model, &items).map_err(|(place, source)| {
                CacheError::Unit { unit: parts.units(sample[place]).start, source }
            })?;
            projector.to_block().write(&folder.join(files::PROJECTION))?;
            plan.clip = clip_constant(ctx, model, &rows, &metas, &parts, options, &projector)?;
            write_json(&folder.join("units.json"), &metas)?;
            write_json(&plan_path, &plan)?;
        }
    }
    let items = parts.each().map(|row| units[row.start].item).collect();
    let build = Build { ctx, model, items, metas: &metas, folder, plan, parts, projector };
    if !folder.join("commitment.json").exists() {
        build.run(progress)?;
    }
    Cache::open(folder)
}

fn check_units<I: ?Sized>(units: &[Unit<'_, I>], parts: &Parts, options: &Options) -> Result<(), CacheError> {
    if units.is_empty() {
        return Err(CacheError::NoUnits);
    }
    if units.len() > MAX_UNITS {
        return Err(CacheError::TooManyUnits(units.len()));
    }
    let limit = options.unit_tokens;
    if let Some(unit) = units.iter().position(|unit| unit.meta.tokens == 0 || unit.meta.tokens > limit) {
        return Err(CacheError::BadUnit { unit, tokens: units[unit].meta.tokens, limit });
    }
    let tokens = |row: &std::ops::Range<usize>| -> u64 {
        units[row.clone()].iter().map(|unit| u64::from(unit.meta.tokens)).sum()
    };
    if let Some(row) = parts.each().find(|row| tokens(row) > u64::from(limit)) {
        let tokens = u32::try_from(tokens(&row)).unwrap_or(u32::MAX);
        return Err(CacheError::BadUnit { unit: row.start, tokens, limit });
    }
    if units.iter().all(|unit| unit.meta.novelty == 0) {
        return Err(CacheError::NothingNovel);
    }
    Ok(())
}

/// Features of some units, `[units, width]`, each computed alone on one thread.
pub(super) fn features<M: Tapped>(
    ctx: &Ctx,
    model: &M,
    projector: &Projector,
    clip: f64,
    items: &[(usize, &M::Item)],
) -> Result<Vec<f32>, CacheError> {
    let single = ctx.with_threads(1);
    let width = projector.width();
    let mut out = vec![0.0; items.len() * width];
    let failures: Vec<Option<(usize, FeatureError)>> = out
        .par_chunks_exact_mut(width)
        .zip(items)
        .map(|(row, (unit, item))| match projector.rows(&single, model, item) {
            Ok(rows) => {
                projector.feature(&single, &rows, 0..rows.count, clip, row);
                None
            }
            Err(error) => Some((*unit, error)),
        })
        .collect();
    match failures.into_iter().flatten().next() {
        Some((unit, source)) => Err(CacheError::Unit { unit, source }),
        None => Ok(out),
    }
}

impl<M: Tapped> Build<'_, M> {
    fn run(&self, progress: &mut dyn FnMut(Progress)) -> Result<(), CacheError> {
        let total = self.parts.rows();
        let shards = shard_count(total, &self.plan.options);
        let mut report = |stage, done| progress(Progress { stage, done, total });
        for index in 0..shards {
            self.features_shard(index, &mut |done| report(Stage::Features, done))?;
        }
        let inverse = self.curvature(shards, &mut |done| report(Stage::Curvature, done))?;
        let inverse_leaf = inverse::write(self.folder, &inverse)?;
        let unit_scale = inverse.scales().mean();
        let mut leaves: Vec<B256> = Vec::with_capacity(total);
        for index in 0..shards {
            let raw = self.raw(index)?;
            let data = inverse.apply(self.ctx, &raw.data, unit_scale);
            let (first, last) = (raw.first as usize, raw.first as usize + raw.rows() - 1);
            let shard = Shard::quantise(self.ctx, raw.first, raw.width, &data)
                .ok_or(CacheError::NotFinite { first, last })?;
            shard.write(&shard_path(self.folder, "influence", index))?;
            leaves.extend(shard.leaves());
            report(Stage::Influence, leaves.len());
        }
        // The matrices have served.
        let scales = inverse.into_scales();
        report(Stage::Rule, 0);
        let (rule, noise) = calibrate(
            self.ctx,
            self.metas,
            &self.parts,
            &self.plan.options,
            &scales,
            unit_scale,
            |rows| self.raw_rows(rows),
            |index| self.influence(index),
        )?;
        report(Stage::Rule, total);
        let noise = Block { first: 0, width: 1, data: noise };
        noise.write(&self.folder.join("noise"))?;
        let commitment = Commitment {
            root: root(
                &self.plan,
                &self.projector.to_block(),
                inverse_leaf,
                &noise,
                &rule,
                unit_scale,
                &leaves,
            ),
            model: self.plan.model,
            units_root: self.plan.units_root,
            units: self.metas.len(),
            width: self.projector.width(),
            clip: self.plan.clip,
            unit_scale,
            rule,
            options: self.plan.options,
        };
        write_json(&self.folder.join("commitment.json"), &commitment)?;
        for index in 0..shards {
            let path = shard_path(self.folder, "features", index);
            fs::remove_file(&path).map_err(at(&path))?;
        }
        Ok(())
    }

    /// Computes one shard of raw features unless it is there.
    fn features_shard(&self, index: usize, report: &mut dyn FnMut(usize)) -> Result<(), CacheError> {
        let (first, count) = shard_range(self.parts.rows(), &self.plan.options, index);
        let (path, width) = (shard_path(self.folder, "features", index), self.projector.width());
        if Block::read(&path, first as u64, count, width)?.is_some() {
            report(first + count);
            return Ok(());
        }
        let mut data = Vec::with_capacity(count * width);
        for start in (first..first + count).step_by(BLOCK_UNITS) {
            let end = (start + BLOCK_UNITS).min(first + count);
            let items: Vec<(usize, &M::Item)> =
                (start..end).map(|row| (self.parts.units(row).start, self.items[row])).collect();
            data.extend(features(self.ctx, self.model, &self.projector, self.plan.clip, &items)?);
            report(end);
        }
        Block { first: first as u64, width, data }.write(&path)
    }

    fn raw(&self, index: usize) -> Result<Block, CacheError> {
        let (first, count) = shard_range(self.parts.rows(), &self.plan.options, index);
        let path = shard_path(self.folder, "features", index);
        Block::read(&path, first as u64, count, self.projector.width())?
            .ok_or(CacheError::Damaged { path, what: "it is missing" })
    }

    fn influence(&self, index: usize) -> Result<Shard, CacheError> {
        let (first, count) = shard_range(self.parts.rows(), &self.plan.options, index);
        let path = shard_path(self.folder, "influence", index);
        Shard::read(&path, first as u64, count, self.projector.width())?
            .ok_or(CacheError::Damaged { path, what: "it is missing" })
    }

    /// Raw features of some rows, one after the other. `rows` ascend, so that each shard, hundreds of megabytes, is read once.
    fn raw_rows(&self, rows: &[usize]) -> Result<Vec<f32>, CacheError> {
        let shard_of = |row: &usize| row / (BLOCK_UNITS * self.plan.options.shard_blocks);
        let mut features = Vec::with_capacity(rows.len() * self.projector.width());
        for rows in rows.chunk_by(|a, b| shard_of(a) == shard_of(b)) {
            let shard = self.raw(shard_of(&rows[0]))?;
            for row in rows {
                let at = (row - shard.first as usize) * shard.width;
                features.extend(&shard.data[at..at + shard.width]);
            }
        }
        Ok(features)
    }

    /// Curvature of the units that nobody committed before, each weighted by its novelty. Rows are gathered into blocks of their own,
    /// so that units without novelty change no bit of it wherever they stand.
    fn curvature(&self, shards: usize, report: &mut dyn FnMut(usize)) -> Result<Inverse, CacheError> {
        let mut sums = Accumulator::new(&self.projector);
        let full = BLOCK_UNITS * self.projector.width();
        let mut rows: Vec<f32> = Vec::with_capacity(full);
        let mut done = 0;
        for index in 0..shards {
            let shard = self.raw(index)?;
            for row in shard.data.chunks_exact(shard.width) {
                let novelty = tokens_and_novelty(&self.metas[self.parts.units(done)]).1;
                if novelty > 0.0 {
                    let weight = novelty.sqrt() as f32;
                    rows.extend(row.iter().map(|x| x * weight));
                }
                done += 1;
                if rows.len() == full {
                    sums.add(self.ctx, &rows);
                    rows.clear();
                }
                if done.is_multiple_of(BLOCK_UNITS) || done == self.parts.rows() {
                    report(done);
                }
            }
        }
        if !rows.is_empty() {
            sums.add(self.ctx, &rows);
        }
        Ok(sums.invert(self.ctx, &self.projector, self.plan.options.damping_ratio())?)
    }
}

impl files::Plan {
    /// Rows of the sample: those that hold tokens spread evenly over all novel ones, from a start that the seed chooses. Counting tokens and
    /// not rows, so that cutting text finer draws no more of it.
    pub(super) fn sample(metas: &[UnitMeta], parts: &Parts, options: &Options) -> Vec<usize> {
        let mut ends: Vec<u64> = Vec::with_capacity(parts.rows());
        for row in parts.each() {
            let (tokens, novelty) = tokens_and_novelty(&metas[row]);
            ends.push(ends.last().copied().unwrap_or(0) + if novelty > 0.0 { tokens } else { 0 });
        }
        let total = ends.last().copied().unwrap_or(0);
        if total == 0 {
            return vec![];
        }
        let count = (options.sample as u64).min(total);
        let start = ops::Stream::new(options.seed, u64::MAX).below(0, total);
        let row_of = |draw: u64| {
            // At most 2^24 units of 2^20 tokens: the product of two of these stays in range.
            let token = (start + (u128::from(draw) * u128::from(total) / u128::from(count)) as u64) % total;
            ends.partition_point(|end| *end <= token)
        };
        let mut sample: Vec<usize> = (0..count).map(row_of).collect();
        sample.sort_unstable();
        sample.dedup();
        sample
    }
}
