//! ERC-2612: approvals by signature.

use super::{domain, erc20};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    signature::{Passed, require_signer},
    tables::PERMIT_NONCES,
};
use alloy_primitives::U256;
use interfaces::token::{IToken, Permit};

pub(super) fn permit(ctx: &mut Context, call: IToken::permitCall) -> Result<()> {
    let IToken::permitCall { owner, spender, value, deadline, v, r, s } = call;
    ensure(U256::from(ctx.now()) <= deadline, || {
        Error::rejected(IToken::ERC2612ExpiredSignature { deadline })
    })?;
    let nonce = PERMIT_NONCES.get(ctx.state, &owner)?;
    let message = Permit { owner, spender, value, nonce, deadline };
    let domain = domain(ctx);
    require_signer(ctx, &domain, &message, &Passed::Vrs { v, r, s }, owner, |signer| {
        Error::rejected(IToken::ERC2612InvalidSigner { signer, owner })
    })?;
    PERMIT_NONCES.set(ctx.state, &owner, nonce.checked_add(U256::from(1)).ok_or_else(Error::overflow)?)?;
    erc20::set_allowance(ctx, owner, spender, value)
}
