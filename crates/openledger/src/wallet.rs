//! Keys on disk: keystore v3 files (scrypt, AES-128-CTR), one a name, readable by their owner alone.

use alloy_primitives::{Address, B256};
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use anyhow::{Context as _, bail};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The words that development chains fund, here too (`node --dev`).
pub const DEVELOPMENT_MNEMONIC: &str = "test test test test test test test test test test test junk";
/// Accounts of [`DEVELOPMENT_MNEMONIC`] that a development genesis funds.
pub const DEVELOPMENT_ACCOUNTS: u32 = 10;

/// Longest name of a key.
const MAX_NAME_BYTES: usize = 64;
/// Longest keystore file that is read.
const MAX_KEYSTORE_BYTES: u64 = 64 * 1024;

/// A folder of keys.
#[derive(Clone, Debug)]
pub struct Keystore(PathBuf);

/// A key as listed.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Entry {
    /// File name without its ending.
    pub name: String,
    /// Account, in EIP-55 form.
    pub address: Address,
}

impl Keystore {
    /// The keys in `folder`; it need not exist yet.
    pub fn new(folder: PathBuf) -> Keystore {
        Keystore(folder)
    }

    fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !plain {
            bail!("`{name}` is not a key name: use up to {MAX_NAME_BYTES} letters, digits, - and _");
        }
        Ok(self.0.join(format!("{name}.json")))
    }

    /// Encrypts `key` under `name`. An existing key is never overwritten.
    pub fn store(&self, name: &str, key: &PrivateKeySigner, password: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name)?;
        if path.exists() {
            bail!("{} exists; choose another name (keys are never overwritten)", path.display());
        }
        private_folder(&self.0)?;
        // The library writes with the process's default permissions: encrypt into a private folder, then place the bytes.
        let scratch = tempfile::Builder::new().prefix(".new-key-").tempdir_in(&self.0)?;
        let secret = Zeroizing::new(key.to_bytes().0);
        PrivateKeySigner::encrypt_keystore(
            scratch.path(),
            &mut rand::rngs::OsRng,
            secret.as_slice(),
            password,
            Some("key"),
        )
        .context("cannot encrypt the key")?;
        let mut document: serde_json::Value = serde_json::from_slice(&fs::read(scratch.path().join("key"))?)?;
        document["address"] = serde_json::Value::String(format!("{:x}", key.address()));
        write_private(&path, document.to_string().as_bytes())?;
        Ok(path)
    }

    /// Decrypts the key called `name`.
    pub fn open(&self, name: &str, password: &str) -> anyhow::Result<PrivateKeySigner> {
        let path = self.path(name)?;
        if !path.exists() {
            bail!(
                "there is no key `{name}` in {}; `openledger wallet list` shows the keys",
                self.0.display()
            );
        }
        let size = fs::metadata(&path)?.len();
        if size > MAX_KEYSTORE_BYTES {
            bail!("{} has {size} bytes; a keystore file has at most {MAX_KEYSTORE_BYTES}", path.display());
        }
        PrivateKeySigner::decrypt_keystore(&path, password).with_context(|| {
            format!("cannot open {}: the password is wrong or the file is damaged", path.display())
        })
    }

    /// All keys, by name. Files that are not keystores are left out.
    pub fn list(&self) -> anyhow::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let folder = match fs::read_dir(&self.0) {
            Ok(folder) => folder,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(entries),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", self.0.display())),
        };
        for file in folder {
            let path = file?.path();
            let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_string();
            if path.extension().is_none_or(|e| e != "json") || fs::metadata(&path)?.len() > MAX_KEYSTORE_BYTES
            {
                continue;
            }
            let document: Option<serde_json::Value> = serde_json::from_slice(&fs::read(&path)?).ok();
            let address = document.as_ref().and_then(|d| d["address"].as_str()).and_then(|a| a.parse().ok());
            entries.extend(address.map(|address| Entry { name, address }));
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The account of a name, or the address that the text is.
    pub fn address(&self, name_or_address: &str) -> anyhow::Result<Address> {
        if let Ok(address) = name_or_address.parse() {
            return Ok(address);
        }
        let found = self.list()?.into_iter().find(|entry| entry.name == name_or_address);
        found.map(|entry| entry.address).with_context(|| {
            format!("`{name_or_address}` is neither an address nor a key in {}", self.0.display())
        })
    }
}

/// New words and the key of their first account (BIP-39, path m/44'/60'/0'/0/0).
pub fn generate(words: usize) -> anyhow::Result<(Zeroizing<String>, PrivateKeySigner)> {
    let mnemonic =
        alloy_signer_local::coins_bip39::Mnemonic::<English>::new_with_count(&mut rand::rngs::OsRng, words)
            .with_context(|| format!("a mnemonic has 12, 15, 18, 21 or 24 words, not {words}"))?;
    let phrase = Zeroizing::new(mnemonic.to_phrase());
    let key = from_mnemonic(&phrase, 0)?;
    Ok((phrase, key))
}

/// The key of account `index` of a mnemonic.
pub fn from_mnemonic(phrase: &str, index: u32) -> anyhow::Result<PrivateKeySigner> {
    MnemonicBuilder::<English>::default()
        .phrase(phrase.trim())
        .index(index)?
        .build()
        .context("these are not the words of a BIP-39 mnemonic (check their spelling and order)")
}

/// The key that a text holds: 64 hex digits, or a mnemonic.
pub fn from_secret(text: &str) -> anyhow::Result<PrivateKeySigner> {
    let text = text.trim();
    if text.split_whitespace().count() >= 12 {
        return from_mnemonic(text, 0);
    }
    let bytes: B256 = text.parse().context("neither 64 hex digits nor a mnemonic")?;
    PrivateKeySigner::from_bytes(&bytes).context("this number is not a secp256k1 key")
}

/// Creates a folder that only its owner enters.
pub fn private_folder(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Writes a file that only its owner reads; it is whole on disk before it has its name.
pub fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a file needs a folder")?;
    // tempfile creates with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_development_mnemonic_gives_the_known_first_account() {
        let key = from_mnemonic(DEVELOPMENT_MNEMONIC, 0).expect("valid words");
        assert_eq!(key.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    }

    #[test]
    fn a_stored_key_opens_with_its_password_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let keystore = Keystore::new(folder.path().join("keys"));
        let (phrase, key) = generate(12).expect("words");
        let path = keystore.store("alice", &key, "secret").expect("stored");
        assert_eq!(keystore.open("alice", "secret").expect("opens").address(), key.address());
        assert!(keystore.open("alice", "wrong").is_err());
        assert!(keystore.store("alice", &key, "secret").is_err(), "never overwritten");
        assert_eq!(keystore.address("alice").expect("listed"), key.address());
        assert_eq!(from_secret(&phrase).expect("words").address(), key.address());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).expect("exists").permissions().mode() & 0o777, 0o600);
        }
        let text = fs::read_to_string(path).expect("readable");
        assert!(!text.contains(&alloy_primitives::hex::encode(key.to_bytes())), "the key is encrypted");
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let keystore = Keystore::new("keys".into());
        for name in ["../x", "a/b", "", ".", "a b", &"x".repeat(65)] {
            assert!(keystore.path(name).is_err(), "{name}");
        }
    }
}
