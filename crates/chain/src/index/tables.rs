//! Every table of the index.

use redb::TableDefinition;

/// Version of this layout; a file of another one is refused.
pub const VERSION: u64 = 2;

/// `version`, and the genesis hash as `genesis`.
pub const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Height to digest (32 bytes) and encoded header.
pub const HEADERS: TableDefinition<u64, &[u8]> = TableDefinition::new("headers");
/// Height to packed raw transactions.
pub const BODIES: TableDefinition<u64, &[u8]> = TableDefinition::new("bodies");
/// Height to packed receipts, the block's own events last.
pub const OUTCOMES: TableDefinition<u64, &[u8]> = TableDefinition::new("outcomes");
/// Block digest to height.
pub const DIGESTS: TableDefinition<[u8; 32], u64> = TableDefinition::new("digests");
/// Transaction hash to height and index.
pub const TRANSACTIONS: TableDefinition<[u8; 32], (u64, u32)> = TableDefinition::new("transactions");
/// Emitting address and height, for each block with an event of it.
pub const LOG_ADDRESSES: TableDefinition<([u8; 20], u64), ()> = TableDefinition::new("log_addresses");
/// Topic position, topic and height, for each block with such an event.
pub const LOG_TOPICS: TableDefinition<(u8, [u8; 32], u64), ()> = TableDefinition::new("log_topics");
