//! A cache's files, and opening it.
//!
//! ```text
//! projection         matrices of all projected sides
//! plan.json          Plan: what is being built; a build resumes only an equal plan
//! features-00000     raw features of a shard, kept until the build ends
//! influence-00000    influence features of a shard, in four bits (see `shard`)
//! curvature          inverse curvature of every layer (see `inverse`)
//! noise              own noise of every row
//! units.json         UnitMeta of every unit
//! commitment.json    Commitment; written last, so that a cache without one is unfinished
//! erased.json        rows whose features were erased, with the leaves they had; absent without any
//! ```
//! A binary file is `magic, first u64, rows u64, width u64, f32 ..., BLAKE3 of all before`. Files are written beside
//! their place and renamed, so that a file is whole or absent.
//!
//! Format 1 held influence features as f32, format 3 as a sum of two int8 terms, format 4 in int8; in format 2 projections were signs under the seed, and no file. Their files are refused: the
//! root commits to what is stored.

use super::{Cache, Commitment, OptionsError, UnitMeta, erase, inverse, plan, plan::Parts, shard::Shard};
use crate::{
    influence::{
        curvature::{BLOCK_UNITS, CurvatureError},
        projection::{FeatureError, Projector},
        taps::Layer,
    },
    shares::{Rule, SharesError},
};
use primitives::{B256, Domain, encoding::Writer, hash, merkle};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

/// Most units of one cache.
pub const MAX_UNITS: usize = 1 << 24;
/// Version of what the files mean; enters the root.
pub(super) const FORMAT: u32 = 5;
/// File of the projections.
pub(super) const PROJECTION: &str = "projection";
pub(super) const MAGIC: &[u8; 8] = b"olcache1";
pub(super) const HEADER_BYTES: usize = 32;
pub(super) const DIGEST_BYTES: usize = 32;
/// Largest JSON file that is read: 16 million units.
const MAX_JSON_BYTES: u64 = 1 << 32;

/// Why a cache cannot be built, opened or asked.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The disk.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Options out of range.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// No unit to build from.
    #[error("there are no units: attribution needs the training set")]
    NoUnits,
    /// Copies alone.
    #[error(
        "all units are copies of earlier ones (novelty 0): nobody could be paid, so there is nothing to attribute"
    )]
    NothingNovel,
    /// Past the limit.
    #[error("{0} units are more than the {MAX_UNITS} of one cache: build one cache per part")]
    TooManyUnits(usize),
    /// A unit longer than a unit may be, or empty.
    #[error("unit {unit} has {tokens} tokens; a unit has 1 to {limit}: cut the text by the protocol first")]
    BadUnit {
        /// Index of the unit.
        unit: usize,
        /// Its tokens.
        tokens: u32,
        /// Tokens of a full unit.
        limit: u32,
    },
    /// A unit's features cannot be computed.
    #[error("unit {unit}: {source}")]
    Unit {
        /// Index of the unit.
        unit: usize,
        /// Why.
        source: FeatureError,
    },
    /// The projections or the query.
    #[error(transparent)]
    Feature(#[from] FeatureError),
    /// The curvature cannot be inverted.
    #[error(transparent)]
    Curvature(#[from] CurvatureError),
    /// The rule or the scores.
    #[error(transparent)]
    Shares(#[from] SharesError),
    /// All units give each other a score of zero.
    #[error(
        "no unit of the sample has a score above zero on another: the model has learned nothing to attribute"
    )]
    Silent,
    /// The folder holds another build.
    #[error(
        "{path} holds an unfinished or finished cache of another model, data or options: choose another folder"
    )]
    OtherPlan {
        /// The folder.
        path: PathBuf,
    },
    /// No commitment in the folder.
    #[error("{path} holds no finished cache: run the build again, it resumes")]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
    /// A file that is damaged.
    #[error("{path} is damaged ({what}): delete it and run the build again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A cache of another version of the program.
    #[error(
        "{path} holds a cache of format {found}, this program reads and writes format {FORMAT}: delete the folder and build the cache again. Its root will be another one: a model that the ledger holds with the old root has to be registered again, or served by the version that built it"
    )]
    OtherFormat {
        /// The folder.
        path: PathBuf,
        /// The format found there.
        found: u32,
    },
    /// Infinity or NaN among the influence features.
    #[error(
        "the influence features of rows {first} to {last} are not finite: the model's weights are broken, or the damping is too small"
    )]
    NotFinite {
        /// First row of the shard.
        first: usize,
        /// Last row of the shard.
        last: usize,
    },
    /// The model is not the one that was cached.
    #[error(
        "the cache is of the model {cached}, not of {model}: build a cache of this model; a model with an adapter, or attributed at an earlier checkpoint, needs its own, and that adapter or checkpoint named"
    )]
    OtherModel {
        /// Model of the cache.
        cached: B256,
        /// Model at hand.
        model: B256,
    },
    /// The content is not what the root commits to.
    #[error("the cache's content has the root {found}, not {expected}: it was changed; build it again")]
    OtherRoot {
        /// Root in the commitment.
        expected: B256,
        /// Root of the content.
        found: B256,
    },
}

