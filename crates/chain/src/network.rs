//! The real network between validators: authenticated, encrypted connections to known addresses.

use crate::{
    block::{PrivateKey, PublicKey},
    engine::{self, CHANNEL_COUNT},
    network_rules::Rules,
    presence,
};
use commonware_cryptography::ChaCha20Poly1305;
use commonware_p2p::{Address, AddressableManager as _, authenticated::lookup};
use commonware_runtime::{Quota, Supervisor as _, tokio::Context};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZU32, NZUsize, ordered::Map};
use std::{net::SocketAddr, num::NonZeroUsize, time::Duration};

/// Messages a second that one peer may send on one channel. Mailboxes are allocated for a whole second of all
/// peers and channels, so this number decides the memory of a node at rest.
const MESSAGES_PER_SECOND: u32 = 512;
/// Messages that wait for a slow peer before more are dropped.
const BACKLOG: NonZeroUsize = NZUsize!(256);

/// Who may vote, block and send on a channel.
pub type Oracle = lookup::Oracle<PublicKey>;
/// One end of a channel.
pub type Channel = (lookup::Sender<PublicKey, Context>, lookup::Receiver<PublicKey>);

/// A started network: consensus' channels, then gossip and presence.
pub struct Started {
    /// Tracks peers, and blocks those that misbehave.
    pub oracle: Oracle,
    /// For [`engine::start`].
    pub channels: Vec<Channel>,
    /// For [`crate::gossip::run`].
    pub gossip: Channel,
    /// For [`crate::presence::run`].
    pub presence: Channel,
}

/// Connects to `peers` (which include this node) as `key`, and listens on `listen`.
pub fn start(
    context: &Context,
    key: &PrivateKey,
    rules: &Rules,
    listen: SocketAddr,
    peers: Vec<(PublicKey, SocketAddr)>,
) -> Started {
    let validators = rules.validators.len();
    let handshake = Cups::<_, ChaCha20Poly1305>::new(
        Sake {
            signer: key.clone(),
            synchrony_bound: Duration::from_secs(5),
            max_handshake_age: Duration::from_secs(10),
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let mut config = lookup::Config::local(
        handshake,
        &rules.namespace(),
        listen,
        NonZeroUsize::new(validators).expect("a network has a validator"),
        engine::max_message_bytes(validators as u32),
        BACKLOG,
    );
    config.dial_timeout = Duration::from_secs(5);
    // Validators that start together find each other before the first leader's patience ends.
    config.dial_frequency = Duration::from_millis(100);
    config.peer_connection_cooldown = Duration::from_millis(300);
    let (mut network, mut oracle) = lookup::Network::new(context.child("network"), config);
    let addresses: Vec<(PublicKey, Address)> =
        peers.into_iter().map(|(key, address)| (key, Address::from(address))).collect();
    let addresses: Map<PublicKey, Address> = addresses.try_into().expect("validators have distinct keys");
    oracle.track(0, addresses);
    let quota = || Quota::per_second(NZU32!(MESSAGES_PER_SECOND));
    let channels = (0..CHANNEL_COUNT).map(|channel| network.register(channel, quota())).collect();
    let gossip = network.register(CHANNEL_COUNT, quota());
    let presence = Quota::per_second(NZU32!(presence::MESSAGES_PER_SECOND));
    let presence = network.register(CHANNEL_COUNT + 1, presence);
    network.start();
    Started { oracle, channels, gossip, presence }
}
