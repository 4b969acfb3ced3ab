//! What a model may be declared for, by the names of the command line.

use anyhow::bail;
use primitives::licence::Use;

/// The uses of these names, as a set of bits.
pub fn bits(named: &[String]) -> anyhow::Result<u32> {
    let mut bits = 0;
    for named in named {
        let known = match named.to_ascii_lowercase().as_str() {
            "train" => Use::Train,
            "commercial" => Use::Commercial,
            "distribute" => Use::Distribute,
            "quote" => Use::Quote,
            _ => bail!("`{named}` is no use; there are train, commercial, distribute and quote"),
        };
        bits |= known.bit();
    }
    Ok(bits)
}
