//! What the command line of `openledger datanet` takes.

use alloy_primitives::B256;
use clap::Subcommand;
use std::path::PathBuf;
use vault::{crypt::keys::PublicKey, screen};

/// How long a grant holds unless it says otherwise, in days.
const GRANT_DAYS: u64 = 30;
/// Cosine of centred embeddings from which two items say the same, unless asked otherwise.
const LEAST_SIMILARITY: f32 = 0.9;

/// Licensed data, encrypted in a vault.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder of the vault, or s3://BUCKET/PREFIX [default: HOME/vault]
    #[arg(long, global = true, value_name = "PLACE")]
    pub(super) vault: Option<String>,
    /// Address of the S3 server [default: AWS_ENDPOINT_URL, or Amazon's]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) s3_endpoint: Option<String>,
    /// File with another keeper's key, where several are needed; may be given several times
    #[arg(long = "keeper-key", global = true, value_name = "FILE")]
    pub(super) keeper_keys: Vec<PathBuf>,
    #[command(subcommand)]
    pub(super) action: Action,
}

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Create a Datanet
    Create {
        /// What people call it
        name: String,
        /// What it is for
        #[arg(long, default_value = "")]
        description: String,
        /// Key name or address that owns it
        #[arg(long, default_value = "default")]
        owner: String,
        /// SPDX expression that items may have; may be given several times [default: any valid one]
        #[arg(long = "licence", value_name = "SPDX")]
        licences: Vec<String>,
        /// Public key of a keeper, as `datanet key` prints it; may be given several times [default: your own]
        #[arg(long = "keeper", value_name = "KEY")]
        keepers: Vec<PublicKey>,
        /// How many keepers together can read
        #[arg(long, default_value_t = 1)]
        needed: u8,
        /// What happens to personal data: report, redact or reject
        #[arg(long, default_value = "redact", value_parser = screening)]
        personal: screen::Action,
        /// What happens to passwords, keys and tokens: report, redact or reject
        #[arg(long, default_value = "reject", value_parser = screening)]
        secrets: screen::Action,
        /// What happens to junk: report or reject
        #[arg(long, default_value = "reject", value_parser = screening)]
        junk: screen::Action,
    },
    /// Add files, folders or globs: read, screen, compare, encrypt, store
    Add {
        /// Datanet: name, id, or the beginning of its id
        datanet: String,
        /// Files, folders or globs
        #[arg(required = true)]
        sources: Vec<PathBuf>,
        /// Key name or address that contributes
        #[arg(long, default_value = "default")]
        owner: String,
        /// SPDX expression of documents that state none
        #[arg(long, value_name = "SPDX")]
        licence: Option<String>,
        /// Column that holds the text, in tables
        #[arg(long, value_name = "COLUMN")]
        text: Option<String>,
        /// Column that holds the prompt, in tables
        #[arg(long, value_name = "COLUMN")]
        prompt: Option<String>,
    },
    /// Show Datanets, contributions, grants and training sets
    Show {
        /// Datanet: name, id, or the beginning of its id
        datanet: Option<String>,
    },
    /// Check every stored byte against the roots
    Verify,
    /// Show who did and read what, and prove that nothing was left out since a head that you noted
    Log {
        /// Head that was noted; shows what came after it, and fails if anything before it was changed
        #[arg(long, value_name = "HASH")]
        head: Option<B256>,
    },
    /// Remove what interrupted commands left behind
    Clean,
    /// Give someone the keys of a contribution or training set
    Grant {
        /// Public key of the grantee, as `datanet key` prints it
        grantee: PublicKey,
        /// Root of a training set
        #[arg(
            long,
            value_name = "ROOT",
            conflicts_with = "contributions",
            required_unless_present = "contributions"
        )]
        set: Option<B256>,
        /// Contribution; may be given several times
        #[arg(long = "contribution", value_name = "ID")]
        contributions: Vec<B256>,
        /// Registered training descriptor that the grant is for
        #[arg(long, value_name = "HASH")]
        run: Option<B256>,
        /// Days it holds
        #[arg(long, default_value_t = GRANT_DAYS)]
        days: u64,
        /// For what, in words
        #[arg(long, default_value = "training")]
        purpose: String,
    },
    /// End a grant
    Revoke {
        /// The grant
        grant: B256,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Delete items for good: keys, ciphertext, and their features and text in models trained on them; a tombstone stays
    Erase {
        /// A contribution
        #[arg(long, value_name = "ID", conflicts_with_all = ["leaves", "source"])]
        contribution: Option<B256>,
        /// Leaf of an item; may be given several times
        #[arg(long = "leaf", value_name = "HASH", conflicts_with = "source")]
        leaves: Vec<B256>,
        /// Path of a document as it was added; needs the keepers
        #[arg(long, value_name = "PATH", requires = "datanet")]
        source: Option<String>,
        /// Datanet of that document: name, id, or the beginning of its id
        #[arg(long, value_name = "DATANET")]
        datanet: Option<String>,
        /// Folder of a model trained on them, with a serving.json; may be given several times [default: those of the configuration
        /// and around the vault]. Alone, finishes there what was erased from the vault before
        #[arg(long = "model", value_name = "DIR", required_unless_present_any = ["contribution", "leaves", "source"])]
        models: Vec<PathBuf>,
        /// Address of a node, to wait for windows in which answers of these models can be challenged [default: none is asked]
        #[arg(long, value_name = "HOST:PORT")]
        rpc: Option<String>,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        /// Really erase: nothing brings it back
        #[arg(long)]
        yes: bool,
    },
    /// Freeze a training set: items of Datanets that licences, languages and novelty allow
    TrainSet {
        /// Datanets: names or ids [default: all]
        datanets: Vec<String>,
        /// Use that every licence must allow: train, commercial, distribute, quote; may be given several times
        #[arg(long = "use", value_name = "USE")]
        uses: Vec<String>,
        /// Licence that the model will carry
        #[arg(long, value_name = "SPDX", default_value = "Apache-2.0")]
        target: String,
        /// ISO 639-3 code of a language; may be given several times
        #[arg(long = "language", value_name = "CODE")]
        languages: Vec<String>,
        /// Keep near-duplicates
        #[arg(long)]
        keep_duplicates: bool,
        /// Bytes of text at most
        #[arg(long, default_value_t = 0)]
        max_bytes: u64,
        /// Leaf of an item that is left out; may be given several times
        #[arg(long, value_name = "HASH")]
        without: Vec<B256>,
        /// Leave out what says in other words what an earlier item says, by the embeddings of the model in this folder
        #[arg(long, value_name = "DIR")]
        without_paraphrases: Option<PathBuf>,
        /// Similarity from which it does, up to 1
        #[arg(long, default_value_t = LEAST_SIMILARITY, value_name = "COSINE")]
        least: f32,
    },
    /// Find items that say in other words what an earlier one says, by a model's embeddings
    Paraphrases {
        /// Datanet: name, id, or the beginning of its id [default: all]
        datanet: Option<String>,
        /// Folder of the model that embeds
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// Similarity from which two items say the same, up to 1
        #[arg(long, default_value_t = LEAST_SIMILARITY, value_name = "COSINE")]
        least: f32,
    },
    /// Write a training set out as Parquet, with its Croissant description, data card and public summary
    Export {
        /// New folder to write to
        folder: PathBuf,
        /// Root of the training set [default: the one frozen last]
        #[arg(long, value_name = "ROOT")]
        set: Option<B256>,
        /// Read under this grant instead of as a keeper
        #[arg(long, value_name = "GRANT", conflicts_with = "set")]
        grant: Option<B256>,
        /// What it is called [default: the Datanets' names]
        #[arg(long)]
        name: Option<String>,
        /// What it is for [default: the Datanets' descriptions]
        #[arg(long)]
        description: Option<String>,
        /// Who publishes it
        #[arg(long, default_value = "unnamed")]
        publisher: String,
        /// Its version
        #[arg(long = "release", default_value = "1.0.0", value_name = "VERSION")]
        version: String,
    },
    /// Print this user's public key, for grants
    Key,
}

fn screening(text: &str) -> Result<screen::Action, String> {
    match text {
        "report" => Ok(screen::Action::Report),
        "redact" => Ok(screen::Action::Redact),
        "reject" => Ok(screen::Action::Reject),
        _ => Err("there are report, redact and reject".into()),
    }
}
