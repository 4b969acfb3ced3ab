//! Light verification: from the genesis file and certificates alone, without trusting any node.
//!
//! ```text
//! genesis validators --handover--> ... --> current validators
//!        certificate over a header  ==>  its state root and receipts root
//!        word proof, receipt path   ==>  any state word, any event
//! ```
//! A certificate is a quorum (more than two thirds) of the validators' signatures over a header's digest. Where
//! consensus finalized a block only through a descendant, the headers between the two connect them. A
//! [`Handover`] ends an epoch: its last header names the hash of the next validator set (`next_validators`)
//! and is certified by the old one, so a client follows the chain of handovers and nothing else. The set does
//! not change yet; the format is fixed.

mod proof;

pub use proof::{EventProof, EventProofError, VerifiedReceipt, WordEvidence};

use crate::{
    block::{Digest, Header, MAX_CERTIFICATE_BYTES, PublicKey, Scheme},
    network_rules::{MAX_VALIDATORS, Rules, RulesError, validators_hash},
};
use alloy_primitives::B256;
use bytes::{BufMut, Bytes};
use commonware_codec::{
    Buf, Decode as _, DecodeExt as _, EncodeSize, Error as CodecError, RangeCfg, Read, ReadExt as _, Write,
};
use commonware_consensus::simplex::types::Finalization;
use commonware_parallel::Sequential;
use commonware_utils::{TryCollect as _, ordered::Set};
use ledger::{BlockEnv, Genesis};

/// Most headers between a block and the certificate that finalizes it.
pub const MAX_HEADERS: usize = 1_024;

/// The certificate of a header.
pub type Certificate = Finalization<Scheme, Digest>;

/// A block's header, those after it up to a certified one, and the certificate of the last.
#[derive(Clone, Debug)]
pub struct FinalityProof {
    /// Headers by height, each the parent of the next.
    pub headers: Vec<Header>,
    /// Certificate of the last header.
    pub certificate: Bytes,
}

/// The end of an epoch: the old set certifies the hash of the next.
#[derive(Clone, Debug)]
pub struct Handover {
    /// Proves the epoch's last header.
    pub finality: FinalityProof,
    /// The next set, whose hash that header names.
    pub next: Vec<PublicKey>,
}

/// Why a claim is not proven.
#[derive(Debug, thiserror::Error)]
pub enum LightError {
    /// The genesis file is unusable.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// Bytes are no proof.
    #[error("malformed proof: {0}")]
    Malformed(#[from] CodecError),
    /// No header at all.
    #[error("the proof holds no header")]
    Empty,
    /// A header is not the parent of the next.
    #[error("header {0} is not the parent of the one after it")]
    Unconnected(u64),
    /// The certificate is of another header.
    #[error("the certificate is of another block")]
    OtherBlock,
    /// The certificate is of another epoch.
    #[error(
        "the certificate is of epoch {found}, the known validators are those of {expected}: follow the handovers first"
    )]
    OtherEpoch {
        /// Epoch in the certificate.
        found: u64,
        /// Epoch of the validators known here.
        expected: u64,
    },
    /// Too few valid signatures.
    #[error("the certificate lacks a quorum of valid signatures")]
    Signatures,
    /// The next set is not the one the header names.
    #[error("the next validators are not those that the last header of the epoch names")]
    OtherValidators,
}

/// A header that a quorum finalized.
#[derive(Clone, Debug)]
pub struct VerifiedHeader {
    header: Header,
    digest: Digest,
}

impl VerifiedHeader {
    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Hash of its block.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The environment that views on its state run in, as a node's `eth_call` has it.
    pub fn env(&self, genesis: &Genesis) -> BlockEnv {
        let header = &self.header;
        BlockEnv {
            chain_id: genesis.chain_id,
            number: header.height,
            timestamp_ms: header.timestamp_ms,
            parent_hash: B256::from_slice(&header.parent),
            base_fee: header.base_fee,
            proposer: header.proposer,
            signers: Vec::new(),
            gas_limit: genesis.gas_limit,
        }
    }
}

