//! Writing: to a temporary file beside the target, synchronised, then renamed over it.

use super::{Dtype, FileError};
use half::{bf16, f16};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// A tensor to write.
#[derive(Clone, Debug)]
pub struct TensorData<'a> {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its elements, row-major.
    pub data: &'a [f32],
}

/// Writes tensors in the order given, rounded to `dtype` (to nearest, ties to even).
///
/// # Errors
/// When the file cannot be written; the file that was there before is then intact.
///
/// # Panics
/// When a shape does not fit its data.
pub fn write(
    path: &Path,
    dtype: Dtype,
    tensors: &[TensorData<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<(), FileError> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), json!(metadata));
    }
    let mut at = 0usize;
    for t in tensors {
        assert_eq!(t.data.len(), t.shape.iter().product::<usize>(), "tensor `{}` fills its shape", t.name);
        let end = at + t.data.len() * dtype.size();
        header.insert(
            t.name.clone(),
            json!({"dtype": dtype.name(), "shape": t.shape, "data_offsets": [at, end]}),
        );
        at = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let io = |source| FileError::Io { path: path.display().to_string(), source };
    write_atomically(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        tensors.iter().try_for_each(|t| write_elements(out, dtype, t.data))
    })
    .map_err(io)
}

fn write_elements(out: &mut impl Write, dtype: Dtype, data: &[f32]) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    for chunk in data.chunks(1 << 16) {
        bytes.clear();
        match dtype {
            Dtype::F32 => chunk.iter().for_each(|v| bytes.extend(v.to_le_bytes())),
            Dtype::F16 => chunk.iter().for_each(|v| bytes.extend(f16::from_f32(*v).to_le_bytes())),
            Dtype::Bf16 => chunk.iter().for_each(|v| bytes.extend(bf16::from_f32(*v).to_le_bytes())),
        }
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Replaces `path` by what `body` writes, or leaves it as it was.
///
/// # Errors
/// What the system said; the temporary file is removed then.
pub fn write_atomically(
    path: &Path,
    body: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let attempt = || {
        let mut out = BufWriter::new(File::create(temporary)?);
        body(&mut out)?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(temporary, path)?;
        sync_directory(path.parent())
    };
    let result = attempt();
    if result.is_err() {
        // The error that matters is the first one; a leftover temporary file is overwritten by the next attempt.
        let _ = std::fs::remove_file(temporary);
    }
    result
}

/// Makes a rename inside a directory durable.
pub(crate) fn sync_directory(dir: Option<&Path>) -> std::io::Result<()> {
    let dir = dir.filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}
