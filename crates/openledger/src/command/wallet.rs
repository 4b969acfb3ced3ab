//! `openledger wallet`: keys and what they can do by themselves.

use crate::{
    cli::Rpc,
    home::Home,
    output::{Output, table},
    password, rpc, transaction,
    wallet::{self, Keystore},
};
use alloy_primitives::{Address, Bytes, U256};
use alloy_signer::SignerSync;
use anyhow::Context as _;
use clap::Subcommand;
use primitives::Amount;
use serde_json::json;
use std::{io::Read, path::PathBuf};
use zeroize::Zeroizing;

/// Longest secret read from standard input.
const MAX_SECRET_BYTES: u64 = 4096;

/// Keys: create, import, list; balances; send and sign.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// File with the key's password, instead of asking for it
    #[arg(long, global = true, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a key and print the words that restore it
    New {
        /// Name of the key
        #[arg(default_value = "default")]
        name: String,
        /// Number of words: 12, 15, 18, 21 or 24
        #[arg(long, default_value_t = 12)]
        words: usize,
    },
    /// Import a key from standard input: a mnemonic or 64 hex digits
    Import {
        /// Name of the key
        #[arg(default_value = "default")]
        name: String,
    },
    /// List the keys
    List,
    /// Show what an account holds
    Balance {
        /// Key name or address
        #[arg(default_value = "default")]
        account: String,
        #[command(flatten)]
        rpc: Rpc,
    },
    /// Send OPEN
    Send {
        /// Key name or address that receives
        to: String,
        /// OPEN, such as 1.5
        amount: String,
        /// Key that pays
        #[arg(long, default_value = "default")]
        from: String,
        #[command(flatten)]
        rpc: Rpc,
    },
    /// Sign a message (EIP-191)
    Sign {
        /// The message
        message: String,
        /// Key that signs
        #[arg(long, default_value = "default")]
        from: String,
    },
}

/// Runs `openledger wallet`.
pub fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let Arguments { password_file, action } = arguments;
    let keystore = Keystore::new(home.keystore());
    let file = password_file.as_deref();
    match action {
        Action::New { name, words } => {
            let (phrase, key) = wallet::generate(words)?;
            let path = keystore.store(&name, &key, &password::new(file)?)?;
            output.note(format!(
                "Key `{name}` is in {}. Write the words down and keep them secret: they are shown once and restore the key.",
                path.display()
            ));
            let address = key.address();
            output.result(&json!({ "name": name, "address": address, "mnemonic": *phrase }), || {
                format!("{address}\n{}", *phrase)
            });
        }
        Action::Import { name } => {
            let mut text = Zeroizing::new(String::new());
            output.note("Reading a mnemonic or 64 hex digits from standard input.");
            std::io::stdin().lock().take(MAX_SECRET_BYTES).read_to_string(&mut text)?;
            let key = wallet::from_secret(&text)?;
            let path = keystore.store(&name, &key, &password::new(file)?)?;
            output.note(format!("Key `{name}` is in {}.", path.display()));
            output.result(&json!({ "name": name, "address": key.address() }), || key.address().to_string());
        }
        Action::List => {
            let entries = keystore.list()?;
            if entries.is_empty() {
                output.note("There are no keys yet; `openledger wallet new` creates one.");
            }
            output.result(&entries, || {
                let rows: Vec<_> = entries.iter().map(|e| [e.name.clone(), e.address.to_string()]).collect();
                table(["NAME", "ADDRESS"], &rows)
            });
        }
        Action::Balance { account, rpc } => {
            let address = keystore.address(&account)?;
            let units = super::runtime()?.block_on(rpc::Client::new(&rpc.rpc)?.balance(address))?;
            let balance = Amount(units);
            output.result(&json!({ "address": address, "units": balance }), || format!("{balance} OPEN"));
        }
        Action::Send { to, amount, from, rpc } => {
            let to: Address = keystore.address(&to)?;
            let amount = Amount::parse_open(&amount)?;
            let key = keystore.open(&from, &password::existing(file)?)?;
            let client = rpc::Client::new(&rpc.rpc)?;
            let receipt = super::runtime()?
                .block_on(transaction::send(&client, &key, to, amount.to_word(), Bytes::new()))
                .context("nothing was sent")?;
            let fee = Amount::from_word(receipt.gas_used.saturating_mul(receipt.effective_gas_price))
                .unwrap_or_default();
            anyhow::ensure!(
                receipt.status == U256::from(1),
                "the ledger refused the transfer {}",
                receipt.transaction_hash
            );
            output.result(&receipt, || {
                format!(
                    "{}\nsent {amount} OPEN to {to} in block {} (fee {fee} OPEN)",
                    receipt.transaction_hash, receipt.block_number
                )
            });
        }
        Action::Sign { message, from } => {
            let key = keystore.open(&from, &password::existing(file)?)?;
            let signature = key.sign_message_sync(message.as_bytes())?;
            let hex = format!("0x{}", alloy_primitives::hex::encode(signature.as_bytes()));
            output.result(&json!({ "address": key.address(), "signature": hex }), || hex.clone());
        }
    }
    Ok(())
}
