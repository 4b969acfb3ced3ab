//! The file of the inverse curvature, which grows with the fourth power of the rank: written and checked in pieces, never whole in memory beside the matrices.
//!
//! A binary file of one row as [`super::files`] describes: the lower triangles of all layers' matrices, which are symmetric to the bit, row by row and one after the other; then the bits
//! of each layer's scale as a pair of f32 words. Scoring needs the scales alone; the matrices stand there for whoever checks what they made of the units' features.

use super::files::{CacheError, DIGEST_BYTES, HEADER_BYTES, at, block_hasher, header, write_pieces};
use crate::influence::{
    curvature::{Inverse, Scales},
    projection::Projector,
};
use primitives::{B256, Domain, hash};
use std::{
    fs::File,
    io::{Read as _, Write as _},
    ops::Range,
    path::Path,
};

/// File name.
pub(super) const FILE: &str = "curvature";
/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

fn triangle(block: &Range<usize>) -> usize {
    block.len() * (block.len() + 1) / 2
}

/// Numbers of the file.
fn width(blocks: &[Range<usize>]) -> usize {
    blocks.iter().map(|block| triangle(block) + 2).sum()
}

/// Writes the file; its leaf under the cache's root.
pub(super) fn write(folder: &Path, inverse: &Inverse) -> Result<B256, CacheError> {
    let path = folder.join(FILE);
    let blocks = inverse.scales().blocks();
    let mut leaf = block_hasher(1);
    let mut digest = hash::hasher(Domain::FeatureShard);
    write_pieces(&path, |file| {
        let mut put = |bytes: &[u8], in_leaf: bool| {
            digest.update(bytes);
            if in_leaf {
                leaf.update(bytes);
            }
            file.write_all(bytes)
        };
        put(&header(super::files::MAGIC, 0, 1, width(blocks)), false)?;
        for (block, matrix) in blocks.iter().zip(inverse.matrices()) {
            for (row, numbers) in matrix.chunks_exact(block.len()).enumerate() {
                let bytes: Vec<u8> = numbers[..=row].iter().flat_map(|number| number.to_le_bytes()).collect();
                put(&bytes, true)?;
            }
        }
        for scale in inverse.scales().means() {
            // Two words of four bytes, the lower first: the eight bytes of the double.
            put(&scale.to_bits().to_le_bytes(), true)?;
        }
        file.write_all(digest.finalize().as_bytes())
    })?;
    Ok(B256::new(*leaf.finalize().as_bytes()))
}

/// Reads the file, of which it keeps the scales; with its leaf under the cache's root.
pub(super) fn check(folder: &Path, projector: &Projector) -> Result<(B256, Scales), CacheError> {
    let (leaf, scales, _) = read(folder, projector, |_, _| {})?;
    Ok((leaf, scales))
}

/// The whole inverse again.
#[cfg(test)]
pub(in crate::influence) fn whole(folder: &Path, projector: &Projector) -> Result<Inverse, CacheError> {
    let mut matrices: Vec<Vec<f32>> =
        projector.blocks().map(|block| Vec::with_capacity(triangle(&block))).collect();
    let (_, scales, blocks) = read(folder, projector, |layer, bytes| {
        let numbers =
            bytes.chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().expect("chunks of four")));
        matrices[layer].extend(numbers);
    })?;
    let full = |(triangle, block): (&Vec<f32>, &Range<usize>)| {
        let n = block.len();
        let mut matrix = vec![0.0; n * n];
        let mut rest = &triangle[..];
        for row in 0..n {
            let (numbers, after) = rest.split_at(row + 1);
            for (column, number) in numbers.iter().enumerate() {
                matrix[row * n + column] = *number;
                matrix[column * n + row] = *number;
            }
            rest = after;
        }
        matrix
    };
    let matrices = matrices.iter().zip(&blocks).map(full).collect();
    Ok(Inverse::from_parts(scales, matrices))
}

/// Hands out the bytes of each layer's triangle, piece by piece; leaf, scales and the layers' ranges.
fn read(
    folder: &Path,
    projector: &Projector,
    mut triangles: impl FnMut(usize, &[u8]),
) -> Result<(B256, Scales, Vec<Range<usize>>), CacheError> {
    let path = folder.join(FILE);
    let damaged = |what| CacheError::Damaged { path: path.clone(), what };
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(damaged("it is missing")),
        other => other.map_err(at(&path))?,
    };
    let blocks: Vec<Range<usize>> = projector.blocks().collect();
    let length = HEADER_BYTES + 4 * width(&blocks) + DIGEST_BYTES;
    if file.metadata().map_err(at(&path))?.len() != length as u64 {
        return Err(damaged("its length is wrong"));
    }
    let mut digest = hash::hasher(Domain::FeatureShard);
    let mut leaf = block_hasher(1);
    let mut buffer = vec![0; PIECE];
    let mut take = |into: &mut [u8]| file.read_exact(into).map_err(at(&path));
    let found = &mut buffer[..HEADER_BYTES];
    take(found)?;
    digest.update(found);
    let is_ours = found == header(super::files::MAGIC, 0, 1, width(&blocks));
    for (layer, block) in blocks.iter().enumerate() {
        let mut left = 4 * triangle(block);
        while left > 0 {
            let piece = &mut buffer[..left.min(PIECE)];
            take(piece)?;
            digest.update(piece);
            leaf.update(piece);
            triangles(layer, piece);
            left -= piece.len();
        }
    }
    let mut means = Vec::with_capacity(blocks.len());
    for _ in &blocks {
        let mut bytes = [0; 8];
        take(&mut bytes)?;
        digest.update(&bytes);
        leaf.update(&bytes);
        means.push(f64::from_bits(u64::from_le_bytes(bytes)));
    }
    let mut stored = [0; DIGEST_BYTES];
    take(&mut stored)?;
    if digest.finalize().as_bytes() != &stored {
        return Err(damaged("its digest differs"));
    }
    if !is_ours {
        return Err(damaged("it is of another cache"));
    }
    let leaf = B256::new(*leaf.finalize().as_bytes());
    Ok((leaf, Scales::new(blocks.clone(), means, projector.width()), blocks))
}
