//! Signatures inside calls: EIP-712 digests and the recovery of their signers.

use crate::{
    context::Context,
    error::{Error, Result},
    gas,
};
use alloy_primitives::{Address, B256, Signature, U256, uint};
use alloy_sol_types::{Eip712Domain, SolStruct};

/// Half of secp256k1's order: a signature with a larger s is the malleable twin of a valid one (EIP-2).
const HALF_ORDER: U256 = uint!(0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0_U256);

/// A signature as clients pass it.
#[derive(Clone, Debug)]
pub enum Passed<'a> {
    /// Three words.
    Vrs { v: u8, r: B256, s: B256 },
    /// 65 bytes r, s, v, or 64 bytes of EIP-2098.
    Bytes(&'a [u8]),
}

/// The account that signed `digest`, or `None` when the signature is malformed or has a high s.
fn recover(digest: &B256, passed: &Passed) -> Option<Address> {
    let signature = match passed {
        Passed::Vrs { v, r, s } => {
            let parity = match v {
                0 | 27 => false,
                1 | 28 => true,
                _ => return None,
            };
            Signature::new(U256::from_be_bytes(r.0), U256::from_be_bytes(s.0), parity)
        }
        Passed::Bytes(bytes) => match bytes.len() {
            65 => Signature::from_raw(bytes).ok()?,
            64 => Signature::from_erc2098(bytes),
            _ => return None,
        },
    };
    if signature.s() > HALF_ORDER {
        return None;
    }
    signature.recover_address_from_prehash(digest).ok().filter(|signer| *signer != Address::ZERO)
}

/// The signer of a plain digest, or `None`; charges the recovery's gas.
pub fn signer_of_digest(ctx: &mut Context, digest: &B256, passed: &Passed) -> Result<Option<Address>> {
    ctx.state.charge(gas::RECOVER)?;
    Ok(recover(digest, passed))
}

/// The signer of an EIP-712 message, or `None`; charges the recovery's gas.
pub fn signer_of<S: SolStruct>(
    ctx: &mut Context,
    domain: &Eip712Domain,
    message: &S,
    passed: &Passed,
) -> Result<Option<Address>> {
    signer_of_digest(ctx, &message.eip712_signing_hash(domain), passed)
}

/// Refuses with `error` unless `expected` signed the message.
pub fn require_signer<S: SolStruct>(
    ctx: &mut Context,
    domain: &Eip712Domain,
    message: &S,
    passed: &Passed,
    expected: Address,
    error: impl FnOnce(Address) -> Error,
) -> Result<()> {
    match signer_of(ctx, domain, message, passed)? {
        Some(signer) if signer == expected => Ok(()),
        // While words are missing the message may be built from zeros: go on, the run is repeated.
        _ if ctx.state.missed() => Ok(()),
        other => Err(error(other.unwrap_or_default())),
    }
}
