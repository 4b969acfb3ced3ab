//! Croissant (MLCommons, 1.0 and 1.1): JSON-LD that describes data files.
//!
//! File objects with a relative `contentUrl` inside the folder are read, after their `sha256` was compared; remote ones are
//! reported, since nothing is fetched. Fields named `text`, `prompt` and `completion` in a record set say which columns hold them.

use super::{Columns, Documents, ReadError, SourceFile, io, text};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

/// Names under which the description lies.
pub const NAMES: &[&str] = &["croissant.json", "metadata.json"];
/// Largest description, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// The description in a directory, if there is one.
pub fn description(dir: &Path) -> Result<Option<Value>, ReadError> {
    for name in NAMES {
        let path = dir.join(name);
        if path.is_file() && !path.is_symlink() {
            let file = SourceFile { path, name: (*name).into() };
            let bytes = text::whole_bytes(&file, MAX_BYTES)?;
            let value: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            let conforms = value.get("conformsTo").map(Value::to_string).unwrap_or_default();
            if conforms.contains("croissant") {
                return Ok(Some(value));
            }
        }
    }
    Ok(None)
}

/// The documents of the files it describes.
pub fn documents(dir: &Path, description: &Value, columns: &Columns) -> Documents {
    let licence = description.get("license").and_then(licence_of);
    let group = description.get("name").and_then(Value::as_str).map(String::from);
    let mut columns = columns.clone();
    if columns.text.is_none() {
        columns.prompt = column(description, &["prompt"]);
        columns.text = column(description, &["completion", "text"]);
    }
    let list = description.get("distribution").and_then(Value::as_array).cloned().unwrap_or_default();
    let objects = list
        .into_iter()
        .filter(|o| o.get("@type").and_then(Value::as_str).is_some_and(|t| t.ends_with("FileObject")));
    let dir = dir.to_path_buf();
    Box::new(objects.flat_map(move |object| -> Documents {
        let (licence, group) = (licence.clone(), group.clone());
        match located(&dir, &object) {
            Err(error) => Box::new(std::iter::once(Err(error))),
            Ok(file) => Box::new(super::documents(&file, &columns).map(move |document| {
                document.map(|mut document| {
                    document.licence = document.licence.or_else(|| licence.clone());
                    document.group = document.group.or_else(|| group.clone());
                    document
                })
            })),
        }
    }))
}

/// A licence as SPDX: an id, or the last part of an SPDX or Creative Commons address.
fn licence_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.as_str(),
        Value::Array(list) => return list.first().and_then(licence_of),
        _ => return None,
    };
    let trimmed = text.trim_end_matches('/').trim_end_matches(".html");
    let last = match trimmed.split_once("creativecommons.org/licenses/") {
        Some((_, rest)) => format!("cc-{}", rest.replace('/', "-")),
        None if trimmed.contains("://") => trimmed.rsplit('/').next().unwrap_or(trimmed).to_string(),
        None => return Some(trimmed.into()),
    };
    super::huggingface::spdx_of(&last)
}

/// The column that the first record set maps to a field of one of these names.
fn column(description: &Value, names: &[&str]) -> Option<String> {
    let sets = description.get("recordSet")?.as_array()?;
    let fields = sets.iter().filter_map(|set| set.get("field")?.as_array()).flatten();
    names.iter().find_map(|name| {
        let field = fields.clone().find(|field| field.get("name").and_then(Value::as_str) == Some(name))?;
        Some(field.pointer("/source/extract/column")?.as_str()?.to_string())
    })
}

/// The file of a file object, inside `dir` and with the content that it states.
fn located(dir: &Path, object: &Value) -> Result<SourceFile, ReadError> {
    let url = object.get("contentUrl").and_then(Value::as_str).unwrap_or_default();
    let refuse = |reason: &str| ReadError::Malformed { path: url.into(), reason: reason.into() };
    if url.contains("://") {
        return Err(refuse("is remote: download it beside the description first"));
    }
    if url.is_empty() || !Path::new(url).components().all(|c| matches!(c, Component::Normal(_))) {
        return Err(ReadError::Escape { path: url.into() });
    }
    let file = SourceFile { path: dir.join(url), name: url.into() };
    // Any folder on the way may be a link out, not only the file itself.
    let mut at = dir.to_path_buf();
    for component in Path::new(url).components() {
        at.push(component);
        if at.is_symlink() {
            return Err(ReadError::SymbolicLink { path: url.into() });
        }
    }
    let stated = object.get("sha256").and_then(Value::as_str).ok_or_else(|| refuse("states no sha256"))?;
    if !stated.eq_ignore_ascii_case(&sha256(&file)?) {
        return Err(refuse("its sha256 is another one than the description states"));
    }
    Ok(file)
}

fn sha256(file: &SourceFile) -> Result<String, ReadError> {
    let mut handle = File::open(&file.path).map_err(io(&file.name))?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match handle.read(&mut buffer).map_err(io(&file.name))? {
            0 => return Ok(hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_only_when_their_hash_is_the_stated_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.jsonl"), "{\"body\":\"hello\"}\n").unwrap();
        let file = SourceFile { path: dir.path().join("a.jsonl"), name: "a.jsonl".into() };
        let hash = sha256(&file).unwrap();
        let object = |url: &str, hash: &str| serde_json::json!({"@type": "cr:FileObject", "contentUrl": url, "sha256": hash});
        let description = serde_json::json!({
            "conformsTo": "http://mlcommons.org/croissant/1.1", "name": "x",
            "license": "https://creativecommons.org/licenses/by/4.0/",
            "distribution": [object("a.jsonl", &hash), object("a.jsonl", "00"), object("../a.jsonl", &hash), object("https://x/y", &hash)],
            "recordSet": [{"field": [{"name": "text", "source": {"extract": {"column": "body"}}}]}],
        });
        std::fs::write(dir.path().join("croissant.json"), description.to_string()).unwrap();
        let found = super::description(dir.path()).unwrap().unwrap();
        let read: Vec<_> = documents(dir.path(), &found, &Columns::default()).collect();
        let first = read[0].as_ref().unwrap();
        assert_eq!((first.text.as_str(), first.licence.as_deref()), ("hello", Some("CC-BY-4.0")));
        assert!(matches!(read[1], Err(ReadError::Malformed { .. })));
        assert!(matches!(read[2], Err(ReadError::Escape { .. })));
        assert!(matches!(read[3], Err(ReadError::Malformed { .. })));
    }
}
