//! Receipts: what an operator signs for each answer.
//!
//! The digest is BLAKE3 over the canonical encoding under `Domain::AnswerReceipt`; the signature is the operator account's
//! over that digest. The same digest is the receipt's leaf in a batch. Prompt and output stand as salted commitments:
//! who holds the salt can open them, nobody else can guess them.

use crate::{
    account::{Account, signed_by},
    request::{Finish, MAX_TOKENS, Request, Usage},
};
use alloy_primitives::{Address, B256, Signature};
use primitives::{
    Amount, Domain,
    encoding::{DecodeError, Reader, Writer},
    hash::{hash, hash_parts},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// Version of the encoding below.
const VERSION: u8 = 1;

/// Names an answer from its first token on, before its receipt exists. Random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AnswerId(pub [u8; 16]);

/// What a receipt accounts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An answer.
    Answer,
    /// Money that reached the escrow without an answer. It has no attribution, so its data share goes to the treasury.
    Unasked,
}

/// What is known of an answer, in the order it is encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Answer, or money without one.
    pub kind: Kind,
    /// Who answered.
    pub operator: Address,
    /// With which model.
    pub model: B256,
    /// Dense, from 0, for each operator and model.
    pub sequence: u64,
    /// Digest of the receipt before; zero for the first.
    pub previous: B256,
    /// The answer's id.
    pub id: AnswerId,
    /// Who paid; zero for a free answer.
    pub payer: Address,
    /// Salted commitment to the request.
    pub prompt: B256,
    /// Salted commitment to the answer.
    pub output: B256,
    /// Tokens.
    pub usage: Usage,
    /// F: what was charged.
    pub fee: Amount,
    /// What contributors are paid out of it.
    pub paid: Amount,
    /// Root of the attribution.
    pub attribution: B256,
    /// Version of the op set; 0 when replay is not bit-exact.
    pub op_set: u32,
    /// Unix time in milliseconds.
    pub time_ms: u64,
}

/// A receipt and its operator's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReceipt {
    /// What is signed.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// 65 bytes r, s, v.
    #[serde(with = "signature_hex")]
    pub signature: Signature,
}

impl Receipt {
    /// Writes the canonical encoding.
    pub fn encode(&self, into: &mut Writer) {
        let Receipt {
            kind,
            operator,
            model,
            sequence,
            previous,
            id,
            payer,
            prompt,
            output,
            usage,
            fee,
            paid,
            attribution,
            op_set,
            time_ms,
        } = self;
        let Usage { prompt_tokens, completion_tokens } = usage;
        into.u8(VERSION).u8(*kind as u8).address(operator).hash(model).u64(*sequence).hash(previous);
        into.u64(u64::from_le_bytes(id.0[..8].try_into().expect("eight of sixteen")));
        into.u64(u64::from_le_bytes(id.0[8..].try_into().expect("eight of sixteen")));
        into.address(payer).hash(prompt).hash(output).u32(*prompt_tokens).u32(*completion_tokens);
        into.u128(fee.0).u128(paid.0).hash(attribution).u32(*op_set).u64(*time_ms);
    }

    /// Reads the canonical encoding.
    pub fn decode(from: &mut Reader) -> Result<Receipt, DecodeError> {
        if from.u8()? != VERSION {
            return Err(DecodeError::OutOfRange("receipt version"));
        }
        let kind = match from.u8()? {
            0 => Kind::Answer,
            1 => Kind::Unasked,
            _ => return Err(DecodeError::OutOfRange("receipt kind")),
        };
        let (operator, model, sequence, previous) =
            (from.address()?, from.hash()?, from.u64()?, from.hash()?);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&from.u64()?.to_le_bytes());
        id[8..].copy_from_slice(&from.u64()?.to_le_bytes());
        Ok(Receipt {
            kind,
            operator,
            model,
            sequence,
            previous,
            id: AnswerId(id),
            payer: from.address()?,
            prompt: from.hash()?,
            output: from.hash()?,
            usage: Usage { prompt_tokens: from.u32()?, completion_tokens: from.u32()? },
            fee: Amount(from.u128()?),
            paid: Amount(from.u128()?),
            attribution: from.hash()?,
            op_set: from.u32()?,
            time_ms: from.u64()?,
        })
    }

    /// What is signed, and the leaf of a batch.
    pub fn digest(&self) -> B256 {
        let mut writer = Writer::new();
        self.encode(&mut writer);
        hash(Domain::AnswerReceipt, writer.as_bytes())
    }

    /// Signs.
    pub fn sign(self, account: &Account) -> SignedReceipt {
        let signature = account.sign(&self.digest());
        SignedReceipt { receipt: self, signature }
    }
}

impl SignedReceipt {
    /// Whether the operator that the receipt names signed it.
    pub fn is_signed(&self) -> bool {
        signed_by(self.receipt.operator, &self.receipt.digest(), &self.signature)
    }
}

/// Commits to a request.
pub fn commit_prompt(salt: &B256, request: &Request) -> B256 {
    let mut writer = Writer::new();
    request.encode(&mut writer);
    hash_parts(Domain::Prompt, &[salt.as_slice(), writer.as_bytes()])
}

