//! The safetensors format, read defensively and written atomically.
//!
//! Layout: 8 bytes header length (little-endian), a JSON object of `name -> {dtype, shape, data_offsets}` and an optional
//! `__metadata__` of strings, then the tensors' bytes. Checked before anything is allocated: the header's length, the number of
//! tensors, known dtypes, that shape and offsets agree, that tensors tile the data exactly without gap or overlap, and that the file
//! is exactly as long as that.

mod read;
mod write;

pub use read::Reader;
pub(crate) use write::sync_directory;
pub use write::{TensorData, write, write_atomically};

/// Longest header, in bytes (the reference library's limit).
pub const HEADER_BYTES_MAX: u64 = 100_000_000;
/// Most tensors in a file.
pub const TENSORS_MAX: usize = 1 << 16;
/// Most dimensions of a tensor.
pub const DIMENSIONS_MAX: usize = 8;

/// Element types that models are stored in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// IEEE single.
    #[default]
    F32,
    /// IEEE half.
    F16,
    /// The upper half of a single.
    Bf16,
}

impl Dtype {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
            Dtype::Bf16 => "BF16",
        }
    }

    fn from_name(name: &str) -> Option<Dtype> {
        [Dtype::F32, Dtype::F16, Dtype::Bf16].into_iter().find(|d| d.name() == name)
    }
}

/// Why a safetensors file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what its header says, or the header is not valid.
    #[error("{path} is not a valid safetensors file: {reason}; download or export it again")]
    Format {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// An element type that is not supported.
    #[error("{path}: tensor `{name}` has dtype {dtype}; supported are F32, F16 and BF16")]
    Dtype {
        /// The file.
        path: String,
        /// The tensor.
        name: String,
        /// Its dtype.
        dtype: String,
    },
    /// A tensor that is not there.
    #[error("{path}: there is no tensor `{name}`")]
    Missing {
        /// The file.
        path: String,
        /// The tensor.
        name: String,
    },
}

#[cfg(test)]
mod tests;
