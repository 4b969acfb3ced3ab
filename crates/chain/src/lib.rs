//! The node.
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
pub mod receipt;
pub mod rpc;
pub mod state;
pub mod transaction;

pub use config::NodeConfig;
pub use node::{Node, NodeHandle};
