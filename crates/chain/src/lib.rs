//! Floor 3: the node. Consensus, peers, state database, mempool, JSON-RPC, index, light verification.
//!
//! One code path for one validator and for many: the genesis file names them, the rest is configuration.
//!
//! | module | what it does |
//! |---|---|
//! | [`node`] | starts everything in threads of its own, or says what is wrong first |
//! | [`engine`], [`network`], [`presence`], [`pace`], [`evidence`] | consensus, its peers, its start, its rhythm, its faults |
//! | [`application`], [`execution`], [`network_rules`], [`participation`] | what a valid block is, and what it does to the state |
//! | [`block`], [`transaction`], [`receipt`], [`state`] | what is agreed on |
//! | [`mempool`], [`intake`], [`gossip`] | how transactions come in |
//! | [`index`], [`rpc`] | history, and how clients ask for it |
//! | [`light`] | verification without trusting a node |
//! | [`config`], [`init`], [`directory`] | a node's files |
//!
//! Commonware's types stay in this crate, HTTP and JSON in [`rpc`]. Nothing here knows a model.

pub mod application;
pub mod block;
pub mod config;
pub mod directory;
pub mod engine;
pub mod evidence;
pub mod execution;
pub mod gossip;
pub mod index;
pub mod init;
pub mod intake;
pub mod light;
pub mod mempool;
pub mod network;
pub mod network_rules;
pub mod node;
pub mod pace;
pub mod participation;
pub mod presence;
pub mod receipt;
pub mod rpc;
pub mod state;
pub mod transaction;

pub use config::NodeConfig;
pub use node::{Node, NodeHandle};