/// What a build is a build of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    #[serde(default = "first_format")]
    pub format: u32,
    pub model: B256,
    pub units_root: B256,
    pub units: usize,
    /// Units of each row.
    pub parts: Vec<u32>,
    pub layers: Vec<(String, usize, usize)>,
    pub options: super::Options,
    pub clip: f64,
}

/// Plans did not name their format before there was a second one.
fn first_format() -> u32 {
    1
}

impl Plan {
    /// The plan in `folder`, if there is one; refused when it is of another format.
    pub fn read(folder: &Path) -> Result<Option<Plan>, CacheError> {
        let plan: Option<Plan> = read_json(&folder.join("plan.json"))?;
        match &plan {
            Some(Plan { format, .. }) if *format != FORMAT => {
                Err(CacheError::OtherFormat { path: folder.into(), found: *format })
            }
            _ => Ok(plan),
        }
    }

    pub fn layers_of(layers: &[Layer]) -> Vec<(String, usize, usize)> {
        layers.iter().map(|l| (l.name.clone(), l.inputs, l.outputs)).collect()
    }

    pub fn digest(&self) -> B256 {
        let Plan { format, model, units_root, units, parts, layers, options, clip } = self;
        let mut writer = Writer::new();
        writer.u32(*format).u32(ops::OP_SET_VERSION).hash(model).hash(units_root).u64(*units as u64);
        writer.list(parts, |w, count| {
            w.u32(*count);
        });
        writer.list(layers, |w, (name, inputs, outputs)| {
            w.text(name).u64(*inputs as u64).u64(*outputs as u64);
        });
        options.encode(&mut writer);
        writer.f64_bits(*clip);
        hash::hash(Domain::FeatureCache, writer.as_bytes())
    }
}

/// Rows of numbers in a binary file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub first: u64,
    pub width: usize,
    pub data: Vec<f32>,
}

pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> CacheError + '_ {
    move |source| CacheError::Io { path: path.into(), source }
}

/// Writes beside the place, flushes, renames.
pub(super) fn write_whole(path: &Path, parts: &[&[u8]]) -> Result<(), CacheError> {
    write_pieces(path, |file| parts.iter().try_for_each(|part| file.write_all(part)))
}

/// As [`write_whole`], for what is not in memory as bytes.
pub(super) fn write_pieces(
    path: &Path,
    write: impl FnOnce(&mut io::BufWriter<fs::File>) -> io::Result<()>,
) -> Result<(), CacheError> {
    let draft = path.with_extension("draft");
    let mut file = io::BufWriter::new(fs::File::create(&draft).map_err(at(&draft))?);
    write(&mut file).map_err(at(&draft))?;
    let file = file.into_inner().map_err(|error| at(&draft)(error.into_error()))?;
    file.sync_all().map_err(at(&draft))?;
    fs::rename(&draft, path).map_err(at(path))
}

pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), CacheError> {
    let text = serde_json::to_vec_pretty(value).expect("plain structures serialise");
    write_whole(path, &[&text])
}

/// Reads a JSON file; `None` when it is absent.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, CacheError> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let mut text = Vec::new();
    file.take(MAX_JSON_BYTES).read_to_end(&mut text).map_err(at(path))?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|_| CacheError::Damaged { path: path.into(), what: "it is not the JSON expected" })
}

