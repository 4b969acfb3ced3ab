//! Blocks: what validators agree on.
//!
//! A block is a [`Header`] and the raw EIP-2718 transactions it orders. The digest that consensus signs is
//! the SHA-256 of the encoded header alone, so a light client needs no transactions to check a certificate.
//! The header binds the body through `transactions_root`; [`Read`] recomputes that root, so a block whose
//! body differs from its header cannot be decoded.
//!
//! | field | bound by |
//! |---|---|
//! | `context` | consensus: round, leader, parent of the round |
//! | `timestamp_ms` | RULEBOOK R0: later than the parent's by at most [`MAX_STEP_MS`] |
//! | `base_fee` | the parent's fee, gas and the time between them |
//! | `gas_used`, `receipts_root` | execution |
//! | `state_root` | the canonical root of the state database, checked by every verifier |
//! | `ops_root`, `range` | what peer state sync streams against |
//! | `parent_votes` | the certificate of the parent, which says who signed it ([`crate::participation`]) |
//! | `next_validators` | the set that signs the next epoch (the handover chain of light clients) |

use crate::network_rules::MAX_VALIDATORS;
use alloy_primitives::{Address, B256};
use bytes::{BufMut, Bytes};
use commonware_codec::{
    Buf, Encode, EncodeSize, Error as CodecError, FixedSize, MaxEncodeSize, RangeCfg, Read, ReadExt as _,
    Write,
};
use commonware_consensus::{
    Block as ConsensusBlock, BoundedBlock, CertifiableBlock, Heightable,
    simplex::types::Context,
    types::{Epoch, Height, Round, View},
};
use commonware_cryptography::{Digest as _, Digestible, Hasher, Sha256, Signer as _, ed25519, sha256};
use commonware_storage::{mmb, mmb::Location, qmdb::sync::Target};
use commonware_utils::range::NonEmptyRange;
use primitives::merkle;

/// Digest of a block, of its state roots and of consensus payloads.
pub type Digest = sha256::Digest;
/// Identity of a validator. ed25519, so that a fault can be attributed to one key.
pub type PublicKey = ed25519::PublicKey;
/// Secret key of a validator.
pub type PrivateKey = ed25519::PrivateKey;
/// The signing scheme of consensus certificates.
pub type Scheme = commonware_consensus::simplex::scheme::ed25519::Scheme;
/// What consensus says about the round a block was proposed in.
pub type RoundContext = Context<Digest, PublicKey>;

/// Most transactions in one block.
pub const MAX_BLOCK_TRANSACTIONS: usize = 16_384;
/// Most bytes of raw transactions in one block.
pub const MAX_BLOCK_BYTES: usize = 2 << 20;
/// Most bytes of one raw transaction.
pub const MAX_TRANSACTION_BYTES: usize = 128 << 10;
/// Furthest a block's time may lie past its parent's (RULEBOOK R0).
pub const MAX_STEP_MS: u64 = 10_000;

/// Bytes that a certificate of the largest set can have: a signature and a bit for each, and the proposal.
pub const MAX_CERTIFICATE_BYTES: usize = MAX_VALIDATORS * 72 + 256;

const HEADER_DOMAIN: &[u8] = b"openledger/header/v1";

/// Everything a certificate speaks for, without the transactions themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Round, leader and consensus parent.
    pub context: RoundContext,
    /// Digest of the parent block; in block 0 the hash of the genesis file.
    pub parent: Digest,
    /// Height; block 0 is the genesis block and holds no transactions.
    pub height: u64,
    /// Milliseconds since the Unix epoch, set by the leader within R0.
    pub timestamp_ms: u64,
    /// EIP-1559 base fee per gas, in the smallest unit.
    pub base_fee: u128,
    /// Gas that the block's transactions used together.
    pub gas_used: u64,
    /// Account that receives the leader's tips.
    pub proposer: Address,
    /// Root of all state words after this block.
    pub state_root: Digest,
    /// Root of the operation log after this block, for state sync.
    pub ops_root: Digest,
    /// Operations a syncing node has to fetch.
    pub range: NonEmptyRange<Location>,
    /// Merkle root over the raw transactions.
    pub transactions_root: B256,
    /// Merkle root over the receipts, the block's own events last.
    pub receipts_root: B256,
    /// Hash of the validator set that signs the next epoch.
    pub next_validators: B256,
    /// Encoded certificate of the parent, empty when the leader had none.
    pub parent_votes: Bytes,
}

impl Header {
    /// The digest that consensus certificates sign.
    pub fn digest(&self) -> Digest {
        Sha256::hash(&[HEADER_DOMAIN, &self.encode()])
    }
}

/// A header and its transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What the certificate speaks for.
    pub header: Header,
    /// Raw EIP-2718 transactions in order of execution.
    pub transactions: Vec<Bytes>,
}

