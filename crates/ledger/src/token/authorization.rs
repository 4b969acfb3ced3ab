//! ERC-3009: transfers by signature, each with a random nonce of its own.

use super::{domain, erc20};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    signature::{Passed, require_signer},
    tables::AUTHORIZATIONS,
};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolStruct;
use interfaces::{
    addresses,
    token::{CancelAuthorization, IToken, ReceiveWithAuthorization, TransferWithAuthorization},
};

/// The terms of an authorization, as both kinds of message carry them.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizedTransfer {
    /// Who pays, and signs.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// Units.
    pub value: U256,
    /// Valid strictly after this second.
    pub valid_after: U256,
    /// Valid strictly before this second.
    pub valid_before: U256,
    /// Chosen by the payer; used once.
    pub nonce: B256,
}

/// Carries out a `TransferWithAuthorization`; anyone may.
pub(super) fn transfer_with_authorization(
    ctx: &mut Context,
    terms: AuthorizedTransfer,
    signature: Passed,
) -> Result<()> {
    let AuthorizedTransfer { from, to, value, valid_after, valid_before, nonce } = terms;
    let message = TransferWithAuthorization {
        from,
        to,
        value,
        validAfter: valid_after,
        validBefore: valid_before,
        nonce,
    };
    authorized(ctx, terms, &message, signature)
}

/// Carries out a `ReceiveWithAuthorization`; only the payee may, so that nobody can run ahead of it.
pub fn receive_with_authorization(
    ctx: &mut Context,
    terms: AuthorizedTransfer,
    signature: Passed,
) -> Result<()> {
    let AuthorizedTransfer { from, to, value, valid_after, valid_before, nonce } = terms;
    ensure(ctx.caller == to, || {
        Error::rejected(IToken::CallerMustBePayee { caller: ctx.caller, payee: to })
    })?;
    let message = ReceiveWithAuthorization {
        from,
        to,
        value,
        validAfter: valid_after,
        validBefore: valid_before,
        nonce,
    };
    authorized(ctx, terms, &message, signature)
}

fn authorized<S: SolStruct>(
    ctx: &mut Context,
    terms: AuthorizedTransfer,
    message: &S,
    signature: Passed,
) -> Result<()> {
    let now = U256::from(ctx.now());
    ensure(now > terms.valid_after, || {
        Error::rejected(IToken::AuthorizationNotYetValid { validAfter: terms.valid_after, now })
    })?;
    ensure(now < terms.valid_before, || {
        Error::rejected(IToken::AuthorizationExpired { validBefore: terms.valid_before, now })
    })?;
    use_nonce(ctx, terms.from, terms.nonce)?;
    let domain = domain(ctx);
    require_signer(ctx, &domain, message, &signature, terms.from, |_| {
        Error::rejected(IToken::InvalidSignature { expected: terms.from })
    })?;
    let amount = erc20::amount(ctx, terms.from, terms.value)?;
    erc20::move_tokens(ctx.state, terms.from, terms.to, amount)?;
    ctx.state.emit(addresses::TOKEN, IToken::AuthorizationUsed { authorizer: terms.from, nonce: terms.nonce })
}

fn use_nonce(ctx: &mut Context, authorizer: Address, nonce: B256) -> Result<()> {
    let used = AUTHORIZATIONS.get(ctx.state, &(authorizer, nonce))?;
    ensure(used.is_zero(), || Error::rejected(IToken::AuthorizationUsedOrCanceled { authorizer, nonce }))?;
    AUTHORIZATIONS.set(ctx.state, &(authorizer, nonce), U256::from(1))
}

/// Voids an authorization before it is used; its signer decides.
pub(super) fn cancel_authorization(
    ctx: &mut Context,
    authorizer: Address,
    nonce: B256,
    signature: Passed,
) -> Result<()> {
    use_nonce(ctx, authorizer, nonce)?;
    let domain = domain(ctx);
    require_signer(ctx, &domain, &CancelAuthorization { authorizer, nonce }, &signature, authorizer, |_| {
        Error::rejected(IToken::InvalidSignature { expected: authorizer })
    })?;
    ctx.state.emit(addresses::TOKEN, IToken::AuthorizationCanceled { authorizer, nonce })
}

pub(super) fn authorization_state(ctx: &mut Context, call: IToken::authorizationStateCall) -> Result<bool> {
    let IToken::authorizationStateCall { authorizer, nonce } = call;
    Ok(!AUTHORIZATIONS.get(ctx.state, &(authorizer, nonce))?.is_zero())
}
