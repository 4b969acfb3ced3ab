//! Our estimator: caches of adapters under each setting, and how long one query takes over every line there is.

use crate::{
    data::Data,
    estimates::{Scores, add},
};
use anyhow::Result;
use attribution::{
    influence::{
        cache::{Cache, DAMPING_GRID, Options, Unit, UnitMeta, build},
        language::{Language, scored_tokens},
        query::score,
        taps::Tapped as _,
    },
    shares::NOVELTY_ONE,
};
use model::{Adapter, Example, Model};
use ops::Ctx;
use std::{fs, path::Path, time::Instant};

/// Clip that leaves every row as it is.
const NO_CLIP: u32 = 1_000_000;
/// Indices of the dampings that are tried.
const DAMPINGS: [usize; 3] = [0, 1, 3];

/// What caches are built from.
pub struct Caches<'a> {
    pub ctx: Ctx,
    pub model: &'a Model,
    pub data: &'a Data,
    pub context: usize,
    pub work: &'a Path,
}

impl Caches<'_> {
    /// The settings at one rank, at one clip or both.
    pub fn grid(&self, rank: usize, clip: Option<u32>) -> Vec<(String, Options)> {
        let mut all = vec![];
        for clip_percent in [Options::default().clip_percent, NO_CLIP] {
            if clip.is_some_and(|clip| clip != clip_percent) {
                continue;
            }
            for damping in DAMPINGS {
                let clip = if clip_percent == NO_CLIP { "none".into() } else { format!("{clip_percent} %") };
                let name = format!("clip {clip}, damping {}", DAMPING_GRID[damping]);
                let unit_tokens = self.context as u32;
                all.push((name, Options { rank, clip_percent, damping, unit_tokens, ..Options::default() }));
            }
        }
        all
    }

    /// Scores under each setting, summed over adapters.
    pub fn tried(
        &self,
        rank: usize,
        adapters: &[&Adapter],
        clip: Option<u32>,
    ) -> Result<Vec<(String, Scores)>> {
        let of = |(name, options): (String, Options)| {
            let mut sum = vec![];
            for adapter in adapters {
                add(&mut sum, &self.scores(adapter, &options)?);
            }
            Ok((name, sum))
        };
        self.grid(rank, clip).into_iter().map(of).collect()
    }

    /// What `openledger attribute query` computes for every query, or what is kept of it.
    fn scores(&self, adapter: &Adapter, options: &Options) -> Result<Scores> {
        let language = Language::with_adapter(self.model, adapter);
        let Options { rank, clip_percent, damping, .. } = options;
        let name = format!("{}-{rank}-{clip_percent}-{damping}", language.identity());
        let (kept, folder) = (self.work.join("scores").join(name), self.work.join("cache"));
        let items = self.data.items.len();
        if let Ok(bytes) = fs::read(&kept)
            && bytes.len() == self.data.queries.len() * items * size_of::<f64>()
        {
            let number = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
            let numbers: Vec<f64> = bytes.chunks_exact(size_of::<f64>()).map(number).collect();
            return Ok(numbers.chunks_exact(items).map(<[f64]>::to_vec).collect());
        }
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let cache = self.cache(&language, &self.data.items, &self.data.source_of, options, &folder)?;
        let one = |q: &Example| Ok(score(&self.ctx, &cache, &language, q, &[])?.total().to_vec());
        let scores = self.data.queries.iter().map(one).collect::<Result<Scores>>()?;
        fs::create_dir_all(self.work.join("scores"))?;
        fs::write(&kept, scores.iter().flatten().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())?;
        Ok(scores)
    }

    /// Builds a cache, each example a document of its owner.
    fn cache(
        &self,
        language: &Language<'_>,
        examples: &[Example],
        owner_of: &[u32],
        options: &Options,
        folder: &Path,
    ) -> Result<Cache> {
        let mut units = vec![];
        for (document, (item, owner)) in (0u32..).zip(examples.iter().zip(owner_of)) {
            let id = model::commitment::example_hash(&item.tokens, &item.targets);
            let tokens = scored_tokens(item) as u32;
            let meta = UnitMeta { id, document, owner: *owner, tokens, novelty: NOVELTY_ONE };
            units.push(Unit { item, meta });
        }
        Ok(build(&self.ctx, language, &units, options, folder, &mut |_| {})?)
    }

    /// Times every query over a cache of all lines, backward pass included, opening not.
    pub fn time(&self, adapter: &Adapter, options: &Options) -> Result<String> {
        let (language, all) = (Language::with_adapter(self.model, adapter), &self.data.all);
        let (start, owners) = (Instant::now(), vec![0; all.len()]);
        let folder = self.work.join(format!("cache-of-all-{}", options.rank));
        let cache = self.cache(&language, all, &owners, options, &folder)?;
        let built = start.elapsed().as_secs_f64();
        let mut times = vec![];
        for query in &self.data.queries {
            let start = Instant::now();
            score(&self.ctx, &cache, &language, query, &[])?;
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        Ok(format!(
            "rank {}: {} items, cache built or read in {built:.1} s, {:.1} MB a query, query {:.2} ms (median), {:.2} ms (fastest)",
            options.rank,
            all.len(),
            cache.bytes() as f64 / 1e6,
            1e3 * times[times.len() / 2],
            1e3 * times[0],
        ))
    }
}
