//! Hugging Face dataset directories: data files with a card.
//!
//! The card is `README.md` with a YAML header. Of the header the few keys that matter are read (`license`, `language`, `pretty_name`);
//! its licence holds for rows that state none. Hub licence names (`apache-2.0`, `openrail`) become SPDX ids or `LicenseRef-`
//! ones. The card itself and other prose beside the data are not documents of the dataset.

use super::{Columns, Documents, ReadError, SourceFile, files, text};
use std::path::Path;

/// Extensions of data files.
const DATA: &[&str] = &["jsonl", "ndjson", "csv", "tsv", "parquet", "txt", "json"];

/// What a dataset card says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// SPDX expression; several licences are joined with `AND`, since the card does not say which holds where.
    pub licence: Option<String>,
    /// Languages as written.
    pub languages: Vec<String>,
    /// Its name.
    pub name: Option<String>,
}

/// The card of a directory, if it is a dataset directory.
pub fn card(dir: &Path) -> Result<Option<Card>, ReadError> {
    let path = dir.join("README.md");
    if !path.is_file() || path.is_symlink() {
        return Ok(None);
    }
    let readme = text::whole(&SourceFile { path, name: "README.md".into() })?;
    let Some(header) = readme.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---")) else {
        return Ok(None);
    };
    Ok(Some(parse(header.0)))
}

/// Top-level keys of the YAML header: `key: value`, `key: [a, b]`, or `key:` followed by `- a` lines.
fn parse(header: &str) -> Card {
    let (mut card, mut key, mut licences) = (Card::default(), "", Vec::new());
    for line in header.lines().map(str::trim_end).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let nested = line.starts_with(' ') && !line.trim_start().starts_with("- ");
        let (values, list) = match line.trim_start().strip_prefix("- ") {
            Some(value) => (value, true),
            None if nested => continue,
            None => {
                let Some((name, rest)) = line.split_once(':') else { continue };
                key = name.trim();
                (rest.trim(), false)
            }
        };
        let bare = values.trim_start_matches('[').trim_end_matches(']');
        for value in bare.split(',').map(|v| v.trim().trim_matches(['"', '\''])).filter(|v| !v.is_empty()) {
            match key {
                "license" => licences.push(spdx_of(value)),
                "language" => card.languages.push(value.into()),
                "pretty_name" if !list => card.name = Some(values.trim_matches(['"', '\'']).into()),
                _ => {}
            }
        }
    }
    let known: Vec<String> = licences.into_iter().flatten().collect();
    card.licence = (!known.is_empty()).then(|| known.join(" AND "));
    card
}

/// SPDX id of a hub licence name; `None` where the hub's name says nothing (`other`, `unknown`).
pub fn spdx_of(name: &str) -> Option<String> {
    let lower = name.trim().to_ascii_lowercase();
    match lower.as_str() {
        "" | "other" | "unknown" => return None,
        "cc" => return Some("LicenseRef-Creative-Commons".into()),
        "pddl" => return Some("PDDL-1.0".into()),
        "odbl" => return Some("ODbL-1.0".into()),
        "odc-by" => return Some("ODC-By-1.0".into()),
        "gpl-3.0" | "gpl-2.0" | "lgpl-3.0" | "agpl-3.0" | "lgpl-2.1" => {
            return Some(format!("{}-only", lower.to_ascii_uppercase()));
        }
        _ => {}
    }
    if let Some(id) = spdx::identifiers::LICENSES.iter().find(|l| l.name.eq_ignore_ascii_case(&lower)) {
        return Some(id.name.into());
    }
    let safe: String =
        lower.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    Some(format!("LicenseRef-{safe}"))
}

/// The documents of a dataset directory.
pub fn documents(dir: &Path, card: Card, columns: &Columns) -> Result<Documents, ReadError> {
    let columns = columns.clone();
    let data = |file: &SourceFile| {
        let extension = Path::new(&file.name).extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        extension.is_some_and(|e| DATA.contains(&e.as_str()))
    };
    let list = files(dir)?.into_iter().filter(move |file| match file {
        // The hub's own side files are no data either.
        Ok(file) => data(file) && !file.name.ends_with("dataset_infos.json"),
        Err(_) => true,
    });
    let group = card.name.clone();
    Ok(Box::new(list.flat_map(move |file| -> Documents {
        let (licence, group) = (card.licence.clone(), group.clone());
        match file {
            Err(error) => Box::new(std::iter::once(Err(error))),
            Ok(file) => Box::new(super::documents(&file, &columns).map(move |document| {
                document.map(|mut document| {
                    document.licence = document.licence.or_else(|| licence.clone());
                    document.group = document.group.or_else(|| group.clone());
                    document
                })
            })),
        }
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cards_licence_holds_for_rows_that_state_none() {
        let dir = tempfile::tempdir().unwrap();
        let card_text = "---\nlicense: apache-2.0\nlanguage:\n- en\n- de\npretty_name: \"Two: rows\"\nconfigs:\n- config_name: default\n  data_files: x\n---\n# Card\n";
        std::fs::write(dir.path().join("README.md"), card_text).unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        std::fs::write(
            dir.path().join("data/train.jsonl"),
            "{\"text\":\"a\"}\n{\"text\":\"b\",\"license\":\"MIT\"}\n",
        )
        .unwrap();
        let card = card(dir.path()).unwrap().unwrap();
        assert_eq!(card.languages, ["en", "de"]);
        let documents: Vec<_> =
            documents(dir.path(), card, &Columns::default()).unwrap().map(Result::unwrap).collect();
        let licences: Vec<_> = documents.iter().map(|d| d.licence.as_deref().unwrap()).collect();
        assert_eq!(licences, ["Apache-2.0", "MIT"]);
        assert_eq!(documents[0].group.as_deref(), Some("Two: rows"));
    }

    #[test]
    fn hub_names_become_spdx_ids() {
        assert_eq!(spdx_of("cc-by-sa-4.0").as_deref(), Some("CC-BY-SA-4.0"));
        assert_eq!(spdx_of("gpl-3.0").as_deref(), Some("GPL-3.0-only"));
        assert_eq!(spdx_of("bigscience-openrail-m").as_deref(), Some("LicenseRef-bigscience-openrail-m"));
        assert_eq!(spdx_of("other"), None);
    }

    #[test]
    fn a_folder_without_a_card_is_no_dataset() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("README.md"), "# Just a readme\n").unwrap();
        assert_eq!(card(dir.path()).unwrap(), None);
    }
}
