//! Events in words: the module, the event's name and its arguments.

use crate::{format, view::Log};
use alloy_sol_types::SolEventInterface;
use interfaces::{
    addresses, channels::IChannels, datanets::IDatanets, models::IModels, operators::IOperators,
    settlement::ISettlement, token::IToken, treasury::ITreasury,
};

/// An event as a page shows it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Name of the module.
    pub module: &'static str,
    /// Name of the event.
    pub name: String,
    /// Arguments by name.
    pub arguments: Vec<(String, String)>,
}

/// Name of the module at an address, if one stands there.
pub fn module_name(address: &alloy_primitives::Address) -> Option<&'static str> {
    Some(match *address {
        addresses::TOKEN => "Token",
        addresses::DATANETS => "Datanets",
        addresses::MODELS => "Models",
        addresses::OPERATORS => "Operators",
        addresses::SETTLEMENT => "Settlement",
        addresses::TREASURY => "Treasury",
        addresses::CHANNELS => "Channels",
        addresses::DEPOSIT_COLLECTOR => "Deposit collector",
        addresses::MULTICALL3 => "Multicall3",
        _ => return None,
    })
}

/// Decodes an event; an unknown one shows its topic.
pub fn show(log: &Log) -> Shown {
    let module = module_name(&log.address).unwrap_or("Account");
    let debug = match log.address {
        addresses::TOKEN => decode::<IToken::ITokenEvents>(log),
        addresses::DATANETS => decode::<IDatanets::IDatanetsEvents>(log),
        addresses::MODELS => decode::<IModels::IModelsEvents>(log),
        addresses::OPERATORS => decode::<IOperators::IOperatorsEvents>(log),
        addresses::SETTLEMENT => decode::<ISettlement::ISettlementEvents>(log),
        addresses::TREASURY => decode::<ITreasury::ITreasuryEvents>(log),
        addresses::CHANNELS => decode::<IChannels::IChannelsEvents>(log),
        _ => None,
    };
    match debug.as_deref().and_then(split) {
        Some((name, arguments)) => Shown { module, name, arguments },
        None => {
            let topic = log.topics.first().map(format::short_hash).unwrap_or_default();
            Shown { module, name: "Event".into(), arguments: vec![("topic".into(), topic)] }
        }
    }
}

fn decode<E: SolEventInterface + std::fmt::Debug>(log: &Log) -> Option<String> {
    E::decode_raw_log(&log.topics, &log.data).ok().map(|event| format!("{event:?}"))
}

/// Takes `Name(Name { a: 1, b: 0x2 })`, the derived debug form of an event, apart. Nested braces, brackets and quotes keep their commas.
fn split(debug: &str) -> Option<(String, Vec<(String, String)>)> {
    let (name, rest) = debug.split_once('(')?;
    let inner = rest.strip_suffix(')')?;
    let fields = match inner.split_once('{') {
        Some((_, fields)) => fields.strip_suffix('}')?.trim(),
        None => "",
    };
    let (mut depth, mut quoted, mut start, mut parts) = (0i32, false, 0, Vec::new());
    let bytes = fields.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' if i == 0 || bytes[i - 1] != b'\\' => quoted = !quoted,
            b'{' | b'[' | b'(' if !quoted => depth += 1,
            b'}' | b']' | b')' if !quoted => depth -= 1,
            b',' if depth == 0 && !quoted => {
                parts.push(&fields[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&fields[start..]);
    let arguments = parts
        .into_iter()
        .filter_map(|part| part.split_once(": "))
        .map(|(key, value)| (key.trim().to_string(), value.trim().trim_matches('"').to_string()))
        .collect();
    Some((name.to_string(), arguments))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, U256};
    use alloy_sol_types::SolEvent;

    #[test]
    fn a_transfer_is_shown_by_name() {
        let event = IToken::Transfer {
            from: Address::repeat_byte(1),
            to: Address::repeat_byte(2),
            value: U256::from(7),
        };
        let data = event.encode_log_data();
        let log = Log {
            address: addresses::TOKEN,
            topics: data.topics().to_vec(),
            data: data.data.clone(),
            block_number: None,
            block_hash: None,
            transaction_hash: None,
        };
        let shown = show(&log);
        assert_eq!((shown.module, shown.name.as_str()), ("Token", "Transfer"));
        assert_eq!(shown.arguments[2], ("value".to_string(), "7".to_string()));
    }

    #[test]
    fn texts_keep_their_commas() {
        let (name, arguments) = split(r#"A(A { text: "x, y", list: [1, 2], n: 3 })"#).expect("splits");
        assert_eq!(name, "A");
        assert_eq!(arguments[0].1, "x, y");
        assert_eq!(arguments[1].1, "[1, 2]");
        assert_eq!(arguments[2].1, "3");
    }
}