/// The salt of an answer's output, derived from the answer's salt one way: whoever is shown the output cannot test guesses of the
/// prompt with it.
pub fn output_salt(salt: &B256) -> B256 {
    hash_parts(Domain::Output, &[b"salt", salt.as_slice()])
}

/// Commits to an answer, under its [`output_salt`]: its tokens, its text and why it ended.
pub fn commit_output(salt: &B256, output: &Output) -> B256 {
    let mut writer = Writer::new();
    output.encode(&mut writer);
    hash_parts(Domain::Output, &[salt.as_slice(), writer.as_bytes()])
}

/// What the model said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Tokens generated, those of a stop text included.
    pub tokens: Vec<u32>,
    /// Text delivered.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
}

/// Longest text of an answer.
pub const MAX_OUTPUT_BYTES: usize = 1 << 23;

impl Output {
    /// Writes the canonical encoding.
    pub fn encode(&self, into: &mut Writer) {
        let Output { tokens, text, finish } = self;
        into.list(tokens, |w, token| {
            w.u32(*token);
        });
        into.text(text).u8(*finish as u8);
    }

    /// Reads the canonical encoding.
    pub fn decode(from: &mut Reader) -> Result<Output, DecodeError> {
        Ok(Output {
            tokens: from.list(MAX_TOKENS, |r| r.u32())?,
            text: from.text(MAX_OUTPUT_BYTES)?.into(),
            finish: Finish::from_byte(from.u8()?)?,
        })
    }
}

impl fmt::Display for AnswerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for AnswerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnswerId({self})")
    }
}

/// Not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer's id is 32 hexadecimal digits, after a prefix such as `chatcmpl-`")]
pub struct BadAnswerId;

/// Reads an id with or without the prefix that an API response gives it.
impl FromStr for AnswerId {
    type Err = BadAnswerId;
    fn from_str(text: &str) -> Result<AnswerId, BadAnswerId> {
        let digits = text.rsplit(['-', '_']).next().unwrap_or(text);
        let mut id = [0; 16];
        hex::decode_to_slice(digits, &mut id).map_err(|_| BadAnswerId)?;
        Ok(AnswerId(id))
    }
}

impl Serialize for AnswerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AnswerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AnswerId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

mod signature_hex {
    use alloy_primitives::{Bytes, Signature};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &Signature, serializer: S) -> Result<S::Ok, S::Error> {
        Bytes::from(value.as_bytes().to_vec()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Signature, D::Error> {
        let bytes = Bytes::deserialize(deserializer)?;
        Signature::from_raw(&bytes).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        Receipt {
            kind: Kind::Answer,
            operator: Account::from_bytes(&[7; 32]).unwrap().address(),
            model: B256::repeat_byte(1),
            sequence: 2,
            previous: B256::repeat_byte(3),
            id: AnswerId([4; 16]),
            payer: Address::repeat_byte(5),
            prompt: B256::repeat_byte(6),
            output: B256::repeat_byte(7),
            usage: Usage { prompt_tokens: 8, completion_tokens: 9 },
            fee: Amount(10),
            paid: Amount(4),
            attribution: B256::repeat_byte(11),
            op_set: 12,
            time_ms: 13,
        }
    }

    #[test]
    fn any_flipped_bit_of_an_encoding_breaks_the_signature_or_the_decoding() {
        let signed = receipt().sign(&Account::from_bytes(&[7; 32]).unwrap());
        assert!(signed.is_signed());
        let mut writer = Writer::new();
        signed.receipt.encode(&mut writer);
        let bytes = writer.finish();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(receipt) = Receipt::decode(&mut Reader::new(&flipped)) {
                assert_ne!(receipt, signed.receipt, "two encodings of one receipt");
                assert!(!SignedReceipt { receipt, signature: signed.signature }.is_signed(), "bit {bit}");
            }
        }
        assert_eq!(Receipt::decode(&mut Reader::new(&bytes)), Ok(signed.receipt));
    }

    #[test]
    fn golden_digest() {
        let mut writer = Writer::new();
        receipt().encode(&mut writer);
        assert_eq!(writer.as_bytes().len(), 278);
        let digest =
            alloy_primitives::b256!("5f0f1916c2fed01b99b5fae1b04f1c932d56a1494d46a0dbb7bc57242eb2654b");
        assert_eq!(receipt().digest(), digest);
    }

    #[test]
    fn ids_are_read_with_any_prefix() {
        let id = AnswerId([0xab; 16]);
        for prefix in ["", "chatcmpl-", "cmpl-", "resp_"] {
            assert_eq!(format!("{prefix}{id}").parse(), Ok(id));
        }
        for bad in ["", "chatcmpl-", "zz", "chatcmpl-ab"] {
            assert_eq!(bad.parse::<AnswerId>(), Err(BadAnswerId));
        }
    }

    #[test]
    fn json_carries_a_receipt_whole() {
        let signed = receipt().sign(&Account::from_bytes(&[7; 32]).unwrap());
        let json = serde_json::to_string(&signed).unwrap();
        assert_eq!(serde_json::from_str::<SignedReceipt>(&json).unwrap(), signed);
    }
}
