//! The command line: one definition gives parsing, help and shell completions.

use crate::command;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// A ledger for AI that many people build together: provenance, attribution and payment that anyone can recompute.
#[derive(Debug, Parser)]
#[command(name = "openledger", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Arguments {
    /// Print one JSON value instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Folder of keys and data [default: ~/.openledger]
    #[arg(long, global = true, value_name = "DIR", env = "OPENLEDGER_HOME")]
    pub home: Option<PathBuf>,
    /// Configuration [default: openledger.toml in that folder, if there is one]
    #[arg(long, global = true, value_name = "FILE", env = "OPENLEDGER_CONFIG")]
    pub config: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole of OpenLedger on real data: contribute, train, answer, pay, verify
    Demo(command::demo::Arguments),
    /// Licensed data, encrypted in a vault
    Datanet(command::datanet::Arguments),
    /// Record a Datanet and your contributions to it on the ledger
    Publish(command::publish::Arguments),
    /// Train, generate and replay on plain files; serve as an operator
    Model(command::model::Arguments),
    /// Who does an output owe, on plain files
    Attribute(command::attribute::Arguments),
    /// Ask a model and pay by voucher
    Ask(command::ask::Arguments),
    /// Prepaid keys for OpenAI clients: open, show, proxy, withdraw
    Channel(command::channel::Arguments),
    /// Verify an answer with nothing trusted but the genesis: receipt, shares, settlement, model, data; replay it
    Verify(command::verify::Arguments),
    /// Explain what an answer pays an account, down to the items
    Why(command::why::Arguments),
    /// Pay out what settled answers owe contributors, and what has vested
    Claim(command::claim::Arguments),
    /// Create a network: one validator, or several
    Init(command::init::Arguments),
    /// Run a node
    Node(command::node::Arguments),
    /// Serve the pages of any node: blocks, accounts, Datanets, models, answers, settlements, claims
    Pages(command::pages::Arguments),
    /// Keys: create, import, list; balances; send and sign
    Wallet(command::wallet::Arguments),
    /// Height, peers and finality of a node
    Status(command::status::Arguments),
    /// Print shell completions
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
}

/// Where a node answers.
#[derive(Debug, Clone, clap::Args)]
pub struct Rpc {
    /// Address of a node's JSON-RPC
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8545", env = "OPENLEDGER_RPC")]
    pub rpc: String,
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        super::Arguments::command().debug_assert();
    }
}
