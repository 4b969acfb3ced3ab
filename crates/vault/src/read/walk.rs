//! Walking folders: stable order, no symbolic links, bounded.

use super::{MAX_DEPTH, MAX_FILES, ReadError, SourceFile, io};
use std::path::{Component, Path, PathBuf};

/// Files under `path`: itself, everything below a directory, or what a glob matches (`*` and `?` within a name,
/// `**` across folders). Sorted by name. Hidden entries (a leading dot) are left out and said to be, as version control
/// and editors keep their own data there.
///
/// # Errors
/// When the path itself cannot be read; problems further down stand in the list.
pub fn files(path: &Path) -> Result<Vec<Result<SourceFile, ReadError>>, ReadError> {
    let shown = path.display().to_string();
    if let Some((base, pattern)) = split_glob(path) {
        let all = files(&base)?;
        let matches = |name: &str| glob_matches(pattern.as_bytes(), name.as_bytes());
        return Ok(all
            .into_iter()
            .filter(|entry| match entry {
                Ok(file) => matches(&file.name),
                Err(error) => matches(error.path()),
            })
            .collect());
    }
    let meta = std::fs::symlink_metadata(path).map_err(io(&shown))?;
    if meta.file_type().is_symlink() {
        return Err(ReadError::SymbolicLink { path: shown });
    }
    if meta.is_file() {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or(shown);
        return Ok(vec![Ok(SourceFile { path: path.into(), name })]);
    }
    if !meta.is_dir() {
        return Err(ReadError::NotAFile { path: shown });
    }
    let mut found = Vec::new();
    walk(path, "", 0, &mut found);
    found.sort_by(|a, b| name_of(a).cmp(name_of(b)));
    Ok(found)
}

fn name_of(entry: &Result<SourceFile, ReadError>) -> &str {
    match entry {
        Ok(file) => &file.name,
        Err(error) => error.path(),
    }
}

fn walk(dir: &Path, prefix: &str, depth: usize, found: &mut Vec<Result<SourceFile, ReadError>>) {
    if depth > MAX_DEPTH {
        found.push(Err(ReadError::TooMany { path: prefix.into(), what: "nested folders", limit: MAX_DEPTH }));
        return;
    }
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(source) => {
            let path = if prefix.is_empty() { dir.display().to_string() } else { prefix.into() };
            found.push(Err(ReadError::Io { path, source }));
            return;
        }
    };
    for entry in entries {
        if found.len() >= MAX_FILES {
            found.push(Err(ReadError::TooMany { path: prefix.into(), what: "files", limit: MAX_FILES }));
            return;
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(source) => {
                found.push(Err(ReadError::Io { path: prefix.into(), source }));
                continue;
            }
        };
        let Ok(own) = entry.file_name().into_string() else {
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            found.push(Err(ReadError::Malformed { path, reason: "file name is not UTF-8".into() }));
            continue;
        };
        let name = format!("{prefix}{own}");
        if own.starts_with('.') {
            let reason =
                "hidden, as version control and editors keep their own data; name it itself to read it"
                    .into();
            found.push(Err(ReadError::LeftOut { path: name, reason }));
            continue;
        }
        match entry.file_type() {
            Err(source) => found.push(Err(ReadError::Io { path: name, source })),
            Ok(kind) if kind.is_symlink() => found.push(Err(ReadError::SymbolicLink { path: name })),
            Ok(kind) if kind.is_dir() => walk(&entry.path(), &format!("{name}/"), depth + 1, found),
            Ok(kind) if kind.is_file() => found.push(Ok(SourceFile { path: entry.path(), name })),
            Ok(_) => found.push(Err(ReadError::NotAFile { path: name })),
        }
    }
}

/// The folder before the first component with a wildcard, and the pattern below it.
fn split_glob(path: &Path) -> Option<(PathBuf, String)> {
    let wild = |c: &Component| c.as_os_str().to_string_lossy().contains(['*', '?']);
    let components: Vec<_> = path.components().collect();
    let at = components.iter().position(wild)?;
    if path.exists() {
        return None; // A file may really be called so.
    }
    let base: PathBuf = components[..at].iter().collect();
    let pattern: Vec<_> =
        components[at..].iter().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
    let base = if base.as_os_str().is_empty() { PathBuf::from(".") } else { base };
    Some((base, pattern.join("/")))
}

/// `*` and `?` stay within a name, `**` crosses folders. Iterative, so no pattern can blow up.
fn glob_matches(pattern: &[u8], name: &[u8]) -> bool {
    // reach[j]: the pattern so far matches name[..j].
    let mut reach = vec![false; name.len() + 1];
    reach[0] = true;
    let mut i = 0;
    while i < pattern.len() {
        let mut next = vec![false; name.len() + 1];
        if pattern[i..].starts_with(b"**/") {
            // Zero folders, or any number of them.
            for j in 0..=name.len() {
                if reach[j] {
                    next[j] = true;
                    for k in j..name.len() {
                        if name[k] == b'/' {
                            next[k + 1] = true;
                        }
                    }
                }
            }
            i += 3;
        } else if pattern[i..].starts_with(b"**") {
            let mut open = false;
            for j in 0..=name.len() {
                open |= reach[j];
                next[j] = open;
            }
            i += 2;
        } else if pattern[i] == b'*' {
            let mut open = false;
            for j in 0..=name.len() {
                open = reach[j] || (open && name[j - 1] != b'/');
                next[j] = open;
            }
            i += 1;
        } else {
            for j in 0..name.len() {
                let fits = pattern[i] == name[j] || (pattern[i] == b'?' && name[j] != b'/');
                next[j + 1] = reach[j] && fits;
            }
            i += 1;
        }
        reach = next;
    }
    reach[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_stay_within_names_unless_doubled() {
        let matches = |p: &str, n: &str| glob_matches(p.as_bytes(), n.as_bytes());
        assert!(matches("*.md", "a.md") && !matches("*.md", "x/a.md"));
        assert!(matches("**/*.md", "a.md") && matches("**/*.md", "x/y/a.md"));
        assert!(matches("x/**", "x/y/z") && matches("a?c", "abc") && !matches("a?c", "a/c"));
        assert!(!matches(&"*a".repeat(200), &"a".repeat(150)));
    }

    #[test]
    fn a_walk_is_sorted_and_leaves_out_links_and_hidden_entries() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        for name in ["b/2.txt", "a.txt", ".hidden.txt", "b/1.txt"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("c.txt")).unwrap();
        let found = files(dir.path()).unwrap();
        let names: Vec<_> = found.iter().map(name_of).collect();
        #[cfg(unix)]
        {
            assert_eq!(names, [".hidden.txt", "a.txt", "b/1.txt", "b/2.txt", "c.txt"]);
            assert!(matches!(found[0], Err(ReadError::LeftOut { .. })));
            assert!(matches!(found[4], Err(ReadError::SymbolicLink { .. })));
        }
        let only = files(&dir.path().join("**/1.*")).unwrap();
        assert_eq!(only.len(), 1);
    }
}