impl Block {
    /// Block 0 of a chain: no transactions, an empty state, bound to the genesis file by `genesis_hash`.
    pub fn genesis(
        genesis_hash: B256,
        timestamp_ms: u64,
        base_fee: u128,
        next_validators: B256,
        target: Target<mmb::Family, Digest>,
    ) -> Self {
        Self {
            header: Header {
                context: RoundContext {
                    round: Round::new(Epoch::zero(), View::zero()),
                    leader: PrivateKey::from_seed(0).public_key(),
                    parent: (View::zero(), Digest::EMPTY),
                },
                parent: Digest::from(genesis_hash.0),
                height: 0,
                timestamp_ms,
                base_fee,
                gas_used: 0,
                proposer: Address::ZERO,
                state_root: Digest::EMPTY,
                ops_root: target.root,
                range: target.range,
                transactions_root: transactions_root(&[]),
                receipts_root: B256::ZERO,
                next_validators,
                parent_votes: Bytes::new(),
            },
            transactions: Vec::new(),
        }
    }
}

/// Merkle root over raw transactions, in order.
pub fn transactions_root(transactions: &[Bytes]) -> B256 {
    let leaves: Vec<B256> =
        transactions.iter().map(|raw| primitives::hash::hash(primitives::Domain::Transaction, raw)).collect();
    merkle::root(&leaves)
}

impl Write for Header {
    fn write(&self, buf: &mut impl BufMut) {
        self.context.write(buf);
        self.parent.write(buf);
        self.height.write(buf);
        self.timestamp_ms.write(buf);
        self.base_fee.write(buf);
        self.gas_used.write(buf);
        self.proposer.0.0.write(buf);
        self.state_root.write(buf);
        self.ops_root.write(buf);
        self.range.write(buf);
        self.transactions_root.0.write(buf);
        self.receipts_root.0.write(buf);
        self.next_validators.0.write(buf);
        self.parent_votes.write(buf);
    }
}

const FIXED_BYTES: usize = Digest::SIZE * 3 + 8 * 3 + 16 + 20 + 32 * 3;

impl EncodeSize for Header {
    fn encode_size(&self) -> usize {
        self.context.encode_size() + FIXED_BYTES + self.range.encode_size() + self.parent_votes.encode_size()
    }
}

impl Read for Header {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, CodecError> {
        Ok(Self {
            context: RoundContext::read(buf)?,
            parent: Digest::read(buf)?,
            height: u64::read(buf)?,
            timestamp_ms: u64::read(buf)?,
            base_fee: u128::read(buf)?,
            gas_used: u64::read(buf)?,
            proposer: Address::from(<[u8; 20]>::read(buf)?),
            state_root: Digest::read(buf)?,
            ops_root: Digest::read(buf)?,
            range: NonEmptyRange::read(buf)?,
            transactions_root: B256::from(<[u8; 32]>::read(buf)?),
            receipts_root: B256::from(<[u8; 32]>::read(buf)?),
            next_validators: B256::from(<[u8; 32]>::read(buf)?),
            parent_votes: Bytes::read_cfg(buf, &RangeCfg::from(0..=MAX_CERTIFICATE_BYTES))?,
        })
    }
}

/// Most bytes of an encoded header.
pub const MAX_HEADER_BYTES: usize = <RoundContext as MaxEncodeSize>::MAX_ENCODE_SIZE
    + FIXED_BYTES
    + <NonEmptyRange<Location> as MaxEncodeSize>::MAX_ENCODE_SIZE
    + MAX_CERTIFICATE_BYTES
    + 5;

impl Write for Block {
    fn write(&self, buf: &mut impl BufMut) {
        self.header.write(buf);
        self.transactions.write(buf);
    }
}

impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        self.header.encode_size() + self.transactions.encode_size()
    }
}

impl Read for Block {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, CodecError> {
        let header = Header::read(buf)?;
        let limits = (RangeCfg::from(0..=MAX_BLOCK_TRANSACTIONS), RangeCfg::from(1..=MAX_TRANSACTION_BYTES));
        let transactions = Vec::<Bytes>::read_cfg(buf, &limits)?;
        if transactions.iter().map(Bytes::len).sum::<usize>() > MAX_BLOCK_BYTES {
            return Err(CodecError::Invalid("Block", "transactions exceed the byte limit of a block"));
        }
        if transactions_root(&transactions) != header.transactions_root {
            return Err(CodecError::Invalid("Block", "transactions differ from the header's root"));
        }
        Ok(Self { header, transactions })
    }
}

impl Digestible for Block {
    type Digest = Digest;
    fn digest(&self) -> Digest {
        self.header.digest()
    }
}

impl Heightable for Block {
    fn height(&self) -> Height {
        Height::new(self.header.height)
    }
}

impl ConsensusBlock for Block {
    fn parent(&self) -> Digest {
        self.header.parent
    }
}

impl CertifiableBlock for Block {
    type Context = RoundContext;
    fn context(&self) -> RoundContext {
        self.header.context.clone()
    }
}

impl BoundedBlock for Block {
    fn max_encode_size(_: &()) -> usize {
        // One length prefix of at most 5 bytes for each transaction and one for their count.
        MAX_HEADER_BYTES + MAX_BLOCK_BYTES + 5 * (MAX_BLOCK_TRANSACTIONS + 1)
    }
}
