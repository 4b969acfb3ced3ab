//! How an answer was paid, as it stands in the answer's own log entry.

use alloy_primitives::{Address, B256};
use interfaces::channels::ChannelConfig;
use primitives::encoding::{DecodeError, Reader, Writer};

/// Longest payment identifier.
const MAX_IDENTIFIER_BYTES: usize = 128;
/// Longest signature.
const MAX_SIGNATURE_BYTES: usize = 65;

/// The endpoint that was asked, so that the same answer can be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
    /// `/v1/responses`
    Responses,
}

/// A record of payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What was asked.
    pub endpoint: Endpoint,
    /// Digest of the request's body.
    pub body: B256,
    /// The client's payment identifier; empty without.
    pub identifier: String,
    /// How.
    pub paid: Paid,
}

/// How an answer was paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paid {
    /// It was free.
    Free,
    /// By channel.
    Channel {
        /// Its configuration.
        config: ChannelConfig,
        /// The newest voucher's ceiling.
        signed_max: u128,
        /// Its signature.
        signature: Vec<u8>,
        /// What the channel has been charged with this answer.
        charged: u128,
    },
    /// By one transfer.
    Exact {
        /// Payer.
        from: Address,
        /// The authorization's nonce.
        nonce: B256,
        /// The transaction.
        transaction: B256,
    },
}

impl Note {
    /// Canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Note { endpoint, body, identifier, paid } = self;
        let mut w = Writer::new();
        w.u8(*endpoint as u8).hash(body).text(identifier);
        match paid {
            Paid::Free => {
                w.u8(0);
            }
            Paid::Channel { config, signed_max, signature, charged } => {
                w.u8(1);
                encode_config(&mut w, config);
                w.u128(*signed_max).bytes(signature).u128(*charged);
            }
            Paid::Exact { from, nonce, transaction } => {
                w.u8(2).address(from).hash(nonce).hash(transaction);
            }
        }
        w.finish()
    }

    /// Reads [`Note::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Note, DecodeError> {
        let mut r = Reader::new(bytes);
        let endpoint = Endpoint::from_byte(r.u8()?)?;
        let (body, identifier) = (r.hash()?, r.text(MAX_IDENTIFIER_BYTES)?.into());
        let paid = match r.u8()? {
            0 => Paid::Free,
            1 => Paid::Channel {
                config: decode_config(&mut r)?,
                signed_max: r.u128()?,
                signature: r.bytes(MAX_SIGNATURE_BYTES)?.to_vec(),
                charged: r.u128()?,
            },
            2 => Paid::Exact { from: r.address()?, nonce: r.hash()?, transaction: r.hash()? },
            _ => return Err(DecodeError::OutOfRange("payment kind")),
        };
        r.finish()?;
        Ok(Note { endpoint, body, identifier, paid })
    }
}

impl Endpoint {
    /// Reads the byte that `self as u8` wrote.
    pub fn from_byte(byte: u8) -> Result<Endpoint, DecodeError> {
        match byte {
            0 => Ok(Endpoint::Chat),
            1 => Ok(Endpoint::Completions),
            2 => Ok(Endpoint::Responses),
            _ => Err(DecodeError::OutOfRange("endpoint")),
        }
    }

    /// The path it is served at.
    pub fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "/v1/chat/completions",
            Endpoint::Completions => "/v1/completions",
            Endpoint::Responses => "/v1/responses",
        }
    }
}

fn encode_config(w: &mut Writer, config: &ChannelConfig) {
    let ChannelConfig { payer, payerAuthorizer, receiver, receiverAuthorizer, token, withdrawDelay, salt } =
        config;
    w.address(payer).address(payerAuthorizer).address(receiver).address(receiverAuthorizer).address(token);
    w.u64(withdrawDelay.to()).hash(salt);
}

fn decode_config(r: &mut Reader) -> Result<ChannelConfig, DecodeError> {
    Ok(ChannelConfig {
        payer: r.address()?,
        payerAuthorizer: r.address()?,
        receiver: r.address()?,
        receiverAuthorizer: r.address()?,
        token: r.address()?,
        withdrawDelay: alloy_primitives::Uint::<40, 1>::try_from(r.u64()?)
            .map_err(|_| DecodeError::OutOfRange("withdraw delay"))?,
        salt: r.hash()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_back_and_every_prefix_is_refused() {
        let config = ChannelConfig {
            payer: Address::repeat_byte(1),
            payerAuthorizer: Address::ZERO,
            receiver: Address::repeat_byte(2),
            receiverAuthorizer: Address::repeat_byte(3),
            token: Address::repeat_byte(4),
            withdrawDelay: alloy_primitives::Uint::from(900u64),
            salt: B256::repeat_byte(5),
        };
        let channel = Paid::Channel { config, signed_max: 9, signature: vec![1; 65], charged: 7 };
        let exact = Paid::Exact { from: Address::ZERO, nonce: B256::ZERO, transaction: B256::ZERO };
        for paid in [Paid::Free, channel, exact] {
            let note =
                Note { endpoint: Endpoint::Chat, body: B256::ZERO, identifier: "identifier".into(), paid };
            let bytes = note.encode();
            assert_eq!(Note::decode(&bytes), Ok(note));
            for cut in 0..bytes.len() {
                assert!(Note::decode(&bytes[..cut]).is_err());
            }
        }
    }
}