/// Knows the validators of one epoch and believes what a quorum of them signed.
pub struct LightClient {
    namespace: Vec<u8>,
    scheme: Scheme,
    validator_count: usize,
    epoch: u64,
}

impl LightClient {
    /// Starts with the validators of the genesis file.
    pub fn new(genesis: Genesis) -> Result<Self, LightError> {
        let rules = Rules::new(genesis)?;
        let (namespace, scheme) = (rules.namespace(), rules.verifier());
        Ok(Self { namespace, scheme, validator_count: rules.validators.len(), epoch: 0 })
    }

    /// Checks that a quorum finalized the first header of `proof`.
    pub fn verify(&self, proof: &FinalityProof) -> Result<VerifiedHeader, LightError> {
        let first = proof.headers.first().ok_or(LightError::Empty)?;
        let digest = first.digest();
        let mut last = digest;
        for pair in proof.headers.windows(2) {
            if pair[1].parent != last || pair[1].height != pair[0].height + 1 {
                return Err(LightError::Unconnected(pair[0].height));
            }
            last = pair[1].digest();
        }
        let certificate = Certificate::decode_cfg(proof.certificate.clone(), &self.validator_count)?;
        if certificate.proposal.payload != last {
            return Err(LightError::OtherBlock);
        }
        let found = certificate.proposal.round.epoch().get();
        if found != self.epoch {
            return Err(LightError::OtherEpoch { found, expected: self.epoch });
        }
        // Signatures are verified as one batch, whose weights must be unpredictable.
        if !certificate.verify(&mut commonware_utils::sys_rng(), &self.scheme, &Sequential) {
            return Err(LightError::Signatures);
        }
        Ok(VerifiedHeader { header: first.clone(), digest })
    }

    /// Moves on to the next epoch's validators.
    pub fn follow(&mut self, handover: &Handover) -> Result<VerifiedHeader, LightError> {
        let verified = self.verify(&handover.finality)?;
        if validators_hash(handover.next.iter()) != verified.header.next_validators {
            return Err(LightError::OtherValidators);
        }
        let next: Set<PublicKey> =
            handover.next.iter().cloned().try_collect().map_err(|_| LightError::OtherValidators)?;
        self.validator_count = next.len();
        self.scheme = Scheme::verifier(&self.namespace, next);
        self.epoch += 1;
        Ok(verified)
    }

    /// The epoch whose validators are known.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Hash of a set as headers name it.
pub fn set_hash(validators: &[PublicKey]) -> B256 {
    validators_hash(validators.iter())
}

impl Write for FinalityProof {
    fn write(&self, buf: &mut impl BufMut) {
        self.headers.write(buf);
        self.certificate.write(buf);
    }
}

impl EncodeSize for FinalityProof {
    fn encode_size(&self) -> usize {
        self.headers.encode_size() + self.certificate.encode_size()
    }
}

impl Read for FinalityProof {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, CodecError> {
        Ok(Self {
            headers: Vec::<Header>::read_cfg(buf, &(RangeCfg::from(1..=MAX_HEADERS), ()))?,
            certificate: Bytes::read_cfg(buf, &RangeCfg::from(1..=MAX_CERTIFICATE_BYTES))?,
        })
    }
}

impl Write for Handover {
    fn write(&self, buf: &mut impl BufMut) {
        self.finality.write(buf);
        self.next.write(buf);
    }
}

impl EncodeSize for Handover {
    fn encode_size(&self) -> usize {
        self.finality.encode_size() + self.next.encode_size()
    }
}

impl Read for Handover {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, CodecError> {
        Ok(Self {
            finality: FinalityProof::read(buf)?,
            next: Vec::<PublicKey>::read_cfg(buf, &(RangeCfg::from(1..=MAX_VALIDATORS), ()))?,
        })
    }
}

impl FinalityProof {
    /// Reads a proof.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, LightError> {
        Ok(Self::decode(bytes)?)
    }
}