/// Reads a file of exactly `length` bytes that begins with `header` and ends with the digest of the rest; `None` when it is absent. What comes back has
/// no digest any more.
pub(super) fn read_whole(path: &Path, header: &[u8], length: usize) -> Result<Option<Vec<u8>>, CacheError> {
    let damaged = |what| CacheError::Damaged { path: path.into(), what };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
        Ok(found) if found.len() != length as u64 => return Err(damaged("its length is wrong")),
        Ok(_) => {}
    }
    let mut bytes = fs::read(path).map_err(at(path))?;
    if bytes.len() != length {
        return Err(damaged("its length is wrong"));
    }
    let digest = bytes.split_off(length - DIGEST_BYTES);
    if hash::hash(Domain::FeatureShard, &bytes).as_slice() != digest {
        return Err(damaged("its digest differs"));
    }
    if !bytes.starts_with(header) {
        return Err(damaged("it is another shard"));
    }
    Ok(Some(bytes))
}

/// How a binary file begins.
pub(super) fn header(magic: &[u8; 8], first: u64, rows: usize, width: usize) -> Vec<u8> {
    let mut header = magic.to_vec();
    for number in [first, rows as u64, width as u64] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    header
}

impl Block {
    pub fn rows(&self) -> usize {
        self.data.len() / self.width.max(1)
    }

