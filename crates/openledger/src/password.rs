//! The password of a key: from a file, the environment, or a terminal; never from the command line, where others see it.

use anyhow::{Context as _, bail};
use std::{io::IsTerminal, path::Path};
use zeroize::Zeroizing;

/// Environment variable that holds the password.
pub const VARIABLE: &str = "OPENLEDGER_PASSWORD";
/// Longest password file that is read.
const MAX_FILE_BYTES: u64 = 4096;

/// The password for an existing key.
pub fn existing(file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    given(file)?.map_or_else(|| ask("Password: "), Ok)
}

/// The password for a new key; asked for twice on a terminal.
pub fn new(file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    if let Some(password) = given(file)? {
        return Ok(password);
    }
    let first = ask("New password: ")?;
    let second = ask("The same again: ")?;
    if first != second {
        bail!("the passwords differ; nothing was written");
    }
    Ok(first)
}

fn given(file: Option<&Path>) -> anyhow::Result<Option<Zeroizing<String>>> {
    if let Some(path) = file {
        let size = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
        if size > MAX_FILE_BYTES {
            bail!("{} has {size} bytes; a password file has at most {MAX_FILE_BYTES}", path.display());
        }
        let text = Zeroizing::new(
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
        );
        return Ok(Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_string())));
    }
    Ok(std::env::var(VARIABLE).ok().map(Zeroizing::new))
}

fn ask(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    if !std::io::stdin().is_terminal() {
        bail!("no password: pass --password-file FILE or set {VARIABLE}");
    }
    Ok(Zeroizing::new(rpassword::prompt_password(prompt)?))
}
