//! Just enough of NumPy's npz to read uncompressed arrays of a benchmark's ground truth.

use anyhow::{Context as _, Result, bail, ensure};
use std::{collections::BTreeMap, path::Path};

/// An array: its shape and its numbers, whatever their type was.
#[derive(Clone, Debug)]
pub struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Array {
    pub fn f32(&self) -> Vec<f32> {
        self.values.iter().map(|x| *x as f32).collect()
    }

    pub fn u32(&self) -> Vec<u32> {
        self.values.iter().map(|x| *x as u32).collect()
    }

    /// Part `index` along the first axis.
    pub fn part(&self, index: usize) -> Array {
        let size: usize = self.shape[1..].iter().product();
        Array {
            shape: self.shape[1..].to_vec(),
            values: self.values[index * size..(index + 1) * size].to_vec(),
        }
    }
}

fn number(bytes: &[u8], at: usize, width: usize) -> Result<usize> {
    let slice = bytes.get(at..at + width).context("the archive ends early")?;
    Ok(slice.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

/// All arrays of a stored (uncompressed) archive.
pub fn read(path: &Path) -> Result<BTreeMap<String, Array>> {
    let bytes = std::fs::read(path).with_context(|| format!("{}", path.display()))?;
    // End of central directory: 22 bytes without a comment.
    let end = bytes.len().checked_sub(22).context("not a zip archive")?;
    ensure!(bytes[end..].starts_with(b"PK\x05\x06"), "not a zip archive, or one with a comment");
    let (count, mut at) = (number(&bytes, end + 10, 2)?, number(&bytes, end + 16, 4)?);
    let mut arrays = BTreeMap::new();
    for _ in 0..count {
        ensure!(number(&bytes, at + 10, 2)? == 0, "a compressed entry: save with numpy.savez");
        let (size, name) = (number(&bytes, at + 24, 4)?, number(&bytes, at + 28, 2)?);
        let (extra, comment) = (number(&bytes, at + 30, 2)?, number(&bytes, at + 32, 2)?);
        let local = number(&bytes, at + 42, 4)?;
        let title = String::from_utf8_lossy(&bytes[at + 46..at + 46 + name]).replace(".npy", "");
        let start = local + 30 + number(&bytes, local + 26, 2)? + number(&bytes, local + 28, 2)?;
        let body = bytes.get(start..start + size).context("the archive ends early")?;
        // Object arrays (a pickle) hold nothing that is needed.
        if let Ok(array) = array(body) {
            arrays.insert(title, array);
        }
        at += 46 + name + extra + comment;
    }
    Ok(arrays)
}

fn array(bytes: &[u8]) -> Result<Array> {
    ensure!(bytes.starts_with(b"\x93NUMPY\x01"), "not an npy array of version 1");
    let length = number(bytes, 8, 2)?;
    let header = std::str::from_utf8(bytes.get(10..10 + length).context("header")?)?;
    ensure!(header.contains("'fortran_order': False"), "column-major");
    let between = |from: &str, to: &str| -> Result<&str> {
        let rest = header.split_once(from).context("header")?.1;
        Ok(rest.split_once(to).context("header")?.0)
    };
    let shape: Vec<usize> = between("'shape': (", ")")?
        .split(',')
        .filter(|part| !part.trim().is_empty())
        .map(|part| part.trim().parse())
        .collect::<Result<_, _>>()?;
    let data = &bytes[10 + length..];
    let values: Vec<f64> = match between("'descr': '", "'")? {
        "<f4" => {
            data.chunks_exact(4).map(|x| f64::from(f32::from_le_bytes(x.try_into().expect("4")))).collect()
        }
        "<f8" => data.chunks_exact(8).map(|x| f64::from_le_bytes(x.try_into().expect("8"))).collect(),
        "<i8" => data.chunks_exact(8).map(|x| i64::from_le_bytes(x.try_into().expect("8")) as f64).collect(),
        "|b1" => data.iter().map(|x| f64::from(*x)).collect(),
        other => bail!("numbers of type {other}"),
    };
    ensure!(values.len() == shape.iter().product::<usize>(), "numbers do not fill the shape");
    Ok(Array { shape, values })
}
