//! Reading: the header once, then single tensors by offset.

use super::{DIMENSIONS_MAX, Dtype, FileError, HEADER_BYTES_MAX, TENSORS_MAX};
use half::{bf16, f16};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Elements converted at a time.
const CHUNK_ELEMENTS: usize = 1 << 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

#[derive(Debug)]
struct Tensor {
    dtype: Result<Dtype, String>,
    shape: Vec<usize>,
    start: u64,
}

/// An open file whose header has been checked.
#[derive(Debug)]
pub struct Reader {
    path: String,
    file: File,
    data_start: u64,
    tensors: BTreeMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
    /// Bytes on their way into a tensor.
    buffer: Vec<u8>,
}

impl Reader {
    /// Opens a file and checks its header against its length.
    ///
    /// # Errors
    /// [`FileError`] says what is wrong with the file.
    pub fn open(path: &Path) -> Result<Reader, FileError> {
        let name = path.display().to_string();
        let io = |source| FileError::Io { path: name.clone(), source };
        let format = |reason: String| FileError::Format { path: name.clone(), reason };
        let mut file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        if length < 8 {
            return Err(format(format!("{length} bytes are too few")));
        }
        let mut prefix = [0u8; 8];
        file.read_exact(&mut prefix).map_err(io)?;
        let header_length = u64::from_le_bytes(prefix);
        if header_length > HEADER_BYTES_MAX || header_length > length - 8 {
            return Err(format(format!("its header claims {header_length} bytes of {length}")));
        }
        let mut header = vec![0u8; header_length as usize];
        file.read_exact(&mut header).map_err(io)?;
        let data_length = length - 8 - header_length;
        let (tensors, metadata) = parse(&header, data_length).map_err(format)?;
        Ok(Reader { path: name, file, data_start: 8 + header_length, tensors, metadata, buffer: header })
    }

    /// Names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|t| t.shape.as_slice())
    }

    /// A string of the header's metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Reads a tensor, converted to f32 (exactly: f16 and bf16 are subsets).
    ///
    /// # Errors
    /// When it is not there, has another dtype or cannot be read.
    ///
    /// # Panics
    /// When `out` is not as long as the tensor.
    pub fn read_f32(&mut self, name: &str, out: &mut [f32]) -> Result<(), FileError> {
        let missing = || FileError::Missing { path: self.path.clone(), name: name.into() };
        let tensor = self.tensors.get(name).ok_or_else(missing)?;
        let dtype = match &tensor.dtype {
            Ok(dtype) => *dtype,
            Err(other) => {
                return Err(FileError::Dtype {
                    path: self.path.clone(),
                    name: name.into(),
                    dtype: other.clone(),
                });
            }
        };
        assert_eq!(out.len(), tensor.shape.iter().product::<usize>(), "read_f32: as long as the tensor");
        let io = |source| FileError::Io { path: self.path.clone(), source };
        self.file.seek(SeekFrom::Start(self.data_start + tensor.start)).map_err(io)?;
        let longest = CHUNK_ELEMENTS.min(out.len()) * dtype.size();
        if self.buffer.len() < longest {
            self.buffer.resize(longest, 0);
        }
        for chunk in out.chunks_mut(CHUNK_ELEMENTS) {
            let bytes = &mut self.buffer[..chunk.len() * dtype.size()];
            self.file.read_exact(bytes).map_err(io)?;
            convert(dtype, bytes, chunk);
        }
        Ok(())
    }
}

fn convert(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::F32 => {
            for (b, v) in bytes.as_chunks::<4>().0.iter().zip(out) {
                *v = f32::from_le_bytes(*b);
            }
        }
        Dtype::F16 => {
            for (b, v) in bytes.as_chunks::<2>().0.iter().zip(out) {
                *v = f16::from_le_bytes(*b).to_f32();
            }
        }
        Dtype::Bf16 => {
            for (b, v) in bytes.as_chunks::<2>().0.iter().zip(out) {
                *v = bf16::from_le_bytes(*b).to_f32();
            }
        }
    }
}

type Parsed = (BTreeMap<String, Tensor>, BTreeMap<String, String>);

fn parse(header: &[u8], data_length: u64) -> Result<Parsed, String> {
    let values: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|e| format!("its header is not valid JSON ({e})"))?;
    if values.len() > TENSORS_MAX {
        return Err(format!("it has {} tensors, allowed are {TENSORS_MAX}", values.len()));
    }
    let (mut tensors, mut metadata) = (BTreeMap::new(), BTreeMap::new());
    let mut ranges = Vec::new();
    for (name, value) in values {
        if name == "__metadata__" {
            metadata = serde_json::from_value(value).map_err(|e| format!("its metadata is invalid ({e})"))?;
            continue;
        }
        let entry: Entry =
            serde_json::from_value(value).map_err(|e| format!("tensor `{name}` is invalid ({e})"))?;
        let (start, end) = entry.data_offsets;
        if start > end || end > data_length {
            return Err(format!("tensor `{name}` lies at {start}..{end} of {data_length} bytes"));
        }
        if entry.shape.len() > DIMENSIONS_MAX {
            return Err(format!(
                "tensor `{name}` has {} dimensions, allowed are {DIMENSIONS_MAX}",
                entry.shape.len()
            ));
        }
        let elements = entry.shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
        let dtype = Dtype::from_name(&entry.dtype).ok_or(entry.dtype);
        // Tensors of other dtypes may lie beside ours (attention masks); they are refused only when they are read.
        let fits = match (&dtype, elements) {
            (Ok(d), Some(n)) => n.checked_mul(d.size() as u64) == Some(end - start),
            (Err(_), Some(_)) => true,
            (_, None) => false,
        };
        if !fits {
            return Err(format!(
                "tensor `{name}`: shape {:?} does not fill its {} bytes",
                entry.shape,
                end - start
            ));
        }
        let shape = entry.shape.iter().map(|d| *d as usize).collect();
        ranges.push((start, end));
        tensors.insert(name, Tensor { dtype, shape, start });
    }
    ranges.sort_unstable();
    let mut at = 0;
    for (start, end) in ranges {
        if start != at {
            return Err(format!("tensors overlap or leave a gap at byte {}", at.min(start)));
        }
        at = end;
    }
    if at != data_length {
        return Err(format!("its tensors end at byte {at} of {data_length}"));
    }
    Ok((tensors, metadata))
}
