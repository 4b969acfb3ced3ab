//! One entry: the signed receipt and what opens its commitments.

use crate::{
    attributed::Span,
    receipt::{Output, Receipt, SignedReceipt},
    request::Request,
};
use alloy_primitives::{Address, B256, Signature};
use primitives::{
    Amount,
    encoding::{DecodeError, Reader, Writer},
};

/// Longest note of the caller's.
pub const MAX_NOTE_BYTES: usize = 1 << 16;
/// Most units with weight of one answer.
const MAX_SCORES: usize = 1 << 20;
/// Most spans of one answer.
const MAX_SPANS: usize = 1 << 16;

/// A unit and its score.
pub type Scored = (u32, f64);

/// What the operator keeps of an answer. All but the receipt is private: it is opened to the payer and to auditors drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The receipt.
    pub signed: SignedReceipt,
    /// Opens the prompt's commitment, and the output's through `output_salt`.
    pub salt: B256,
    /// What was asked.
    pub request: Request,
    /// What came back.
    pub output: Output,
    /// D: what was divided.
    pub data_share: Amount,
    /// Units with weight and their scores; with the cache's units and rule the whole attribution.
    pub scores: Vec<Scored>,
    /// Explains; not committed.
    pub spans: Vec<Span>,
    /// Pay by account, ascending; all above zero.
    pub payouts: Vec<(Address, Amount)>,
    /// The caller's own record.
    pub note: Vec<u8>,
}

impl Entry {
    fn encode(&self, into: &mut Writer) {
        let Entry { signed, salt, request, output, data_share, scores, spans, payouts, note } = self;
        let SignedReceipt { receipt, signature } = signed;
        receipt.encode(into);
        into.bytes(&signature.as_bytes()).hash(salt);
        request.encode(into);
        output.encode(into);
        into.u128(data_share.0);
        let scored = |w: &mut Writer, (unit, score): &Scored| {
            w.u32(*unit).f64_bits(*score);
        };
        into.list(scores, scored);
        into.list(spans, |w, Span { bytes, sources }| {
            w.u32(bytes[0]).u32(bytes[1]).list(sources, scored);
        });
        into.list(payouts, |w, (account, pay)| {
            w.address(account).u128(pay.0);
        });
        into.bytes(note);
    }

    fn decode(from: &mut Reader) -> Result<Entry, DecodeError> {
        let scored = |r: &mut Reader| Ok((r.u32()?, r.f64_bits()?));
        let receipt = Receipt::decode(from)?;
        let signature =
            Signature::from_raw(from.bytes(65)?).map_err(|_| DecodeError::OutOfRange("signature"))?;
        Ok(Entry {
            signed: SignedReceipt { receipt, signature },
            salt: from.hash()?,
            request: Request::decode(from)?,
            output: Output::decode(from)?,
            data_share: Amount(from.u128()?),
            scores: from.list(MAX_SCORES, scored)?,
            spans: from.list(MAX_SPANS, |r| {
                Ok(Span { bytes: [r.u32()?, r.u32()?], sources: r.list(MAX_SPANS, scored)? })
            })?,
            payouts: from.list(MAX_SCORES, |r| Ok((r.address()?, Amount(r.u128()?))))?,
            note: from.bytes(MAX_NOTE_BYTES)?.to_vec(),
        })
    }
}

/// The payload of a group.
pub fn encode_group(entries: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.list(entries, |w, entry| entry.encode(w));
    writer.finish()
}

/// Reads a payload.
pub fn decode_group(payload: &[u8]) -> Result<Vec<Entry>, DecodeError> {
    let mut reader = Reader::new(payload);
    let entries = reader.list(super::MAX_GROUP_ENTRIES, Entry::decode)?;
    reader.finish()?;
    Ok(entries)
}
