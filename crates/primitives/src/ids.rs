//! A type for every identifier, so that a model's id cannot be passed where a Datanet's is meant.

use alloy_primitives::{B256, FixedBytes};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

macro_rules! id_type {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub B256);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = <FixedBytes<32> as FromStr>::Err;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map($name)
            }
        }

        impl From<B256> for $name {
            fn from(bytes: B256) -> Self {
                $name(bytes)
            }
        }
    )*};
}

id_type! {
    /// A Datanet: hash of its creator and the salt chosen at creation.
    DatanetId,
    /// A model: hash of its developer and manifest.
    ModelId,
    /// A training run: hash of its descriptor.
    RunId,
    /// An item of a dataset: hash of its content.
    ItemId,
    /// A settlement batch: operator and epoch.
    BatchId,
}
