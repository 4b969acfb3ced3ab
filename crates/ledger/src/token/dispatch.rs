//! Calls of the token to their handlers. The match is exhaustive: a function of the interface without a handler does
//! not compile.

use super::{authorization::*, domain, erc20::*, permit::permit};
use crate::{
    context::{Context, decode},
    error::Result,
    signature::Passed,
    tables::PERMIT_NONCES,
};
use alloy_primitives::{B256, Bytes, FixedBytes, U256};
use alloy_sol_types::SolCall;
use interfaces::{
    addresses,
    token::{self, IToken, IToken::ITokenCalls as Calls},
};

/// Encodes what a handler returned as the return data of call `C`.
macro_rules! returns {
    ($call:ty, $value:expr) => {
        Ok(<$call>::abi_encode_returns(&$value).into())
    };
}

/// The terms of an authorization call, whichever of the four it is.
macro_rules! terms {
    ($c:ident) => {
        AuthorizedTransfer {
            from: $c.from,
            to: $c.to,
            value: $c.value,
            valid_after: $c.validAfter,
            valid_before: $c.validBefore,
            nonce: $c.nonce,
        }
    };
}

pub(crate) fn dispatch(ctx: &mut Context, data: &[u8]) -> Result<Bytes> {
    ctx.not_payable()?;
    match decode::<Calls>(data)? {
        Calls::name(_) => returns!(IToken::nameCall, token::NAME.to_string()),
        Calls::symbol(_) => returns!(IToken::symbolCall, token::SYMBOL.to_string()),
        Calls::version(_) => returns!(IToken::versionCall, token::VERSION.to_string()),
        Calls::decimals(_) => returns!(IToken::decimalsCall, 18u8),
        Calls::totalSupply(_) => returns!(IToken::totalSupplyCall, total_supply(ctx)?),
        Calls::balanceOf(c) => returns!(IToken::balanceOfCall, balance_of(ctx, c)?),
        Calls::allowance(c) => returns!(IToken::allowanceCall, allowance(ctx, c)?),
        Calls::transfer(c) => returns!(IToken::transferCall, transfer(ctx, c)?),
        Calls::approve(c) => returns!(IToken::approveCall, approve(ctx, c)?),
        Calls::transferFrom(c) => returns!(IToken::transferFromCall, transfer_from(ctx, c)?),
        Calls::nonces(c) => returns!(IToken::noncesCall, PERMIT_NONCES.get(ctx.state, &c.owner)?),
        Calls::DOMAIN_SEPARATOR(_) => returns!(IToken::DOMAIN_SEPARATORCall, domain(ctx).separator()),
        Calls::eip712Domain(_) => Ok(eip712_domain(ctx)),
        Calls::permit(c) => permit(ctx, c).map(|()| Bytes::new()),
        Calls::authorizationState(c) => {
            returns!(IToken::authorizationStateCall, authorization_state(ctx, c)?)
        }
        Calls::transferWithAuthorization_0(c) => {
            transfer_with_authorization(ctx, terms!(c), Passed::Vrs { v: c.v, r: c.r, s: c.s })
                .map(|()| Bytes::new())
        }
        Calls::transferWithAuthorization_1(c) => {
            transfer_with_authorization(ctx, terms!(c), Passed::Bytes(&c.signature)).map(|()| Bytes::new())
        }
        Calls::receiveWithAuthorization_0(c) => {
            receive_with_authorization(ctx, terms!(c), Passed::Vrs { v: c.v, r: c.r, s: c.s })
                .map(|()| Bytes::new())
        }
        Calls::receiveWithAuthorization_1(c) => {
            receive_with_authorization(ctx, terms!(c), Passed::Bytes(&c.signature)).map(|()| Bytes::new())
        }
        Calls::cancelAuthorization_0(c) => {
            cancel_authorization(ctx, c.authorizer, c.nonce, Passed::Vrs { v: c.v, r: c.r, s: c.s })
                .map(|()| Bytes::new())
        }
        Calls::cancelAuthorization_1(c) => {
            cancel_authorization(ctx, c.authorizer, c.nonce, Passed::Bytes(&c.signature))
                .map(|()| Bytes::new())
        }
    }
}

/// ERC-5267: which fields the domain has (name, version, chain id, contract: bits 0 to 3) and their values.
fn eip712_domain(ctx: &Context) -> Bytes {
    IToken::eip712DomainCall::abi_encode_returns(&IToken::eip712DomainReturn {
        fields: FixedBytes([0x0f]),
        name: token::NAME.into(),
        version: token::VERSION.into(),
        chainId: U256::from(ctx.block.chain_id),
        verifyingContract: addresses::TOKEN,
        salt: B256::ZERO,
        extensions: Vec::new(),
    })
    .into()
}