    pub fn write(&self, path: &Path) -> Result<(), CacheError> {
        let mut bytes = header(MAGIC, self.first, self.rows(), self.width);
        bytes.reserve(4 * self.data.len());
        for number in &self.data {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let digest = hash::hash(Domain::FeatureShard, &bytes);
        write_whole(path, &[&bytes, digest.as_slice()])
    }

    /// Reads a file of exactly `rows` rows of `width` from `first`; `None` when it is absent.
    pub fn read(path: &Path, first: u64, rows: usize, width: usize) -> Result<Option<Block>, CacheError> {
        let length = HEADER_BYTES + 4 * rows * width + DIGEST_BYTES;
        let Some(body) = read_whole(path, &header(MAGIC, first, rows, width), length)? else {
            return Ok(None);
        };
        let data = body[HEADER_BYTES..]
            .chunks_exact(4)
            .map(|x| f32::from_le_bytes(x.try_into().expect("chunks of four")))
            .collect();
        Ok(Some(Block { first, width, data }))
    }
}

/// Units of shard `index`: the first, and how many.
pub(super) fn shard_range(units: usize, options: &super::Options, index: usize) -> (usize, usize) {
    let full = BLOCK_UNITS * options.shard_blocks;
    let first = index * full;
    (first, full.min(units - first))
}

pub(super) fn shard_count(units: usize, options: &super::Options) -> usize {
    units.div_ceil(BLOCK_UNITS * options.shard_blocks)
}

pub(super) fn shard_path(folder: &Path, kind: &str, index: usize) -> PathBuf {
    folder.join(format!("{kind}-{index:05}"))
}

/// Begins the leaf of a block: its place among the blocks, before its bits.
pub(super) fn block_hasher(index: u64) -> hash::Hasher {
    let mut hasher = hash::hasher(Domain::FeatureShard);
    hasher.update(&index.to_le_bytes());
    hasher
}

/// Leaf of a block.
fn block_leaf(index: u64, row: &[f32]) -> B256 {
    let mut hasher = block_hasher(index);
    let mut bytes = Vec::with_capacity(4 * row.len());
    for number in row {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    hasher.update(&bytes);
    B256::new(*hasher.finalize().as_bytes())
}

/// The root: plan, projections, inverse curvature (its leaf), own noise of the rows, rule and scale, then the rows.
pub(super) fn root(
    plan: &Plan,
    projection: &Block,
    inverse: B256,
    noise: &Block,
    rule: &Rule,
    unit_scale: f64,
    units: &[B256],
) -> B256 {
    let mut writer = Writer::new();
    rule.encode(&mut writer);
    writer.f64_bits(unit_scale);
    let mut leaves = vec![
        plan.digest(),
        block_leaf(0, &projection.data),
        inverse,
        block_leaf(2, &noise.data),
        hash::hash(Domain::FeatureCache, writer.as_bytes()),
    ];
    leaves.extend_from_slice(units);
    merkle::root(&leaves)
}

impl Projector {
    /// All matrices, one after the other.
    pub(super) fn to_block(&self) -> Block {
        let data: Vec<f32> = self.matrices().flatten().copied().collect();
        Block { first: 0, width: data.len(), data }
    }
}

/// `projector` with the matrices that the folder holds.
pub(super) fn projection(folder: &Path, projector: Projector) -> Result<Projector, CacheError> {
    let path = folder.join(PROJECTION);
    let width = projector.matrices_len();
    // A block of width 0 has no row.
    let block = Block::read(&path, 0, usize::from(width > 0), width)?
        .ok_or(CacheError::Damaged { path, what: "it is missing" })?;
    Ok(projector.with_matrices(&block.data))
}

impl Commitment {
    /// Whether what is repeated from the plan is the plan's.
    fn is_of(&self, plan: &Plan) -> bool {
        let Commitment { root: _, model, units_root, units, width: _, clip, unit_scale: _, rule: _, options } =
            self;
        (*model, *units_root, *units, *options) == (plan.model, plan.units_root, plan.units, plan.options)
            && clip.to_bits() == plan.clip.to_bits()
    }
}

impl Cache {
    /// Opens a finished cache and checks every byte against its root.
    pub fn open(folder: &Path) -> Result<Cache, CacheError> {
        let unfinished = || CacheError::Unfinished { path: folder.into() };
        let plan = Plan::read(folder)?.ok_or_else(unfinished)?;
        let commitment: Commitment = read_json(&folder.join("commitment.json"))?.ok_or_else(unfinished)?;
        let units_path = folder.join("units.json");
        let units: Vec<UnitMeta> = read_json(&units_path)?.ok_or_else(unfinished)?;
        plan.options.check()?;
        commitment.rule.check()?;
        if units.len() != plan.units || units.is_empty() || plan::units_root(&units) != plan.units_root {
            return Err(CacheError::Damaged { path: units_path, what: "it is not the units of the plan" });
        }
        if !commitment.is_of(&plan) {
            let path = folder.join("commitment.json");
            return Err(CacheError::Damaged { path, what: "it is not the commitment of the plan" });
        }
        let layers = plan
            .layers
            .iter()
            .map(|(name, inputs, outputs)| Layer { name: name.clone(), inputs: *inputs, outputs: *outputs })
            .collect();
        let projector = projection(folder, Projector::new(layers, plan.options.rank, plan.options.seed)?)?;
        let missing = |path: &Path| CacheError::Damaged { path: path.into(), what: "it is missing" };
        let (inverse_leaf, scales) = inverse::check(folder, &projector)?;
        let parts = Parts::from_counts(&plan.parts);
        let covers = plan.parts.iter().map(|count| u64::from(*count)).sum::<u64>() == units.len() as u64;
        if !covers || plan.parts.contains(&0) {
            let path = folder.join("plan.json");
            return Err(CacheError::Damaged { path, what: "its rows are not made of its units" });
        }
        let noise_path = folder.join("noise");
        let noise = Block::read(&noise_path, 0, parts.rows(), 1)?.ok_or_else(|| missing(&noise_path))?;
        let erased = erase::rows(folder)?;
        let mut leaves = Vec::with_capacity(parts.rows());
        let mut shards = vec![];
        for index in 0..shard_count(parts.rows(), &plan.options) {
            let path = shard_path(folder, "influence", index);
            let (first, rows) = shard_range(parts.rows(), &plan.options, index);
            let shard =
                Shard::read(&path, first as u64, rows, projector.width())?.ok_or_else(|| missing(&path))?;
            leaves.extend(erase::leaves(&shard, &erased));
            shards.push(shard);
        }
        let found = root(
            &plan,
            &projector.to_block(),
            inverse_leaf,
            &noise,
            &commitment.rule,
            commitment.unit_scale,
            &leaves,
        );
        if found != commitment.root {
            return Err(CacheError::OtherRoot { expected: commitment.root, found });
        }
        if commitment.width != projector.width() {
            return Err(CacheError::Damaged {
                path: folder.join("commitment.json"),
                what: "its width is wrong",
            });
        }
        Ok(Cache { commitment, projector, scales, units, parts, noise: noise.data, shards })
    }
}
